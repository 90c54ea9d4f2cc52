"""Texts of Oracle: an empty one is NULL."""

from __future__ import annotations

from dataclasses import replace

from transforms.expressions.casts import as_numeric
from transforms.expressions.typed import Refusal, Typed, as_text
from transforms.types import INTEGERS, MOMENTS, NUMBERS, STRINGS, Kind


def emptied(value: Typed) -> Typed:
    """The same with NULL in place of an empty text."""
    if value.kind not in STRINGS or value.sql is None or value.constant:
        return value
    return replace(value, sql=f"nullif({value.sql}, '')", nullable=True)


def string(value: Typed) -> Typed:
    """What an argument of text takes. Errors: Refusal for what depends on NLS settings."""
    kind = value.kind
    if kind in STRINGS or kind is Kind.LITERAL:
        return as_text(value)
    if kind in INTEGERS:
        return as_text(value)
    if kind is Kind.NUMERIC and value.type.scale == 0:
        return as_text(as_numeric(value))
    fix = "TO_CHAR(x, 'YYYY-MM-DD')"
    if kind is Kind.NUMERIC:
        fix = "TO_CHAR(x, 'FM999999990.00')"
    raise Refusal(f"how {value.type} prints depends on NLS settings", fix=fix)


def same_kind(left: Typed, right: Typed) -> None:
    """Errors: Refusal for a number or date that is compared with a quoted constant."""
    for value, other in ((left, right), (right, left)):
        if other.kind is not Kind.LITERAL or other.is_null:
            continue
        if value.kind in NUMBERS:
            raise Refusal("a number is compared with a text", fix="write the number unquoted")
        if value.kind in MOMENTS:
            raise Refusal("a date in a text depends on NLS settings", fix="DATE '2024-12-31'")
