"""The functions of MySQL and MariaDB that expressions may call.

Each is held against a real MariaDB, and MySQL where one is at hand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from transforms.expressions import (
    choices,
    digests,
    documents,
    numbers,
    ours,
    regexes,
    strings,
    zones,
)
from transforms.expressions.arguments import (
    Arguments,
    Build,
    Function,
    Named,
    constant,
    whole,
)
from transforms.expressions.casts import cast
from transforms.expressions.dialects.mysqltext import count as count_of
from transforms.expressions.dialects.mysqltext import string, wide
from transforms.expressions.literals import adopt
from transforms.expressions.operators import case, compared_as_they_are, is_null
from transforms.expressions.patternreader import PERL
from transforms.expressions.patterns import pattern
from transforms.expressions.sql import quoted
from transforms.expressions.typed import Refusal, Typed, as_text, derived, literal, text
from transforms.types import (
    BOOL,
    DATE,
    INT4,
    INT8,
    INTEGERS,
    MOMENTS,
    NUMBERS,
    STRINGS,
    TEXT,
    TIMESTAMP,
    Kind,
)


def _of_text(build: Build, *, texts: Sequence[int] = (0,)) -> Build:
    """A function whose arguments at `texts` may be numbers and dates, too."""

    def own(arguments: Arguments, named: Named) -> Typed:
        read = [string(a) if at in texts else a for at, a in enumerate(arguments)]
        return build(read, named)

    return own


def _concat(arguments: Arguments, named: Named) -> Typed:
    """NULL where one is."""
    values = [string(value) for value in arguments]
    parts = None
    if all(value.parts is not None for value in values):
        parts = tuple(part for value in values for part in value.parts or ())
    return derived(TEXT, "(" + " || ".join(map(text, values)) + ")", values, parts=parts)


def _concat_ws(arguments: Arguments, named: Named) -> Typed:
    return strings.concat_ws([string(value) for value in arguments], named)


def _left(arguments: Arguments, named: Named) -> Typed:
    value, count = string(arguments[0]), count_of(arguments[1])
    return derived(TEXT, f"left({text(value)}, greatest({count.value}, 0))" if count.constant
                   else _known(count, f"left({text(value)}, greatest({count.value}, 0))"),
                   [value, count])  # fmt: skip


def _right(arguments: Arguments, named: Named) -> Typed:
    value, count = string(arguments[0]), count_of(arguments[1])
    sql = _known(count, f"right({text(value)}, greatest({count.value}, 0))")
    return derived(TEXT, sql, [value, count])


def _known(count: Typed, sql: str) -> str:
    """greatest() passes over a NULL."""
    return f"CASE WHEN {count.value} IS NOT NULL THEN {sql} END"


def _substring(arguments: Arguments, named: Named) -> Typed:
    """From a position, counted from the end where it is negative; 0 is nowhere."""
    value, start = string(arguments[0]), count_of(arguments[1])
    sql, p = text(value), start.value
    length = f"length({sql})"
    first = f"CASE WHEN {p} < 0 THEN {length} + {p} + 1 ELSE {p} END"
    inputs = [value, start]
    count = ""
    if len(arguments) > 2:
        size = count_of(arguments[2])
        inputs.append(size)
        count = f", greatest({size.value}, 0)"
    inside = f"{p} <> 0 AND {p} >= - {length}"
    result = f"CASE WHEN {inside} THEN substring({sql}, {first}{count}) ELSE '' END"
    known = " AND ".join(f"{item.value} IS NOT NULL" for item in inputs)
    return derived(TEXT, f"CASE WHEN {known} THEN {result} END", inputs)


def _substring_index(arguments: Arguments, named: Named) -> Typed:
    """What stands before the n-th delimiter, or behind it, counted from the end."""
    value = string(arguments[0])
    by = constant(arguments[1], "the delimiter of SUBSTRING_INDEX()")
    count = whole(arguments[2], "the count of SUBSTRING_INDEX()")
    overlaps = any(by.startswith(by[-n:]) for n in range(1, len(by)))
    if not by or count == 0 or (overlaps and count < 0):
        raise Refusal("SUBSTRING_INDEX() takes a delimiter that is not empty, and a count but 0")
    split = f"string_split({text(value)}, {quoted(by)})"
    piece = f"{split}[:{count}]" if count > 0 else f"{split}[{count}:]"
    if count < 0:
        piece = f"list_slice({split}, greatest(len({split}) + {count} + 1, 1), len({split}))"
    return derived(TEXT, f"array_to_string({piece}, {quoted(by)})", [value])


def _pad(function: str) -> Build:
    """A length below 0 gives NULL; an empty fill is refused."""

    def build(arguments: Arguments, named: Named) -> Typed:
        length = count_of(arguments[1])
        padded = strings.pad(function)([string(arguments[0]), length, arguments[2]], named)
        sql = f"CASE WHEN {length.value} >= 0 THEN {padded.value} END"
        return replace(padded, sql=sql, nullable=True)

    return build


def _trim(arguments: Arguments, named: Named) -> Typed:
    """TRIM([side what FROM] x): `what` is a whole text here, not a set of characters."""
    value, *rest = arguments
    side = rest[-1].constant or "both"
    what = constant(rest[0], "what TRIM() takes off") if len(rest) > 1 else " "
    if not what:
        raise Refusal("TRIM() takes off nothing")
    return _stripped(string(value), what, side)


def _stripped(value: Typed, what: str, side: str) -> Typed:
    sql = text(value)
    escaped = "".join(f"\\x{{{ord(c):X}}}" for c in what)
    if side in ("both", "leading"):
        leading = quoted(rf"\A(?:{escaped})+")
        sql = f"regexp_replace({sql}, {leading}, '')"
    if side in ("both", "trailing"):
        trailing = quoted(rf"(?:{escaped})+\z")
        sql = f"regexp_replace({sql}, {trailing}, '')"
    return derived(TEXT, sql, [value])


def _side(side: str) -> Build:
    return lambda arguments, named: _stripped(string(arguments[0]), " ", side)


def _locate(arguments: Arguments, named: Named) -> Typed:
    """LOCATE(part, text): by the collation, so a binary one must be named."""
    part, value = string(arguments[0]), string(arguments[1])
    compared_as_they_are(part, value)
    return derived(INT4, f"CAST(strpos({text(value)}, {text(part)}) AS INTEGER)", [part, value])


def _instr(arguments: Arguments, named: Named) -> Typed:
    return _locate(arguments[::-1], named)


def matches(arguments: Arguments, named: Named) -> Typed:
    """x REGEXP 'pattern'."""
    _caseless(arguments[0], arguments[1])
    return regexes.matched(string(arguments[0]), arguments[1], fold=False, flavour=PERL)


def _caseless(value: Typed, written: Typed) -> None:
    """A collation that ignores case lets a pattern do so, too."""
    found = pattern(constant(written, "the regular expression"), flavour=PERL)
    if found.cased:
        compared_as_they_are(value)


def _regexp_replace(arguments: Arguments, named: Named) -> Typed:
    """Every match. Groups are written in different ways in MariaDB and MySQL."""
    _caseless(arguments[0], arguments[1])
    replacement = constant(arguments[2], "the replacement")
    if "\\" in replacement or "$" in replacement:
        raise Refusal("\\1 and $1 in a replacement mean different things to MariaDB and MySQL")
    written = constant(arguments[1], "the regular expression")
    return regexes.replacing(
        string(arguments[0]), written, replacement,
        fold=False, everywhere=True, whole=r"(?!)", flavour=PERL,
    )  # fmt: skip


def _if(arguments: Arguments, named: Named) -> Typed:
    test, first, other = arguments
    if test.kind in NUMBERS:
        test = derived(BOOL, f"({test.value} <> 0)", [test])
    return case([test], [first], other)


def _nullif(arguments: Arguments, named: Named) -> Typed:
    if arguments[0].kind in NUMBERS and arguments[1].kind is Kind.LITERAL:
        raise Refusal("a number is compared with a text", fix="write the number unquoted")
    return choices.nullif(arguments, named)


def _is_null(arguments: Arguments, named: Named) -> Typed:
    return is_null(arguments[0])


def _extreme(name: str) -> Build:
    """NULL where one is."""

    def build(arguments: Arguments, named: Named) -> Typed:
        found = choices.extreme(name)(arguments, named)
        known = " AND ".join(f"{value.value} IS NOT NULL" for value in arguments)
        nullable = any(value.nullable for value in arguments)
        return replace(found, sql=f"CASE WHEN {known} THEN {found.value} END", nullable=nullable)

    return build


def _round(arguments: Arguments, named: Named) -> Typed:
    value = arguments[0]
    if value.kind in INTEGERS:
        if len(arguments) > 1 and whole(arguments[1], "the digits of ROUND()") < 0:
            return cast(numbers.rounded(arguments, named), INT8)
        return value
    return numbers.rounded(arguments, named)


def _truncate(arguments: Arguments, named: Named) -> Typed:
    if arguments[0].kind in INTEGERS and whole(arguments[1], "the digits of TRUNCATE()") >= 0:
        return arguments[0]
    return numbers.truncated(arguments, named)


def _toward(name: str) -> Build:
    """CEILING(), FLOOR()."""

    def build(arguments: Arguments, named: Named) -> Typed:
        return (
            arguments[0]
            if arguments[0].kind in INTEGERS
            else numbers.toward(name)(arguments, named)
        )

    return build


def _mod(arguments: Arguments, named: Named) -> Typed:
    left, right = arguments
    result = numbers.remainder(arguments, named)
    sql = f"CASE WHEN {right.value} = 0 THEN NULL ELSE {result.value} END"
    exact = result.kind in INTEGERS  # MariaDB prints -0.00
    return derived(result.type, sql, [left, right], nullable=True, fails=True, exact=exact)


def _abs(arguments: Arguments, named: Named) -> Typed:
    return numbers.absolute([wide(arguments[0])], named)


def _sign(arguments: Arguments, named: Named) -> Typed:
    value = arguments[0]
    if value.kind not in INTEGERS and value.kind is not Kind.NUMERIC:
        raise Refusal(f"SIGN() takes a number, not {value.type}")
    return derived(INT4, f"CAST(sign({value.value}) AS INTEGER)", [value])


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
    "Y": "%Y", "y": "%y", "m": "%m", "d": "%d", "H": "%H", "i": "%M", "s": "%S", "S": "%S",
    "T": "%H:%M:%S", "c": "%-m", "e": "%-d", "k": "%-H", "j": "%j", "f": "%f", "%": "%%",
}  # fmt: skip
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


def _path(written: str) -> list[str]:
    """The steps of a JSON path. Errors: Refusal."""
    step = r'\.([A-Za-z_][A-Za-z0-9_]*)|\."([^"\\]+)"|\[([0-9]{1,6})\]'
    if not re.fullmatch(rf"\$(?:{step})+", written):
        raise Refusal("a path of JSON is written as '$.a.b[0]'")
    return [
        f"[{index}]" if index else documents.key_step(plain or quoted_)
        for plain, quoted_, index in re.findall(step, written)
    ]


def _json(value: Typed) -> Typed:
    """MariaDB's JSON is a text."""
    if value.kind in STRINGS or value.kind is Kind.LITERAL:
        return documents.from_text(as_text(value))
    return documents.document(value)


