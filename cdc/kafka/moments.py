"""Dates and times out of Debezium's JSON, as PostgreSQL prints them. Arrow columns in and out."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdc.kafka.numbers import Convert, distinct

DAY_S = 86_400
_YEAR_1_S, _YEAR_10000_S = -62_135_596_800, 253_402_300_800
"""Where Arrow's own spelling holds, in seconds since 1970."""
_LAST_DAY, _LAST_MOMENT, _FIRST = 5_874_897, 294_276, -4_713
"""Years that PostgreSQL's date and timestamp reach; what lies beyond is its infinity, as Debezium
reckons it. One that does so in microseconds lies within:"""
_INFINITE = (294_247, 1, 10, " 04:00:25.2")
_USUAL = r"^(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})-[^+-]*-[^+-]*Z$"
_ISO = re.compile(
    r"([+-]?\d{4,9})-(\d\d)-(\d\d)(?:T(\d\d:\d\d(?::\d\d)?)(?:\.(\d+))?)?(?:Z|([+-])(\d\d):(\d\d))?"
)
PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}


def dates(column: pa.Array) -> pa.Array:
    """Days since 1970."""
    days = column.fill_null(0).to_numpy().astype(np.int64)
    usual = (days * DAY_S >= _YEAR_1_S) & (days * DAY_S < _YEAR_10000_S)
    if usual.all():
        return column.cast(pa.int32()).cast(pa.date32()).cast(pa.string())
    return pa.array(
        [None if day is None else _date(*_civil(day)) for day in column.to_pylist()], pa.string()
    )


def moments(unit: str) -> Convert:
    """Such units since 1970, without a time zone."""
    per = PER_SECOND[unit]

    def convert(column: pa.Array) -> pa.Array:
        units = column.fill_null(0).to_numpy().astype(np.int64)
        seconds = units // per
        if ((seconds < _YEAR_1_S) | (seconds >= _YEAR_10000_S)).any():
            return pa.array(
                [None if one is None else _moment(one, per) for one in column.to_pylist()],
                pa.string(),
            )
        text = column.cast(pa.int64()).cast(pa.timestamp(unit)).cast(pa.string())
        return _without_zeros(text)

    return convert


def times(unit: str) -> Convert:
    """Such units since midnight; 24:00 and, of MySQL, more than a day and less than nothing."""
    per = PER_SECOND[unit]

    def convert(column: pa.Array) -> pa.Array:
        units = column.fill_null(0).to_numpy().astype(np.int64)
        if ((units < 0) | (units >= DAY_S * per)).any():
            return pa.array(
                [None if one is None else _hours(one, per) for one in column.to_pylist()],
                pa.string(),
            )
        kind = pa.time32("ms") if unit == "ms" else pa.time64(unit)
        text = column.cast(pa.int32() if unit == "ms" else pa.int64()).cast(kind).cast(pa.string())
        return _without_zeros(text)

    return convert


def durations(column: pa.Array) -> pa.Array:
    """Microseconds, as hours: what months and days were in it, Debezium has reckoned."""
    return pa.array(
        [None if one is None else _hours(one, 10**6) for one in column.to_pylist()], pa.string()
    )


def iso_moments(column: pa.Array) -> pa.Array:
    """``2024-02-29T23:59:59.5Z``, where the Z says nothing."""
    return _usual(column) if _are_usual(column) else distinct(column, _from_iso)


def iso_dates(column: pa.Array) -> pa.Array:
    """``2024-02-29Z``."""
    return iso_times(column) if _are_usual(column) else distinct(column, _from_iso)


def iso_times(column: pa.Array) -> pa.Array:
    """``23:59:59.5Z``."""
    return _without_zeros(pc.replace_substring_regex(column, r"Z$", ""))


def zoned_moments(column: pa.Array) -> pa.Array:
    """To UTC."""
    if _are_usual(column):
        return pc.binary_join_element_wise(_usual(column), "+00", "")
    return distinct(column, lambda text: _from_iso(text, "+00"))


def zoned_times(column: pa.Array) -> pa.Array:
    """``21:59:59Z`` and ``21:59:59+02:00``."""
    return pc.replace_substring_regex(column, r"Z$", "+00")


def _are_usual(column: pa.Array) -> bool:
    """All in UTC and in the years 1 to 9999."""
    return pc.all(pc.match_substring_regex(column, _USUAL)).as_py() is not False


def _usual(column: pa.Array) -> pa.Array:
    text = pc.replace_substring_regex(column, r"Z$", "")
    return _without_zeros(pc.replace_substring(text, "T", " ", max_replacements=1))


def _from_iso(text: str, zone: str = "") -> str:
    """As Java spells it: signed years, of which 0 is 1 BC. Errors: ValueError."""
    if text in ("infinity", "-infinity"):
        return text
    matched = _ISO.fullmatch(text)
    if matched is None:
        raise ValueError("a value is no date or time")
    *ymd, hours, fraction, sign, ahead_h, ahead_m = matched.groups()
    year, month, day = map(int, ymd)
    if hours is None:
        return _date(year, month, day)
    if sign and zone:
        ahead = timedelta(hours=int(ahead_h), minutes=int(ahead_m))
        local = datetime.fromisoformat(f"{year:04}-{month:02}-{day:02}T{hours}")
        utc = local - ahead if sign == "+" else local + ahead
        year, month, day, hours = utc.year, utc.month, utc.day, utc.time().isoformat()
    digits = (fraction or "").rstrip("0")
    return _instant(year, month, day, f" {hours}" + (f".{digits}" if digits else ""), zone)


def _without_zeros(text: pa.Array) -> pa.Array:
    """PostgreSQL shows no zeros at the end of a fraction."""
    text = pc.replace_substring_regex(text, r"(\.\d*?)0+$", r"\1")
    return pc.replace_substring_regex(text, r"\.$", "")


def _civil(day: int) -> tuple[int, int, int]:
    """Year, month and day of the proleptic Gregorian calendar, by days since 1970; year 0 is 1 BC
    (http://howardhinnant.github.io/date_algorithms.html)."""
    day += 719_468
    era, of_era = divmod(day, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def _era(year: int, month: int, day: int, rest: str = "") -> str:
    shown = year if year > 0 else 1 - year
    return f"{shown:04}-{month:02}-{day:02}{rest}" + ("" if year > 0 else " BC")


def _date(year: int, month: int, day: int) -> str:
    return "infinity" if year > _LAST_DAY else _era(year, month, day)


def _instant(year: int, month: int, day: int, hours: str, zone: str = "") -> str:
    if year > _LAST_MOMENT or (year, month, day, hours) == _INFINITE:
        return "infinity"
    return "-infinity" if year < _FIRST else _era(year, month, day, hours + zone)


def _moment(units: int, per: int) -> str:
    days, rest = divmod(units, DAY_S * per)
    return _instant(*_civil(days), " " + _hours(rest, per))


def _hours(units: int, per: int) -> str:
    seconds, fraction = divmod(abs(units), per)
    sign = "-" if units < 0 else ""
    digits = f".{fraction:0{len(str(per)) - 1}}".rstrip("0") if fraction else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{digits}"
