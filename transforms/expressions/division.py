"""Division of numerics, to the digit that PostgreSQL gives.

PostgreSQL rounds a quotient to a scale that depends on the values (`select_div_scale` in
src/backend/utils/adt/numeric.c): 16 significant digits or more, by whole groups of four digits.
Whoever then rounds to a scale of his own rounds twice. DuckDB would divide as doubles. So:

- a quotient has no scale of its own here; round(), a cast or the field's type gives it one;
- where rounding twice provably equals rounding once (a constant divisor, most often), integers
  of up to 38 digits are divided and rounded once;
- elsewhere PostgreSQL's scale is computed per row, in the same integers.

Every step is exact or fails (DuckDB's integers of 128 bits raise on overflow).
"""

from __future__ import annotations

from decimal import Decimal

from transforms.expressions.typed import Refusal, Typed, derived
from transforms.types import DIGITS_MAX, NUMERIC

_GROUP = 4  # decimal digits of one digit of PostgreSQL's numeric (DEC_DIGITS)
_SIGNIFICANT = 16  # NUMERIC_MIN_SIG_DIGITS
_POWERS = "[" + ", ".join(f"'{10**n}'::HUGEINT" for n in range(DIGITS_MAX + 1)) + "]"


def divide(left: Typed, right: Typed) -> Typed:
    """``left / right``, both numerics of fixed scale. Errors: Refusal."""
    _ = left.value, right.value
    if right.constant is not None and Decimal(right.constant) == 0:
        raise Refusal("division by zero")

    def fix(precision: int, scale: int) -> str:
        if scale >= DIGITS_MAX:
            raise Refusal(f"a quotient has less than {DIGITS_MAX} digits after the point")
        divisor = None if right.constant is None else Decimal(right.constant)
        if divisor is not None and _rounds_once(left, divisor, right, scale):
            units = _by_constant(left, divisor, scale)
            sign = f"({left.value} < 0) <> {str(divisor < 0).lower()}"
        else:
            units = _as_postgres(left, right, scale)
            sign = f"({left.value} < 0) <> ({right.value} < 0)"
        unit = f"CAST('{Decimal(1).scaleb(-scale):f}' AS DECIMAL({scale + 1},{scale}))"
        quotient = f"CAST({units} AS DECIMAL(38,0)) * {unit} * CASE WHEN {sign} THEN -1 ELSE 1 END"
        return (
            f"CASE WHEN {left.value} IS NOT NULL AND {right.value} IS NOT NULL"
            f" THEN CAST({quotient} AS DECIMAL({precision},{scale})) END"
        )

    return derived(NUMERIC, None, [left, right], fix=fix, fails=True)


