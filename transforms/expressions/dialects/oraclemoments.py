"""Functions of dates and time zones in Oracle."""

from __future__ import annotations

import re
from dataclasses import replace

from transforms.expressions import moments, ours, zones
from transforms.expressions.arguments import (
    Arguments,
    Function,
    Named,
    constant,
)
from transforms.expressions.casts import cast
from transforms.expressions.dialects.oraclestrings import integer
from transforms.expressions.dialects.oracletext import string
from transforms.expressions.numberformat import formatted
from transforms.expressions.sql import checked, quoted
from transforms.expressions.sql import named as by_name
from transforms.expressions.typed import Refusal, Typed, derived, literal, text
from transforms.types import (
    DATE,
    INT4,
    NUMBERS,
    TEXT,
    TIMESTAMP,
    Kind,
    Type,
)

_UNITS = {
    "DD": "day",
    "DDD": "day",
    "IW": "week",
    "MM": "month",
    "MON": "month",
    "MONTH": "month",
    "Q": "quarter",
    "YYYY": "year",
    "YEAR": "year",
}


def truncated(arguments: Arguments) -> Typed:
    value = _moment(arguments[0])
    unit = "DD"
    if len(arguments) > 1:
        unit = constant(arguments[1], "the unit of TRUNC()").upper()
    if unit not in _UNITS:
        raise Refusal(f"TRUNC() of a date takes {', '.join(_UNITS)}")
    day = cast(value, DATE)
    sql = f"CAST(date_trunc({quoted(_UNITS[unit])}, CAST({day.value} AS TIMESTAMP)) AS DATE)"
    return derived(DATE, sql, [day])


def _moment(value: Typed) -> Typed:
    if value.kind not in (Kind.DATE, Kind.TIMESTAMP):
        raise Refusal(f"a date is expected here, not {value.type}", fix="TO_DATE(x, 'YYYYMMDD')")
    return value


def _day(value: Typed, fix: str) -> Typed:
    """A date; of a timestamp Oracle would keep the time of day."""
    if _moment(value).kind is not Kind.DATE:
        raise Refusal("a date is expected here, not a timestamp", fix=fix)
    return value


def _last_day(arguments: Arguments, named: Named) -> Typed:
    value = _day(arguments[0], "LAST_DAY(TRUNC(x))")
    return derived(DATE, f"CAST(last_day({value.value}) AS DATE)", [value])


def _add_months(arguments: Arguments, named: Named) -> Typed:
    """The last day of a month stays the last one."""
    value = _day(arguments[0], "ADD_MONTHS(TRUNC(x), 1)")
    count = integer(arguments[1])

    def result(day: str) -> str:
        later = f"CAST({day} + to_months({count.value}) AS DATE)"
        kept = f"CASE WHEN {day} = last_day({day}) THEN last_day({later}) ELSE {later} END"
        return checked(
            f"{later} NOT BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'", "overflow", kept, "DATE"
        )

    return derived(DATE, by_name(value.value, result), [value, count], fails=True)


def moved(operator: str, left: Typed, right: Typed) -> Typed:
    """x + INTERVAL '1' DAY. A month later must have that day."""
    if zones.is_interval(left) or operator not in "+-":
        raise Refusal("of intervals there are: x + INTERVAL '1' DAY, x - INTERVAL '1' DAY")
    value = _moment(left)
    result = zones.arithmetic(operator, value, right)
    months, _, micros = (int(number) for number in (right.constant or "").split(","))
    if months:
        other = f"extract(day FROM {result.value}) <> extract(day FROM {value.value})"
        sql = checked(other, "malformed", result.value, "TIMESTAMP")
        result = derived(result.type, sql, [result])
    return cast(result, DATE) if value.kind is Kind.DATE and not micros else result


def _extract(arguments: Arguments, named: Named) -> Typed:
    unit = (arguments[0].constant or "").lower()
    value = _moment(arguments[1])
    if unit not in ("year", "month", "day", "hour", "minute") or (
        value.kind is Kind.DATE and unit in ("hour", "minute")
    ):
        raise Refusal("EXTRACT() gives YEAR, MONTH and DAY; of timestamps HOUR and MINUTE")
    return derived(INT4, f"CAST(extract({unit} FROM {value.value}) AS INTEGER)", [value])


