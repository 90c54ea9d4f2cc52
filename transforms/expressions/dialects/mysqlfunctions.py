"""The functions of MySQL and MariaDB that expressions may call.

Each is held against a real MariaDB, and MySQL where one is at hand.
"""

from __future__ import annotations

import re
from dataclasses import replace

from transforms.expressions import (
    choices,
    documents,
    numbers,
    ours,
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
from transforms.expressions.dialects.mysqlmoments import DATES
from transforms.expressions.dialects.mysqlstrings import TEXTS, regexp_replace
from transforms.expressions.dialects.mysqltext import wide
from transforms.expressions.operators import case, is_null
from transforms.expressions.typed import Refusal, Typed, as_text, derived
from transforms.types import (
    BOOL,
    INT4,
    INT8,
    INTEGERS,
    NUMBERS,
    STRINGS,
    TEXT,
    Kind,
)


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


def _round(arguments: Arguments, named: Named) -> Typed:
    value = arguments[0]
    if value.kind in INTEGERS:
        if len(arguments) > 1 and whole(arguments[1], "the digits of ROUND()") < 0:
            return cast(numbers.rounded(arguments, named), INT8)
        return value
    return _as_wide(value, numbers.rounded(arguments, named))


def _as_wide(value: Typed, result: Typed) -> Typed:
    """With more digits than `value` MariaDB prints them all, MySQL those that it had."""
    more = value.type.fixed and (result.type.scale or 0) > (value.type.scale or 0)
    return replace(result, exact=False) if more else result


def _truncate(arguments: Arguments, named: Named) -> Typed:
    if arguments[0].kind in INTEGERS and whole(arguments[1], "the digits of TRUNCATE()") >= 0:
        return arguments[0]
    return _as_wide(arguments[0], numbers.truncated(arguments, named))


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

_CHOICES = {
    "coalesce": Function("COALESCE(value, …)", choices.coalesce, 1, None),
    "greatest": Function("GREATEST(value, …)", choices.extreme_of_known("greatest"), 2, None),
    "if": Function("IF(condition, value, other)", _if, 3, 3),
    "ifnull": Function("IFNULL(value, other)", choices.coalesce, 2, 2),
    "isnull": Function("ISNULL(value)", _is_null, 1, 1),
    "least": Function("LEAST(value, …)", choices.extreme_of_known("least"), 2, None),
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

_DOCUMENTS = {
    "json_extract": Function("JSON_EXTRACT(json, path)", _json_extract, 2, 2),
    "json_unquote": Function("JSON_UNQUOTE(JSON_EXTRACT(…))", _json_unquote, 1, 1),
    "json_value": Function("JSON_VALUE(json, path)", _json_value, 2, 2),
    "regexp_replace": Function("REGEXP_REPLACE(text, pattern, replacement)", regexp_replace, 3, 3),
}

FUNCTIONS: dict[str, Function] = {
    **TEXTS,
    **_CHOICES,
    **_NUMBERS,
    **DATES,
    **_DOCUMENTS,
    **ours.FUNCTIONS,
}

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
