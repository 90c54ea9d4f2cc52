"""What is particular to the embedded journal: files, damage, disks that are full or failing."""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tailrace.errors import JournalCorrupt, JournalError, JournalFull
from tailrace.journal.conformance import READ_BYTES, assert_same, change_set, prune_all
from tailrace.journal.paths import JournalPaths
from tailrace.journal.sqlite import SqliteReader, SqliteWriter
from tests.journal.writing import hold

DEADLINE_S = 200.0
LARGE = 4000
"""Rows of a set that goes to a segment; a small one stays in the database."""

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.journal.writing"])


@pytest.fixture
def paths(tmp_path: Path) -> JournalPaths:
    return JournalPaths.of(tmp_path, "erp")


@pytest.fixture
def writer(paths: JournalPaths) -> Iterator[SqliteWriter]:
    with SqliteWriter(paths.file, segment_bytes=200_000) as writer:
        yield writer


@pytest.fixture
def reader(paths: JournalPaths, writer: SqliteWriter) -> Iterator[SqliteReader]:
    with closing(SqliteReader(paths.file, "reader")) as reader:
        yield reader


def segments(paths: JournalPaths) -> list[int]:
    return sorted(int(path.name) for path in paths.segments.iterdir())


def positions(reader: SqliteReader, after: int = 0) -> list[str]:
    return [entry.changes.position for entry in reader.read(after, bytes_max=1 << 30)]


def fill(writer: SqliteWriter) -> int:
    """Append until the disk is full; return how many sets there was room for."""
    for number in itertools.count():
        try:
            writer.append([change_set(100, position=str(number))], facts={"last": str(number)})
        except JournalFull:
            return number
    raise AssertionError


class TestOneWriter:
    def test_a_second_writer_is_refused(self, paths: JournalPaths, writer: SqliteWriter) -> None:
        with pytest.raises(JournalError, match=f"process {os.getpid()} is already writing"):
            SqliteWriter(paths.file)
        writer.append([change_set()])

    def test_also_in_another_process(self, paths: JournalPaths) -> None:
        ours, theirs = processes.Pipe()
        process = processes.Process(target=hold, args=(paths.file, theirs))
        process.start()
        try:
            assert ours.poll(DEADLINE_S)
            ours.recv()
            with pytest.raises(JournalError, match=f"process {process.pid} is already writing"):
                SqliteWriter(paths.file)
            process.kill()
            process.join(DEADLINE_S)
            with SqliteWriter(paths.file) as writer:
                writer.append([change_set()])
        finally:
            process.kill()
            process.join(DEADLINE_S)

    def test_closing_twice_is_fine(self, paths: JournalPaths) -> None:
        writer = SqliteWriter(paths.file)
        writer.close()
        writer.close()
        with SqliteWriter(paths.file):
            pass


class TestWhatIsNotAJournal:
    def test_a_reader_before_there_is_a_journal(self, paths: JournalPaths) -> None:
        with pytest.raises(JournalError, match="no journal here yet"):
            SqliteReader(paths.file, "reader")
        paths.directory.mkdir(parents=True)
        with closing(sqlite3.connect(paths.file)) as empty:
            empty.execute("PRAGMA journal_mode = WAL")
        with pytest.raises(JournalError, match="no journal here yet"):
            SqliteReader(paths.file, "reader")
        with SqliteWriter(paths.file), closing(SqliteReader(paths.file, "reader")) as reader:
            assert positions(reader) == []

    @pytest.mark.parametrize("open_it", [SqliteWriter, lambda path: SqliteReader(path, "reader")])
    def test_another_database(self, paths: JournalPaths, open_it: Callable[[Path], object]) -> None:
        with SqliteWriter(paths.file):
            pass
        with closing(sqlite3.connect(paths.file)) as database:
            database.execute("PRAGMA user_version = 99")
        with pytest.raises(JournalError, match="not a journal that this release reads"):
            open_it(paths.file)

    @pytest.mark.parametrize("open_it", [SqliteWriter, lambda path: SqliteReader(path, "reader")])
    def test_no_database_at_all(
        self, paths: JournalPaths, open_it: Callable[[Path], object]
    ) -> None:
        paths.directory.mkdir(parents=True)
        paths.file.write_bytes(b"to be or not to be " * 1000)
        with pytest.raises(JournalCorrupt, match="damaged"):
            open_it(paths.file)


