"""A writer killed at any moment leaves a journal that is whole up to a transaction's end."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from cdc.changes import ChangeSet
from tailrace.journal.conformance import assert_same
from tailrace.journal.protocol import Entry
from tailrace.journal.sqlite import SqliteReader, SqliteWriter
from tests.journal.writing import transaction, write_for_ever

KILLS = 40
DEADLINE_S = 200

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.journal.writing"])


def run_and_kill(
    path: Path, after_s: float, *, prunes: bool, meanwhile: Callable[[], object] = lambda: None
) -> int:
    """Write, be killed; return the last number the writer called durable."""
    ours, theirs = processes.Pipe()
    process = processes.Process(target=write_for_ever, args=(path, theirs, prunes))
    process.start()
    theirs.close()
    try:
        assert ours.poll(DEADLINE_S)
        said = ours.recv()
        end_s = time.monotonic() + after_s  # the moment of the kill is the test's input
        while time.monotonic() < end_s:
            meanwhile()
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(DEADLINE_S)
    with suppress(EOFError, ConnectionResetError):
        while ours.poll(0):
            said = ours.recv()
    ours.close()
    return int(said)


def all_entries(path: Path, after: int) -> list[Entry]:
    entries: list[Entry] = []
    with closing(SqliteReader(path, "check")) as reader:
        while found := reader.read(after, bytes_max=1 << 20):
            entries += found
            after = found[-1].offset
    return entries


def check_follows(entries: list[Entry], number: int) -> int:
    """Entries are exactly the transactions after `number`; return the last one."""
    waiting = iter(entries)
    for entry in waiting:
        number += 1
        expected = list(transaction(number))
        got = [entry, *(next(waiting) for _ in expected[1:])]
        for ours, theirs in zip(got, expected, strict=True):
            assert_same(ours.changes, theirs)
    return number


@pytest.mark.parametrize("garbage", [False, True], ids=["killed", "killed-and-torn"])
def test_killed_writers_leave_a_prefix(tmp_path: Path, garbage: bool) -> None:
    """Nothing called durable is missing, nothing is doubled, no transaction is cut.

    With `garbage`, the files end in bytes that were on their way when the machine went down.
    """
    path = tmp_path / "journal.db"
    choice = random.Random(7)
    after = checked = 0
    for _ in range(KILLS // 2):
        said = run_and_kill(path, choice.uniform(0, 0.05), prunes=True)
        if garbage:
            for file in (path.with_name("journal.db-wal"), *(tmp_path / "segments").iterdir()):
                with file.open("ab") as tail:
                    tail.write(choice.randbytes(choice.randrange(1, 9000)))
        with SqliteWriter(path) as writer:
            durable = int(writer.position or 0)
            assert durable >= said
            after = max(after, writer.extent().first - 1)
        entries = all_entries(path, after)
        if entries and entries[0].changes.position != str(checked + 1):
            checked = int(entries[0].changes.position) - 1  # what lies before was pruned
            assert checked <= durable // 2 + 1
        checked = check_follows(entries, checked)
        assert checked == durable
        after = entries[-1].offset if entries else after


class Follower:
    """Reads as delivery does: goes back to its checkpoint when a part does not continue."""

    def __init__(self, reader: SqliteReader) -> None:
        self._reader = reader
        self._checkpoint = self._cursor = 0
        self._held: list[ChangeSet] = []
        self.number = 0

    def follow(self) -> None:
        for entry in self._reader.read(self._cursor, bytes_max=1 << 20):
            if entry.changes.part != len(self._held):
                self._held.clear()
                self._cursor = self._checkpoint
                return
            self._held.append(entry.changes)
            self._cursor = entry.offset
            if entry.changes.complete:
                self._checkpoint = entry.offset
                self._commit()
        self._reader.wait(0.01)

    def _commit(self) -> None:
        self.number += 1
        expected = list(transaction(self.number))
        for ours, theirs in zip(self._held, expected, strict=True):
            assert_same(ours, theirs)
        self._held.clear()


def test_a_reader_beside_writers_that_die(tmp_path: Path) -> None:
    """It sees every transaction once and in order, through all deaths and cut tails."""
    path = tmp_path / "journal.db"
    with SqliteWriter(path):
        pass
    choice = random.Random(11)
    with closing(SqliteReader(path, "follower", backstop_s=60)) as reader:
        follower = Follower(reader)
        for _ in range(KILLS // 4):
            run_and_kill(path, choice.uniform(0.02, 0.08), prunes=False, meanwhile=follower.follow)
        with SqliteWriter(path) as writer:
            durable = int(writer.position or 0)
        end_s = time.monotonic() + DEADLINE_S
        while follower.number < durable and time.monotonic() < end_s:
            follower.follow()
        assert follower.number == durable
