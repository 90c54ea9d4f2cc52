"""Writers for other processes, and what they write: transaction `n` follows from `n` alone."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from cdc.changes import ChangeSet
from tailrace.journal.conformance import change_set
from tailrace.journal.sqlite import SqliteWriter


def transaction(number: int) -> Iterator[ChangeSet]:
    """Usually one small set; sometimes a large one, sometimes several parts."""
    choice = random.Random(number)
    position = str(number)
    parts = choice.choice([1, 1, 1, 1, 2, 5])
    for part in range(parts):
        rows = choice.choice([1, 1, 3, 40, 4000])
        yield change_set(
            rows, first=number, position=position, part=part, complete=part == parts - 1
        )


def write_for_ever(path: Path, pipe: Connection, prunes: bool) -> None:
    """Continue after the journal's position; tell every number that is durable."""
    with SqliteWriter(path, segment_bytes=200_000) as writer:
        number = int(writer.position or 0)
        while True:
            number += 1
            if number % 7 == 0:
                for part in transaction(number):
                    writer.append([part])
            elif number % 5 == 0:
                writer.append([*transaction(number), *transaction(number + 1)])
                number += 1
            else:
                writer.append(transaction(number))
            pipe.send(number)
            if prunes and number % 20 == 0:
                writer.prune(checkpoints=[number // 2], keep_s=0, keep_bytes=0)


def append_on_request(path: Path, pipe: Connection) -> None:
    """Append one set for every message received, until told to stop; tell when it was done."""
    with SqliteWriter(path) as writer:
        pipe.send("ready")
        while pipe.recv() != "stop":
            writer.append([change_set()])
            pipe.send(time.monotonic_ns())


def hold(path: Path, pipe: Connection) -> None:
    """Be the writer until told to stop."""
    with SqliteWriter(path):
        pipe.send("ready")
        pipe.recv()