def _rounds_once(left: Typed, divisor: Decimal, right: Typed, scale: int) -> bool:
    """Whether rounding to PostgreSQL's scale first cannot change the result at `scale`.

    The quotient is A / D with whole A and D. Where it is no rounding boundary of `scale`
    (a multiple of 1 / (2 * 10**scale)), it is at least 1 / (2 * 10**scale * D) away from one, so
    an error of at most 1 / (2 * 10**r), of rounding to r digits first, does not carry it there.
    """
    precision, digits = _digits(left)
    whole, exponent = _whole(divisor)
    denominator = whole * 10 ** max(digits + exponent, 0)
    before_point = precision - digits - divisor.adjusted() + 1  # digits of the largest quotient
    groups = -(-before_point // _GROUP)
    r = max(_SIGNIFICANT - _GROUP * (groups - 1), digits, _digits(right)[1])
    return bool(10 ** max(r, 0) > 10**scale * denominator)


def _whole(constant: Decimal) -> tuple[int, int]:
    """|constant| as (whole, exponent of ten)."""
    _, digits, exponent = constant.as_tuple()
    assert isinstance(exponent, int)
    return int("".join(map(str, digits))), exponent


def _by_constant(left: Typed, divisor: Decimal, scale: int) -> str:
    """|left / divisor| in units of 10**-scale, rounded once, half away from zero."""
    whole, exponent = _whole(divisor)
    shift = scale - _digits(left)[1] - exponent
    denominator = whole * 10 ** max(-shift, 0)
    if 2 * denominator >= 10**DIGITS_MAX or shift > DIGITS_MAX:
        raise Refusal("the divisor has too many digits")
    numerator = f"2 * {_units(left)} * '{10 ** max(shift, 0)}'::HUGEINT"
    return f"(({numerator} + '{denominator}'::HUGEINT) // '{2 * denominator}'::HUGEINT)"


def _as_postgres(left: Typed, right: Typed, scale: int) -> str:
    """|left / right| in units of 10**-scale, rounded first to the scale r PostgreSQL selects.

    Rounding up to r digits first can only lift what is just below a half of the last unit onto it:
    by at most half a unit of 10**-r. So with whole numbers a / b = (q + rest / d) * 10**-scale

        q + 1   where 2 * rest >= d, or where r > scale and d - 2 * rest <= d // 10**(r - scale)
        q       elsewhere

    Each step is a list of one struct, DuckDB's way to name an intermediate result: a, b whole
    operands; u, v the same in whole groups of digits; m, n how many groups those have.
    """
    (_, a_scale), (_, b_scale) = _digits(left), _digits(right)
    a_groups, b_groups = -(-a_scale // _GROUP), -(-b_scale // _GROUP)
    whole_groups = (
        f"{{a: x.a, b: x.b, u: x.a * {10 ** (-a_scale % _GROUP)},"
        f" v: x.b * {10 ** (-b_scale % _GROUP)}}}"
    )
    count = "(length(CAST(x.{} AS VARCHAR)) + 3) // 4"
    counted = f"{{a: x.a, b: x.b, u: x.u, v: x.v, m: {count.format('u')}, n: {count.format('v')}}}"
    selected = (
        f"{{a: x.a, b: x.b, r: greatest({_SIGNIFICANT} - {_GROUP} *"
        f" (x.m - {a_groups} - x.n + {b_groups}"
        f" - CASE WHEN x.u // {_POWERS}[4 * x.m - 3] <= x.v // {_POWERS}[4 * x.n - 3]"
        f" THEN 1 ELSE 0 END), {a_scale}, {b_scale})}}"
    )
    power = f"(least(x.r, {scale}) + {b_scale - a_scale})"
    scaled = (
        f"{{r: x.r, n: x.a * {_POWERS}[greatest({power}, 0) + 1],"
        f" d: x.b * {_POWERS}[greatest(- {power}, 0) + 1]}}"
    )
    divided = "{r: x.r, d: x.d, q: x.n // x.d, rest: x.n % x.d}"
    rounded = (
        f"CAST(x.q + CASE WHEN 2 * x.rest >= x.d OR (x.r > {scale} AND"
        f" x.d - 2 * x.rest <= x.d // {_POWERS}[least(x.r - {scale}, {DIGITS_MAX}) + 1])"
        f" THEN 1 ELSE 0 END AS HUGEINT) * {_POWERS}[greatest({scale} - x.r, 0) + 1]"
    )
    sql = f"[{{a: {_units(left)}, b: {_units(right)}}}]"
    for step in (whole_groups, counted, selected, scaled, divided, rounded):
        sql = f"list_transform({sql}, lambda x: {step})"
    return f"{sql}[1]"


def _digits(value: Typed) -> tuple[int, int]:
    """Precision and scale."""
    assert value.type.precision is not None
    assert value.type.scale is not None
    return value.type.precision, value.type.scale


def _units(value: Typed) -> str:
    """|value| as a whole number of its last digits."""
    return f"CAST(replace(CAST(abs({value.value}) AS VARCHAR), '.', '') AS HUGEINT)"
