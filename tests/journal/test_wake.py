"""Readers in other processes wake at an append, not at their backstop: it is set out of reach."""

from __future__ import annotations

import multiprocessing
import os
import select
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tailrace.errors import JournalError
from tailrace.journal.conformance import READ_BYTES
from tailrace.journal.sqlite import SqliteReader, SqliteWriter
from tailrace.journal.wake import Bell, Sleeper
from tests.journal.writing import append_on_request

BACKSTOP_S = 1000.0
DEADLINE_S = 200.0

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.journal.writing"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def other_process(path: Path) -> Iterator[Connection]:
    """A writer: appends for every message sent to it."""
    ours, theirs = processes.Pipe()
    process = processes.Process(target=append_on_request, args=(path, theirs))
    process.start()
    try:
        assert ours.poll(DEADLINE_S)
        assert ours.recv() == "ready"
        yield ours
        ours.send("stop")
    finally:
        process.join(DEADLINE_S)
        process.kill()


def test_an_append_wakes_a_reader(path: Path, other_process: Connection) -> None:
    with closing(SqliteReader(path, "reader", backstop_s=BACKSTOP_S)) as reader:
        after = 0
        took_ms = []
        for _ in range(20):
            assert not reader.read(after, bytes_max=READ_BYTES)
            other_process.send("append")
            assert reader.wait(DEADLINE_S)
            woken_ns = time.monotonic_ns()
            (entry,) = reader.read(after, bytes_max=READ_BYTES)
            after = entry.offset
            took_ms.append((woken_ns - other_process.recv()) / 1e6)
        print(f"from append to awake: median {statistics.median(took_ms):.3f} ms")


def test_an_append_before_the_wait_ends_it(path: Path, other_process: Connection) -> None:
    with closing(SqliteReader(path, "reader", backstop_s=BACKSTOP_S)) as reader:
        reader.read(0, bytes_max=READ_BYTES)
        other_process.send("append")
        other_process.recv()
        assert reader.wait(DEADLINE_S)
        assert reader.read(0, bytes_max=READ_BYTES)
        assert not reader.wait(0)


def test_a_loop_can_select_on_a_reader(path: Path, other_process: Connection) -> None:
    with closing(SqliteReader(path, "reader", backstop_s=BACKSTOP_S)) as reader:
        reader.read(0, bytes_max=READ_BYTES)
        assert select.select([reader], [], [], 0)[0] == []
        other_process.send("append")
        assert select.select([reader], [], [], DEADLINE_S)[0] == [reader]
        reader.read(0, bytes_max=READ_BYTES)
        assert select.select([reader], [], [], 0)[0] == []


def test_a_lost_wake_is_only_a_delay(path: Path, other_process: Connection) -> None:
    with closing(SqliteReader(path, "reader", backstop_s=0.01)) as reader:
        reader.read(0, bytes_max=READ_BYTES)
        for fifo in (path.parent / "wake").iterdir():
            fifo.unlink()
        other_process.send("append")
        assert reader.wait(DEADLINE_S)
        assert reader.read(0, bytes_max=READ_BYTES)


def test_a_reader_notices_that_its_journal_was_replaced(path: Path) -> None:
    with SqliteWriter(path):
        pass
    with closing(SqliteReader(path, "reader", backstop_s=0.01)) as reader:
        path.rename(path.with_name("moved.db"))
        with SqliteWriter(path), pytest.raises(JournalError, match="replaced"):
            reader.wait(DEADLINE_S)


def test_readers_that_come_and_go(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    bell.ring()
    with closing(bell):
        for _ in range(3):
            with (
                closing(Sleeper(tmp_path, "a")) as first,
                closing(Sleeper(tmp_path, "a")) as second,
            ):
                bell.ring()
                assert first.wait(0)
                assert second.wait(0)
                first.drain()
                assert not first.wait(0)
                bell.ring()
                assert first.wait(0)
            bell.ring()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_reader_left_is_harmless(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "dead.1.abcd")
    (tmp_path / "no-fifo").write_text("precious")
    with closing(Bell(tmp_path)) as bell, closing(Sleeper(tmp_path, "alive")) as alive:
        bell.ring()
        assert alive.wait(0)
        assert not (tmp_path / "dead.1.abcd").exists()
    assert (tmp_path / "no-fifo").read_text() == "precious"


def test_a_reader_that_does_not_read_never_blocks_the_writer(tmp_path: Path) -> None:
    with closing(Bell(tmp_path)) as bell, closing(Sleeper(tmp_path, "busy")) as busy:
        for _ in range(70_000):  # more bytes than a pipe holds
            bell.ring()
        assert busy.wait(0)
        busy.drain()
        assert not busy.wait(0)
