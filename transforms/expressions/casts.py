"""Explicit casts, and the widening that operators do by themselves.

A cast of text is strict: the text must have the type's plain form (see `literals`) or the row
fails. Rounding to fewer digits is half away from zero, as PostgreSQL's numeric rounds; a double
becomes an integer by rounding half to even, and a numeric through 15 significant digits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from transforms.expressions.literals import (
    BLANKS,
    DATE_FORM,
    DECIMAL_FORM,
    FALSE_WORDS,
    FLOAT_FORM,
    INTEGER_FORM,
    TIMESTAMP_FORM,
    TRUE_WORDS,
    UUID_FORM,
    adopt,
)
from transforms.expressions.sql import checked, failure, quoted
from transforms.expressions.typed import Fix, Refusal, Typed, as_text, derived, text
from transforms.types import (
    BOOL,
    DATE,
    DIGITS_MAX,
    FLOATS,
    INTEGER_DIGITS,
    INTEGERS,
    NUMERIC,
    STRINGS,
    TIMESTAMP,
    UUID,
    Kind,
    Type,
    numeric,
)


def cast(value: Typed, to: Type) -> Typed:
    """`value::to`. Errors: Refusal where PostgreSQL has no such cast or we do not do it."""
    if value.kind is Kind.LITERAL:
        return _cast_literal(value, to)
    if value.kind is to.kind and value.kind is not Kind.NUMERIC:
        return value
    builder = _CASTS.get(to.kind)
    result = builder(value, to) if builder else None
    if result is None:
        raise Refusal(f"there is no cast from {value.type} to {to}", fix=_fix(value.kind, to.kind))
    return result if result.parts is not None else result.named(f"the cast to {to}")


def _cast_literal(value: Typed, to: Type) -> Typed:
    adopted = adopt(value, to)
    if not to.fixed:
        return adopted
    assert to.precision is not None
    assert to.scale is not None
    sql = fixer(adopted)(to.precision, to.scale)
    return replace(adopted, type=to, sql=sql, constant=None, parts=None)


def cast_varchar(value: Typed, length: int | None) -> Typed:
    """`value::varchar(n)`: text cut to n characters."""
    whole = replace(as_text(value), type=Type(Kind.VARCHAR))
    if length is None:
        return whole
    return derived(
        Type(Kind.VARCHAR), f"left({text(whole)}, {length})", [whole], blur=f"varchar({length})"
    )


def widened(value: Typed, to: Type) -> str:
    """SQL of `value` in `to`'s DuckDB type, where PostgreSQL casts by itself. Errors: Refusal."""
    value = adopt(value, to)
    if to.kind is Kind.TEXT:
        return text(value)
    if to.kind is Kind.NUMERIC and not to.fixed:
        return value.value
    if to.fixed and value.fix is not None:
        assert to.precision is not None
        assert to.scale is not None
        return value.fix(to.precision, to.scale)
    if value.type.duckdb == to.duckdb:
        return value.value
    if to.kind is Kind.FLOAT8 and value.kind is Kind.NUMERIC:
        return f"CAST(CAST({value.value} AS VARCHAR) AS DOUBLE)"
    return f"CAST({value.value} AS {to.duckdb})"


def as_numeric(value: Typed) -> Typed:
    """An integer as a numeric of scale 0; a numeric as it is."""
    if value.kind not in INTEGERS:
        return value
    to = numeric(INTEGER_DIGITS[value.kind], 0)
    result = derived(to, f"CAST({value.value} AS {to.duckdb})", [value], parts=value.parts)
    return replace(result, constant=value.constant)


def fixer(value: Typed) -> Fix:
    """How a number is rounded to a given precision and scale. Errors: Refusal."""
    if value.fix is not None:
        return value.fix
    if value.kind in FLOATS:
        digits = 15 if value.kind is Kind.FLOAT8 else 6
        sql = f"format('{{:.{digits}g}}', {value.value})"
    elif value.kind in INTEGERS or value.kind is Kind.NUMERIC:
        sql = value.value
    else:
        raise Refusal(f"{value.type} is no number")
    return lambda precision, scale: f"CAST({sql} AS DECIMAL({precision},{scale}))"


