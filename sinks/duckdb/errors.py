"""What DuckDB's errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from tailrace.errors import RowRefused, TailraceError, TargetRefused, TargetUnavailable

OF_ANOTHER_KIND = "name another file in the target's path, or restore this one from a backup"


@contextmanager
def translated(doing: str, where: dict[str, object]) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise _translate(error, doing, where) from None
    except OSError as error:  # of the rows of a large transaction that wait on disk
        raise TargetUnavailable(f"{doing}: {error.strerror}", where=where) from None


def _translate(error: duckdb.Error, doing: str, where: dict[str, object]) -> TailraceError:
    kind = type(error).__name__
    place = {**where, "duckdb": kind}
    text = str(error).partition("\n")[0]
    if isinstance(error, duckdb.ConstraintException):
        return RowRefused(f"{doing}: {_constraint(text)}", where=place)
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        return RowRefused(f"{doing}: a value is none of the column's type", where=place)
    if isinstance(error, duckdb.IOException):
        return _of_file(text, doing, place)
    if isinstance(error, duckdb.InterruptException):
        return TargetUnavailable(f"{doing}: interrupted", where=place)
    if isinstance(error, duckdb.OutOfMemoryException):
        return TargetUnavailable(
            f"{doing}: DuckDB has no memory left",
            where=place,
            fix="give the machine more memory, or its temporary files more room",
        )
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return TargetRefused(f"{doing}: {text}", where=place)  # of names and types, not of rows
    if isinstance(error, duckdb.FatalException):  # until it is opened anew, which comes next
        return TargetUnavailable(f"{doing}: DuckDB has given the file up", where=place, fix=_LOOK)
    if isinstance(error, duckdb.TransactionException | duckdb.OperationalError):
        says = next((word for word in _SYSTEM if word in text), kind)
        return TargetUnavailable(f"{doing}: {says}", where=place, fix=_SYSTEM.get(says, _LOOK))
    if text.startswith("Corrupt"):
        return _of_file(text, doing, place)
    return TargetRefused(f"{doing}: {kind}, whose text may hold values", where=place)


_LOOK = "see to the file's directory, its rights and its disk; it is tried again"
_SYSTEM = {
    "No space left on device": "free space on the file's disk; it is tried again",
    "Disk quota exceeded": "free space within the quota, or have it raised; it is tried again",
    "File too large": "raise the limit of a file's size (ulimit -f), or see what its disk takes",
    "Permission denied": "let this user write the file and its directory",
    "Read-only file system": "mount its file system for writing",
    "Input/output error": "see to the file's disk",
}
"""What the operating system says, and what to do. What else is said at COMMIT may hold values."""


def _constraint(text: str) -> str:
    for word, says in _SAYS.items():
        if word in text.lower():
            return says
    return "a constraint is against it"


_SAYS = {
    "foreign key": "a foreign key is against it",
    "not null": "a column that may not be NULL would be",
    "check": "a check is against it",
    "unique": "another row has this value of a unique key",
    "primary key": "another row has this value of a unique key",
    "duplicate": "another row has this value of a unique key",
}
_DAMAGED = ("read enough bytes", "Corrupt", "checksum")
_HOLDER = re.compile(r"\(PID (\d+)\)")


def _of_file(text: str, doing: str, place: dict[str, object]) -> TailraceError:
    if "lock on file" in text:
        holder = _HOLDER.search(text)
        return TargetUnavailable(
            f"{doing}: another program has the DuckDB file open, which only one can",
            where={**place, "process": holder[1] if holder else None},
            fix="close it there; it is tried again. Between transactions the file is free",
        )
    if "not a valid DuckDB" in text:
        return TargetRefused(f"{doing}: {text}", where=place, fix=OF_ANOTHER_KIND)
    if "version number" in text:
        return TargetRefused(
            f"{doing}: the file was written by another version of DuckDB, in a format that"
            f" {duckdb.__version__} does not read",
            where=place,
            fix="install that version of the package duckdb, or copy the file with it: attach it to"
            " a new one that has STORAGE_VERSION 'v1.0.0', and COPY FROM DATABASE",
        )
    if any(word in text for word in _DAMAGED):
        return TargetRefused(
            f"{doing}: {text}",
            where=place,
            fix="restore the file from a backup: delivery goes on from the checkpoint in it",
        )
    says = next((word for word in _SYSTEM if word in text), "")
    return TargetUnavailable(f"{doing}: {text}", where=place, fix=_SYSTEM.get(says, _LOOK))
