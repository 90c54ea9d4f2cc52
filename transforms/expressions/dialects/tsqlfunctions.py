"""The functions of SQL Server that expressions may call.

There is no server to hold them against: a test has a table of cases for each, after the manual
(Transact-SQL reference).
"""

from __future__ import annotations

from dataclasses import replace

from transforms.expressions import choices, moments, numbers, ours, strings, zones
from transforms.expressions.arguments import (
    Arguments,
    Build,
    Function,
    Named,
    as_integer,
    constant,
    whole,
)
from transforms.expressions.casts import cast
from transforms.expressions.dialects.tsqltext import string
from transforms.expressions.operators import case, compared_as_they_are
from transforms.expressions.sql import checked
from transforms.expressions.typed import Refusal, Typed, as_text, derived, text
from transforms.types import (
    DATE,
    DIGITS_MAX,
    INT4,
    INTEGERS,
    NUMBERS,
    STRINGS,
    TEXT,
    Kind,
    numeric,
)


def _of_text(build: Build) -> Build:
    """A function whose first argument may be a whole number, too."""
    return lambda arguments, named: build([string(arguments[0]), *arguments[1:]], named)


def as_bit(value: Typed, other: Typed) -> Typed:
    """A bit where it meets a number."""
    if value.kind is Kind.BOOL and other.kind in NUMBERS:
        return derived(INT4, f"CAST({value.value} AS INTEGER)", [value])
    return value


def like(arguments: Arguments, named: Named) -> Typed:
    """LIKE has no escape character but the one that is named."""
    pattern = constant(arguments[1], "the pattern of LIKE")
    if "[" in pattern:
        raise Refusal("sets of characters in LIKE are not supported", fix="x LIKE '%a%' OR …")
    escape = arguments[2] if len(arguments) > 2 else replace(arguments[1], constant="")
    return strings.like([*arguments[:2], escape], fold=False)


def _len(arguments: Arguments, named: Named) -> Typed:
    """Without trailing blanks."""
    value = string(arguments[0])
    return derived(INT4, f"CAST(length(rtrim({text(value)}, ' ')) AS INTEGER)", [value])


def _charindex(arguments: Arguments, named: Named) -> Typed:
    part, value = (string(argument) for argument in arguments)
    compared_as_they_are(part, value)
    known = f"CASE WHEN {text(part)} = '' THEN 0 ELSE strpos({text(value)}, {text(part)}) END"
    return derived(INT4, f"CAST({known} AS INTEGER)", [part, value])


def _replace(arguments: Arguments, named: Named) -> Typed:
    compared_as_they_are(*(as_text(argument) for argument in arguments[:2]))
    return strings.replaced(arguments, named)


def _part(function: str) -> Build:
    """LEFT(), RIGHT(): a count below 0 is an error."""

    def build(arguments: Arguments, named: Named) -> Typed:
        value, count = string(arguments[0]), as_integer(arguments[1])
        sql = f"{function}({text(value)}, {count.value})"
        sql = checked(f"{count.value} < 0", "malformed", sql)
        return derived(TEXT, sql, [value, count], fails=count.constant is None)

    return build


def _stuff(arguments: Arguments, named: Named) -> Typed:
    """STUFF(x, start, count, text): NULL where the start is not within x."""
    value, new = string(arguments[0]), string(arguments[3])
    start, count = as_integer(arguments[1]), as_integer(arguments[2])
    x, s, n = text(value), start.value, count.value
    inside = f"{s} BETWEEN 1 AND length({x}) AND {n} >= 0"
    rest = f"substring({x}, CAST({s} AS BIGINT) + {n})"
    kept = f"left({x}, {s} - 1) || coalesce({text(new)}, '') || {rest}"
    chars = value.chars + new.chars
    return derived(
        TEXT,
        f"CASE WHEN {inside} THEN {kept} END",
        [value, start, count, new],
        nullable=True,
        chars=chars,
    )


def _replicate(arguments: Arguments, named: Named) -> Typed:
    if whole(arguments[1], "the count of REPLICATE()") < 0:
        raise Refusal("REPLICATE() of less than nothing")
    return strings.repeat([string(arguments[0]), arguments[1]], named)


def _concat(arguments: Arguments, named: Named) -> Typed:
    """NULL is nothing."""
    return strings.concat([string(value) for value in arguments], named)


def _concat_ws(arguments: Arguments, named: Named) -> Typed:
    separator, *values = arguments
    constant(separator, "the separator of CONCAT_WS()")
    return strings.concat_ws([separator, *(string(value) for value in values)], named)


def _isnull(arguments: Arguments, named: Named) -> Typed:
    """ISNULL() has the type of its first argument, COALESCE() that of both."""
    value, other = arguments
    if value.kind in STRINGS:
        size = value.type.name.partition("(")[2].rstrip(")")
        fits = other.constant is not None and size.isdigit() and len(other.constant) <= int(size)
        if size and not fits:
            raise Refusal("ISNULL() cuts the text to the first one's length", fix="COALESCE()")
    elif other.kind in INTEGERS and value.type.fixed:
        return choices.coalesce([value, cast(other, value.type)], named)
    elif other.kind is not Kind.LITERAL and value.kind is not other.kind:
        raise Refusal(f"ISNULL() would make {value.type} of {other.type}", fix="COALESCE()")
    elif value.kind is Kind.NUMERIC and (other.type.scale or 0) > (value.type.scale or 0):
        raise Refusal("ISNULL() would round the second number", fix="COALESCE()")
    return choices.coalesce(arguments, named)


