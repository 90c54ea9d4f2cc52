"""What a field's expression becomes on its way into the field's type.

The value reaches the target as text that PostgreSQL's input function of the type reads back
exactly. A column whose text can go as it is goes as it is: it is never computed on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from transforms.expressions.casts import cast, fixer
from transforms.expressions.literals import adopt
from transforms.expressions.sql import quoted
from transforms.expressions.typed import Part, Refusal, Typed, as_text, text
from transforms.types import (
    FLOATS,
    INTEGER_DIGITS,
    INTEGERS,
    MOMENTS,
    NUMBERS,
    STRINGS,
    TIMESTAMPTZ,
    FieldType,
    Kind,
    Type,
)


@dataclass(frozen=True, slots=True)
class Assigned:
    """A field's value: a `column` of the source as it is, or `sql` giving text.

    `parts` as in `Typed`: what still tells rows apart after the assignment. `number`: SQL of the
    number in the field's type that `sql` is the text of.
    """

    sql: str
    reads: frozenset[str]
    column: str | None = None
    nullable: bool = True
    parts: tuple[Part, ...] | None = None
    blur: str = ""
    number: str | None = None


def assign(value: Typed, field: FieldType) -> Assigned:
    """Errors: Refusal where PostgreSQL would not assign the one type to the other."""
    to = field.type
    if value.kind is Kind.LITERAL:
        return _constant(value, field)
    if to.kind is Kind.TEXT:
        return _kept(as_text(value))
    if _as_printed(value, to):
        return _kept(value)
    if to.kind is Kind.OTHER:
        raise _unfit(value, field)
    blur = value.blur or f"the assignment to {field}"
    if value.kind in NUMBERS and (to.kind in INTEGERS or (to.kind is Kind.NUMERIC and to.fixed)):
        converted = cast(value, to)
        return Assigned(
            f"CAST({converted.value} AS VARCHAR)",
            value.reads,
            nullable=value.nullable,
            parts=converted.parts,
            blur=blur,
            number=converted.value,
        )
    sql, parts = _converted(value, field)
    return Assigned(sql, value.reads, nullable=value.nullable, parts=parts, blur=blur)


def constant_sql(written: str | None, field: FieldType) -> str:
    """SQL of the text that a constant has in the field's type. Errors: Refusal."""
    return _constant(Typed(Type(Kind.LITERAL), None, constant=written), field).sql


def _constant(value: Typed, field: FieldType) -> Assigned:
    parts = None if value.constant is None else (Part(value.constant),)
    if value.constant is None:
        return Assigned("CAST(NULL AS VARCHAR)", value.reads)
    if field.type.kind is Kind.OTHER:
        _check_carried(value.constant, field)
        return Assigned(quoted(value.constant), value.reads, nullable=False, parts=parts)
    typed = cast(value, field.type) if field.type.fixed else adopt(value, field.type)
    if typed.kind in FLOATS:
        return Assigned(quoted(typed.constant or ""), value.reads, nullable=False)
    return Assigned(text(typed), value.reads, nullable=False, parts=parts)


def _check_carried(written: str, field: FieldType) -> None:
    if field.name == "json":
        try:
            json.loads(written)
        except ValueError:
            raise Refusal(f"{written!r} is no JSON") from None
    elif field.name == "time":
        if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?", written):
            raise Refusal(f"{written!r} is no time of the form 12:30 or 12:30:59")
    else:
        raise Refusal(f"there are no constants of type {field}")


def _kept(value: Typed) -> Assigned:
    sql = value.printed if value.column is not None and value.printed else text(value)
    return Assigned(sql, value.reads, value.column, value.nullable, value.parts, value.blur)


def _as_printed(value: Typed, to: Type) -> bool:
    """Whether the source's text is what the target's input function is to read."""
    if value.column is None:
        return False
    kind = value.kind
    if to.kind is Kind.OTHER:
        wanted = {
            "time": ("time without time zone",),
            "json": ("json", "jsonb"),
            "bytes": ("bytea",),
        }[to.name]
        return kind is Kind.OTHER and value.type.name in wanted
    if to.kind in INTEGERS:
        return kind in INTEGERS and INTEGER_DIGITS[kind] <= INTEGER_DIGITS[to.kind]
    if to.kind is Kind.NUMERIC:
        return _fits(value, to) if to.fixed else kind in INTEGERS or kind is Kind.NUMERIC
    if to.kind is Kind.FLOAT8:
        return kind is Kind.FLOAT8 or kind in INTEGERS or kind is Kind.NUMERIC
    if to.kind is Kind.TIMESTAMP:
        return kind in (Kind.TIMESTAMP, Kind.DATE)
    return kind is to.kind


def _fits(value: Typed, to: Type) -> bool:
    if value.kind in INTEGERS:
        precision, scale = INTEGER_DIGITS[value.kind], 0
    elif value.type.fixed:
        precision, scale = value.type.precision or 0, value.type.scale or 0
    else:
        return False
    assert to.precision is not None
    assert to.scale is not None
    return scale <= to.scale and precision - scale <= to.precision - to.scale


def _converted(value: Typed, field: FieldType) -> tuple[str, tuple[Part, ...] | None]:
    """SQL of the text after PostgreSQL's assignment cast, but to numbers of one scale.

    Errors: Refusal.
    """
    to, kind = field.type, value.kind
    if to.kind is Kind.NUMERIC and kind in NUMBERS:
        if kind in FLOATS or value.fix is not None:
            raise Refusal(
                f"what its digits are is not known for a field of type {field}",
                fix="declare decimal(p,s), or round it: round(x, 2)",
            )
        return text(value), value.parts
    if to.kind is Kind.FLOAT8 and kind in NUMBERS:
        if value.fix is not None:
            _ = fixer(value)
            raise Refusal("a quotient or parsed number needs a scale first", fix="round(x, 6)")
        converted = value if kind is Kind.NUMERIC else cast(value, to)
        return f"CAST({converted.value} AS VARCHAR)", None
    if to.kind is Kind.DATE and kind in MOMENTS:
        return text(cast(value, to)), None
    if to.kind is Kind.TIMESTAMP and kind is Kind.DATE:
        converted = cast(value, to)
        return text(converted), converted.parts
    if kind is to.kind and (kind in STRINGS or kind in MOMENTS or kind in (Kind.BOOL, Kind.UUID)):
        return text(value), value.parts
    raise _unfit(value, field)


def _unfit(value: Typed, field: FieldType) -> Refusal:
    zones = {value.kind, field.type.kind}
    fix: str | None = None
    if zones <= MOMENTS and TIMESTAMPTZ.kind in zones:
        fix = "name the zone: x AT TIME ZONE 'UTC'"
    elif value.kind in STRINGS:
        fix = f"cast it: x::{field.type if field.type.kind is not Kind.OTHER else field}"
    return Refusal(f"{value.type} does not fit a field of type {field}", fix=fix)
