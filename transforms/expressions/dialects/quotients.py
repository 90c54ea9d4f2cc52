"""Division of exact numbers in the dialects whose quotients are not PostgreSQL's.

In MySQL and MariaDB a quotient has four digits after the point more than the dividend
(div_precision_increment). Inside it is cut off, not rounded, after whole groups of nine digits.
MariaDB rounds from there when it is given a scale; MySQL rounds to those four digits first, and so
twice: ``ROUND(1.5 / 1.01, 4)`` is 1.4851 for one and 1.4852 for the other. With four more both
give the true quotient rounded once, since a digit that is cut off later does not decide. So that is
the scale to ask for (or one below the cut, where a digit would be lost); or any smaller one where
the divisor is too small for a quotient that close to a half. Division by zero is NULL.
Source: strings/decimal.c, do_div_mod().
"""

from __future__ import annotations

from decimal import Decimal

from transforms.expressions.casts import as_numeric
from transforms.expressions.literals import adopt
from transforms.expressions.sql import checked, named
from transforms.expressions.typed import Refusal, Typed, derived
from transforms.types import DIGITS_MAX, NUMERIC, numeric

_GROUP = 9
_MORE = 4


def quotient(left: Typed, right: Typed) -> Typed:
    """MySQL's left / right, which has no scale until ROUND(), a cast or a field gives it one."""
    left, right = (as_numeric(adopt(side, NUMERIC)) for side in (left, right))
    a_scale, b_scale = _scale(left), _scale(right)
    most = min(a_scale + _MORE, _cut(a_scale, b_scale) - 1)
    return exact_quotient(left, right, most, zero_is_null=True, twice=True)


def exact_quotient(
    left: Typed, right: Typed, most: int, *, zero_is_null: bool, twice: bool = False
) -> Typed:
    """left / right, rounded once, half away from zero, to at most `most` digits.

    With `twice` some round to `most` digits first: to fewer only where that is the same.
    """
    left, right = (as_numeric(adopt(side, NUMERIC)) for side in (left, right))
    a_scale, b_scale = _scale(left), _scale(right)

    def fix(precision: int, scale: int) -> str:
        if scale > most:
            raise Refusal(
                f"a quotient has {most} digits after the point here, not {scale}",
                fix=f"ROUND(x / y, {most})",
            )
        shift = scale + b_scale - a_scale
        up, down = 10 ** max(shift, 0), 10 ** max(-shift, 0)
        if twice and scale < most and _largest(right) * down >= 10 ** (most - scale):
            raise Refusal(
                f"MySQL rounds a quotient to {most} digits before it rounds to {scale},"
                " MariaDB does not",
                fix=f"ROUND(ROUND(x / y, {most}), {scale})",
            )
        a, b = f"{_units(left)} * '{2 * up}'::HUGEINT", f"{_units(right)} * {down}"
        units = named(b, lambda d: f"(({a} + {d}) // (2 * {d}))", "d")
        unit = f"CAST('{Decimal(1).scaleb(-scale):f}' AS DECIMAL({scale + 1},{scale}))"
        sign = f"CASE WHEN ({left.value} < 0) <> ({right.value} < 0) THEN -1 ELSE 1 END"
        exact = f"CAST({units} AS DECIMAL({DIGITS_MAX},0)) * {unit} * {sign}"
        to = numeric(precision, scale).duckdb
        known = f"{left.value} IS NOT NULL AND {right.value} <> 0"
        sql = f"CASE WHEN {known} THEN CAST({exact} AS {to}) END"
        if zero_is_null:
            return sql
        return checked(f"{right.value} = 0 AND {left.value} IS NOT NULL", "zero", sql, to)

    return derived(NUMERIC, None, [left, right], nullable=zero_is_null or None, fails=True, fix=fix)


def _cut(a_scale: int, b_scale: int) -> int:
    """After how many digits the server cuts off."""
    a, b = (-(-scale // _GROUP) * _GROUP for scale in (a_scale, b_scale))
    more = max(0, _MORE - (a - a_scale) - (b - b_scale))
    return -(-(a + b + more) // _GROUP) * _GROUP


def _scale(value: Typed) -> int:
    _ = value.value
    assert value.type.scale is not None
    return value.type.scale


def _largest(value: Typed) -> int:
    """The largest whole number of its last digits.

    A fraction with that denominator, or a smaller one, lies on a half or away from it by the half
    of one over the denominator at least.
    """
    if value.constant is not None:
        return int(abs(Decimal(value.constant)).scaleb(_scale(value)))
    assert value.type.precision is not None
    return int(10**value.type.precision) - 1


def _units(value: Typed) -> str:
    """|value| as a whole number of its last digits."""
    return f"CAST(replace(CAST(abs({value.value}) AS VARCHAR), '.', '') AS HUGEINT)"
