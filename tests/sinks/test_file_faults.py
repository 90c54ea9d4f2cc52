"""What an operator, other programs and a crash can do to a file; each is named, with what to do."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pytest

from sinks.conformance import JOURNAL, TABLE, changes, upsert
from sinks.duckdb.engine import DuckdbEngine
from sinks.duckdb.sink import DuckdbSink
from sinks.embedded.preflight import inspect
from sinks.protocol import Checkpoint
from sinks.sqlite.engine import SqliteEngine
from sinks.sqlite.sink import SqliteSink
from tailrace.errors import SinkError, TargetRefused, TargetUnavailable

KINDS: dict[str, type[SqliteSink] | type[DuckdbSink]] = {"sqlite": SqliteSink, "duckdb": DuckdbSink}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.file"


@contextmanager
def opened(kind: str, path: Path) -> Iterator[tuple[SqliteSink | DuckdbSink, int]]:
    """A sink, and the offset of its checkpoint."""
    with closing(KINDS[kind](path, "line")) as sink:
        offset = sink.open(JOURNAL).offset
        sink.prepare([TABLE])
        yield sink, offset


def write(sink: SqliteSink | DuckdbSink, offset: int, rows: int = 1) -> None:
    """The row `offset` (and more)."""
    given = [upsert(str(offset + 10_000 * n), "a", "1") for n in range(rows)]
    sink.write([changes(TABLE, *given)])
    sink.commit(Checkpoint(JOURNAL, offset, ""))


def offsets(kind: str, path: Path) -> list[int]:
    name = '"shop.item"' if kind == "sqlite" else "shop.item"
    with closing(sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(path)) as opened:
        rows = opened.execute(f"select id from {name} where id < 10000 order by id").fetchall()
    return [int(id) for (id,) in rows]


def made(kind: str, path: Path) -> None:
    """Of some pages."""
    with opened(kind, path) as (sink, _):
        write(sink, 1, rows=5000)


def other(kind: str, path: Path) -> None:
    made("duckdb" if kind == "sqlite" else "sqlite", path)


def truncated(kind: str, path: Path) -> None:
    made(kind, path)
    os.truncate(path, path.stat().st_size // 2)


def damaged(kind: str, path: Path) -> None:
    made(kind, path)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4)
        file.write(random.Random(1).randbytes(path.stat().st_size // 2))


def newer(kind: str, path: Path) -> None:
    """As a later version of the engine marks it."""
    made(kind, path)
    begin = bytearray(path.read_bytes()[:4096])
    if kind == "sqlite":
        begin[18:20] = (
            b"\x03\x03"  # https://sqlite.org/fileformat2.html#file_format_version_numbers
        )
    else:  # a version, and before all a sum of the block
        struct.pack_into("<Q", begin, 12, 100_000)
        struct.pack_into("<Q", begin, 0, _sum(begin[8:]))
    with path.open("r+b") as file:
        file.write(begin)


def _sum(block: bytes) -> int:
    found = 5381
    for (word,) in struct.iter_unpack("<Q", block):
        found ^= (word * 0xBF58476D1CE4E5B9) % 2**64
    return found


def directory(kind: str, path: Path) -> None:
    path.mkdir()


def no_directory(kind: str, path: Path) -> None:
    path.parent.rmdir()


Spoil = Callable[[str, Path], None]


@pytest.mark.parametrize(
    ("spoil", "error", "fix"),
    [
        (no_directory, TargetUnavailable, "see that its directory is there"),
        (directory, TargetUnavailable, "directory"),
        (
            lambda _, path: path.write_text("id;name\n1;x\n" * 99),
            TargetRefused,
            "name another file",
        ),
        (lambda _, path: path.write_bytes(os.urandom(9000)), TargetRefused, "name another file"),
        (other, TargetRefused, "name another file"),
        (truncated, TargetRefused, "from a backup"),
        (damaged, TargetRefused, "from a backup"),
    ],
    ids=["no directory", "a directory", "text", "garbage", "other", "truncated", "damaged"],
)
def test_what_cannot_be_written_is_named(
    spoil: Spoil, error: type[SinkError], fix: str, kind: str, tmp_path: Path
) -> None:
    """By delivery, which tries again, and before by `tailrace check`; the file stays as it is."""
    path = tmp_path / "folder" / "hub.file"
    path.parent.mkdir()
    spoil(kind, path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(error) as raised, opened(kind, path) as (sink, offset):
        write(sink, offset + 1, rows=5000)
    assert str(path) in str(raised.value.where["file"])
    assert fix in str(raised.value.fix)
    if spoil is not damaged:  # what is damaged may be where nobody looks at first
        assert before == (path.read_bytes() if path.is_file() else None)
        engine = SqliteEngine() if kind == "sqlite" else DuckdbEngine(path)
        assert inspect(engine, path, [TABLE], ["line"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
def test_what_may_not_be_written_is_named(is_folder: bool, kind: str, path: Path) -> None:
    made(kind, path)
    (path.parent if is_folder else path).chmod(0o555 if is_folder else 0o444)
    try:
        with pytest.raises(TargetUnavailable) as raised, opened(kind, path) as (sink, offset):
            write(sink, offset + 1)
        assert str(path) in str(raised.value.where["file"])
        assert "this user" in str(raised.value.fix)
        engine = SqliteEngine() if kind == "sqlite" else DuckdbEngine(path)
        assert inspect(engine, path, [TABLE], ["line"])
    finally:
        path.parent.chmod(0o755)


def test_a_file_of_a_later_version_is_named(kind: str, path: Path) -> None:
    newer(kind, path)
    with pytest.raises(SinkError) as raised, opened(kind, path) as (sink, offset):
        write(sink, offset + 1)
    assert "version" in f"{raised.value.what} {raised.value.fix}"


def test_an_empty_file_is_filled(kind: str, path: Path) -> None:
    """DuckDB leaves one where it is killed at its first moment."""
    path.touch()
    with opened(kind, path) as (sink, _):
        write(sink, 1)
    assert offsets(kind, path) == [1]


def test_the_log_of_a_file_that_takes_its_place_stays(tmp_path: Path) -> None:
    path, other = tmp_path / "hub.file", tmp_path / "other.file"
    with duckdb.connect(str(other)) as theirs:
        theirs.execute("pragma disable_checkpoint_on_shutdown")
        theirs.execute("create table kept (id integer)")
    with opened("duckdb", path) as (sink, _):
        write(sink, 1)
        os.replace(other, path)
        os.replace(f"{other}.wal", f"{path}.wal")
    with duckdb.connect(str(path)) as theirs:
        assert theirs.execute("show tables").fetchall() == [("kept",)]


@pytest.mark.parametrize("is_begun", [False, True], ids=["between", "within"])
@pytest.mark.parametrize("how", ["removed", "renamed", "replaced"])
def test_a_file_that_is_another_one_is_noticed(
    how: str, is_begun: bool, kind: str, tmp_path: Path
) -> None:
    """What would be written to the one that was opened would be gone with it. What the next start
    finds is the checkpoint of the file that is there."""
    path, backup = tmp_path / "hub.file", tmp_path / "backup"
    with opened(kind, path) as (sink, _):
        write(sink, 1)
    shutil.copy(path, backup)
    with opened(kind, path) as (sink, _):
        write(sink, 2)
        if is_begun:
            sink.write([changes(TABLE, upsert("3", "a", "1"))])
        if how == "removed":
            path.unlink()
        elif how == "renamed":
            path.rename(tmp_path / "away")
        else:
            backup.rename(path)
            for log in tmp_path.glob("hub.file-*"):  # of the file that was there
                log.unlink()
        with pytest.raises(TargetUnavailable, match="removed, or is another one"):
            write(sink, 3)
    with opened(kind, path) as (sink, offset):
        assert offset == (1 if how == "replaced" else 0)
        for number in range(offset + 1, 4):
            write(sink, number)
    assert offsets(kind, path) == [1, 2, 3]


WRITER = """
import os, signal, sys
from pathlib import Path
from tests.sinks.test_file_faults import opened, write
kind, path, leaves = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "leaves"
while True:
    with opened(kind, path) as (sink, offset):
        for number in range(offset + 1, offset + 4):
            write(sink, number, rows=300)
            print(number, flush=True)
            if leaves and number == 5:
                os.kill(os.getpid(), signal.SIGKILL)
"""
"""Commits again and again, and closes the file after three commits, with a checkpoint of the
engine's."""


def test_a_log_that_a_kill_leaves_is_read(kind: str, path: Path) -> None:
    command = [sys.executable, "-c", WRITER, kind, path, "leaves"]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=False).returncode == -9
    left = path.with_name("hub.file-wal" if kind == "sqlite" else "hub.file.wal")
    assert left.stat().st_size > 0
    with opened(kind, path) as (_, offset):
        assert offset == 5
    assert offsets(kind, path) == [1, 2, 3, 4, 5]


def test_kills_around_checkpoints_lose_nothing(kind: str, path: Path) -> None:
    """What was committed is there, whole, whenever the process died."""
    choice = random.Random(7)
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, kind, path, "goes on"], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        for line in writer.stdout:
            last = int(line)
            if last % 3 == 0 and choice.random() < 0.3:  # it closes the file now
                break
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        with opened(kind, path) as (_, offset):
            assert offset >= last
        assert offsets(kind, path) == list(range(1, offset + 1))