_TOKEN = re.compile(r'YYYY|MM|DD(?!D)|HH24|MI|SS|"[^"]*"|[-./: ,;]')


def _to_char(arguments: Arguments, named: Named) -> Typed:
    """Of dates the parts that need no language; of numbers fixed digits."""
    value = arguments[0]
    written = constant(arguments[1], "the format of TO_CHAR()")
    if value.kind in NUMBERS:
        return formatted(value, written, "TO_CHAR")
    value = _moment(value)
    shown = written.upper() if '"' not in written else written
    if "".join(_TOKEN.findall(shown)) != shown:
        raise Refusal(
            'the format is made of YYYY, MM, DD, HH24, MI, SS, "text" and -./:,; or blank'
        )
    literal_parts = _TOKEN.sub(_shown, shown)
    return derived(TEXT, f"strftime({value.value}, {quoted(literal_parts)})", [value])


def _shown(match: re.Match[str]) -> str:
    piece = match[0]
    if piece.startswith('"'):
        return piece[1:-1].replace("%", "%%")
    return moments.FORMATS.get(piece, piece)


def _to_date(arguments: Arguments, named: Named) -> Typed:
    """Strict: digits and separators as the format has them, no blanks around."""
    value = string(arguments[0])
    form = constant(arguments[1], "the format of TO_DATE()").upper()
    shown = text(value)
    if "RR" in form and "RRRR" not in form:
        value, form = _century(value, form)
    tight = checked(f"{shown} <> trim({shown})", "malformed", text(value))
    return ours.parse_date([replace(value, sql=tight), literal(form)], {})


def _century(value: Typed, form: str) -> tuple[Typed, str]:
    """RR: two digits of a year, 00 to 49 of this century and 50 to 99 of the last one."""
    at = form.index("RR")
    if form.count("RR") != 1 or len(form[:at]) != len(re.sub("HH24", "HH", form[:at])):
        raise Refusal("RR stands once, before the hours")
    sql = text(value)
    pair = f"substring({sql}, {at + 1}, 2)"
    century = f"CASE WHEN {pair} < '50' THEN '20' ELSE '19' END"
    full = f"(left({sql}, {at}) || {century} || substring({sql}, {at + 1}))"
    return derived(TEXT, full, [value]), form.replace("RR", "YYYY")


def zoned(place: str) -> Type:
    """timestamp with time zone that remembers the zone it is shown in."""
    return Type(Kind.TIMESTAMPTZ, name=f"timestamp with time zone at {place}")


def _from_tz(arguments: Arguments, named: Named) -> Typed:
    """A clock's time in a zone. One that the clock skips fails; of two it is the second."""
    value = arguments[0]
    if value.kind is not Kind.TIMESTAMP:
        raise Refusal(f"FROM_TZ() takes a timestamp, not {value.type}", fix="CAST(x AS TIMESTAMP)")
    place = zones.zone_of(arguments[1])
    if place == "UTC":
        return derived(zoned(place), value.value, [value])
    utc = zones.between(value.value, place, "UTC")
    back = zones.between(utc, "UTC", place)
    sql = checked(f"{back} <> {value.value}", "malformed", utc, "TIMESTAMP")
    return derived(zoned(place), sql, [value], fails=True)


def shown(value: Typed) -> Typed:
    """CAST(x AS TIMESTAMP): what the clock shows in the value's zone."""
    _, at, place = value.type.name.partition(" at ")
    if not at:
        raise Refusal("whose clock is meant?", fix="CAST(x AT TIME ZONE 'UTC' AS TIMESTAMP)")
    sql = value.value if place == "UTC" else zones.between(value.value, "UTC", place)
    return derived(TIMESTAMP, sql, [value], fails=True)


DATES = {
    "add_months": Function("ADD_MONTHS(date, count)", _add_months, 2, 2),
    "extract": Function("EXTRACT(unit FROM date)", _extract, 2, 2),
    "from_tz": Function("FROM_TZ(timestamp, zone)", _from_tz, 2, 2),
    "last_day": Function("LAST_DAY(date)", _last_day, 1, 1),
    "to_char": Function("TO_CHAR(date or number, format)", _to_char, 2, 2),
    "to_date": Function("TO_DATE(text, format)", _to_date, 2, 2),
    "to_timestamp": Function("TO_TIMESTAMP(text, format)", _to_date, 2, 2),
}
