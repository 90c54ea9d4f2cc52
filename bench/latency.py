"""Commit at the source → visible at the target, at a steady rate of small transactions."""

from __future__ import annotations

import threading
import time

import psycopg

RATE_PER_S = 500
WRITERS = 2


def measure(source_url: str, target_url: str, *, first_id: int, seconds: float) -> list[float]:
    """Milliseconds for each of about `RATE_PER_S` × `seconds` transactions, sorted.

    A transaction counts from the moment its COMMIT returned to the writer until a reader at the
    target first saw it; the reader looks every millisecond.
    """
    count = int(RATE_PER_S * seconds)
    committed: dict[int, float] = {}
    threads = [
        threading.Thread(target=_write, args=(source_url, first_id, count, lane, committed))
        for lane in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    seen = _watch(target_url, first_id, count, seconds + 60)
    for thread in threads:
        thread.join()
    return sorted((seen[key] - committed[key]) * 1000 for key in committed)


def _write(url: str, first_id: int, count: int, lane: int, committed: dict[int, float]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        began = time.monotonic()
        for number in range(lane, count, WRITERS):
            pause = began + number / RATE_PER_S - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            connection.execute(
                "insert into bench.wide values (%s, 1, 'latency', 12.34, 'abc', "
                "'one small transaction ...', 7, 0.5, true, now(), now()::timestamp, current_date)",
                (first_id + number,),
            )
            committed[first_id + number] = time.monotonic()


def _watch(url: str, first_id: int, count: int, deadline_s: float) -> dict[int, float]:
    return watch(url, set(range(first_id, first_id + count)), deadline_s)


def watch(url: str, ids: set[int], deadline_s: float) -> dict[int, float]:
    """When each of `ids`, nearly in order, was first seen at the target."""
    seen: dict[int, float] = {}
    deadline = time.monotonic() + deadline_s
    awaited = sorted(ids)
    last = awaited[-1]
    at = 0  # before it, everything has been seen
    with psycopg.connect(url, autocommit=True) as connection:
        while at < len(awaited):
            rows = connection.execute(
                "select id from bench.wide where id >= %s and id <= %s", (awaited[at], last)
            ).fetchall()
            now = time.monotonic()
            for (key,) in rows:
                seen.setdefault(key, now)
            while at < len(awaited) and awaited[at] in seen:
                at += 1
            if now > deadline:
                raise TimeoutError(f"{len(awaited) - len(seen)} transactions did not arrive")
            time.sleep(0.001)
    return seen