def _iif(arguments: Arguments, named: Named) -> Typed:
    test, first, other = arguments
    return case([test], [first], other)


def _nullif(arguments: Arguments, named: Named) -> Typed:
    return choices.nullif(arguments, named)


def _round(arguments: Arguments, named: Named) -> Typed:
    """ROUND(x, digits) keeps the number's type, its digits behind become 0."""
    value = arguments[0]
    digits = whole(arguments[1], "the digits of ROUND()")
    if value.kind in INTEGERS:
        return value if digits >= 0 else cast(numbers.rounded(arguments, named), value.type)
    found = numbers.rounded(arguments, named)
    scale = value.type.scale
    if scale is None:
        return found
    if digits >= scale:
        return value
    to = numeric(min(DIGITS_MAX, (found.type.precision or 0) + scale - max(digits, 0)), scale)
    return derived(to, f"CAST({found.value} AS {to.duckdb})", [found])


def _toward(name: str) -> Build:
    def build(arguments: Arguments, named: Named) -> Typed:
        whole_ = arguments[0].kind in INTEGERS
        return arguments[0] if whole_ else numbers.toward(name)(arguments, named)

    return build


def _moment(value: Typed) -> Typed:
    if value.kind not in (Kind.DATE, Kind.TIMESTAMP):
        raise Refusal(f"a date is expected here, not {value.type}", fix="CONVERT(date, x, 104)")
    return value


_SHORT = {
    "yy": "year",
    "yyyy": "year",
    "qq": "quarter",
    "q": "quarter",
    "mm": "month",
    "m": "month",
    "dy": "dayofyear",
    "y": "dayofyear",
    "dd": "day",
    "d": "day",
    "hh": "hour",
    "mi": "minute",
    "n": "minute",
    "ss": "second",
    "s": "second",
    "wk": "week",
    "ww": "week",
    "isowk": "iso_week",
    "isoww": "iso_week",
}
_MONTHS = {"year": 12, "quarter": 3, "month": 1}
_DAYS = {"week": 7, "day": 1, "dayofyear": 1}
_SECONDS = {"hour": 3600, "minute": 60, "second": 1}


def _unit(value: Typed, known: tuple[str, ...], name: str) -> str:
    written = (value.constant or "").lower()
    unit = _SHORT.get(written, written)
    if unit not in known:
        raise Refusal(f"{name}() knows {', '.join(known)}")
    return unit


def _dateadd(arguments: Arguments, named: Named) -> Typed:
    """A date stays one; a month that has no such day gives its last one."""
    unit = _unit(arguments[0], (*_MONTHS, *_DAYS, *_SECONDS), "DATEADD")
    count, value = as_integer(arguments[1]), _moment(arguments[2])
    if value.kind is Kind.DATE and unit in _SECONDS:
        raise Refusal("a date has no time of day", fix="CAST(x AS datetime2)")
    n = f"CAST({count.value} AS INTEGER)"
    months = f"{n} * {_MONTHS[unit]}" if unit in _MONTHS else 0
    days = f"{n} * {_DAYS[unit]}" if unit in _DAYS else 0
    micros = f"CAST({n} AS BIGINT) * {_SECONDS[unit]}000000" if unit in _SECONDS else 0
    later = zones.moved(value, months, days, micros)
    outside = f"{later.value} NOT BETWEEN {_FIRST} AND {_LAST}"
    sql = checked(outside, "overflow", later.value, "TIMESTAMP")
    result = derived(later.type, sql, [later, count])
    return cast(result, DATE) if value.kind is Kind.DATE else result


def _datediff(arguments: Arguments, named: Named) -> Typed:
    """How many borders of the unit lie between."""
    known = ("year", "quarter", "month", "day", "dayofyear", "hour", "minute", "second")
    unit = _unit(arguments[0], known, "DATEDIFF").replace("dayofyear", "day")
    first, second = _moment(arguments[1]), _moment(arguments[2])
    a, b = (f"CAST({value.value} AS TIMESTAMP)" for value in (first, second))
    return derived(
        INT4, f"CAST(date_diff('{unit}', {a}, {b}) AS INTEGER)", [first, second], fails=True
    )


_FIRST, _LAST = "TIMESTAMP '0001-01-01'", "TIMESTAMP '9999-12-31 23:59:59.999999'"
_EXTRACTED = {
    "year": "year",
    "quarter": "quarter",
    "month": "month",
    "dayofyear": "doy",
    "day": "day",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
    "iso_week": "week",
}


def _datepart(arguments: Arguments, named: Named) -> Typed:
    unit = _unit(arguments[0], tuple(_EXTRACTED), "DATEPART")
    return _extract(_EXTRACTED[unit])(arguments[1:], named)


