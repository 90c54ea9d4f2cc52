"""Time zones and intervals.

A zone is named by its place, as in ``Europe/Berlin``: abbreviations and offsets mean different
things to databases. DuckDB's ICU is built in and brings its own tables. In the hour that comes
twice the second is taken (standard time), and an hour that is left out is read as if the clock had
not been set yet: PostgreSQL's rules, and ICU's.

Intervals are constants: whole months, days and microseconds, added in this order.
"""

from __future__ import annotations

import re
from functools import cache

import duckdb

from transforms.expressions.arguments import Arguments, Named, constant
from transforms.expressions.casts import widened
from transforms.expressions.sql import checked, quoted
from transforms.expressions.sql import named as named_sql
from transforms.expressions.typed import Refusal, Typed, derived
from transforms.types import MOMENTS, TIMESTAMP, TIMESTAMPTZ, Kind, Type

FIRST, LAST = "TIMESTAMP '1980-01-02'", "TIMESTAMP '2037-12-30'"
"""Outside, tables of time zones differ: what is kept of the past, and how the future is told."""

UNSETTLED = frozenset(
    {
        "Africa/Casablanca",
        "Africa/El_Aaiun",
        "America/Bogota",
        "America/Edmonton",
        "America/Inuvik",
        "America/Rainy_River",
        "America/Vancouver",
        "America/Winnipeg",
        "America/Yellowknife",
        "Canada/Central",
        "Canada/East-Saskatchewan",
        "Canada/Mountain",
        "Canada/Pacific",
        "Europe/Chisinau",
        "Europe/Tiraspol",
    }
)
"""Places whose rules tables in use today tell differently."""

INTERVAL = Type(Kind.OTHER, name="interval")
_UNITS = {
    "year": (12, 0, 0),
    "month": (1, 0, 0),
    "week": (0, 7, 0),
    "day": (0, 1, 0),
    "hour": (0, 0, 3_600_000_000),
    "minute": (0, 0, 60_000_000),
    "second": (0, 0, 1_000_000),
}
_SHORT = {"mon": "month", "min": "minute", "sec": "second"}
_AMOUNT = re.compile(r"\s*([+-]?[0-9]{1,9})\s*([a-z]+)", re.IGNORECASE)
AMOUNT_MAX = 10_000_000
_SPAN = "TIMESTAMP '0001-01-01' AND TIMESTAMP '294246-12-31'"


@cache
def known_zones() -> frozenset[str]:
    """The names of places that DuckDB's tables have."""
    with duckdb.connect(":memory:", config={"enable_external_access": False}) as connection:
        rows = connection.execute("SELECT name FROM pg_timezone_names()").fetchall()
    place = re.compile(r"(?!Etc/|SystemV/|US/)[A-Z][A-Za-z_]+(/[A-Za-z_-]+)+")
    return frozenset(name for (name,) in rows if place.fullmatch(name))


def zone_of(value: Typed) -> str:
    name = constant(value, "a time zone")
    if name.upper() in ("UTC", "ETC/UTC"):
        return "UTC"
    if name in UNSETTLED:
        raise Refusal(f"the rules of {name} differ between the tables that databases use")
    if name not in known_zones():
        raise Refusal(
            "a time zone is named by its place", fix="UTC, or a place such as 'Europe/Berlin'"
        )
    return name


def at_time_zone(value: Typed, zone: Typed) -> Typed:
    """``x AT TIME ZONE 'Europe/Berlin'``: a timestamp there as a timestamptz, or the reverse."""
    if value.kind not in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        raise Refusal(f"AT TIME ZONE takes a timestamp, not {value.type}", fix="x::timestamp")
    name = zone_of(zone)
    to = TIMESTAMPTZ if value.kind is Kind.TIMESTAMP else TIMESTAMP
    if name == "UTC":
        return derived(to, value.value, [value], parts=value.parts)
    if to is TIMESTAMPTZ:
        return derived(to, between(value.value, name, "UTC"), [value], fails=True)
    return derived(to, between(value.value, "UTC", name), [value], fails=True)


