"""The functions of Oracle that expressions may call.

There is no server to hold them against: a test has a table of cases for each, after the manual
(Oracle Database SQL Language Reference).
"""

from __future__ import annotations

import re
from dataclasses import replace

from transforms.expressions import choices, moments, numbers, ours, regexes, strings, zones
from transforms.expressions.arguments import (
    Arguments,
    Build,
    Function,
    Named,
    as_integer,
    constant,
)
from transforms.expressions.casts import as_numeric, cast
from transforms.expressions.dialects.oracletext import emptied, string
from transforms.expressions.numberformat import formatted
from transforms.expressions.operators import case, compare, is_null, negation
from transforms.expressions.patternreader import ORACLE
from transforms.expressions.sql import checked, quoted
from transforms.expressions.sql import named as by_name
from transforms.expressions.typed import Refusal, Typed, derived, literal, text
from transforms.types import (
    DATE,
    INT4,
    INTEGERS,
    MOMENTS,
    NUMBERS,
    STRINGS,
    TEXT,
    TIMESTAMP,
    Kind,
    Type,
)


def _of_text(build: Build) -> Build:
    """A function whose first argument may be a whole number, too."""
    return lambda arguments, named: build([string(arguments[0]), *arguments[1:]], named)


def concatenated(left: Typed, right: Typed) -> Typed:
    """``||``: NULL adds nothing."""
    a, b = string(left), string(right)
    parts = None
    if all(v.parts is not None and (v.kind in STRINGS or not v.nullable) for v in (left, right)):
        parts = (a.parts or ()) + (b.parts or ())
    sql = f"(coalesce({text(a)}, '') || coalesce({text(b)}, ''))"
    if not (a.nullable and b.nullable):
        return derived(TEXT, sql, [a, b], nullable=False, parts=parts)
    return emptied(derived(TEXT, sql, [a, b], nullable=True, parts=parts))


def _concat(arguments: Arguments, named: Named) -> Typed:
    return concatenated(*arguments)


def like(arguments: Arguments, named: Named) -> Typed:
    """LIKE has no escape character but the one that is named."""
    plain = [*arguments[:2], *(arguments[2:] or [literal("")])]
    return strings.like(plain, fold=False)


def _nvl(arguments: Arguments, named: Named) -> Typed:
    return choices.coalesce(arguments, named)


def _nvl2(arguments: Arguments, named: Named) -> Typed:
    value, known, unknown = arguments
    return case([negation(is_null(value))], [known], unknown)


def _decode(arguments: Arguments, named: Named) -> Typed:
    """Compares as if NULL were a value."""
    value, *rest = arguments
    otherwise = rest.pop() if len(rest) % 2 else literal(None)
    tests = [compare("IS NOT DISTINCT FROM", value, search) for search in rest[::2]]
    return case(tests, rest[1::2], otherwise)


def _nullif(arguments: Arguments, named: Named) -> Typed:
    return choices.nullif(arguments, named)


def _extreme(name: str) -> Build:
    """NULL where one is."""

    def build(arguments: Arguments, named: Named) -> Typed:
        found = choices.extreme(name)(arguments, named)
        known = " AND ".join(f"{value.value} IS NOT NULL" for value in arguments)
        nullable = any(value.nullable for value in arguments)
        return replace(found, sql=f"CASE WHEN {known} THEN {found.value} END", nullable=nullable)

    return build


def _integer(value: Typed) -> Typed:
    return cast(value, INT4) if value.kind is Kind.NUMERIC else as_integer(value)


def _substr(arguments: Arguments, named: Named) -> Typed:
    """From a position (0 is 1, below 0 from the end); NULL where nothing is left."""
    value, start = string(arguments[0]), _integer(arguments[1])
    inputs, p, sql = [value, start], start.value, text(value)
    first = f"CASE WHEN {p} < 0 THEN length({sql}) + {p} + 1 ELSE greatest({p}, 1) END"
    size = ""
    if len(arguments) > 2:
        count = _integer(arguments[2])
        inputs.append(count)
        size = f", greatest({count.value}, 0)"
    known = " AND ".join(f"{item.value} IS NOT NULL" for item in inputs)
    inside = f"{known} AND {p} >= - length({sql})"
    found = f"CASE WHEN {inside} THEN substring({sql}, {first}{size}) END"
    return derived(TEXT, found, inputs, nullable=True)


