"""Functions that give one of their arguments."""

from __future__ import annotations

from dataclasses import replace

from transforms.expressions.arguments import Arguments, Build, Named
from transforms.expressions.casts import cast, widened
from transforms.expressions.operators import alternatives, comparable, compare, unified
from transforms.expressions.typed import Refusal, Typed, as_text, derived
from transforms.types import FLOAT8, FLOATS, INTEGERS, MOMENTS, NUMBERS, Kind, Type


def coalesce(arguments: Arguments, named: Named) -> Typed:
    nullable = all(value.nullable for value in arguments)
    return alternatives(
        arguments, arguments, lambda sql: f"coalesce({', '.join(sql)})", nullable=nullable
    )


def nullif(arguments: Arguments, named: Named) -> Typed:
    value, other = arguments
    if value.kind is Kind.LITERAL:
        value = as_text(value)
    same = compare("=", value, other)
    if {value.kind, other.kind} == {Kind.VARCHAR, Kind.BPCHAR}:
        value = replace(value, type=Type(Kind.BPCHAR))  # what PostgreSQL compares, it returns
    elif other.kind is Kind.TEXT and value.kind is Kind.BPCHAR:
        value = as_text(value)
    elif other.kind in FLOATS and value.kind not in FLOATS:
        value = cast(value, FLOAT8)
    kept = replace(value, parts=None, blur="nullif()")
    result = f"CASE WHEN {same.value} THEN NULL ELSE {value.value} END"
    return derived(value.type, result, [kept, other], nullable=True, exact=value.exact)


def extreme(function: str) -> Build:
    def build(arguments: Arguments, named: Named) -> Typed:
        to, adopted = unified(arguments)
        if to.kind not in NUMBERS | MOMENTS:
            raise Refusal(f"{function}() takes numbers, dates or timestamps, not {to}")
        for value in adopted[1:]:
            comparable(adopted[0], value)
        _ = [value.value for value in adopted]
        branches = ", ".join(widened(value, to) for value in adopted)
        scales = {value.type.scale for value in adopted if value.kind is Kind.NUMERIC}
        alike = len(scales) <= 1 and not any(value.kind in INTEGERS for value in adopted)
        exact = to.kind is not Kind.NUMERIC or (alike and all(value.exact for value in adopted))
        nullable = all(value.nullable for value in arguments)
        return derived(to, f"{function}({branches})", arguments, nullable=nullable, exact=exact)

    return build


def extreme_of_known(function: str) -> Build:
    """The same where it is NULL as soon as one value is: MySQL and Oracle."""

    def build(arguments: Arguments, named: Named) -> Typed:
        found = extreme(function)(arguments, named)
        known = " AND ".join(f"{value.value} IS NOT NULL" for value in arguments)
        nullable = any(value.nullable for value in arguments)
        return replace(found, sql=f"CASE WHEN {known} THEN {found.value} END", nullable=nullable)

    return build
