"""The functions of Oracle that expressions may call.

There is no server to hold them against: a test has a table of cases for each, after the manual
(Oracle Database SQL Language Reference).
"""

from __future__ import annotations

from transforms.expressions import choices, numbers, ours
from transforms.expressions.arguments import (
    Arguments,
    Build,
    Function,
    Named,
)
from transforms.expressions.casts import as_numeric
from transforms.expressions.dialects.oraclemoments import DATES, truncated
from transforms.expressions.dialects.oraclestrings import TEXTS
from transforms.expressions.dialects.oracletext import same_kind
from transforms.expressions.operators import case, compare, is_null, negation
from transforms.expressions.typed import Refusal, Typed, derived, literal
from transforms.types import (
    INTEGERS,
    MOMENTS,
    Kind,
)


def _nvl(arguments: Arguments, named: Named) -> Typed:
    same_kind(*arguments)
    return choices.coalesce(arguments, named)


def _nvl2(arguments: Arguments, named: Named) -> Typed:
    value, known, unknown = arguments
    return case([negation(is_null(value))], [known], unknown)


def _decode(arguments: Arguments, named: Named) -> Typed:
    """Compares as if NULL were a value."""
    value, *rest = arguments
    otherwise = rest.pop() if len(rest) % 2 else literal(None)
    for search in rest[::2]:
        same_kind(value, search)
    tests = [compare("IS NOT DISTINCT FROM", value, search) for search in rest[::2]]
    return case(tests, rest[1::2], otherwise)


def _nullif(arguments: Arguments, named: Named) -> Typed:
    same_kind(*arguments)
    return choices.nullif(arguments, named)


def _extreme(name: str) -> Build:
    def build(arguments: Arguments, named: Named) -> Typed:
        for value in arguments[1:]:
            same_kind(arguments[0], value)
        return choices.extreme_of_known(name)(arguments, named)

    return build


def _mod(arguments: Arguments, named: Named) -> Typed:
    """MOD(x, 0) is x."""
    left, right = (as_numeric(value) for value in arguments)
    result = numbers.remainder([left, right], named)
    sql = f"CASE WHEN {right.value} = 0 THEN {left.value} ELSE {result.value} END"
    exact = left.type.scale == right.type.scale == 0
    return derived(
        result.type, f"CAST({sql} AS {result.type.duckdb})", [left, right], fails=True, exact=exact
    )


def _round(arguments: Arguments, named: Named) -> Typed:
    value = as_numeric(arguments[0])
    return numbers.rounded([value, *arguments[1:]], named)


def _trunc(arguments: Arguments, named: Named) -> Typed:
    """Of numbers the digits, of dates the time of day or more."""
    if arguments[0].kind in MOMENTS:
        return truncated(arguments)
    return numbers.truncated([as_numeric(arguments[0]), *arguments[1:]], named)


def _toward(name: str) -> Build:
    return lambda arguments, named: numbers.toward(name)([as_numeric(arguments[0])], named)


def _abs(arguments: Arguments, named: Named) -> Typed:
    return numbers.absolute([as_numeric(arguments[0])], named)


def _sign(arguments: Arguments, named: Named) -> Typed:
    value = arguments[0]
    if value.kind not in INTEGERS and value.kind is not Kind.NUMERIC:
        raise Refusal(f"SIGN() takes a number, not {value.type}")
    return numbers.sign([as_numeric(value)], named)


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

FUNCTIONS: dict[str, Function] = {**TEXTS, **_CHOICES, **_NUMBERS, **DATES, **ours.FUNCTIONS}

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