def _json_value(arguments: Arguments, named: Named) -> Typed:
    steps = _path(constant(arguments[1], "a path of JSON"))
    return documents.scalar(_json(arguments[0]), steps, flags=False)


def _json_unquote(arguments: Arguments, named: Named) -> Typed:
    value = arguments[0]
    if value.type != EXTRACTED:
        raise Refusal("JSON_UNQUOTE() takes JSON_EXTRACT()")
    return replace(value, type=TEXT)


def _json_extract(arguments: Arguments, named: Named) -> Typed:
    """Only within JSON_UNQUOTE(). JSON's null is the text null there."""
    steps = _path(constant(arguments[1], "a path of JSON"))
    found = documents.scalar(_json(arguments[0]), steps, null="null")
    return replace(found, type=EXTRACTED)


EXTRACTED = replace(documents.JSON, name="what JSON_EXTRACT() gives")


def _sha2(arguments: Arguments, named: Named) -> Typed:
    if whole(arguments[1], "the bits of SHA2()") not in (0, 256):
        raise Refusal("SHA2() is supported with 256 bits")
    value = string(arguments[0])
    return derived(TEXT, f"sha256({text(value)})", [value], chars=64)


def _repeat(arguments: Arguments, named: Named) -> Typed:
    return strings.repeat([string(arguments[0]), arguments[1]], named)


