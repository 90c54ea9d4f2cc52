"""Texts of MySQL: what becomes of other types in a text, and why texts are not compared."""

from __future__ import annotations

from dataclasses import replace

from transforms.expressions.arguments import as_integer
from transforms.expressions.casts import cast
from transforms.expressions.typed import Refusal, Typed, as_text, derived
from transforms.types import FLOATS, INT4, INT8, INTEGERS, STRINGS, TEXT, Kind, Type

FOLDS = (
    "texts compare by a collation that may ignore case, accents and trailing blanks"
    " → name one that does not: x COLLATE utf8mb4_bin = 'A'"
)


def folding(value: Typed) -> Typed:
    """A text that a function gives has the collation of its arguments or of the connection."""
    if value.kind not in STRINGS or value.binary or value.folds:
        return value
    return replace(value, folds=FOLDS)


def string(value: Typed) -> Typed:
    """The value as CONCAT() and CAST(x AS CHAR) print it. Errors: Refusal."""
    kind = value.kind
    if kind in STRINGS or kind is Kind.LITERAL:
        return as_text(value)
    if kind in INTEGERS or kind is Kind.DATE:
        return as_text(value)
    if kind is Kind.NUMERIC and value.type.fixed:
        return as_text(value)
    if kind is Kind.TIMESTAMP and value.type.name.startswith(("timestamp(0)", "datetime(0)")):
        return derived(TEXT, f"CAST({value.value} AS VARCHAR)", [value])
    fix = "CAST(x AS DECIMAL(12,2))"
    if kind is Kind.NUMERIC:
        fix = "give it a scale first: ROUND(x, 2)"
    elif kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        fix = "DATE_FORMAT(x, '%Y-%m-%d %H:%i:%s')"
    elif kind is Kind.BOOL:
        fix = "IF(x, '1', '0')"
    elif kind not in FLOATS:
        fix = "CAST(x AS CHAR)" if kind is Kind.UUID else ""
    raise Refusal(f"how {value.type} prints is not known here", fix=fix or None)


UNSIGNED = Type(Kind.INT8, name="bigint unsigned")


def wide(value: Typed) -> Typed:
    """Integers are computed in 64 bits."""
    if value.kind not in INTEGERS:
        return value
    result = value if value.kind is Kind.INT8 else cast(value, INT8)
    type_ = UNSIGNED if unsigned(value) else INT8
    return replace(result, type=type_, constant=value.constant)


def unsigned(value: Typed) -> bool:
    return value.kind in INTEGERS and value.type.name.endswith("unsigned")


def count(value: Typed) -> Typed:
    """A number of characters."""
    return cast(value, INT4) if value.kind is Kind.INT8 else as_integer(value)
