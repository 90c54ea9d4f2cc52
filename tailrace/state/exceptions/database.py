"""The SQLite file of one pipeline's exceptions: tables, opening, errors.

`held` has an open exception with its values, a closed one without. `request` is what people asked
for and delivery has not yet done. `audit` says who did what, when and why; nothing changes or
removes its rows.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tailrace.errors import ExceptionsError, ExceptionsUnavailable
from tailrace.sqlite import stamp, transaction

APPLICATION_ID = 0x74616578
VERSION = 1
BUSY_S = 10.0

_TABLES = f"""
CREATE TABLE held (
  journal TEXT NOT NULL,
  entry INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  state TEXT NOT NULL,
  source TEXT NOT NULL,
  keys TEXT,
  targets TEXT NOT NULL,
  operation TEXT NOT NULL,
  schema TEXT NOT NULL,
  row BLOB,
  edited BLOB,
  position TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  committed_us INTEGER NOT NULL,
  cause TEXT,
  cause_key TEXT,
  mapping_version TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  held_us INTEGER NOT NULL,
  tried_us INTEGER NOT NULL,
  PRIMARY KEY (journal, entry, seq)
) WITHOUT ROWID;
CREATE INDEX held_open ON held (state) WHERE state IN ('parked', 'waiting');
CREATE TABLE schemas (version TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE request (
  journal TEXT NOT NULL,
  entry INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  action TEXT NOT NULL,
  who TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (journal, entry, seq)
) WITHOUT ROWID;
CREATE TABLE audit (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  at_us INTEGER NOT NULL,
  journal TEXT NOT NULL,
  entry INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  who TEXT NOT NULL,
  action TEXT NOT NULL,
  reason TEXT NOT NULL
);
CREATE INDEX audit_of ON audit (journal, entry, seq);
CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit
  BEGIN SELECT raise(ABORT, 'the audit is only added to'); END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit
  BEGIN SELECT raise(ABORT, 'the audit is only added to'); END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""

_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY)


def open_database(path: Path) -> sqlite3.Connection:
    """Open, and make where it is absent; only the owner may read it.

    Errors: ExceptionsUnavailable, ExceptionsError.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            _make(connection)
            _verify(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _make(connection: sqlite3.Connection) -> None:
    if stamp(connection) != (0, 0):
        return
    with transaction(connection):
        if stamp(connection) == (0, 0):  # nobody has made it meanwhile
            for statement in _TABLES.split(";\n"):
                connection.execute(statement)


def _verify(connection: sqlite3.Connection, path: Path) -> None:
    application, version = stamp(connection)
    if (application, version) != (APPLICATION_ID, VERSION):
        raise ExceptionsError(
            "this is no file of exceptions that this release reads",
            where={"file": path, "application_id": application, "version": version},
            fix=f"this release reads version {VERSION}; use the one that wrote it",
        )


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """What SQLite and the operating system say, in our words."""
    try:
        yield
    except sqlite3.Error as error:
        where = {"file": path, "sqlite": getattr(error, "sqlite_errorname", None)}
        code = getattr(error, "sqlite_errorcode", 0)
        if code in _FULL or code & 0xFF in _PASSING:
            raise ExceptionsUnavailable(
                "the file of exceptions cannot be written now", where=where, fix=_FIX
            ) from error
        raise ExceptionsError(f"the file of exceptions failed: {error}", where=where) from error
    except OSError as error:
        raise ExceptionsUnavailable(
            f"the file of exceptions cannot be opened: {os.strerror(error.errno or 0)}",
            where={"file": path},
            fix=_FIX,
        ) from error


_FIX = "free space on its disk, or see to its rights; delivery tries again by itself"