def _space(arguments: Arguments, named: Named) -> Typed:
    return strings.repeat([literal(" "), arguments[0]], named)


_CHARACTERS = _of_text(strings.of_text("CAST(length({0}) AS INTEGER)", INT4))
_BYTES = _of_text(strings.of_text("CAST(strlen({0}) AS INTEGER)", INT4))
_REPLACED = _of_text(strings.replaced, texts=(0, 1, 2))

_TEXTS = {
    "char_length": Function("CHAR_LENGTH(text)", _CHARACTERS, 1, 1),
    "concat": Function("CONCAT(value, …)", _concat, 1, None),
    "concat_ws": Function("CONCAT_WS(separator, value, …)", _concat_ws, 2, None),
    "hex": Function("HEX(text)", strings.of_text("hex(encode({0}))"), 1, 1),
    "instr": Function("INSTR(text, part)", _instr, 2, 2),
    "left": Function("LEFT(text, count)", _left, 2, 2),
    "length": Function("LENGTH(text)", _BYTES, 1, 1),
    "locate": Function("LOCATE(part, text)", _locate, 2, 2),
    "lower": Function("LOWER(text)", _of_text(strings.of_text("lower({0})")), 1, 1),
    "lpad": Function("LPAD(text, length, fill)", _pad("lpad"), 3, 3),
    "ltrim": Function("LTRIM(text)", _side("leading"), 1, 1),
    "md5": Function("MD5(text)", _of_text(digests.md5), 1, 1),
    "repeat": Function("REPEAT(text, count)", _repeat, 2, 2),
    "replace": Function("REPLACE(text, from, to)", _REPLACED, 3, 3),
    "reverse": Function("REVERSE(text)", _of_text(strings.reverse), 1, 1),
    "right": Function("RIGHT(text, count)", _right, 2, 2),
    "rpad": Function("RPAD(text, length, fill)", _pad("rpad"), 3, 3),
    "rtrim": Function("RTRIM(text)", _side("trailing"), 1, 1),
    "sha2": Function("SHA2(text, 256)", _sha2, 2, 2),
    "space": Function("SPACE(count)", _space, 1, 1),
    "substring": Function("SUBSTRING(text, start [, count])", _substring, 2, 3),
    "substring_index": Function("SUBSTRING_INDEX(text, delimiter, count)", _substring_index, 3, 3),
    "trim": Function("TRIM([side what FROM] text)", _trim, 1, 3),
    "upper": Function("UPPER(text)", _of_text(strings.upper), 1, 1),
}  # fmt: skip