def at_some_scale(value: Typed) -> str:
    """SQL of a number at the smallest scale that it may be given. Errors: Refusal."""
    fix = fixer(value)
    for scale in range(DIGITS_MAX):
        with suppress(Refusal):
            return fix(DIGITS_MAX, scale)
    return fix(DIGITS_MAX, 0)


def _fix(kind: Kind, to: Kind) -> str | None:
    if {kind, to} == {Kind.TIMESTAMP, Kind.TIMESTAMPTZ} or (
        to is Kind.TIMESTAMPTZ and kind is Kind.DATE
    ):
        return "name the zone: x AT TIME ZONE 'UTC'"
    if kind in FLOATS or kind is Kind.NUMERIC:
        return "round it first: round(x::numeric, 2)"
    return None


def _to_text(value: Typed, to: Type) -> Typed:
    return replace(as_text(value), type=to)


def _strictly(value: Typed, form: str, to: Type, result: Callable[[str], str]) -> str:
    """`result` of the text without blanks around it, where the whole has the form."""
    bare = f"trim({text(value)}, {quoted(BLANKS)})"
    return checked(
        f"NOT regexp_full_match({bare}, {quoted(form)})", "malformed", result(bare), to.duckdb
    )


def _number(value: Typed, form: str, to: Type) -> str:
    """The same for numbers, whose casts skip blanks in DuckDB, too."""
    blanks = f"[{BLANKS}]*"
    whole = f"{blanks}({form}){blanks}"
    sql = text(value)
    return checked(
        f"NOT regexp_full_match({sql}, {quoted(whole)})",
        "malformed",
        f"CAST({sql} AS {to.duckdb})",
        to.duckdb,
    )


def _to_integer(value: Typed, to: Type) -> Typed | None:
    if value.kind in INTEGERS:
        return derived(to, f"CAST({value.value} AS {to.duckdb})", [value], parts=value.parts)
    if value.kind in STRINGS:
        sql = _number(value, INTEGER_FORM, to)
    elif value.kind is Kind.NUMERIC:
        sql = f"CAST({fixer(value)(38, 0)} AS {to.duckdb})"
    elif value.kind in FLOATS:
        sql = f"CAST({value.value} AS {to.duckdb})"
    elif value.kind is Kind.BOOL and to.kind is Kind.INT4:
        return derived(to, f"CAST({value.value} AS INTEGER)", [value], parts=value.parts)
    else:
        return None
    return derived(to, sql, [value], fails=True)


def _to_numeric(value: Typed, to: Type) -> Typed | None:
    if value.kind in STRINGS:
        value = _text_to_numeric(value)
    elif value.kind in FLOATS:
        value = derived(NUMERIC, None, [value], fix=fixer(value), fails=True)
    elif value.kind not in INTEGERS and value.kind is not Kind.NUMERIC:
        return None
    if not to.fixed:
        return as_numeric(value)
    assert to.precision is not None
    assert to.scale is not None
    if value.type == to:
        return value
    keeps = _keeps_digits(value, to)
    return derived(
        to,
        fixer(value)(to.precision, to.scale),
        [value],
        fails=not _fits(value, to),
        parts=value.parts if keeps else None,
    )


def _keeps_digits(value: Typed, to: Type) -> bool:
    scale = 0 if value.kind in INTEGERS else value.type.scale
    return scale is not None and to.scale is not None and scale <= to.scale


