"""Functions of dates and times in MySQL and MariaDB."""

from __future__ import annotations

import re
from collections.abc import Sequence

from transforms.expressions import (
    ours,
    zones,
)
from transforms.expressions.arguments import (
    Arguments,
    Build,
    Function,
    Named,
    constant,
)
from transforms.expressions.casts import cast
from transforms.expressions.dialects.mysqltext import string
from transforms.expressions.literals import adopt
from transforms.expressions.sql import quoted
from transforms.expressions.typed import Refusal, Typed, derived, literal
from transforms.types import (
    DATE,
    INT4,
    MOMENTS,
    TEXT,
    TIMESTAMP,
    Kind,
)


def _moment(value: Typed) -> Typed:
    """A date or time; a quoted constant is read as one."""
    if value.kind is Kind.LITERAL:
        return adopt(value, DATE if len(value.constant or "") <= 10 else TIMESTAMP)
    if value.kind not in MOMENTS:
        raise Refusal(
            f"a date is expected here, not {value.type}", fix="CAST(x AS DATE), or STR_TO_DATE()"
        )
    return value


def _part(template: str) -> Build:
    """An integer taken from a date: `template` has {}."""

    def build(arguments: Arguments, named: Named) -> Typed:
        value = _moment(arguments[0])
        return derived(INT4, f"CAST({template.format(value.value)} AS INTEGER)", [value])

    return build


def _extract(arguments: Arguments, named: Named) -> Typed:
    unit = (arguments[0].constant or "").lower()
    if unit not in ("year", "quarter", "month", "day", "hour", "minute", "second"):
        raise Refusal("EXTRACT() gives YEAR, QUARTER, MONTH, DAY, HOUR, MINUTE and SECOND")
    return _part(f"extract({unit} FROM {{}})")(arguments[1:], named)


def _date(arguments: Arguments, named: Named) -> Typed:
    return cast(_moment(arguments[0]), DATE)


def _last_day(arguments: Arguments, named: Named) -> Typed:
    value = _moment(arguments[0])
    return derived(DATE, f"CAST(last_day({value.value}) AS DATE)", [value])


def _datediff(arguments: Arguments, named: Named) -> Typed:
    first, second = (cast(_moment(value), DATE) for value in arguments)
    return derived(INT4, f"CAST({first.value} - {second.value} AS INTEGER)", [first, second])


def moved(operator: str, value: Typed, amount: Typed) -> Typed:
    """x + INTERVAL 3 DAY: a date stays one by whole days, and goes to the year 9999 at most."""
    value = _moment(value)
    shifted = zones.arithmetic(operator, value, amount)
    late = f"{shifted.value} >= TIMESTAMP '10000-01-01'"
    sql = f"CASE WHEN {late} THEN NULL ELSE {shifted.value} END"
    result = derived(shifted.type, sql, [shifted], nullable=True)
    in_days = (amount.constant or "").endswith(",0")
    return cast(result, DATE) if value.kind is Kind.DATE and in_days else result


def _adding(operator: str) -> Build:
    def build(arguments: Arguments, named: Named) -> Typed:
        if not zones.is_interval(arguments[1]):
            raise Refusal("it takes INTERVAL 3 DAY")
        return moved(operator, arguments[0], arguments[1])

    return build


_SHOWN = {
    "Y": "%Y",
    "y": "%y",
    "m": "%m",
    "d": "%d",
    "H": "%H",
    "i": "%M",
    "s": "%S",
    "S": "%S",
    "T": "%H:%M:%S",
    "c": "%-m",
    "e": "%-d",
    "k": "%-H",
    "j": "%j",
    "f": "%f",
    "%": "%%",
}

_READ = {"Y": "YYYY", "m": "MM", "d": "DD", "H": "HH24", "i": "MI", "s": "SS", "S": "SS"}


