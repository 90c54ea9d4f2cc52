"""Functions of dates and timestamps. A timestamptz is read in UTC, as the source session does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from transforms.expressions import numberformat
from transforms.expressions.arguments import as_integer
from transforms.expressions.casts import cast, widened
from transforms.expressions.sql import checked, quoted
from transforms.expressions.typed import Refusal, Typed, derived
from transforms.types import (
    DATE,
    FLOAT8,
    MOMENTS,
    NUMBERS,
    TEXT,
    TIMESTAMP,
    TIMESTAMPTZ,
    Kind,
    numeric,
)

_PARTS = {
    part: 7 if part in ("year", "isoyear") else 3
    for part in (
        "day",
        "dow",
        "doy",
        "isodow",
        "isoyear",
        "month",
        "quarter",
        "week",
        "year",
        "hour",
        "minute",
    )
}
"""Parts that extract() gives, and their digits at most. Seconds carry a fraction and are left."""

_UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")

FORMATS = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M", "SS": "%S"}
_TOKEN = re.compile(r"YYYY|MM|DD(?!D)|HH24|MI|SS(?!SS)|[-./: ,;_]")
"""DDD and SSSS are tokens of their own."""


def _moment(value: Typed, name: str) -> Typed:
    if value.kind not in MOMENTS:
        raise Refusal(f"{name}() takes a date or timestamp, not {value.type}", fix="x::date")
    return value


def extracted(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """extract(part FROM x), a numeric without fraction."""
    part = (arguments[0].constant or "").lower()
    value = _moment(arguments[1], "extract")
    if part not in _PARTS or (value.kind is Kind.DATE and part in ("hour", "minute")):
        raise Refusal(f"extract() gives {', '.join(sorted(_PARTS))}; of dates no hours")
    to = numeric(_PARTS[part], 0)
    sql = f"CAST(extract({part} FROM {value.value}) AS {to.duckdb})"
    if part in ("year", "isoyear"):  # PostgreSQL says Infinity; of other parts both say NULL
        sql = checked(f"isinf({value.value})", "infinite", sql, to.duckdb)
    return derived(to, sql, [value], nullable=True, fails=True)


def truncated(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """date_trunc(unit, x); of a date it is a timestamptz, as in PostgreSQL."""
    unit = (arguments[0].constant or "").lower()
    value = _moment(arguments[1], "date_trunc")
    if unit not in _UNITS:
        raise Refusal(f"date_trunc() takes one of {', '.join(_UNITS)}")
    to = TIMESTAMP if value.kind is Kind.TIMESTAMP else TIMESTAMPTZ
    return derived(to, f"date_trunc({quoted(unit)}, {widened(value, TIMESTAMP)})", [value])


def formatted(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """to_char(x, format) with the tokens of `FORMATS` and punctuation between them."""
    value = arguments[0]
    if value.kind in NUMBERS:
        return numberformat.formatted(value, arguments[1].constant or "", "to_char")
    if value.kind not in MOMENTS:
        raise Refusal(f"to_char() takes a date, timestamp or number, not {value.type}")
    pattern = arguments[1].constant
    if not pattern or "".join(_TOKEN.findall(pattern)) != pattern:
        raise Refusal(f"the format is a constant made of {', '.join(FORMATS)} and -./:,;_ or blank")
    shown = _TOKEN.sub(lambda match: FORMATS.get(match[0], match[0]), pattern)
    sql = f"CASE WHEN NOT isinf({value.value}) THEN strftime({value.value}, {quoted(shown)}) END"
    return derived(TEXT, sql, [value], nullable=True)


def part(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """date_part('year', x): extract() as a double."""
    return cast(extracted(arguments, named), FLOAT8)


def made(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """make_date(year, month, day)."""
    year, month, day = map(as_integer, arguments)
    sql = f"make_date({year.value}, {month.value}, {day.value})"
    sql = checked(f"{year.value} < 1", "bc", sql, "DATE")
    known = " AND ".join(f"{value.value} IS NOT NULL" for value in (year, month, day))
    return derived(DATE, f"CASE WHEN {known} THEN {sql} END", [year, month, day], fails=True)