def _extract(unit: str) -> Build:
    def build(arguments: Arguments, named: Named) -> Typed:
        value = _moment(arguments[0])
        sql = f"CAST(extract({unit} FROM CAST({value.value} AS TIMESTAMP)) AS INTEGER)"
        return derived(INT4, sql, [value])

    return build


def _eomonth(arguments: Arguments, named: Named) -> Typed:
    value = cast(_moment(arguments[0]), DATE)
    if len(arguments) > 1:
        count = as_integer(arguments[1])
        value = cast(zones.moved(value, f"CAST({count.value} AS INTEGER)", 0, 0), DATE)
    return derived(DATE, f"CAST(last_day({value.value}) AS DATE)", [value])


_TEXTS = {
    "charindex": Function("CHARINDEX(part, text)", _charindex, 2, 2),
    "concat": Function("CONCAT(value, …)", _concat, 2, None),
    "concat_ws": Function("CONCAT_WS(separator, value, …)", _concat_ws, 3, None),
    "left": Function("LEFT(text, count)", _part("left"), 2, 2),
    "len": Function("LEN(text)", _len, 1, 1),
    "lower": Function("LOWER(text)", _of_text(strings.of_text("lower({0})")), 1, 1),
    "ltrim": Function("LTRIM(text)", _of_text(strings.trim("ltrim")), 1, 1),
    "replace": Function("REPLACE(text, from, to)", _replace, 3, 3),
    "replicate": Function("REPLICATE(text, count)", _replicate, 2, 2),
    "reverse": Function("REVERSE(text)", _of_text(strings.reverse), 1, 1),
    "right": Function("RIGHT(text, count)", _part("right"), 2, 2),
    "rtrim": Function("RTRIM(text)", _of_text(strings.trim("rtrim")), 1, 1),
    "stuff": Function("STUFF(text, start, count, text)", _stuff, 4, 4),
    "substring": Function("SUBSTRING(text, start, count)", _of_text(strings.substring), 3, 3),
    "trim": Function("TRIM(text)", _of_text(strings.trim("trim")), 1, 1),
    "upper": Function("UPPER(text)", _of_text(strings.upper), 1, 1),
}

_CHOICES = {
    "coalesce": Function("COALESCE(value, …)", choices.coalesce, 2, None),
    "iif": Function("IIF(condition, value, other)", _iif, 3, 3),
    "isnull": Function("ISNULL(value, other)", _isnull, 2, 2),
    "nullif": Function("NULLIF(value, other)", _nullif, 2, 2),
}

_NUMBERS = {
    "abs": Function("ABS(number)", numbers.absolute, 1, 1),
    "ceiling": Function("CEILING(number)", _toward("ceil"), 1, 1),
    "floor": Function("FLOOR(number)", _toward("floor"), 1, 1),
    "round": Function("ROUND(number, digits)", _round, 2, 2),
}

_MOMENTS = {
    "dateadd": Function("DATEADD(unit, count, date)", _dateadd, 3, 3),
    "datediff": Function("DATEDIFF(unit, date, date)", _datediff, 3, 3),
    "datefromparts": Function("DATEFROMPARTS(year, month, day)", moments.made, 3, 3),
    "datepart": Function("DATEPART(unit, date)", _datepart, 2, 2),
    "day": Function("DAY(date)", _extract("day"), 1, 1),
    "eomonth": Function("EOMONTH(date [, months])", _eomonth, 1, 2),
    "month": Function("MONTH(date)", _extract("month"), 1, 1),
    "year": Function("YEAR(date)", _extract("year"), 1, 1),
}

FUNCTIONS: dict[str, Function] = {**_TEXTS, **_CHOICES, **_NUMBERS, **_MOMENTS, **ours.FUNCTIONS}

VOLATILE = frozenset(
    {
        "app_name",
        "current_date",
        "current_timestamp",
        "current_user",
        "db_name",
        "getdate",
        "getutcdate",
        "host_name",
        "newid",
        "newsequentialid",
        "original_login",
        "rand",
        "session_user",
        "suser_name",
        "suser_sname",
        "sysdatetime",
        "sysdatetimeoffset",
        "system_user",
        "sysutcdatetime",
        "user_name",
    }
)

INSTEAD = {
    "ascii": "LEFT(x, 1) COLLATE Latin1_General_BIN2 = 'A'",
    "char": "a quoted character",
    "choose": "CASE",
    "datalength": "LEN()",
    "datename": "DATEPART()",
    "format": "CONVERT(varchar(10), x, 104)",
    "hashbytes": "dialect: postgres and md5() or sha256()",
    "isnumeric": "TRY_CAST(x AS decimal(12,2)) IS NOT NULL",
    "isdate": "CONVERT(date, x, 104)",
    "parse": "parse_decimal(), parse_date()",
    "patindex": "CHARINDEX(part, x COLLATE Latin1_General_BIN2)",
    "power": "x * x",
    "space": "REPLICATE(' ', 3)",
    "square": "x * x",
    "str": "CAST(x AS varchar(20))",
    "try_parse": "TRY_CAST()",
}