class TestDurability:
    def test_bytes_are_on_disk_before_the_index_names_them(
        self, writer: SqliteWriter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        events: list[str] = []

        def spy(name: str) -> None:
            real = getattr(os, name)

            def traced(fd: int, *rest: Any) -> Any:
                kind = "directory" if os.path.isdir(f"/proc/self/fd/{fd}") else "segment"
                events.append(f"{name} {kind}")
                return real(fd, *rest)

            monkeypatch.setattr(os, name, traced)

        for name in ("pwritev", "fdatasync", "fsync"):
            spy(name)
        writer._db.set_trace_callback(lambda sql: events.append(sql.split(" ", 1)[0]))
        writer.append([change_set(LARGE, position="0/1"), change_set(position="0/2")])
        assert events == [
            "fsync directory",
            *["pwritev segment"] * 2,
            "fdatasync segment",
            "BEGIN",
            "INSERT",  # the table's schema
            *["INSERT"] * 2,
            "COMMIT",
        ]

    def test_every_commit_is_flushed(self, writer: SqliteWriter) -> None:
        assert writer._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert writer._db.execute("PRAGMA synchronous").fetchone() == (2,)

    def test_bytes_that_nothing_names_are_removed(self, paths: JournalPaths) -> None:
        with SqliteWriter(paths.file, segment_bytes=1) as writer:
            kept = writer.append([change_set(LARGE, position="0/1")])
            writer.append([change_set(LARGE, complete=False)])
            assert segments(paths) == [1, 2]
        (paths.segments / "0000000000000003").write_bytes(b"never named")
        with SqliteWriter(paths.file), closing(SqliteReader(paths.file, "r")) as reader:
            assert segments(paths) == [kept]
            assert positions(reader) == ["0/1"]

    def test_a_cut_transaction_gives_its_space_back(
        self, paths: JournalPaths, writer: SqliteWriter, reader: SqliteReader
    ) -> None:
        writer.append([change_set(LARGE, position="0/1")])
        writer.append([change_set(4 * LARGE, part=part, complete=False) for part in range(5)])
        assert len(segments(paths)) >= 5
        writer.append([change_set(position="0/2")])
        assert segments(paths) == [1]
        assert positions(reader) == ["0/1", "0/2"]


class TestDamage:
    """Stored bytes that changed give JournalCorrupt, with their place, never wrong rows."""

    def test_in_a_segment(
        self, paths: JournalPaths, writer: SqliteWriter, reader: SqliteReader
    ) -> None:
        writer.append([change_set(LARGE, position="0/1")])
        second = writer.append([change_set(LARGE, position="0/2")])
        (file,) = paths.segments.iterdir()
        bits = bytearray(file.read_bytes())
        bits[-100] ^= 1
        file.write_bytes(bits)
        assert [entry.changes.position for entry in reader.read(0, bytes_max=1)] == ["0/1"]
        with pytest.raises(JournalCorrupt, match=f"offset={second} segment=1"):
            reader.read(1, bytes_max=READ_BYTES)

    def test_a_segment_cut_short_or_gone(
        self, paths: JournalPaths, writer: SqliteWriter, reader: SqliteReader
    ) -> None:
        writer.append([change_set(LARGE, position="0/1")])
        (file,) = paths.segments.iterdir()
        os.truncate(file, file.stat().st_size - 1)
        with pytest.raises(JournalCorrupt, match="missing"):
            reader.read(0, bytes_max=READ_BYTES)
        file.unlink()
        with pytest.raises(JournalCorrupt, match="missing"):
            reader.read(0, bytes_max=READ_BYTES)

    @pytest.mark.parametrize(
        "change",
        [
            "payload = substr(payload, 1, 100)",
            "payload = zeroblob(length(payload))",
            "payload = randomblob(length(payload))",
            "payload = NULL",
            "bytes = bytes - 1",
            "bytes = 1 << 60",
            "bytes = -1",
            "checksum = checksum + 1",
            "segment = 5, start = 0",
        ],
    )
    def test_in_the_index(
        self, paths: JournalPaths, writer: SqliteWriter, reader: SqliteReader, change: str
    ) -> None:
        writer.append([change_set(50, position="0/1")])
        writer._db.execute(f"UPDATE entries SET {change}")
        with pytest.raises(JournalCorrupt, match="offset=1"):
            reader.read(0, bytes_max=READ_BYTES)

    @pytest.mark.parametrize("change", ["json = replace(json, 'note', 'nota')", "version = 'x'"])
    def test_in_a_schema(self, writer: SqliteWriter, reader: SqliteReader, change: str) -> None:
        writer.append([change_set(50, position="0/1")])
        writer._db.execute(f"UPDATE schemas SET {change}")
        with pytest.raises(JournalCorrupt, match="schema"):
            reader.read(0, bytes_max=READ_BYTES)

    def test_in_the_database_file(self, paths: JournalPaths) -> None:
        with SqliteWriter(paths.file) as writer:
            for _ in range(200):
                writer.append([change_set(40, position="0/1")])
        whole = bytearray(paths.file.read_bytes())
        for page in range(len(whole) // 4096 // 2, len(whole) // 4096):
            whole[4096 * page : 4096 * page + 64] = b"\xff" * 64
        paths.file.write_bytes(whole)
        with (
            closing(SqliteReader(paths.file, "reader")) as reader,
            pytest.raises(JournalCorrupt, match="index is damaged"),
        ):
            reader.read(0, bytes_max=1 << 30)


class TestFullDisk:
    """Nothing is half stored, and the same writer goes on once there is room."""

    def test_in_the_database(self, writer: SqliteWriter, reader: SqliteReader) -> None:
        (pages,) = writer._db.execute("PRAGMA page_count").fetchone()
        writer._db.execute(f"PRAGMA max_page_count = {pages + 20}")
        stored = fill(writer)
        assert writer.position == str(stored - 1)
        assert writer.facts() == {"last": str(stored - 1)}
        with pytest.raises(JournalFull):
            writer.append([change_set(1000, position="again")])
        writer._db.execute("PRAGMA max_page_count = 1000000")
        writer.append([change_set(100, position="more")])
        assert positions(reader) == [*(str(number) for number in range(stored)), "more"]

    def test_pruning_makes_room(self, writer: SqliteWriter, reader: SqliteReader) -> None:
        (pages,) = writer._db.execute("PRAGMA page_count").fetchone()
        writer._db.execute(f"PRAGMA max_page_count = {pages + 20}")
        last = fill(writer)
        assert prune_all(writer, [last]) == last
        writer.append([change_set(100, position="more")])
        assert positions(reader, last) == ["more"]

    def test_in_a_segment(
        self, paths: JournalPaths, writer: SqliteWriter, reader: SqliteReader
    ) -> None:
        writer.append([change_set(LARGE, position="0/1")])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        (file,) = paths.segments.iterdir()
        size = file.stat().st_size
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, hard))
            for _ in range(2):
                with pytest.raises(JournalFull, match="free space"):
                    writer.append([change_set(LARGE, position="0/2")], facts={"half": "stored"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert file.stat().st_size == size
        assert (writer.position, writer.facts()) == ("0/1", {})
        writer.append([change_set(LARGE, position="0/2")])
        assert positions(reader) == ["0/1", "0/2"]

    def test_where_a_segment_would_begin(
        self, paths: JournalPaths, writer: SqliteWriter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(fd: int, *rest: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwritev", full)
            with pytest.raises(JournalFull):
                writer.append([change_set(LARGE)])
        assert segments(paths) == []
        assert writer.append([change_set(LARGE)]) == 1

    def test_in_the_middle_of_an_append(
        self,
        paths: JournalPaths,
        writer: SqliteWriter,
        reader: SqliteReader,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Of several sets over several segments none is stored."""
        real = os.pwritev
        writer.append([change_set(LARGE, position="0/1")])
        calls = iter(range(100))

        def full(fd: int, views: Any, at: int) -> int:
            if next(calls) == 4:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(fd, views, at)

        sets = [change_set(2 * LARGE, position=f"0/{n}") for n in range(2, 10)]
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwritev", full)
            with pytest.raises(JournalFull):
                writer.append(sets)
        assert segments(paths) == [1]
        assert writer.append(sets) == 9
        assert positions(reader) == [f"0/{n}" for n in range(1, 10)]

    def test_a_failed_flush_is_never_trusted_again(
        self,
        paths: JournalPaths,
        writer: SqliteWriter,
        reader: SqliteReader,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The kernel may have dropped the bytes and call the next flush a success."""

        def failing(fd: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        for number in (1, 2):
            with monkeypatch.context() as patch:
                patch.setattr(os, "fdatasync", failing)
                with pytest.raises(JournalError, match="disk failed") as raised:
                    writer.append([change_set(LARGE, position="lost")])
                assert not isinstance(raised.value, JournalFull)
            writer.append([change_set(LARGE, position=f"0/{number}")])
            assert segments(paths)[-1] == number
        assert positions(reader) == ["0/1", "0/2"]


class TestSpace:
    def test_pruning_unlinks_segments(
        self, paths: JournalPaths, writer: SqliteWriter, reader: SqliteReader
    ) -> None:
        offsets = [writer.append([change_set(LARGE, position=str(n))]) for n in range(12)]
        before = segments(paths)
        assert len(before) > 3
        prune_all(writer, [offsets[5]])
        after = segments(paths)
        assert after == [name for name in before if name >= after[0]]
        assert len(after) < len(before)
        assert positions(reader, offsets[5]) == [str(n) for n in range(6, 12)]
        prune_all(writer, [offsets[-1]])
        assert segments(paths) == []
        writer.append([change_set(LARGE, position="more")])
        assert positions(reader, offsets[-1]) == ["more"]

    def test_a_backlog_of_small_entries_goes_to_segments(self, paths: JournalPaths) -> None:
        with SqliteWriter(paths.file, index_bytes_max=200_000) as writer:
            for number in range(1000):
                last = writer.append([change_set(position=str(number))])
            assert segments(paths) == []
            for number in range(1000, 1200):
                last = writer.append([change_set(position=str(number))])
            assert len(segments(paths)) == 1
            with closing(SqliteReader(paths.file, "reader")) as reader:
                assert positions(reader) == [str(number) for number in range(1200)]
            prune_all(writer, [last])
            assert segments(paths) == []
            writer.append([change_set(position="small again")])
            assert segments(paths) == []

    def test_free_pages_return_to_the_disk(
        self, paths: JournalPaths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tailrace.journal.retention.FREE_PAGES_KEPT", 100)
        with SqliteWriter(paths.file, inline_bytes_max=1 << 30) as writer:
            last = writer.append([change_set(300, first=n * 300) for n in range(1000)])
            writer._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            before = paths.file.stat().st_size
            prune_all(writer, [last])
            pages = free = 10**9
            while free > 100:
                writer.prune(checkpoints=[last], keep_s=0, keep_bytes=0)
                (pages,) = writer._db.execute("PRAGMA page_count").fetchone()
                (free,) = writer._db.execute("PRAGMA freelist_count").fetchone()
            writer._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert paths.file.stat().st_size == 4096 * pages < before / 3

    def test_the_write_ahead_log_stays_bounded(
        self, paths: JournalPaths, writer: SqliteWriter, reader: SqliteReader
    ) -> None:
        after = 0
        for number in range(1500):
            writer.append([change_set(40, position=str(number))])
            if number % 100 == 0:
                after = reader.read(after, bytes_max=1 << 30)[-1].offset
        wal = paths.file.with_name(paths.file.name + "-wal")
        assert wal.stat().st_size < 8 << 20
        assert reader.extent().bytes >= paths.file.stat().st_size + wal.stat().st_size


class _Interrupted(SqliteReader):
    """Lets something happen between the look at the index and the look at the segments."""

    def __init__(self, path: Path, meanwhile: Callable[[], object]) -> None:
        super().__init__(path, "interrupted")
        self._meanwhile: list[Callable[[], object]] = [meanwhile]

    def _rows(self, after: int, bytes_max: int) -> list[tuple[Any, ...]]:
        rows = super()._rows(after, bytes_max)
        if self._meanwhile:
            self._meanwhile.pop()()
        return rows


class TestReadingMeanwhile:
    """The writer takes away what a reader is about to read."""

    def test_by_pruning(self, paths: JournalPaths, writer: SqliteWriter) -> None:
        last = writer.append([change_set(LARGE, position=str(n)) for n in range(12)])
        with (
            closing(_Interrupted(paths.file, lambda: prune_all(writer, [last]))) as reader,
            pytest.raises(JournalError, match=f"entries 1 to {last} were pruned") as raised,
        ):
            reader.read(0, bytes_max=1 << 30)
        assert not isinstance(raised.value, JournalCorrupt)

    def test_by_clearing(self, paths: JournalPaths, writer: SqliteWriter) -> None:
        writer.append([change_set(LARGE, position="0/1")])

        def start_over() -> None:
            writer.clear()
            writer.append([change_set(LARGE, position="0/2")])

        with closing(_Interrupted(paths.file, start_over)) as reader:
            assert positions(reader) == ["0/2"]

    def test_by_cutting(self, paths: JournalPaths, writer: SqliteWriter) -> None:
        writer.append([change_set(position="0/1")])
        writer.append([change_set(4 * LARGE, part=n, complete=False) for n in range(3)])
        again = change_set(LARGE, position="0/2")
        with closing(_Interrupted(paths.file, lambda: writer.append([again]))) as reader:
            entries = reader.read(0, bytes_max=1 << 30)
        assert [entry.changes.position for entry in entries] == ["0/1", "0/2"]
        assert_same(entries[1].changes, again)

    def test_a_reader_between_reads_holds_nothing_up(
        self, writer: SqliteWriter, reader: SqliteReader
    ) -> None:
        last = writer.append([change_set(LARGE), change_set()])
        reader.read(0, bytes_max=READ_BYTES)
        busy, _, _ = writer._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert busy == 0
        assert not [fd for fd in os.listdir("/proc/self/fd") if _reads_a_segment(fd)]
        assert prune_all(writer, [last]) == last


def _reads_a_segment(fd: str) -> bool:
    try:
        target = Path(os.readlink(f"/proc/self/fd/{fd}"))
        flags = Path(f"/proc/self/fdinfo/{fd}").read_text().split("flags:")[1].split()[0]
    except OSError:
        return False  # the listing's own
    return target.parent.name == "segments" and int(flags, 8) & os.O_ACCMODE == os.O_RDONLY
