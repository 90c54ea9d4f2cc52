"""The one writer of the embedded journal."""

from __future__ import annotations

import math
import sqlite3
import time
import uuid
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from cdc.changes import ChangeSet
from tailrace.errors import JournalError
from tailrace.journal import index
from tailrace.journal.codec import Payload, encode
from tailrace.journal.hints import remove_hints
from tailrace.journal.index import storage_errors
from tailrace.journal.lock import WriterLock
from tailrace.journal.paths import JournalPaths
from tailrace.journal.protocol import Extent
from tailrace.journal.retention import Limits, drop_step, give_back_pages
from tailrace.journal.segments import SEGMENT_BYTES, SegmentWriter, sync_directory
from tailrace.journal.wake import Bell
from tailrace.sqlite import transaction

INLINE_BYTES_MAX = 64 << 10
"""An append up to this size goes into the database whole, for one flush instead of two. Larger
ones cost less CPU in a segment, which is written once; a database page is written twice."""
INDEX_BYTES_MAX = 512 << 20
"""Beyond this all payloads go to segments: free pages return to the disk slowly, a segment at
once, so a backlog of small entries must not make the database huge."""
MEASURE_EVERY = 1024
"""Appends between looks at the size of the database."""
PRUNE_S = 0.05
"""How long one `prune` may keep the writer from appending."""

_INSERT = "INSERT INTO entries VALUES (?,?,?,?,?,?,?,?,?,?,?)"


@dataclass(slots=True)
class _Row:
    """An entry on its way in. `payload` is let go once it is in a segment.

    Before the commit a payload that stays `inline` is compressed: small ones are mostly Arrow's
    empty fields.
    """

    offset: int
    changes: ChangeSet
    payload: Payload | None
    size: int
    checksum: int
    segment: int | None = None
    start: int | None = None
    inline: bytes | None = None

    @classmethod
    def of(cls, offset: int, changes: ChangeSet) -> Self:
        payload = encode(changes)
        return cls(offset, changes, payload, payload.size, payload.checksum)

    def compress(self) -> None:
        if self.payload is not None:
            self.inline = pa.compress(self.payload.joined(), codec="lz4_raw", asbytes=True)

    @property
    def stored_bytes(self) -> int:
        return self.size if self.inline is None else len(self.inline)

    def values(self, stored_us: int, stored_before: int) -> tuple[object, ...]:
        changes = self.changes
        return (
            self.offset,
            stored_us,
            changes.part,
            changes.complete,
            changes.position,
            self.size,
            stored_before,
            self.checksum,
            self.segment,
            self.start,
            self.inline,
        )


