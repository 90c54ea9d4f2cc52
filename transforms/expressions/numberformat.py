"""to_char() of numbers, for formats whose result is no matter of taste.

    FM000000      6 digits at least, and no more
    FM9999990.00  a digit before the point at least, two behind it

The number's scale is at most the format's, so nothing is rounded; a number that is too wide fails
its row, where databases would print number signs.
"""

from __future__ import annotations

import re

from transforms.expressions.casts import as_numeric
from transforms.expressions.sql import checked
from transforms.expressions.typed import Refusal, Typed, derived
from transforms.types import DIGITS_MAX, FLOATS, NUMBERS, TEXT, numeric

_FORMAT = re.compile(r"FM(9*)(0+)(?:\.(0+))?")


def formatted(value: Typed, written: str, name: str) -> Typed:
    """Errors: Refusal."""
    match = _FORMAT.fullmatch(written.upper())
    if match is None:
        raise Refusal(f"{name}() of a number takes a format such as FM000000 or FM9999990.00")
    if value.kind in FLOATS or value.kind not in NUMBERS:
        raise Refusal(f"{name}() takes a numeric, not {value.type}", fix="round it first")
    value = as_numeric(value)
    _ = value.value
    least, behind = len(match[2]), len(match[3] or "")
    most = len(match[1]) + least
    if (value.type.scale or 0) > behind:
        raise Refusal(
            f"the number has more digits after the point than {written}", fix="ROUND(x, 2)"
        )
    if most + behind > DIGITS_MAX - 1:
        raise Refusal(f"a format has less than {DIGITS_MAX} digits")
    to = numeric(DIGITS_MAX, behind).duckdb
    digits = f"CAST(abs(CAST({value.value} AS {to})) AS VARCHAR)"
    width = least + (behind + 1 if behind else 0)
    padded = (
        f"CASE WHEN length({digits}) < {width} THEN lpad({digits}, {width}, '0') ELSE {digits} END"
    )
    signed = f"CASE WHEN {value.value} < 0 THEN '-' ELSE '' END || {padded}"
    sql = checked(f"abs({value.value}) >= {10**most}", "overflow", f"({signed})")
    return derived(TEXT, sql, [value], fails=True)