_CHOICES = {
    "coalesce": Function("COALESCE(value, …)", choices.coalesce, 1, None),
    "greatest": Function("GREATEST(value, …)", _extreme("greatest"), 2, None),
    "if": Function("IF(condition, value, other)", _if, 3, 3),
    "ifnull": Function("IFNULL(value, other)", choices.coalesce, 2, 2),
    "isnull": Function("ISNULL(value)", _is_null, 1, 1),
    "least": Function("LEAST(value, …)", _extreme("least"), 2, None),
    "nullif": Function("NULLIF(value, other)", _nullif, 2, 2),
}

_NUMBERS = {
    "abs": Function("ABS(number)", _abs, 1, 1),
    "ceiling": Function("CEILING(number)", _toward("ceil"), 1, 1),
    "floor": Function("FLOOR(number)", _toward("floor"), 1, 1),
    "mod": Function("MOD(number, number)", _mod, 2, 2),
    "round": Function("ROUND(number [, digits])", _round, 1, 2),
    "sign": Function("SIGN(number)", _sign, 1, 1),
    "truncate": Function("TRUNCATE(number, digits)", _truncate, 2, 2),
}

_MOMENTS = {
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

_DOCUMENTS = {
    "json_extract": Function("JSON_EXTRACT(json, path)", _json_extract, 2, 2),
    "json_unquote": Function("JSON_UNQUOTE(JSON_EXTRACT(…))", _json_unquote, 1, 1),
    "json_value": Function("JSON_VALUE(json, path)", _json_value, 2, 2),
    "regexp_replace": Function("REGEXP_REPLACE(text, pattern, replacement)", _regexp_replace, 3, 3),
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

FUNCTIONS: dict[str, Function] = {
    **_TEXTS, **_CHOICES, **_NUMBERS, **_MOMENTS, **_DOCUMENTS, **_OURS,
}  # fmt: skip

SYNONYMS = {
    "adddate": "date_add",
    "ceil": "ceiling",
    "character_length": "char_length",
    "dayofmonth": "day",
    "lcase": "lower",
    "mid": "substring",
    "octet_length": "length",
    "subdate": "date_sub",
    "substr": "substring",
    "ucase": "upper",
}

VOLATILE = frozenset(
    [
        "benchmark",
        "connection_id",
        "curdate",
        "current_date",
        "current_role",
        "current_time",
        "current_timestamp",
        "current_user",
        "curtime",
        "database",
        "found_rows",
        "get_lock",
        "last_insert_id",
        "localtime",
        "localtimestamp",
        "now",
        "rand",
        "random_bytes",
        "release_lock",
        "row_count",
        "schema",
        "session_user",
        "sleep",
        "sysdate",
        "system_user",
        "unix_timestamp",
        "user",
        "utc_date",
        "utc_time",
        "utc_timestamp",
        "uuid",
        "uuid_short",
        "version",
        "load_file",
        "nextval",
        "lastval",
    ]
)

INSTEAD = {
    "ascii": "HEX(LEFT(x, 1))",
    "format": "DATE_FORMAT(), or ROUND() and CONCAT()",
    "regexp_substr": "REGEXP_REPLACE(), or SUBSTRING_INDEX()",
    "regexp_instr": "LOCATE()",
    "from_unixtime": "CONVERT_TZ()",
    "week": "parse the year and DAYOFYEAR()",
    "power": "x * x",
    "pow": "x * x",
    "crc32": "MD5()",
    "sha1": "SHA2(x, 256)",
    "sha": "SHA2(x, 256)",
    "strcmp": "x COLLATE utf8mb4_bin = y",
    "find_in_set": "LOCATE()",
    "timestampdiff": "DATEDIFF()",
}
