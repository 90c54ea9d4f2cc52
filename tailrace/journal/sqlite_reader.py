"""A reader of the embedded journal, in any process, beside the writer and other readers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from cdc.schema import TableSchema
from tailrace.errors import JournalCorrupt, JournalError
from tailrace.journal import index
from tailrace.journal.codec import decode
from tailrace.journal.index import storage_errors
from tailrace.journal.paths import JournalPaths
from tailrace.journal.protocol import Entry, Extent
from tailrace.journal.segments import SegmentReader
from tailrace.journal.wake import Sleeper

BACKSTOP_S = 1.0
"""How often a sleeping reader looks by itself, in case a wake was lost."""

_NEW_SNAPSHOT = "check the disk; then remove this journal and start again with a new snapshot"


class SqliteReader:
    """Reads the journal at `path`; `name` tells readers apart for people.

    Between calls it holds no transaction and no file that the writer may want to be rid of. Not
    thread-safe. Errors: JournalError where there is no journal yet.
    """

    def __init__(self, path: Path, name: str, *, backstop_s: float = BACKSTOP_S) -> None:
        self._paths = JournalPaths(path)
        self._backstop_s = backstop_s
        self._schemas: dict[str, TableSchema] = {}
        self._segments = SegmentReader(self._paths.segments)
        with storage_errors(path):
            self._db = index.open_existing(path)
            try:
                self._inode = path.stat().st_ino
                (self._id,) = self._db.execute("SELECT id FROM state").fetchone()
                self._seen = self._data_version()
                self._sleeper = Sleeper(self._paths.wake, name)
            except BaseException:
                self._db.close()
                raise

    @property
    def id(self) -> str:
        return str(self._id)

    @property
    def position(self) -> str | None:
        with storage_errors(self._paths.file):
            return index.position(self._db)

    def get(self, key: str) -> str | None:
        return self.facts().get(key)

    def facts(self) -> dict[str, str]:
        with storage_errors(self._paths.file):
            return index.facts(self._db)

    def extent(self) -> Extent:
        with storage_errors(self._paths.file):
            return index.extent(self._db, self._paths)

    def read(self, after: int, *, bytes_max: int) -> Sequence[Entry]:
        with storage_errors(self._paths.file):
            self._sleeper.drain()
            while True:
                self._seen = self._data_version()
                rows = self._rows(after, bytes_max)
                try:
                    return [self._entry(*row) for row in rows]
                except JournalCorrupt:
                    if self._still_hold(rows):
                        raise
                    # Pruned, cut or cleared since the index was read: look again.
                finally:
                    self._segments.close()

    def _rows(self, after: int, bytes_max: int) -> list[tuple[Any, ...]]:
        """Index rows of the entries to return, of one moment."""
        self._db.execute("BEGIN")
        try:
            (pruned,) = self._db.execute("SELECT pruned FROM state").fetchone()
            last = index.last_offset(self._db)
            if not pruned <= after <= last:
                raise self._misplaced(after, pruned, last)
            rows: list[tuple[Any, ...]] = []
            size = 0
            found = self._db.execute(
                "SELECT offset, stored_us, bytes, checksum, segment, start, payload"
                " FROM entries WHERE offset > ? ORDER BY offset",
                (after,),
            )
            for row in found:
                size += row[2]
                if rows and size > bytes_max:
                    break
                rows.append(row)
            found.close()
            return rows
        finally:
            self._db.execute("COMMIT")

    def _misplaced(self, after: int, pruned: int, last: int) -> JournalError:
        where: dict[str, object] = {"journal": self._paths.file, "after": after}
        if after < pruned:
            return JournalError(
                f"entries {after + 1} to {pruned} were pruned before this reader had them",
                where=where,
                fix="the target is older than the journal: start again with a new snapshot",
            )
        return JournalError(
            f"this reader is at offset {after}, the journal ends at {last}",
            where=where,
            fix="the journal is an older copy than the target: start again with a new snapshot",
        )

    def _entry(
        self,
        offset: int,
        stored_us: int,
        size: int,
        checksum: int,
        segment: int | None,
        start: int | None,
        payload: bytes | None,
    ) -> Entry:
        try:
            if segment is not None and start is not None:
                stored = self._segments.read(segment, start, size)
            else:
                stored = _decompressed(payload, size)
            if stored is None:
                raise JournalCorrupt("a stored entry's bytes are missing")
            return Entry(offset, decode(stored, self._schema, checksum), stored_us, size)
        except JournalCorrupt as error:
            error.where |= {"journal": self._paths.file, "offset": offset, "segment": segment}
            error.fix = error.fix or _NEW_SNAPSHOT
            raise

    def _schema(self, version: str) -> TableSchema:
        schema = self._schemas.get(version)
        if schema is None:
            row = self._db.execute(
                "SELECT json FROM schemas WHERE version = ?", (version,)
            ).fetchone()
            if row is None:
                raise JournalCorrupt("a stored entry's table schema is missing")
            schema = self._schemas[version] = TableSchema.from_json(row[0])
            if schema.version != version:
                raise JournalCorrupt("a stored table schema does not fit its version")
        return schema

    def _still_hold(self, rows: Sequence[tuple[Any, ...]]) -> bool:
        """Offsets are never used twice, so a count tells whether any of these is gone."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM entries WHERE offset BETWEEN ? AND ?", (rows[0][0], rows[-1][0])
        ).fetchone()
        return bool(count == len(rows))

    def wait(self, timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        with storage_errors(self._paths.file):
            while True:
                left_s = max(0.0, deadline_s - time.monotonic())
                if self._sleeper.wait(min(left_s, self._backstop_s)):
                    self._sleeper.drain()
                    return True
                if self._moved():
                    return True
                if left_s <= self._backstop_s:
                    return False

    def fileno(self) -> int:
        """Readable when the writer has stored something since the last `read` or `wait`."""
        return self._sleeper.fileno()

    def _moved(self) -> bool:
        if self._paths.file.stat().st_ino != self._inode:
            raise JournalError(
                "the journal was replaced by another one",
                where={"journal": self._paths.file},
                fix="start delivery again",
            )
        seen, self._seen = self._seen, self._data_version()
        return seen != self._seen

    def _data_version(self) -> int:
        """Changes with every commit of the writer."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version)

    def close(self) -> None:
        self._segments.close()
        self._sleeper.close()
        with storage_errors(self._paths.file):
            self._db.close()


def _decompressed(payload: bytes | None, size: int) -> Any:
    """None where these bytes cannot have been `size` ones. LZ4 shrinks at most 255-fold."""
    if payload is None or not 0 < size <= 255 * len(payload) + 64:
        return None
    try:
        return pa.decompress(payload, size, codec="lz4_raw")
    except (pa.ArrowException, OSError):
        return None
