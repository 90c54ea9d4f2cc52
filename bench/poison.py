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
ROUNDS = 6


def p99_ratio(source_url: str, target_url: str, *, first_id: int, seconds: float) -> float:
    """p99 of healthy rows with poison among them against none: of `ROUNDS` phases without and as
    many with, in turn, the median of each. A phase takes `seconds`; ids are from `first_id` on,
    100,000 of them at most. The first phase, half as long, is not counted."""
    with psycopg.connect(target_url, autocommit=True) as connection:
        connection.execute(
            "alter table bench.wide add constraint sound check (small_number >= 0) not valid"
        )

    def phase(number: int, seconds: float, poison: bool) -> list[float]:
        first = first_id + number * 100_000 // (2 * ROUNDS + 1)
        return measure(source_url, target_url, first_id=first, seconds=seconds, poison=poison)

    phase(2 * ROUNDS, seconds / 2, poison=True)
    p99s: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * ROUNDS):
        # plain, poison, poison, plain …: neither has the better half of what else is going on
        poison = number % 4 in (1, 2)
        took = phase(number, seconds, poison)
        p99s[poison].append(took[int(len(took) * 0.99)])
        print(
            f"poison      {'with' if poison else 'none':5}"
            f" p50 {statistics.median(took):7.2f} ms, p99 {p99s[poison][-1]:7.2f}",
            flush=True,
        )
    plain, poisoned = map(statistics.median, p99s)
    print(f"poison      p99 {plain:.2f} ms without, {poisoned:.2f} with: medians of {ROUNDS}")
    return poisoned / plain


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