def _fits(value: Typed, to: Type) -> bool:
    """Whether every value of the type has room for its whole digits."""
    if value.kind in INTEGERS:
        whole = INTEGER_DIGITS[value.kind]
    elif value.type.fixed:
        assert value.type.precision is not None
        assert value.type.scale is not None
        whole = value.type.precision - value.type.scale
    else:
        return False
    assert to.precision is not None
    assert to.scale is not None
    return _keeps_digits(value, to) and whole <= to.precision - to.scale


def _text_to_numeric(value: Typed) -> Typed:
    def fix(precision: int, scale: int) -> str:
        return _number(value, DECIMAL_FORM, numeric(precision, scale))

    return derived(NUMERIC, None, [value], fix=fix, fails=True)


def _to_float(value: Typed, to: Type) -> Typed | None:
    if value.kind is Kind.FLOAT4 or value.kind in INTEGERS:
        return derived(to, f"CAST({value.value} AS {to.duckdb})", [value])
    if value.kind is Kind.NUMERIC and to.kind is Kind.FLOAT8:
        return derived(to, widened(value, to), [value])
    if value.kind in STRINGS and to.kind is Kind.FLOAT8:
        sql = _finite(_number(value, FLOAT_FORM, to))
        return derived(to, sql, [value], fails=True)
    return None


def _finite(sql: str) -> str:
    return checked(f"isinf({sql})", "overflow", sql, "DOUBLE")


def _to_boolean(value: Typed, to: Type) -> Typed | None:
    if value.kind is Kind.INT4:
        return derived(BOOL, f"({value.value} <> 0)", [value])
    if value.kind not in STRINGS:
        return None
    bare = f"lower(trim({text(value)}, {quoted(BLANKS)}))"
    true, false = (", ".join(map(quoted, words)) for words in (TRUE_WORDS, FALSE_WORDS))
    sql = (
        f"CASE WHEN {bare} IN ({true}) THEN true WHEN {bare} IN ({false}) THEN false"
        f" WHEN {bare} IS NOT NULL THEN {failure('malformed', 'BOOLEAN')} END"
    )
    return derived(BOOL, sql, [value], fails=True)


def _to_date(value: Typed, to: Type) -> Typed | None:
    if value.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        return derived(DATE, f"CAST({value.value} AS DATE)", [value])
    if value.kind not in STRINGS:
        return None
    sql = _strictly(value, DATE_FORM, to, lambda bare: _from_year_1(bare, "DATE"))
    return derived(DATE, sql, [value], fails=True)


def _to_timestamp(value: Typed, to: Type) -> Typed | None:
    if value.kind is Kind.DATE:
        return derived(TIMESTAMP, f"CAST({value.value} AS TIMESTAMP)", [value], parts=value.parts)
    if value.kind not in STRINGS:
        return None
    sql = _strictly(value, TIMESTAMP_FORM, to, lambda bare: _from_year_1(bare, "TIMESTAMP"))
    return derived(TIMESTAMP, sql, [value], fails=True)


def _from_year_1(bare: str, duckdb_type: str) -> str:
    """DuckDB reads a year 0000, which PostgreSQL has not."""
    return checked(
        f"prefix({bare}, '0000')", "malformed", f"CAST({bare} AS {duckdb_type})", duckdb_type
    )


def _to_uuid(value: Typed, to: Type) -> Typed | None:
    if value.kind not in STRINGS:
        return None
    sql = _strictly(value, UUID_FORM, to, lambda bare: f"lower({bare})")
    return derived(UUID, sql, [value], fails=True)


_CASTS: dict[Kind, Callable[[Typed, Type], Typed | None]] = {
    Kind.TEXT: _to_text,
    Kind.INT2: _to_integer,
    Kind.INT4: _to_integer,
    Kind.INT8: _to_integer,
    Kind.NUMERIC: _to_numeric,
    Kind.FLOAT4: _to_float,
    Kind.FLOAT8: _to_float,
    Kind.BOOL: _to_boolean,
    Kind.DATE: _to_date,
    Kind.TIMESTAMP: _to_timestamp,
    Kind.UUID: _to_uuid,
}
