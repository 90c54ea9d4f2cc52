"""A table map that names no columns, held against the history, which does. Pure.

The log says types, lengths and what may be NULL, with binlog_row_metadata = MINIMAL also signs and
character sets. Where it says something else than the history, one of them is not of this table, and
no row of it can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cdc.mysql import tablemap as tm
from cdc.mysql.collations import BINARY
from cdc.mysql.tablemap import MapColumn, TableMap
from cdc.protocol import START_OVER
from tailrace.errors import DecodeError

FIX = f"{START_OVER}; SET GLOBAL binlog_row_metadata = FULL; before it does without a history"

_UNSIZED = frozenset({tm.FLOAT, tm.DOUBLE})
"""Their metadata is the number of their bytes."""
_NAMES = {
    number: name
    for name, number in vars(tm).items()
    if name in {
        *("TINY", "SHORT", "INT24", "LONG", "LONGLONG", "FLOAT", "DOUBLE", "NEWDECIMAL", "BIT"),
        *("YEAR", "DATE", "TIME", "DATETIME", "TIMESTAMP", "TIME2", "DATETIME2", "TIMESTAMP2"),
        *("VARCHAR", "STRING", "BLOB", "ENUM", "SET", "JSON", "GEOMETRY"),
        *("BLOB_COMPRESSED", "VARCHAR_COMPRESSED"),
    }
}  # fmt: skip


def named(told: TableMap, known: TableMap, charset_of: Mapping[int, str]) -> TableMap:
    """The table of the log with the names of the history. Errors: DecodeError, naming both."""
    if len(told.columns) != len(known.columns):
        raise DecodeError(
            f"the log's table {told.table} has {len(told.columns)} columns,"
            f" our history of it {len(known.columns)}",
            where={"table": str(told.table)},
            fix=FIX,
        )
    for theirs, column in zip(told.columns, known.columns, strict=True):
        if column.labels and column.more & tm.UNSHOWN_LABELS:
            raise DecodeError(
                f"a label of column {column.name} of {told.table} has a question mark in the"
                " catalog, which may stand for a character beyond U+FFFF",
                where={"table": str(told.table), "column": column.name},
                fix=FIX,
            )
        ours = _as_logged(column)
        for what, logged, kept in _compared(theirs, ours, told, charset_of):
            if logged != kept:
                raise DecodeError(
                    f"column {ours.name} of {told.table} has {what} {logged} in the log,"
                    f" {kept} in our history",
                    where={"table": str(told.table), "column": ours.name},
                    fix=FIX,
                )
    columns = zip(told.columns, known.columns, strict=True)
    return replace(
        known, columns=tuple(replace(ours, nullable=theirs.nullable) for theirs, ours in columns)
    )


def _as_logged(column: MapColumn) -> MapColumn:
    """MariaDB's log has some types as others."""
    size = tm.LOOKALIKES.get(column.type)
    if size is None:
        return column
    return replace(column, type=tm.STRING, size=size, charset=BINARY)


def _compared(
    theirs: MapColumn, ours: MapColumn, told: TableMap, charset_of: Mapping[int, str]
) -> Iterator[tuple[str, object, object]]:
    """(what, as the log has it, as the history has it)."""
    yield "type", _name(theirs), _name(ours)
    if theirs.type not in _UNSIZED:
        yield "length", theirs.size, ours.size
    if theirs.type == tm.NEWDECIMAL:
        yield "scale", theirs.more, ours.more
    if theirs.type != tm.TIMESTAMP2:  # a server's setting may have decided; the log knows best
        yield "NULL", _may_be(theirs.nullable), _may_be(ours.nullable)
    if tm.SIGNEDNESS in told.says and theirs.type in tm.NUMERIC - {tm.YEAR}:
        yield "sign", _signed(theirs.unsigned), _signed(ours.unsigned)
    if theirs.charset is not None and theirs.type in tm.CHARACTER:
        kept = None if ours.charset is None else charset_of.get(ours.charset)
        yield "character set", charset_of.get(theirs.charset, theirs.charset), kept


def _name(column: MapColumn) -> str:
    return _NAMES.get(column.type, str(column.type))


def _may_be(nullable: bool) -> str:
    return "allowed" if nullable else "excluded"


def _signed(unsigned: bool) -> str:
    return "unsigned" if unsigned else "signed"