def _pieces(written: str, known: Sequence[str], name: str) -> list[tuple[str, bool]]:
    """(text, whether it is a token) of a format."""
    found = []
    for piece in re.findall(r"%.|[^%]+|%", written, re.DOTALL):
        token = piece.startswith("%")
        if token and piece[1:] not in known:
            shown = ", ".join(f"%{letter}" for letter in known)
            raise Refusal(f"{name}() knows {shown}, not {piece}")
        found.append((piece[1:] if token else piece, token))
    return found


def _date_format(arguments: Arguments, named: Named) -> Typed:
    value = _moment(arguments[0])
    written = constant(arguments[1], "the format of DATE_FORMAT()")
    shown = "".join(
        _SHOWN[piece] if token else piece
        for piece, token in _pieces(written, list(_SHOWN), "DATE_FORMAT")
    )
    return derived(TEXT, f"strftime({value.value}, {quoted(shown)})", [value])


def _str_to_date(arguments: Arguments, named: Named) -> Typed:
    """Strict: where the server would give NULL with a warning, the row fails."""
    written = constant(arguments[1], "the format of STR_TO_DATE()")
    written = written.replace("%T", "%H:%i:%s")
    pieces = _pieces(written, list(_READ), "STR_TO_DATE")
    ours_form = "".join(_READ[piece] if token else piece for piece, token in pieces)
    return ours.parse_date([string(arguments[0]), literal(ours_form)], {})


def _convert_tz(arguments: Arguments, named: Named) -> Typed:
    """From UTC: there and only there the clock never shows an hour twice."""
    value = _moment(arguments[0])
    if value.kind is Kind.DATE:
        raise Refusal("CONVERT_TZ() takes a DATETIME")
    old, new = (constant(zone, "a time zone of CONVERT_TZ()") for zone in arguments[1:])
    if old.upper() not in ("UTC", "+00:00"):
        raise Refusal(
            "CONVERT_TZ() is supported from 'UTC' or '+00:00' only: what an hour that a clock skips"
            " or shows twice means differs between databases"
        )
    place = "UTC" if new == "+00:00" else zones.zone_of(arguments[2])
    sql = value.value if place == "UTC" else zones.between(value.value, "UTC", place)
    return derived(TIMESTAMP, sql, [value], fails=True)


DATES = {
    "convert_tz": Function("CONVERT_TZ(datetime, 'UTC', zone)", _convert_tz, 3, 3),
    "date": Function("DATE(datetime)", _date, 1, 1),
    "date_add": Function("DATE_ADD(date, INTERVAL count unit)", _adding("+"), 2, 2),
    "date_format": Function("DATE_FORMAT(date, format)", _date_format, 2, 2),
    "date_sub": Function("DATE_SUB(date, INTERVAL count unit)", _adding("-"), 2, 2),
    "datediff": Function("DATEDIFF(date, date)", _datediff, 2, 2),
    "day": Function("DAY(date)", _part("extract(day FROM {})"), 1, 1),
    "dayofweek": Function("DAYOFWEEK(date)", _part("extract(dow FROM {}) + 1"), 1, 1),
    "dayofyear": Function("DAYOFYEAR(date)", _part("extract(doy FROM {})"), 1, 1),
    "extract": Function("EXTRACT(unit FROM date)", _extract, 2, 2),
    "hour": Function("HOUR(datetime)", _part("extract(hour FROM {})"), 1, 1),
    "last_day": Function("LAST_DAY(date)", _last_day, 1, 1),
    "minute": Function("MINUTE(datetime)", _part("extract(minute FROM {})"), 1, 1),
    "month": Function("MONTH(date)", _part("extract(month FROM {})"), 1, 1),
    "quarter": Function("QUARTER(date)", _part("extract(quarter FROM {})"), 1, 1),
    "second": Function("SECOND(datetime)", _part("extract(second FROM {})"), 1, 1),
    "str_to_date": Function("STR_TO_DATE(text, format)", _str_to_date, 2, 2),
    "weekday": Function("WEEKDAY(date)", _part("extract(isodow FROM {}) - 1"), 1, 1),
    "year": Function("YEAR(date)", _part("extract(year FROM {})"), 1, 1),
}
