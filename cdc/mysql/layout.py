"""What a table map's columns mean: how their bytes are read, and which type their text has.

Types are named as PostgreSQL names the type whose text the values are: ``bigint unsigned`` is
``numeric(20,0)``, a TIME, which may be negative and longer than a day, is an ``interval``.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cdc.mysql import charsets
from cdc.mysql import tablemap as tm
from cdc.mysql.tablemap import MapColumn, TableMap
from cdc.schema import Column, TableSchema
from tailrace.errors import DecodeError, PreflightError
from tailrace.variants import load

_columns: Any = load("cdc._columns")  # first, so that the other finds this variant
rows: Any = load("cdc.mysql._rows")
COMPILED: bool = bool(_columns.COMPILED and rows.COMPILED)

BINARY_CHARSET = 63
LABEL_MAX = 255
"""Characters of an ENUM's label."""

_INTEGERS = {tm.TINY: 1, tm.SHORT: 2, tm.INT24: 3, tm.LONG: 4, tm.LONGLONG: 8}
_NAMES = {1: "tinyint", 2: "smallint", 3: "mediumint", 4: "int", 8: "bigint"}
_SIGNED = {1: "smallint", 2: "smallint", 3: "integer", 4: "integer", 8: "bigint"}
_UNSIGNED = {1: "smallint", 2: "integer", 3: "integer", 4: "bigint", 8: "numeric(20,0)"}
_TEMPORAL = {
    tm.DATETIME2: (rows.DATETIME, "timestamp({}) without time zone", "timestamp without time zone"),
    tm.TIMESTAMP2: (rows.TIMESTAMP, "timestamp({}) with time zone", "timestamp with time zone"),
    tm.TIME2: (rows.TIME, "interval({})", "interval"),
}
_TEMPORAL_NAMES = {tm.TIMESTAMP2: "timestamp", tm.TIME2: "time"}
_OLD_TEMPORAL = {tm.TIMESTAMP: "TIMESTAMP", tm.DATETIME: "DATETIME", tm.TIME: "TIME"}


@dataclass(frozen=True, slots=True)
class _Reading:
    """`kind`, `size`, `more`, `labels` as in `_rows`; `native` as in `cdc.schema.Column`."""

    kind: int
    type: str
    size: int = 0
    more: int = 0
    labels: object = None
    base_type: str | None = None
    native: str = ""


def row_table(described: TableMap, charset_of: Mapping[int, str]) -> Any:
    """A `_rows.RowTable` for the table. `charset_of`: collation number → character set.

    Errors: PreflightError for what is not read yet; DecodeError for what cannot be.
    """
    if not described.described:
        raise PreflightError(
            f"the log does not name the columns of {described.table}",
            fix="SET GLOBAL binlog_row_metadata = FULL;",
        )
    if not described.key:
        raise PreflightError(
            f"table {described.table} has no primary key, so its rows cannot be told apart",
            where={"table": str(described.table)},
            fix=f"ALTER TABLE {described.table} ADD PRIMARY KEY (…);",
        )
    readings = [_reading(column, described, charset_of) for column in described.columns]
    shown = len(readings) - described.hidden
    schema = TableSchema(
        table=described.table,
        columns=tuple(
            Column(
                column.name,
                found.type,
                found.base_type or found.type,
                column.nullable,
                f"mysql:{found.native}" if found.native else "",
            )
            for column, found in zip(described.columns[:shown], readings, strict=False)
        ),
        key=tuple(described.columns[i].name for i in described.key),
    )
    return rows.RowTable(
        schema,
        len(readings),
        described.key,
        bytearray(array("i", [found.kind for found in readings])),
        bytearray(array("i", [found.size for found in readings])),
        bytearray(array("i", [found.more for found in readings])),
        [found.labels for found in readings],
        described.hidden,
    )


def may_be_more(column: MapColumn) -> bool:
    """Whether the log shows a BINARY where the table may have a UUID, INET4 or INET6."""
    return column.type == tm.STRING and column.charset == BINARY_CHARSET and column.size in (4, 16)


