"""What a healthy row waits for where one in a hundred is poison: its latency at a steady rate.

Poison is what the target refuses, the dearest kind: it is found by writing again. Its keys are of
no other row. The line has to replicate `bench.wide`; afterwards the poison is on its desk.
"""

from __future__ import annotations

import statistics
import threading
import time

import psycopg

from bench.latency import RATE_PER_S, WRITERS, watch

POISON_EVERY = 100
ROUNDS = 3


def p99_ratio(source_url: str, target_url: str, *, first_id: int, seconds: float) -> float:
    """p99 of healthy rows with poison among them against none: the median of three rounds, each of
    `seconds` without and as many with. Uses ids from `first_id` on, 100,000 of them at most."""
    with psycopg.connect(target_url, autocommit=True) as connection:
        connection.execute(
            "alter table bench.wide add constraint sound check (small_number >= 0) not valid"
        )
    ratios = []
    for number in range(ROUNDS):
        plain, poisoned = (
            measure(
                source_url,
                target_url,
                first_id=first_id + (2 * number + with_poison) * int(RATE_PER_S * seconds),
                seconds=seconds,
                poison=bool(with_poison),
            )
            for with_poison in (0, 1)
        )
        p99s = [took[int(len(took) * 0.99)] for took in (plain, poisoned)]
        ratios.append(p99s[1] / p99s[0])
        medians = [statistics.median(took) for took in (plain, poisoned)]
        print(
            f"poison      p50 {medians[0]:.2f} ms without, {medians[1]:.2f} with;"
            f" p99 {p99s[0]:.2f} without, {p99s[1]:.2f} with",
            flush=True,
        )
    return statistics.median(ratios)


def measure(
    source_url: str, target_url: str, *, first_id: int, seconds: float, poison: bool
) -> list[float]:
    """Milliseconds from COMMIT at the source to a reader at the target, of each healthy row."""
    count = int(RATE_PER_S * seconds)
    committed: dict[int, float] = {}
    threads = [
        threading.Thread(target=_write, args=(source_url, first_id, count, lane, poison, committed))
        for lane in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    healthy = {first_id + number for number in range(count) if not _is_poison(number, poison)}
    seen = watch(target_url, healthy, seconds + 60)
    for thread in threads:
        thread.join()
    return sorted((seen[key] - committed[key]) * 1000 for key in healthy)


def _is_poison(number: int, poison: bool) -> bool:
    return poison and number % POISON_EVERY == POISON_EVERY // 2


def _write(
    url: str, first_id: int, count: int, lane: int, poison: bool, committed: dict[int, float]
) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        began = time.monotonic()
        for number in range(lane, count, WRITERS):
            pause = began + number / RATE_PER_S - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            connection.execute(
                "insert into bench.wide values (%s, %s, 'latency', 12.34, 'abc', "
                "'one small transaction ...', 7, 0.5, true, now(), now()::timestamp, current_date)",
                (first_id + number, -1 if _is_poison(number, poison) else 1),
            )
            committed[first_id + number] = time.monotonic()
