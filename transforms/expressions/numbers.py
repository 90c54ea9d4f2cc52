"""Functions of numbers. Numerics round half away from zero; doubles must become numerics first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from transforms.expressions.casts import as_numeric, fixer, widened
from transforms.expressions.literals import adopt
from transforms.expressions.operators import arithmetic
from transforms.expressions.sql import checked
from transforms.expressions.typed import Refusal, Typed, derived
from transforms.types import (
    DIGITS_MAX,
    FLOAT8,
    FLOATS,
    INT4,
    INTEGERS,
    NUMBERS,
    NUMERIC,
    Kind,
    numeric,
)


def _number(value: Typed, name: str) -> Typed:
    """A numeric; an integer becomes one. Errors: Refusal for doubles and text."""
    if value.kind is Kind.LITERAL:
        value = adopt(value, NUMERIC)
    if value.kind in FLOATS:
        raise Refusal(f"{name}() takes a numeric, not a double", fix=f"{name}(x::numeric, …)")
    if value.kind not in NUMBERS:
        raise Refusal(f"{name}() takes a number, not {value.type}", fix="cast it: x::numeric")
    return as_numeric(value)


def _places(arguments: Sequence[Typed], name: str) -> int:
    """The constant number of digits after the point; 0 where it is not given."""
    if len(arguments) == 1:
        if arguments[0].kind in INTEGERS:
            raise Refusal(f"{name}() of an integer does nothing but make it a double")
        return 0
    written = adopt(arguments[1], INT4).constant
    if written is None or not -DIGITS_MAX < int(written) < DIGITS_MAX:
        raise Refusal(f"{name}() takes a constant number of digits")
    return int(written)


def _some_left(places: int, value: Typed) -> None:
    whole = (value.type.precision or 0) - (value.type.scale or 0)
    if -places >= max(whole, 1):
        raise Refusal(f"{value.type} has no digits to keep beyond {-places} before the point")


def rounded(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """round(x, n): where x has no fixed scale, this gives it one."""
    places = _places(arguments, "round")
    value = _number(arguments[0], "round")
    if not value.type.fixed:
        if places < 0:
            raise Refusal("round() to tens needs a numeric of fixed scale", fix="x::numeric(12,2)")
        to = numeric(DIGITS_MAX, places)
        return derived(to, fixer(value)(DIGITS_MAX, places), [value], fails=True)
    precision, scale = value.type.precision or 0, value.type.scale or 0
    _some_left(places, value)
    wider = min(DIGITS_MAX, precision + 1)
    if places >= 0:
        to = numeric(min(DIGITS_MAX, precision - scale + 1 + places), places)
        return derived(to, f"CAST({value.value} AS {to.duckdb})", [value], fails=True)
    to = numeric(wider, 0)
    sql = f"CAST(round(CAST({value.value} AS DECIMAL({wider},{scale})), {places}) AS {to.duckdb})"
    return derived(to, sql, [value], fails=True)


def truncated(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """trunc(x, n): digits are cut off."""
    places = _places(arguments, "trunc")
    value = _number(arguments[0], "trunc")
    _ = value.value
    precision, scale = value.type.precision or 0, value.type.scale or 0
    _some_left(places, value)
    if places >= scale:
        to = numeric(min(DIGITS_MAX, precision - scale + max(places, 1)), places)
        return derived(to, f"CAST({value.value} AS {to.duckdb})", [value], fails=True)
    to = numeric(max(precision - scale + max(places, 0), 1), max(places, 0))
    sql = f"CAST(trunc({value.value}, {places}) AS {to.duckdb})"
    return derived(to, sql, [value])


def toward(function: str) -> Callable[[Sequence[Typed], Mapping[str, Typed]], Typed]:
    """ceil() and floor()."""

    def build(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
        _places(arguments, function)
        value = _number(arguments[0], function)
        _ = value.value
        to = numeric(min(DIGITS_MAX, (value.type.precision or 0) - (value.type.scale or 0) + 1), 0)
        return derived(to, f"CAST({function}({value.value}) AS {to.duckdb})", [value], fails=True)

    return build


def absolute(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """abs(x): of doubles, too."""
    value = arguments[0]
    if value.kind not in NUMBERS:
        raise Refusal(f"abs() takes a number, not {value.type}")
    if value.fix is not None:
        fix = value.fix
        return derived(NUMERIC, None, [value], fix=lambda p, s: f"abs({fix(p, s)})", fails=True)
    sql = f"CAST(abs({value.value}) AS {value.type.duckdb})"
    return derived(value.type, sql, [value], fails=value.kind in INTEGERS, exact=value.exact)


def remainder(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    return arithmetic("%", arguments[0], arguments[1])


def sign(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """sign(x): of a numeric a numeric, of integers and doubles a double, as in PostgreSQL."""
    value = arguments[0]
    if value.kind is Kind.LITERAL or value.kind not in NUMBERS:
        raise Refusal(f"sign() takes a number, not {value.type}")
    if value.kind is Kind.NUMERIC:
        to = numeric(1, 0)
        return derived(to, f"CAST(sign({value.value}) AS {to.duckdb})", [value])
    shown = f"CAST(sign({value.value}) AS DOUBLE)"
    if value.kind in FLOATS:
        shown = f"CASE WHEN isnan({value.value}) THEN CAST(0 AS DOUBLE) ELSE {shown} END"
    return derived(FLOAT8, shown, [value])


def square_root(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """sqrt(double): IEEE rounds it correctly everywhere; a numeric's has no scale of its own."""
    value = arguments[0]
    if value.kind not in FLOATS:
        raise Refusal(f"sqrt() takes a double, not {value.type}", fix="x::double precision")
    sql = widened(value, FLOAT8)
    return derived(
        FLOAT8, checked(f"{sql} < 0", "overflow", f"sqrt({sql})", "DOUBLE"), [value], fails=True
    )
