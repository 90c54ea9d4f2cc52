"""Texts of SQL Server, and why they are not compared."""

from __future__ import annotations

from dataclasses import replace

from transforms.expressions.typed import Refusal, Typed, as_text
from transforms.types import INTEGERS, STRINGS, Kind

FOLDS = (
    "texts compare by a collation that may ignore case"
    " → name one that does not: x COLLATE Latin1_General_BIN2 = 'A'"
)


def folding(value: Typed) -> Typed:
    if value.kind not in STRINGS or value.binary or value.folds:
        return value
    return replace(value, folds=FOLDS)


def string(value: Typed) -> Typed:
    """The value as CONCAT() prints it. Errors: Refusal."""
    kind = value.kind
    if kind in STRINGS or kind is Kind.LITERAL or kind in INTEGERS or kind is Kind.DATE:
        return as_text(value)
    if kind is Kind.NUMERIC and value.type.fixed and value.exact:
        return as_text(value)
    fix = "CONVERT(varchar(19), x, 120)"
    if kind is Kind.NUMERIC:
        fix = "CAST(x AS decimal(12,2))"
    elif kind is Kind.BOOL:
        fix = "IIF(x = 1, '1', '0')"
    raise Refusal(f"how {value.type} prints is not known here", fix=fix)
