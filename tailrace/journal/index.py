"""The journal's SQLite database: which entries there are, where each one's bytes lie, and the
small entries themselves.

`entries.payload` holds a small payload, compressed (LZ4 block); a large one lies in a segment
file at `start`. `bytes` is its size uncompressed. `stored_before` sums what all earlier entries
take on disk, so that the bytes held are a subtraction. `state` is one row: the journal's
identity, a position without changes (valid while no complete entry follows `position_offset`),
and the highest offset that was pruned.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tailrace.errors import JournalCorrupt, JournalError, JournalFull
from tailrace.journal.paths import JournalPaths
from tailrace.journal.protocol import Extent
from tailrace.sqlite import stamp, transaction

APPLICATION_ID = 0x7461696C
VERSION = 1
PAGE_BYTES = 4096
"""Small: a commit of one small entry writes three pages. Large payloads are not in here."""
CHECKPOINT_PAGES = 1000
"""4 MB of write-ahead log between checkpoints: a few milliseconds' stall each."""
WAL_KEPT_BYTES = 16 << 20
"""The write-ahead log's file is cut back to this after a burst."""
BUSY_S = 10.0

_TABLES = f"""
CREATE TABLE entries (
  offset INTEGER PRIMARY KEY AUTOINCREMENT,
  stored_us INTEGER NOT NULL,
  part INTEGER NOT NULL,
  complete INTEGER NOT NULL,
  position TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  stored_before INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  segment INTEGER,
  start INTEGER,
  payload BLOB
);
CREATE INDEX entries_segment ON entries (segment) WHERE segment IS NOT NULL;
CREATE TABLE schemas (version TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE state (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id TEXT NOT NULL,
  position TEXT,
  position_offset INTEGER NOT NULL DEFAULT 0,
  pruned INTEGER NOT NULL DEFAULT 0
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MAKE_ROOM = "free space on this disk; capture tries again by itself and loses nothing"


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the operating system say into the journal's errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _named(error, path) from error
    except OSError as error:
        where = {"journal": path, "file": error.filename}
        if error.errno in _FULL:
            raise JournalFull("the journal's disk is full", where=where, fix=_MAKE_ROOM) from error
        raise JournalError(
            f"the journal's disk failed: {os.strerror(error.errno or 0)}",
            where=where,
            fix="check the disk and the rights of the journal's directory",
        ) from error


def _named(error: sqlite3.Error, path: Path) -> JournalError:
    where: dict[str, object] = {
        "journal": path,
        "sqlite": getattr(error, "sqlite_errorname", None),
    }
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_WRITE:
        # A quota or a limit on file sizes comes as an error of the write.
        return JournalFull("the journal's disk takes no more", where=where, fix=_MAKE_ROOM)
    if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return JournalCorrupt(
            "the journal's index is damaged",
            where=where,
            fix="check the disk; then remove this journal and start again with a new snapshot",
        )
    return JournalError(
        f"the journal's index failed: {error}",
        where=where,
        fix="check the disk and the rights of the journal's directory",
    )


def create_or_open(path: Path, new_id: str) -> sqlite3.Connection:
    """The writer's connection. `new_id` names the journal if it is made here."""
    connection = _connect(path, "rwc")
    try:
        _prepare(connection, new_id)
        _check_version(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, new_id: str) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
    if stamp(connection) == (0, 0):
        with transaction(connection):
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute("INSERT INTO state (one, id) VALUES (1, ?)", (new_id,))


def open_existing(path: Path) -> sqlite3.Connection:
    """A reader's connection. Errors: JournalError when there is no journal yet."""
    connection = _existing(path)
    if connection is None:
        raise JournalError(
            "there is no journal here yet",
            where={"journal": path},
            fix="start the capture of its source, which creates it",
        )
    try:
        _check_version(connection, path)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def is_made(path: Path) -> bool:
    """Whether a writer has made the journal there, so that it can be read."""
    with storage_errors(path):
        connection = _existing(path)
        if connection is not None:
            connection.close()
        return connection is not None


def journal_id(path: Path) -> str | None:
    """The name of the journal there; None where there is none yet."""
    with storage_errors(path):
        connection = _existing(path)
        if connection is None:
            return None
        (found,) = connection.execute("SELECT id FROM state").fetchone()
        connection.close()
        return str(found)


def _existing(path: Path) -> sqlite3.Connection | None:
    """None where the file is absent or its writer has not yet made its tables."""
    try:
        connection = _connect(path, "rw")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN:
            return None
        raise
    if stamp(connection) == (0, 0):
        connection.close()
        return None
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    application, version = stamp(connection)
    if (application, version) != (APPLICATION_ID, VERSION):
        raise JournalError(
            "this is not a journal that this release reads",
            where={"journal": path, "application_id": application, "version": version},
            fix=f"this release reads version {VERSION}; use the one that wrote it",
        )


def last_offset(connection: sqlite3.Connection) -> int:
    """The highest offset ever given out, whether or not its entry still exists."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    return int(row[0]) if row else 0


def position(connection: sqlite3.Connection) -> str | None:
    """Where the source is to be resumed."""
    stored, at = connection.execute("SELECT position, position_offset FROM state").fetchone()
    row = connection.execute(
        "SELECT position FROM entries WHERE complete AND offset > ? ORDER BY offset DESC LIMIT 1",
        (at,),
    ).fetchone()
    found = row[0] if row else stored
    return None if found is None else str(found)


def facts(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM facts"))


def extent(connection: sqlite3.Connection, paths: JournalPaths) -> Extent:
    ends = "SELECT offset, stored_us FROM entries ORDER BY offset {} LIMIT 1"
    first = connection.execute(ends.format("ASC")).fetchone() or (0, 0)
    last = connection.execute(ends.format("DESC")).fetchone() or (0, 0)
    return Extent(first[0], last[0], bytes_on_disk(paths), first[1])


def bytes_on_disk(paths: JournalPaths) -> int:
    """Database, write-ahead log and segments."""
    file = paths.file
    total = 0
    for name in (file, file.with_name(file.name + "-wal")):
        total += _size(name)
    try:
        with os.scandir(paths.segments) as found:
            for item in found:
                total += _size(Path(item.path))
    except FileNotFoundError:
        pass
    return total


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
