"""Types: what a column is called in SQLite, and how a value goes into it without a change.

A column there has an affinity, which turns what is bound to it: a text that looks like a number
becomes one in a NUMERIC column. So a value is bound as what it is to stay (`kind`), and decimals
are numbers only as far as a double holds all their digits (https://sqlite.org/datatype3.html).
Values arrive as PostgreSQL prints them, whatever the source (docs/architecture.md).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sinks.embedded.texts import DATE, INSTANT, MOMENT, TIME, Unfit, matching
from sinks.embedded.texts import INTEGER as INTEGER_TEXT
from sinks.rowtext import as_text, unpadded
from sinks.typenames import parted
from transforms.rows import TargetColumn

INTEGER, NUMERIC, REAL, TEXT, BLOB = "INTEGER", "NUMERIC", "REAL", "TEXT", "BLOB"
DOUBLE_DIGITS = 15
"""Decimal digits that each double keeps (DBL_DIG)."""
INTEGER_DIGITS = 18

_INTEGERS = frozenset({"smallint", "integer", "bigint", "oid"})
_NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """`ddl`: the type's name. `kind`: what its values are in the file. `convert`: Arrow column →
    the text of each value as it is to be bound, or an Arrow number. Errors of `convert`: Unfit."""

    ddl: str
    kind: str
    convert: Callable[[pa.Array], pa.Array]


def column_type(column: TargetColumn) -> ColumnType:
    base, size, scale, zone = parted(column.type)
    if base in _INTEGERS:
        return ColumnType("INTEGER", INTEGER, _integers)
    if base == "numeric":
        return _numeric(size, scale)
    if base in ("character", "bpchar"):
        return ColumnType("TEXT", TEXT, unpadded)
    if base == "timestamp":
        return ColumnType("TEXT", TEXT, _instants if zone == " with time zone" else _moments)
    if base == "time" and zone != " with time zone":
        return ColumnType("TEXT", TEXT, _times)
    return _SIMPLE.get(base) or ColumnType("TEXT", TEXT, as_text)


def _numeric(size: int | None, scale: int) -> ColumnType:
    if size is None:
        return ColumnType("TEXT", TEXT, _Decimals(None, 0))
    convert = _Decimals(size, scale)
    if scale == 0 and size <= INTEGER_DIGITS:
        return ColumnType("INTEGER", INTEGER, convert)
    if 0 <= scale <= size <= DOUBLE_DIGITS:
        return ColumnType(f"NUMERIC({size},{scale})", NUMERIC, convert)
    return ColumnType("TEXT", TEXT, convert)


def bound(kind: str, column: pa.Array) -> list[object]:
    """What is bound to a column of the file, of the values that `convert` gave."""
    if kind == BLOB:
        return [None if text is None else bytes.fromhex(text[2:]) for text in column.to_pylist()]
    if kind in (NUMERIC, REAL) and pa.types.is_string(column.type):
        return [_number(text) for text in column.to_pylist()]
    if kind == REAL and pa.types.is_floating(column.type):
        values: list[object] = column.to_pylist()
        if any(value != value for value in values):
            return ["NaN" if value != value else value for value in values]
        return values
    return list(column.to_pylist())


def bound_one(kind: str, text: str | None) -> object:
    """The same of one value as text."""
    if text is None:
        return None
    if kind == BLOB:
        return bytes.fromhex(text[2:])
    return _number(text) if kind in (NUMERIC, REAL) else text


def _number(text: str | None) -> object:
    """SQLite takes a NaN for NULL, so that one is a text."""
    if text is None:
        return None
    value = float(text)
    return "NaN" if math.isnan(value) else value


def _integers(column: pa.Array) -> pa.Array:
    if pa.types.is_integer(column.type):
        return column
    text = matching(column, INTEGER_TEXT)
    for row in np.flatnonzero(pc.greater(pc.utf8_length(text), INTEGER_DIGITS).fill_null(False)):
        if not -(2**63) <= int(text[int(row)].as_py()) < 2**63:
            raise Unfit(int(row))  # SQLite would keep a double
    return text


def _dates(column: pa.Array) -> pa.Array:
    return matching(column, DATE)


def _moments(column: pa.Array) -> pa.Array:
    return matching(column, MOMENT)


def _instants(column: pa.Array) -> pa.Array:
    """Offsets as SQLite's own functions read them."""
    text = matching(column, INSTANT)
    return pc.replace_substring_regex(text, r"([+-]\d\d)( BC)?$", r"\1:00\2")