def between(sql: str, old: str, new: str) -> str:
    """SQL of a TIMESTAMP that the clock of one zone shows, as another's shows it."""

    def result(clock: str) -> str:
        moved = f"CAST({clock} AS TIMESTAMP)"
        if old != "UTC":
            moved = f"timezone('UTC', timezone({quoted(old)}, {moved}))"
        if new != "UTC":
            moved = f"timezone({quoted(new)}, timezone('UTC', {moved}))"
        return checked(f"{clock} NOT BETWEEN {FIRST} AND {LAST}", "zone", moved, "TIMESTAMP")

    return named_sql(sql, result)


def interval(written: str, unit: str) -> tuple[int, int, int]:
    """(months, days, microseconds) of a constant interval. Errors: Refusal."""
    if unit and not re.fullmatch(r"\s*[+-]?[0-9]+\s*", written):
        raise Refusal("a unit behind an interval stands for a number: interval '3' day")
    whole = f"{written} {unit}".strip()
    months = days = micros = at = 0
    while match := _AMOUNT.match(whole, at):
        name = match[2].lower()
        name = name if name in _UNITS or name in _SHORT else name.removesuffix("s")
        factors = _UNITS.get(_SHORT.get(name, name))
        amount = int(match[1])
        if factors is None or abs(amount) > AMOUNT_MAX:
            break
        months, days = months + amount * factors[0], days + amount * factors[1]
        micros += amount * factors[2]
        at = match.end()
    if not at or whole[at:].strip():
        raise Refusal("an interval is a constant such as interval '3 days' or '1 year 2 months'")
    return months, days, micros


def moved(value: Typed, months: int | str, days: int | str, micros: int | str) -> Typed:
    """A moment, shifted; a date becomes a timestamp."""
    if value.kind not in MOMENTS:
        raise Refusal(f"an interval is added to a date or timestamp, not to {value.type}")
    to = TIMESTAMPTZ if value.kind is Kind.TIMESTAMPTZ else TIMESTAMP
    sql = widened(value, TIMESTAMP) if value.kind is Kind.DATE else value.value
    return derived(to, shifted(sql, months, days, micros), [value], fails=True)


def shifted(sql: str, months: int | str, days: int | str, micros: int | str) -> str:
    """SQL of a TIMESTAMP moved by months, then days, then microseconds; infinity stays."""

    def result(moment: str) -> str:
        later = moment
        for amount, function in (
            (months, "to_months"),
            (days, "to_days"),
            (micros, "to_microseconds"),
        ):
            if amount != 0:
                later = f"({later} + {function}({amount}))"
        moved = checked(f"{later} NOT BETWEEN {_SPAN}", "overflow", later, "TIMESTAMP")
        return f"CASE WHEN isinf({moment}) THEN {moment} ELSE {moved} END"

    return named_sql(sql, result)


def is_interval(value: Typed) -> bool:
    """A constant of it; columns of type interval are carried."""
    return value.type == INTERVAL and value.constant is not None


def arithmetic(operator: str, left: Typed, right: Typed) -> Typed:
    """``x + interval '1 day'``, ``x - interval '1 day'``, ``interval '1 day' + x``."""
    if operator not in "+-" or (is_interval(left) and (operator == "-" or is_interval(right))):
        raise Refusal("of intervals there are: x + interval '1 day', x - interval '1 day'")
    value, amount = (right, left) if is_interval(left) else (left, right)
    months, days, micros = map(int, (amount.constant or "").split(","))
    if operator == "-":
        months, days, micros = -months, -days, -micros
    return moved(value, months, days, micros)


def constant_interval(arguments: Arguments, named: Named) -> Typed:
    """What a literal of an interval is to the operators: its three numbers."""
    written, unit = (argument.constant or "" for argument in arguments)
    numbers = interval(written, unit)
    return Typed(INTERVAL, None, nullable=False, constant=",".join(map(str, numbers)))