class SqliteWriter:
    """The one writer of the journal at `path`; creates it where there is none.

    Opening cuts an incomplete tail. So does an append that begins a transaction anew (part 0)
    while the stored one is incomplete. After an error the writer can be used again; what it then
    holds is what `position` says. Not thread-safe.

    Errors: JournalError when another process is writing, or the journal is not ours.
    """

    def __init__(
        self,
        path: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        inline_bytes_max: int = INLINE_BYTES_MAX,
        index_bytes_max: int = INDEX_BYTES_MAX,
    ) -> None:
        self._paths = JournalPaths(path)
        self._inline_bytes_max = inline_bytes_max
        self._index_bytes_max = index_bytes_max
        with storage_errors(path):
            _make_directory(path.parent)
            self._lock = WriterLock(self._paths.lock)
            try:
                self._db = self._create_or_open()
                try:
                    self._open(segment_bytes)
                except BaseException:
                    self._db.close()
                    raise
            except BaseException:
                self._lock.close()
                raise

    def _create_or_open(self) -> sqlite3.Connection:
        paths = self._paths
        if paths.file.exists():
            return index.create_or_open(paths.file, uuid.uuid4().hex)
        remove_hints(paths.hints)
        connection = index.create_or_open(paths.file, uuid.uuid4().hex)
        sync_directory(paths.directory)
        return connection

    def _open(self, segment_bytes: int) -> None:
        paths = self._paths
        self._segments = SegmentWriter(paths.segments, segment_bytes)
        self._bell = Bell(paths.wake)
        (self._id,) = self._db.execute("SELECT id FROM state").fetchone()
        self._load()
        if self._next_part:
            with transaction(self._db):
                self._db.execute("DELETE FROM entries WHERE offset > ?", (self._complete,))
            self._load()
        self._sweep()

    def _errors(self) -> AbstractContextManager[None]:
        return storage_errors(self._paths.file)

    def _load(self) -> None:
        """Take from the index what an append needs to know."""
        db = self._db
        newest = (
            "SELECT offset, part, complete, stored_before + ifnull(length(payload), bytes)"
            " FROM entries {} ORDER BY offset DESC LIMIT 1"
        )
        last = db.execute(newest.format("")).fetchone() or (0, 0, 1, 0)
        complete = db.execute(newest.format("WHERE complete")).fetchone() or (0, 0, 1, 0)
        self._last = index.last_offset(db)
        self._next_part: int = 0 if last[2] else last[1] + 1
        self._total: int = last[3]
        self._complete: int = complete[0]
        self._complete_total: int = complete[3]
        self._position = index.position(db)
        self._schemas = {version for (version,) in db.execute("SELECT version FROM schemas")}
        self._stale = False
        self._measure()

    def _measure(self) -> None:
        """Whether small payloads may go into the database."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        self._inline = (pages - free) * index.PAGE_BYTES < self._index_bytes_max
        self._unmeasured = 0

    def _refresh(self) -> None:
        """After an error: what is in the index is what happened."""
        if self._stale:
            self._load()

    @property
    def id(self) -> str:
        return str(self._id)

    @property
    def position(self) -> str | None:
        with self._errors():
            self._refresh()
        return self._position

    def get(self, key: str) -> str | None:
        return self.facts().get(key)

    def facts(self) -> dict[str, str]:
        with self._errors():
            return index.facts(self._db)

    def extent(self) -> Extent:
        with self._errors():
            return index.extent(self._db, self._paths)

    def append(
        self,
        sets: Iterable[ChangeSet] = (),
        *,
        position: str | None = None,
        facts: dict[str, str] | None = None,
    ) -> int:
        with self._errors():
            self._refresh()
        try:
            rows = self._store(sets)
            if not rows and position is None and not facts:
                return self._last
            with self._errors():
                self._commit(rows, position, facts or {})
        except BaseException:
            self._undo()
            raise
        self._segments.keep()
        self._appended(rows, position)
        self._bell.ring()
        return self._last

    def _store(self, sets: Iterable[ChangeSet]) -> list[_Row]:
        """Encode; where it is more than fits the database, write to a segment and flush."""
        rows: list[_Row] = []
        waiting: list[_Row] = []
        size = 0
        next_part = self._next_part
        for changes in sets:
            if changes.part != next_part and (rows or changes.part):
                raise JournalError(
                    f"part {changes.part} of a transaction came where part {next_part} follows",
                    where={"journal": self._paths.file, "position": changes.position},
                )
            next_part = 0 if changes.complete else changes.part + 1
            row = _Row.of(self._last + 1 + len(rows), changes)
            rows.append(row)
            waiting.append(row)
            size += row.size
            if size > self._inline_bytes_max or not self._inline:
                with self._errors():
                    self._spill(waiting)
                waiting.clear()
        with self._errors():
            self._segments.sync()
        for row in waiting:
            row.compress()
        return rows

    def _spill(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            assert row.payload is not None
            row.segment, row.start = self._segments.write(row.payload, row.offset)
            row.payload = None

    def _commit(self, rows: list[_Row], position: str | None, facts: dict[str, str]) -> None:
        db = self._db
        with transaction(db):
            total = self._total
            if self._cuts(rows):
                db.execute("DELETE FROM entries WHERE offset > ?", (self._complete,))
                total = self._complete_total
            self._insert_schemas(rows)
            stored_us = time.time_ns() // 1000
            for row in rows:
                db.execute(_INSERT, row.values(stored_us, total))
                total += row.stored_bytes
            if position is not None:
                db.execute(
                    "UPDATE state SET position = ?, position_offset = ?",
                    (position, self._last + len(rows)),
                )
            if facts:
                db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def _insert_schemas(self, rows: list[_Row]) -> None:
        tables = (table for row in rows for table in row.changes.tables)
        schemas = {table.schema.version: table.schema for table in tables}
        for version in schemas.keys() - self._schemas:
            self._db.execute(
                "INSERT OR IGNORE INTO schemas VALUES (?, ?)", (version, schemas[version].to_json())
            )

    def _cuts(self, rows: list[_Row]) -> bool:
        """Whether these begin a transaction anew whose earlier attempt is stored in part."""
        return bool(rows) and self._next_part > 0 and rows[0].changes.part == 0

    def _appended(self, rows: list[_Row], position: str | None) -> None:
        """What was committed, in memory."""
        cut = self._cuts(rows)
        if cut:
            self._total = self._complete_total
        for row in rows:
            changes = row.changes
            self._total += row.stored_bytes
            self._next_part = 0 if changes.complete else changes.part + 1
            self._schemas.update(table.schema.version for table in changes.tables)
            if changes.complete:
                self._complete, self._complete_total = row.offset, self._total
                self._position = changes.position
        if position is not None:
            self._position = position
        self._last += len(rows)
        self._unmeasured += 1
        if self._unmeasured >= MEASURE_EVERY:
            with suppress(JournalError), self._errors():
                self._measure()
        if cut:
            with suppress(JournalError), self._errors():
                self._sweep()

    def _undo(self) -> None:
        """Nothing half stored: only bytes that the index surely does not name are taken back."""
        self._stale = True
        try:
            unchanged = index.last_offset(self._db) == self._last
        except sqlite3.Error:
            unchanged = False
        if unchanged:
            self._segments.undo()
        else:
            self._segments.abandon()

    def prune(self, *, checkpoints: Iterable[int], keep_s: float, keep_bytes: int) -> int:
        """As the protocol says, for up to PRUNE_S; what is left is for the next call.

        Without checkpoints, or with one beyond this journal's end (it belongs to another),
        nothing is dropped.
        """
        offset = min(checkpoints, default=0)
        deadline_s = time.monotonic() + PRUNE_S
        dropped = 0
        with self._errors():
            self._refresh()
            limits = Limits(
                offset=min(offset, self._complete) if offset <= self._last else 0,
                stored_us=time.time_ns() // 1000 - int(keep_s * 1e6),
                stored_bytes=self._total - keep_bytes,
            )
            while count := drop_step(self._db, limits, self._position, self._complete):
                dropped += count
                if time.monotonic() > deadline_s:
                    break
            if self._sweep(deadline_s):
                give_back_pages(self._db, deadline_s)
            self._measure()
        return dropped

    def _sweep(self, deadline_s: float = math.inf) -> bool:
        """Remove the segments of which the index names nothing; whether time sufficed.

        A file that cannot be removed now is tried again at the next sweep.
        """
        held = {
            name
            for (name,) in self._db.execute(
                "SELECT DISTINCT segment FROM entries WHERE segment IS NOT NULL"
            )
        }
        for name in self._segments.names:
            if name not in held:
                with suppress(OSError):
                    self._segments.remove(name)
                if time.monotonic() > deadline_s:
                    return False
        return True

    def clear(self) -> None:
        """As the protocol says; facts stay. A reader goes on with whatever is appended next."""
        with self._errors():
            self._refresh()
            self._stale = True
            with transaction(self._db):
                self._db.execute("DELETE FROM entries")
                self._db.execute(
                    "UPDATE state SET position = NULL, position_offset = ?, pruned = 0",
                    (self._last,),
                )
            self._load()
            self._sweep()
        self._bell.ring()

    def close(self) -> None:
        self._segments.close()
        self._bell.close()
        with self._errors():
            self._db.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _make_directory(directory: Path) -> None:
    """Create what is missing, durably: a journal must not vanish with its directory."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_directory(path.parent)
