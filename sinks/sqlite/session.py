"""A connection to a SQLite file, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tailrace.errors import RowRefused, TailraceError, TargetRefused, TargetUnavailable

BUSY_S = 5.0
VERSION_MIN = (3, 35)
"""With RETURNING, and ON CONFLICT as it is used here."""

_PASSING = frozenset(
    {
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL),
        *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL),
        *(sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM),
    }
)
"""Other programs, the disk, or the file's rights: https://sqlite.org/rescode.html"""

_SAYS = {
    sqlite3.SQLITE_CONSTRAINT_CHECK: "a check is against it",
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: "a foreign key is against it",
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: "a column that may not be NULL would be",
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: "another row has this value of a unique key",
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: "another row has this value of a unique key",
    sqlite3.SQLITE_CONSTRAINT_ROWID: "another row has this value of a unique key",
    sqlite3.SQLITE_CONSTRAINT_TRIGGER: "a trigger raised an error (the file knows its text)",
    sqlite3.SQLITE_MISMATCH: "a value is none of the column's type",
    sqlite3.SQLITE_TOOBIG: "a value is larger than SQLite holds",
}
_DATATYPE = 3091
"""SQLITE_CONSTRAINT_DATATYPE of STRICT tables, which Python's module does not name."""


class SqliteSession:
    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        connection = self._connection
        try:
            connection.execute("pragma foreign_keys = on")
            connection.execute("pragma synchronous = full")
            connection.execute("pragma trusted_schema = off")
            if not connection.execute("pragma schema_version").fetchone()[0]:
                # A file that we make: who reads it then never waits for us, nor we for them.
                connection.execute("pragma journal_mode = wal")
        except BaseException:
            connection.close()
            raise

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        return self._connection.execute(sql, values).rowcount

    def executemany(self, sql: str, rows: Sequence[Sequence[object]]) -> int:
        """Rows that were changed."""
        return self._connection.executemany(sql, rows).rowcount

    def query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def begin(self) -> None:
        self._connection.execute("begin immediate")

    def commit(self) -> None:
        self._connection.execute("commit")

    def rollback(self) -> None:
        self._connection.execute("rollback")

    def savepoint(self, name: str) -> None:
        self._connection.execute(f"savepoint {name}")

    def undo(self, name: str) -> None:
        self._connection.execute(f"rollback to {name}")

    def release(self, name: str) -> None:
        self._connection.execute(f"release {name}")

    def interrupt(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # it is closed
            self._connection.interrupt()

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()


@contextmanager
def translated(doing: str, where: dict[str, object]) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, doing, where) from None


def _translate(error: sqlite3.Error, doing: str, where: dict[str, object]) -> TailraceError:
    code = getattr(error, "sqlite_errorcode", 0)
    place = {**where, "sqlite": getattr(error, "sqlite_errorname", None)}
    if code & 0xFF in _PASSING or (isinstance(error, sqlite3.ProgrammingError) and not code):
        return TargetUnavailable(f"{doing}: {error}", where=place, fix=_ADVICE.get(code & 0xFF))
    if code in _SAYS or code == _DATATYPE or isinstance(error, sqlite3.DataError):
        if code in _NAMED:
            place["constraint"] = str(error).partition("failed: ")[2] or None
        says = _SAYS.get(code, "a value is none of the column's type")
        return RowRefused(f"{doing}: {says}", where=place)
    return TargetRefused(f"{doing}: {error}", where=place, fix=_ADVICE.get(code & 0xFF))


_NAMED = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT_CHECK,
        sqlite3.SQLITE_CONSTRAINT_NOTNULL,
        sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    }
)
"""Their messages name columns or the check, and no values."""

_ADVICE = {
    sqlite3.SQLITE_BUSY: "another program is writing the file: it is tried again; commit there",
    sqlite3.SQLITE_IOERR: "see to its disk: room, quota, the process's limits; it is tried again",
    sqlite3.SQLITE_FULL: "free space on the file's disk; it is tried again",
    sqlite3.SQLITE_CANTOPEN: "see that its directory is there and that this user may write in it",
    sqlite3.SQLITE_READONLY: "let this user write the file and its directory",
    sqlite3.SQLITE_PERM: "let this user write the file and its directory",
    sqlite3.SQLITE_NOTADB: "name another file in the target's path; this is none of SQLite's, or of"
    " a later version",
    sqlite3.SQLITE_CORRUPT: "restore the file from a backup",
}