def _times(column: pa.Array) -> pa.Array:
    return matching(column, TIME)


def _truth(column: pa.Array) -> pa.Array:
    text = matching(column, r"^(?:t|f|true|false)$")
    return pc.if_else(pc.starts_with(text, "t"), "1", "0")


def _bytes(column: pa.Array) -> pa.Array:
    return matching(column, r"^\\x(?:[0-9a-fA-F]{2})*$")


def _floats(column: pa.Array) -> pa.Array:
    if pa.types.is_float64(column.type):
        return column
    return matching(column, r"^(?:-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|-?Infinity|-?inf|-?nan)$")


class _Decimals:
    """Numbers with `scale` digits after the point, at most `size` in all; None: any."""

    def __init__(self, size: int | None, scale: int) -> None:
        self._size = size
        self._scale = scale
        before = max((size or 0) - scale, 1)
        after = rf"\.\d{{{scale}}}" if scale > 0 else ""
        self._form = rf"^-?\d{{1,{before}}}{after}$" if size is not None else r"^-?\d+(?:\.\d+)?$"

    def __call__(self, column: pa.Array) -> pa.Array:
        text = as_text(column)
        right = pc.match_substring_regex(text, self._form).fill_null(True)
        if pc.all(right).as_py() is not False:
            return text
        return pa.array([self._one(row, one) for row, one in enumerate(text.to_pylist())])

    def _one(self, row: int, text: str | None) -> str | None:
        if text is None or text in _NOT_FINITE:
            return text
        if not _NUMBER.fullmatch(text):
            raise Unfit(row)
        if self._size is None:
            return text
        try:
            value = Decimal(text).quantize(Decimal(1).scaleb(-self._scale), ROUND_HALF_UP)
        except InvalidOperation:
            raise Unfit(row) from None
        if value and value.adjusted() >= self._size - self._scale:
            raise Unfit(row)
        return f"{value:f}"


_SIMPLE = {
    "real": ColumnType("REAL", REAL, _floats),
    "double precision": ColumnType("REAL", REAL, _floats),
    "boolean": ColumnType("INTEGER", INTEGER, _truth),
    "date": ColumnType("TEXT", TEXT, _dates),
    "bytea": ColumnType("BLOB", BLOB, _bytes),
}

_TAKEN = {
    INTEGER: frozenset({INTEGER, NUMERIC, TEXT, BLOB}),
    NUMERIC: frozenset({NUMERIC, TEXT, BLOB}),
    REAL: frozenset({REAL, NUMERIC, BLOB}),
    TEXT: frozenset({TEXT, BLOB}),
    BLOB: frozenset({TEXT, BLOB}),
}
"""What a value is: affinities of columns that leave it as it is."""


def affinity(declared: str) -> str:
    """Of a column's declared type, by the rules of SQLite's manual."""
    text = declared.upper()
    if "INT" in text:
        return INTEGER
    if any(part in text for part in ("CHAR", "CLOB", "TEXT")):
        return TEXT
    if "BLOB" in text or text in ("", "ANY"):
        return BLOB
    if any(part in text for part in ("REAL", "FLOA", "DOUB")):
        return REAL
    return NUMERIC


def misfit(type_: ColumnType, declared: str) -> str | None:
    """What would become of its values in a column so declared; None where they stay."""
    if affinity(declared) in _TAKEN[type_.kind]:
        return None
    if type_.kind == TEXT:
        return "that look like numbers would become some"
    return "would lose digits"
