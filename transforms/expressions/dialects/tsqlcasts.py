"""CAST, CONVERT and TRY_CAST of SQL Server.

Numbers become integers by cutting off their digits, and decimals by rounding. A text must have the
plain form of the number or date: what SQL Server also takes (an empty text as 0, a date in the
session's language) is an error here. Styles are those that print or read whole years.
"""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from transforms.expressions import ours
from transforms.expressions.casts import cast
from transforms.expressions.dialects.base import decimal_of, sizes_of
from transforms.expressions.dialects.tsqltext import string
from transforms.expressions.sql import checked, quoted
from transforms.expressions.typed import Refusal, Typed, derived, literal, text
from transforms.types import (
    DATE,
    FLOAT4,
    FLOAT8,
    FLOATS,
    INT2,
    INT4,
    INT8,
    STRINGS,
    TEXT,
    TIMESTAMP,
    UUID,
    Kind,
    Type,
)

LENGTH = 30
"""Of varchar without (n) in CAST and CONVERT."""
STYLES = {
    23: "YYYY-MM-DD",
    101: "MM/DD/YYYY",
    102: "YYYY.MM.DD",
    103: "DD/MM/YYYY",
    104: "DD.MM.YYYY",
    105: "DD-MM-YYYY",
    110: "MM-DD-YYYY",
    111: "YYYY/MM/DD",
    112: "YYYYMMDD",
    120: "YYYY-MM-DD HH24:MI:SS",
}
_SHOWN = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M", "SS": "%S"}
_CHARACTERS = (exp.DType.VARCHAR, exp.DType.NVARCHAR, exp.DType.CHAR, exp.DType.NCHAR)
_INTEGERS = {exp.DType.SMALLINT: INT2, exp.DType.INT: INT4, exp.DType.BIGINT: INT8}
_OTHERS = {
    exp.DType.DATE: DATE,
    exp.DType.DATETIME2: TIMESTAMP,
    exp.DType.DOUBLE: FLOAT8,
    exp.DType.UUID: UUID,
}
NAMES = "varchar(n), char(n), smallint, int, bigint, decimal(p,s), float, date, datetime2"


def converted(value: Typed, to: exp.DataType, style: Typed | None) -> Typed:
    """CONVERT(to, value, style). Errors: Refusal."""
    kind = to.this
    if kind in _CHARACTERS:
        return _characters(value, to, style)
    if style is not None:
        return _read(value, kind, style)
    if kind in _INTEGERS and not to.expressions:
        return _integer(value, _INTEGERS[kind])
    if kind is exp.DType.DECIMAL:
        return cast(value, decimal_of(sizes_of(to) or [18]))
    if kind is exp.DType.FLOAT and value.kind not in STRINGS:
        return cast(value, FLOAT8 if value.kind is not Kind.FLOAT4 else FLOAT4)
    if kind not in _OTHERS or to.expressions:
        raise Refusal(f"a cast to {to.sql('tsql').lower()} is not supported", fix=f"to {NAMES}")
    if kind is exp.DType.DATETIME2 and value.kind in STRINGS:
        raise Refusal("a date in a text needs its style", fix="CONVERT(datetime2, x, 120)")
    return cast(value, _OTHERS[kind])


def _integer(value: Typed, to: Type) -> Typed:
    """Digits after the point are cut off."""
    if value.kind is Kind.NUMERIC and (value.type.scale or 0) > 0:
        whole = f"trunc({value.value})"
        return derived(to, f"CAST({whole} AS {to.duckdb})", [value], fails=True)
    if value.kind in FLOATS:
        return derived(to, f"CAST(trunc({value.value}) AS {to.duckdb})", [value], fails=True)
    return cast(value, to)


def _characters(value: Typed, to: exp.DataType, style: Typed | None) -> Typed:
    unbounded = any(size.name.upper() == "MAX" for size in to.expressions)
    size = None if unbounded else (sizes_of(to) or [LENGTH])[0]
    if value.kind in (Kind.DATE, Kind.TIMESTAMP):
        shown = _printed(value, 23 if style is None and value.kind is Kind.DATE else _style(style))
    elif style is not None:
        raise Refusal("styles are of dates", fix="CAST(x AS varchar(n))")
    else:
        shown = string(value)
    sql = text(shown)
    if size is not None and value.kind in STRINGS | {Kind.LITERAL, Kind.DATE, Kind.TIMESTAMP}:
        sql = f"left({sql}, {size})"
    elif size is not None:
        sql = checked(f"length({sql}) > {size}", "overflow", sql)
    if to.this in (exp.DType.CHAR, exp.DType.NCHAR):
        if size is None or size > 8000:
            raise Refusal("char(n) has at most 8000 characters")
        sql = f"rpad({sql}, {size}, ' ')"
    parts = shown.parts if size is None else None
    return derived(TEXT, sql, [shown], parts=parts, chars=size)


def _style(style: Typed | None) -> int:
    written = None if style is None else style.constant
    if written is None or not written.isdigit() or int(written) not in STYLES:
        known = ", ".join(map(str, STYLES))
        raise Refusal(f"a date is printed and read with one of the styles {known}")
    return int(written)


def _printed(value: Typed, style: int) -> Typed:
    form = STYLES[style]
    if value.kind is Kind.DATE:
        form = form.removesuffix(" HH24:MI:SS")
    for token, shown in _SHOWN.items():
        form = form.replace(token, shown)
    return derived(TEXT, f"strftime({value.value}, {quoted(form)})", [value])


def _read(value: Typed, kind: exp.DType, style: Typed) -> Typed:
    """A date of a text in a style."""
    if value.kind not in STRINGS or kind not in (exp.DType.DATE, exp.DType.DATETIME2):
        raise Refusal("a style is for dates in texts", fix="CONVERT(date, x, 104)")
    number = _style(style)
    form = STYLES[number]
    if (kind is exp.DType.DATETIME2) != (number == 120):
        raise Refusal("style 120 gives a datetime2, the others a date")
    found = ours.parse_date([value, literal(form)], {})
    blank = checked(f"{text(value)} = ''", "malformed", found.value, found.type.duckdb)
    return replace(found, sql=blank)


def tried(value: Typed, to: exp.DataType) -> Typed:
    """TRY_CAST of a text to a number: NULL where it is none. An empty text is 0 as an integer."""
    if value.kind not in STRINGS or to.this not in (*_INTEGERS, exp.DType.DECIMAL):
        raise Refusal(
            "TRY_CAST is supported for texts as smallint, int, bigint and decimal(p,s)",
            fix="CONVERT(date, x, 104) fails the row instead",
        )
    if to.this is exp.DType.DECIMAL:
        found = cast(value, decimal_of(sizes_of(to) or [18]))
        sql = f"TRY({found.value})"
    else:
        found = cast(value, _INTEGERS[to.this])
        zero = f"regexp_full_match({text(value)}, ' *[+-]? *')"
        sql = f"CASE WHEN {zero} THEN CAST(0 AS {found.type.duckdb}) ELSE TRY({found.value}) END"
    result = derived(found.type, sql, [value], nullable=True)
    return replace(result, fails=value.fails)