def _instr(arguments: Arguments, named: Named) -> Typed:
    values = [string(value) for value in arguments]
    return strings.of_text("CAST(strpos({0}, {1}) AS INTEGER)", INT4)(values, named)


def _pad(function: str) -> Build:
    """NULL for a length below 1."""

    def build(arguments: Arguments, named: Named) -> Typed:
        return strings.pad(function)(
            [string(arguments[0]), _integer(arguments[1]), *arguments[2:]], named
        )

    return build


def _trim(arguments: Arguments, named: Named) -> Typed:
    """TRIM([side c FROM] x): one character."""
    value, *rest = arguments
    side = {"leading": "ltrim", "trailing": "rtrim"}.get(rest[-1].constant or "", "trim")
    what = constant(rest[0], "what TRIM() takes off") if len(rest) > 1 else " "
    if len(what) != 1:
        raise Refusal("TRIM() takes off one character", fix="LTRIM(x, 'abc')")
    return strings.trim(side)([string(value), literal(what)], named)


def _side(function: str) -> Build:
    """LTRIM(), RTRIM(): of char(n) the blanks go, and with them the doubt about comparing it."""

    def build(arguments: Arguments, named: Named) -> Typed:
        found = strings.trim(function)([string(arguments[0]), *arguments[1:]], named)
        return replace(found, folds="") if function == "rtrim" and len(arguments) == 1 else found

    return build