def _reading(column: MapColumn, table: TableMap, charset_of: Mapping[int, str]) -> _Reading:
    type_ = column.type
    if type_ in _INTEGERS:
        size = _INTEGERS[type_]
        named = (_UNSIGNED if column.unsigned else _SIGNED)[size]
        kind = rows.UNSIGNED if column.unsigned else rows.SIGNED
        base = "numeric" if named.startswith("numeric") else None
        native = _NAMES[size] + (" unsigned" if column.unsigned else "")
        return _Reading(kind, named, size, base_type=base, native=native)
    if type_ == tm.NEWDECIMAL:
        named = f"numeric({column.size},{column.more})"
        return _Reading(rows.DECIMAL, named, column.size, column.more, base_type="numeric")
    if type_ == tm.FLOAT:
        return _Reading(rows.FLOAT, "real")
    if type_ == tm.DOUBLE:
        return _Reading(rows.DOUBLE, "double precision")
    if type_ == tm.YEAR:
        return _Reading(rows.YEAR, "smallint", native="year")
    if type_ == tm.DATE:
        return _Reading(rows.DATE, "date")
    if type_ in _TEMPORAL:
        kind, named, base_type = _TEMPORAL[type_]
        if column.size > 6:
            raise DecodeError(f"column {column.name} has {column.size} digits of a second")
        native = "" if type_ == tm.DATETIME2 else f"{_TEMPORAL_NAMES[type_]}({column.size})"
        return _Reading(
            kind, named.format(column.size), column.size, base_type=base_type, native=native
        )
    if type_ == tm.BIT:
        return _Reading(rows.BIT, f"bit({column.size})", column.size, base_type="bit")
    if type_ == tm.JSON:
        return _Reading(rows.JSON, "json", column.size, native="json")
    if type_ in (tm.ENUM, tm.SET):
        return _enumerated(column, table, charset_of)
    if type_ == tm.GEOMETRY:
        return _Reading(rows.GEOMETRY, "text", column.size)
    if type_ == tm.UUID:
        return _Reading(rows.UUID, "uuid", 1)
    if type_ in (tm.INET4, tm.INET6):
        return _Reading(rows.INET, "inet", 1, 4 if type_ == tm.INET4 else 16)
    if type_ in tm.UNPACKED:
        return _compressed(column, table, charset_of)
    if type_ in (tm.VARCHAR, tm.VAR_STRING, tm.STRING, tm.BLOB):
        return _characters(column, table, charset_of)
    if type_ in _OLD_TEMPORAL:
        raise _refused(
            column,
            table,
            f"is stored in the {_OLD_TEMPORAL[type_]} format of MySQL 5.5",
            f"SET GLOBAL mysql56_temporal_format = ON; ALTER TABLE {table.table} FORCE;",
        )
    raise _refused(column, table, f"has a type that is not read yet (number {type_})")


def _refused(
    column: MapColumn, table: TableMap, what: str, fix: str | None = None
) -> PreflightError:
    return PreflightError(
        f"column {column.name} of {table.table} {what}",
        where={"table": str(table.table), "column": column.name},
        fix=fix or "leave the table out of `tables`",
    )


def _characters(column: MapColumn, table: TableMap, charset_of: Mapping[int, str]) -> _Reading:
    if column.type == tm.BLOB:
        size = column.size
        if not 1 <= size <= 4:
            raise DecodeError(f"a length of {size} bytes in column {column.name}")
    else:
        size = 1 if column.size <= 255 else 2
    if column.charset is None:
        raise DecodeError(f"the log names no character set for column {column.name}")
    if column.charset == BINARY_CHARSET:
        padded = column.size if column.type == tm.STRING else 0
        native = _sized("binary", column, 1)
        return _Reading(rows.BYTES, "bytea", size, padded, native=native)
    charset = _charset(column, table, charset_of)
    native = _sized("char", column, charsets.bytes_max(charset))
    if charset in charsets.UTF8:
        return _Reading(rows.TEXT, "text", size, native=native)
    if charset in charsets.SINGLE_BYTE:
        labels: object = charsets.single_bytes(charset)
        return _Reading(rows.CODED, "text", size, labels=labels, native=native)
    labels = charsets.MULTI_BYTE[charset]
    return _Reading(rows.CODEC, "text", size, labels=labels, native=native)


def _compressed(column: MapColumn, table: TableMap, charset_of: Mapping[int, str]) -> _Reading:
    """As the same column without compression, whose values have a byte more in the log."""
    type_ = tm.UNPACKED[column.type]
    size = column.size - 1 if type_ == tm.VARCHAR else column.size
    plain = _characters(replace(column, type=type_, size=size), table, charset_of)
    length = plain.size if type_ == tm.BLOB else 1 if column.size <= 255 else 2
    labels = {rows.BYTES: None, rows.TEXT: ""}.get(plain.kind, plain.labels)
    return replace(plain, kind=rows.PACKED, size=length, labels=labels)


def _sized(name: str, column: MapColumn, bytes_max: int) -> str:
    """``varchar(40)``; of a TEXT or BLOB nothing, since its size in another character set differs.

    `column.size` is in bytes.
    """
    if column.type == tm.BLOB:
        return ""
    return f"{'' if column.type == tm.STRING else 'var'}{name}({column.size // bytes_max})"


def _charset(column: MapColumn, table: TableMap, charset_of: Mapping[int, str]) -> str:
    charset = charset_of.get(column.charset or 0, "")
    if charset not in charsets.UTF8 | set(charsets.SINGLE_BYTE) | set(charsets.MULTI_BYTE):
        raise _refused(
            column, table, f"has a character set that is not read yet ({charset or column.charset})"
        )
    return charset


def _enumerated(column: MapColumn, table: TableMap, charset_of: Mapping[int, str]) -> _Reading:
    labels = list(column.labels)
    charset = _charset(column, table, charset_of)
    if charset not in charsets.UTF8:
        codec = charsets.SINGLE_BYTE.get(charset) or charsets.MULTI_BYTE[charset]
        labels = [charsets.decoded(label, codec) for label in labels]
    kind = rows.ENUM if column.type == tm.ENUM else rows.SET
    # A label that is added later then needs no change at a target.
    native = f"varchar({LABEL_MAX})" if column.type == tm.ENUM else ""
    return _Reading(kind, "text", column.size, labels=labels, native=native)
