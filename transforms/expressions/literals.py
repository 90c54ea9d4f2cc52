"""Constants: quoted text takes the type of its neighbours and is checked when files are read.

Forms are stricter than PostgreSQL's where its meaning depends on settings: dates and timestamps
are ISO 8601, and words such as ``today`` are refused. What is accepted means the same there.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime

from transforms.expressions.sql import quoted
from transforms.expressions.typed import Part, Refusal, Typed
from transforms.types import (
    DIGITS_MAX,
    INT4,
    INT8,
    INTEGER_RANGE,
    INTEGERS,
    STRINGS,
    Kind,
    Type,
    numeric,
)

TRUE_WORDS = ("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1")
FALSE_WORDS = ("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0")

INTEGER_FORM = r"[+-]?[0-9]+"
DECIMAL_FORM = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)"
FLOAT_FORM = DECIMAL_FORM + r"([eE][+-]?[0-9]+)?"
DATE_FORM = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIMESTAMP_FORM = DATE_FORM + r"[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
UUID_FORM = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
FLOAT_RANGE = {Kind.FLOAT4: (1e-37, 1e37), Kind.FLOAT8: (1e-307, 1e307)}
"""Narrower than IEEE's: at its edges literals are refused rather than argued about."""
BLANKS = " \t\n\r\f\v"
"""What PostgreSQL's input functions of numbers and booleans skip at both ends."""


def number(written: str) -> Typed:
    """A number as written in an expression: integer, bigint or numeric, as PostgreSQL types it."""
    if re.fullmatch(r"[0-9]+", written):
        value = int(written)
        for type_ in (INT4, INT8):
            if value < INTEGER_RANGE[type_.kind]:
                return _constant(type_, str(value))
        return _decimal(written)
    if re.fullmatch(DECIMAL_FORM, written):
        return _decimal(written)
    raise Refusal(f"the number {written} is not written as 123 or 123.45")


def adopt(value: Typed, type_: Type) -> Typed:
    """A quoted literal or NULL as a constant of this type; any other value as it is.

    A numeric literal keeps its own digits, as in PostgreSQL. Errors: Refusal when the text is not
    of the type's form.
    """
    if value.kind is not Kind.LITERAL:
        return value
    if value.constant is None:
        sized = numeric(1, 0) if type_.kind is Kind.NUMERIC else type_
        return replace(value, type=sized, sql=f"CAST(NULL AS {sized.duckdb})")
    if type_.kind in STRINGS:
        return replace(value, type=type_, sql=quoted(value.constant))
    return _parsed(value.constant, type_)


def _parsed(written: str, type_: Type) -> Typed:
    kind = type_.kind
    bare = written.strip(BLANKS)
    if kind in INTEGERS and re.fullmatch(INTEGER_FORM, bare):
        limit = INTEGER_RANGE[kind]
        if -limit <= int(bare) < limit:
            return _constant(type_, str(int(bare)))
        raise Refusal(f"{bare} is out of the range of {kind.value}")
    if kind is Kind.NUMERIC and re.fullmatch(DECIMAL_FORM, bare):
        return _decimal(bare)
    if kind in (Kind.FLOAT4, Kind.FLOAT8) and re.fullmatch(FLOAT_FORM, bare):
        if _outside(float(bare), bare, FLOAT_RANGE[kind]):
            raise Refusal(f"{bare} is out of the range of {kind.value}")
        return _constant(type_, bare)
    if kind is Kind.BOOL and bare.lower() in TRUE_WORDS + FALSE_WORDS:
        return _constant(type_, "true" if bare.lower() in TRUE_WORDS else "false")
    if kind is Kind.UUID and re.fullmatch(UUID_FORM, bare):
        return _constant(type_, str(uuid.UUID(bare)))
    if kind in (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        moment = _moment(bare, kind)
        if moment is not None:
            return _constant(type_, moment)
    raise Refusal(f"{written!r} is no {kind.value}" + _advice(kind))


def _outside(value: float, written: str, bounds: tuple[float, float]) -> bool:
    smallest, largest = bounds
    nonzero = bool(re.search(r"[1-9]", re.split(r"[eE]", written)[0]))
    return abs(value) > largest or (nonzero and abs(value) < smallest)


def _advice(kind: Kind) -> str:
    if kind in (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        return " of the form 2024-12-31" + (
            " or 2024-12-31 23:59:59" if kind is not Kind.DATE else ""
        )
    return ""


def _moment(bare: str, kind: Kind) -> str | None:
    """The literal in DuckDB's form (a timestamptz in UTC), or None if it is none."""
    zone = r"(Z|[+-][0-9]{2}(:[0-9]{2})?)?" if kind is Kind.TIMESTAMPTZ else ""
    if bare in ("infinity", "-infinity"):
        return bare
    try:
        if re.fullmatch(DATE_FORM, bare):
            day = date.fromisoformat(bare).isoformat()
            return day if kind is Kind.DATE else f"{day} 00:00:00"
        if kind is not Kind.DATE and re.fullmatch(TIMESTAMP_FORM + zone, bare):
            moment = datetime.fromisoformat(bare)
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC).replace(tzinfo=None)
            return moment.isoformat(sep=" ")
    except (ValueError, OverflowError):
        pass
    return None


def _decimal(written: str) -> Typed:
    """A numeric constant with exactly the digits written."""
    sign = "-" if written.startswith("-") else ""
    whole, _, fraction = written.lstrip("+-").partition(".")
    whole = whole.lstrip("0")
    precision = max(len(whole), 1) + len(fraction)
    if precision > DIGITS_MAX:
        raise Refusal(f"a number has at most {DIGITS_MAX} digits")
    type_ = numeric(precision, len(fraction))
    return _constant(type_, f"{sign}{whole or '0'}" + (f".{fraction}" if fraction else ""))


def _constant(type_: Type, written: str) -> Typed:
    sql = (
        quoted(written) if type_.kind is Kind.UUID else f"CAST({quoted(written)} AS {type_.duckdb})"
    )
    value = Typed(type_, sql, nullable=False, constant=written)
    if type_.kind in (Kind.FLOAT4, Kind.FLOAT8):
        return value
    return replace(value, parts=(Part(written),))