def _replace(arguments: Arguments, named: Named) -> Typed:
    """Without a replacement, or with NULL, what is found is taken out."""
    value, old = string(arguments[0]), string(arguments[1])
    new = string(arguments[2]) if len(arguments) > 2 else string(literal(None))
    if old.constant is None and old.nullable:
        raise Refusal("what REPLACE() looks for cannot be NULL", fix="a constant")
    shown = "''" if new.constant is None and not new.reads else f"coalesce({text(new)}, '')"
    sql = f"replace({text(value)}, {text(old)}, {shown})"
    chars = value.chars * max(1, -(-new.chars // max(1, len(old.constant or "x"))))
    return derived(TEXT, sql, [value, old], nullable=True, chars=chars)


def _regexp_like(arguments: Arguments, named: Named) -> Typed:
    return regexes.matched(string(arguments[0]), arguments[1], fold=False, flavour=ORACLE)


def _regexp_replace(arguments: Arguments, named: Named) -> Typed:
    """Every match."""
    replacement = arguments[2].constant or "" if len(arguments) > 2 else ""
    written = constant(arguments[1], "the regular expression")
    return regexes.replacing(
        string(arguments[0]), written, replacement,
        fold=False, everywhere=True, whole=r"(?!)", flavour=ORACLE,
    )  # fmt: skip


def _regexp_substr(arguments: Arguments, named: Named) -> Typed:
    written = constant(arguments[1], "the regular expression")
    return regexes.extracting(string(arguments[0]), written, of_group=False, flavour=ORACLE)


def _standard_hash(arguments: Arguments, named: Named) -> Typed:
    name = constant(arguments[1], "the method of STANDARD_HASH()").upper()
    if name not in ("MD5", "SHA256"):
        raise Refusal("STANDARD_HASH() knows 'MD5' and 'SHA256'")
    value = string(arguments[0])
    return derived(HASH, f"upper({name.lower()}({text(value)}))", [value], chars=64)


HASH = Type(Kind.OTHER, name="raw")


def _rawtohex(arguments: Arguments, named: Named) -> Typed:
    if arguments[0].type != HASH:
        raise Refusal("RAWTOHEX() takes STANDARD_HASH()")
    return replace(arguments[0], type=TEXT)


def _mod(arguments: Arguments, named: Named) -> Typed:
    """MOD(x, 0) is x."""
    left, right = (as_numeric(value) for value in arguments)
    result = numbers.remainder([left, right], named)
    sql = f"CASE WHEN {right.value} = 0 THEN {left.value} ELSE {result.value} END"
    exact = left.type.scale == right.type.scale == 0
    return derived(result.type, f"CAST({sql} AS {result.type.duckdb})", [left, right], fails=True,
                   exact=exact)  # fmt: skip


def _round(arguments: Arguments, named: Named) -> Typed:
    value = as_numeric(arguments[0])
    return numbers.rounded([value, *arguments[1:]], named)


def _trunc(arguments: Arguments, named: Named) -> Typed:
    """Of numbers the digits, of dates the time of day or more."""
    if arguments[0].kind in MOMENTS:
        return _truncated(arguments)
    return numbers.truncated([as_numeric(arguments[0]), *arguments[1:]], named)


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


def _truncated(arguments: Arguments) -> Typed:
    value = _moment(arguments[0])
    unit = "DD"
    if len(arguments) > 1:
        unit = constant(arguments[1], "the unit of TRUNC()").upper()
    if unit not in _UNITS:
        raise Refusal(f"TRUNC() of a date takes {', '.join(_UNITS)}")
    day = cast(value, DATE)
    sql = f"CAST(date_trunc({quoted(_UNITS[unit])}, CAST({day.value} AS TIMESTAMP)) AS DATE)"
    return derived(DATE, sql, [day])


def _toward(name: str) -> Build:
    return lambda arguments, named: numbers.toward(name)([as_numeric(arguments[0])], named)


def _abs(arguments: Arguments, named: Named) -> Typed:
    return numbers.absolute([as_numeric(arguments[0])], named)


def _sign(arguments: Arguments, named: Named) -> Typed:
    value = arguments[0]
    if value.kind not in INTEGERS and value.kind is not Kind.NUMERIC:
        raise Refusal(f"SIGN() takes a number, not {value.type}")
    return numbers.sign([as_numeric(value)], named)


def _moment(value: Typed) -> Typed:
    if value.kind not in (Kind.DATE, Kind.TIMESTAMP):
        raise Refusal(f"a date is expected here, not {value.type}", fix="TO_DATE(x, 'YYYYMMDD')")
    return value


def _last_day(arguments: Arguments, named: Named) -> Typed:
    value = cast(_moment(arguments[0]), DATE)
    return derived(DATE, f"CAST(last_day({value.value}) AS DATE)", [value])


def _add_months(arguments: Arguments, named: Named) -> Typed:
    """The last day of a month stays the last one."""
    value = _moment(arguments[0])
    if value.kind is not Kind.DATE:
        raise Refusal("ADD_MONTHS() takes a date", fix="ADD_MONTHS(TRUNC(x), 1)")
    count = _integer(arguments[1])

    def result(day: str) -> str:
        later = f"CAST({day} + to_months({count.value}) AS DATE)"
        kept = f"CASE WHEN {day} = last_day({day}) THEN last_day({later}) ELSE {later} END"
        return checked(f"{later} NOT BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'",
                       "overflow", kept, "DATE")  # fmt: skip

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


_TOKEN = re.compile(r'YYYY|MM|DD|HH24|MI|SS|"[^"]*"|[-./: ,;]')


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


_SIZE = strings.of_text("CAST(length({0}) AS INTEGER)", INT4)

_TEXTS = {
    "chr": Function("CHR(code)", strings.character, 1, 1),
    "concat": Function("CONCAT(text, text)", _concat, 2, 2),
    "instr": Function("INSTR(text, part)", _instr, 2, 2),
    "length": Function("LENGTH(text)", _of_text(_SIZE), 1, 1),
    "lower": Function("LOWER(text)", _of_text(strings.of_text("lower({0})")), 1, 1),
    "lpad": Function("LPAD(text, length [, fill])", _pad("lpad"), 2, 3),
    "ltrim": Function("LTRIM(text [, characters])", _side("ltrim"), 1, 2),
    "rawtohex": Function("RAWTOHEX(STANDARD_HASH(…))", _rawtohex, 1, 1),
    "regexp_like": Function("REGEXP_LIKE(text, pattern)", _regexp_like, 2, 2),
    "regexp_replace": Function(
        "REGEXP_REPLACE(text, pattern [, replacement])", _regexp_replace, 2, 3
    ),
    "regexp_substr": Function("REGEXP_SUBSTR(text, pattern)", _regexp_substr, 2, 2),
    "replace": Function("REPLACE(text, from [, to])", _replace, 2, 3),
    "rpad": Function("RPAD(text, length [, fill])", _pad("rpad"), 2, 3),
    "rtrim": Function("RTRIM(text [, characters])", _side("rtrim"), 1, 2),
    "standard_hash": Function("STANDARD_HASH(text, method)", _standard_hash, 2, 2),
    "substr": Function("SUBSTR(text, start [, count])", _substr, 2, 3),
    "translate": Function("TRANSLATE(text, from, to)", _of_text(strings.translated), 3, 3),
    "trim": Function("TRIM([side character FROM] text)", _trim, 1, 3),
    "upper": Function("UPPER(text)", _of_text(strings.upper), 1, 1),
}

_CHOICES = {
    "coalesce": Function("COALESCE(value, …)", choices.coalesce, 2, None),
    "decode": Function("DECODE(value, search, result, … [, otherwise])", _decode, 3, None),
    "greatest": Function("GREATEST(value, …)", _extreme("greatest"), 1, None),
    "least": Function("LEAST(value, …)", _extreme("least"), 1, None),
    "nullif": Function("NULLIF(value, other)", _nullif, 2, 2),
    "nvl": Function("NVL(value, other)", _nvl, 2, 2),
    "nvl2": Function("NVL2(value, known, unknown)", _nvl2, 3, 3),
}

_NUMBERS = {
    "abs": Function("ABS(number)", _abs, 1, 1),
    "ceil": Function("CEIL(number)", _toward("ceil"), 1, 1),
    "floor": Function("FLOOR(number)", _toward("floor"), 1, 1),
    "mod": Function("MOD(number, number)", _mod, 2, 2),
    "round": Function("ROUND(number [, digits])", _round, 1, 2),
    "sign": Function("SIGN(number)", _sign, 1, 1),
    "trunc": Function("TRUNC(number [, digits]) or TRUNC(date [, unit])", _trunc, 1, 2),
}

_MOMENTS = {
    "add_months": Function("ADD_MONTHS(date, count)", _add_months, 2, 2),
    "extract": Function("EXTRACT(unit FROM date)", _extract, 2, 2),
    "from_tz": Function("FROM_TZ(timestamp, zone)", _from_tz, 2, 2),
    "last_day": Function("LAST_DAY(date)", _last_day, 1, 1),
    "to_char": Function("TO_CHAR(date or number, format)", _to_char, 2, 2),
    "to_date": Function("TO_DATE(text, format)", _to_date, 2, 2),
    "to_timestamp": Function("TO_TIMESTAMP(text, format)", _to_date, 2, 2),
}

_OURS = {
    "parse_date": Function(
        "parse_date(text, format [, empty => '…'])", ours.parse_date, 2, 2, ("empty",)
    ),
    "parse_decimal": Function(
        "parse_decimal(text, decimal => '…' [, group => '…'])",
        ours.parse_decimal, 1, 1, ("decimal", "group"),
    ),
}  # fmt: skip

FUNCTIONS: dict[str, Function] = {**_TEXTS, **_CHOICES, **_NUMBERS, **_MOMENTS, **_OURS}

SYNONYMS: dict[str, str] = {}

VOLATILE = frozenset(
    [
        "current_date",
        "current_timestamp",
        "localtimestamp",
        "sys_guid",
        "sys_context",
        "userenv",
        "sysdate",
        "systimestamp",
        "user",
        "uid",
        "sessiontimezone",
        "dbtimezone",
        "sys_extract_utc",
        "ora_hash",
    ]
)

INSTEAD = {
    "to_number": "parse_decimal(x, decimal => ',', group => '.')",
    "months_between": "EXTRACT(YEAR FROM x), EXTRACT(MONTH FROM x)",
    "initcap": "a value map",
    "ascii": "SUBSTR(x, 1, 1) = 'A'",
    "substrb": "SUBSTR()",
    "lengthb": "LENGTH()",
    "regexp_instr": "INSTR()",
    "next_day": "TRUNC(x, 'IW') + 7",
    "power": "x * x",
    "reverse": "SUBSTR()",
    "to_timestamp_tz": "FROM_TZ(TO_TIMESTAMP(x, 'YYYYMMDD'), 'UTC')",
    "dbms_lob": "SUBSTR()",
}
