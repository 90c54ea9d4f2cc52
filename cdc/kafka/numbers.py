"""Numbers and bytes out of Debezium's JSON, as PostgreSQL prints them. Arrow columns in and out.

A decimal in mode `precise` is base64 of its unscaled value, a big-endian two's complement; the
scale stands in the schema or, with VariableScaleDecimal, beside the value.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

Convert = Callable[[pa.Array], pa.Array]


def distinct(column: pa.Array, one: Callable[[str], str]) -> pa.Array:
    """`one` of each different text; NULL stays."""
    found = column.dictionary_encode()
    texts = pa.array([one(text) for text in found.dictionary.to_pylist()], pa.string())
    return texts.take(found.indices)


def decimals(scale: int) -> Convert:
    """Base64 → decimal text of this scale."""
    return lambda column: distinct(column, lambda text: decimal_text(text, scale))


def variable_decimals(column: pa.StructArray) -> pa.Array:
    """{scale, value} → decimal text, each of its own scale."""
    scales, values = column.field("scale").to_pylist(), column.field("value").to_pylist()
    valid = column.is_valid().to_pylist()
    return pa.array(
        [
            decimal_text(value, scale) if here and value is not None else None
            for here, scale, value in zip(valid, scales, values, strict=True)
        ],
        pa.string(),
    )


def decimal_text(encoded: str, scale: int) -> str:
    value = int.from_bytes(unbase64(encoded), "big", signed=True)
    sign, digits = ("-" if value < 0 else ""), str(abs(value))
    if scale <= 0:
        return sign + (digits + "0" * -scale if value else digits)
    digits = digits.rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def unbase64(encoded: str) -> bytes:
    """Errors: ValueError."""
    return a2b_base64(encoded, strict_mode=True)


def doubles(column: pa.Array) -> pa.Array:
    text = column.cast(pa.string())
    if pc.all(pc.is_finite(column)).as_py() is not False:
        return text
    spelled = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return distinct(text, lambda one: spelled.get(one, one))


def integers(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


def truths(column: pa.Array) -> pa.Array:
    return pc.if_else(column, "t", "f")


def hexed(column: pa.Array) -> pa.Array:
    """Base64 → \\x and hexadecimal digits."""
    return distinct(column, lambda text: "\\x" + unbase64(text).hex())


def bits(length: int) -> Convert:
    """Base64 of little-endian bytes → as many binary digits."""
    return lambda column: distinct(
        column,
        lambda text: format(int.from_bytes(unbase64(text), "little"), "b").rjust(length, "0"),
    )


def texts(column: pa.Array) -> pa.Array:
    return column


def array_literal(items: Sequence[object]) -> str:
    """As PostgreSQL prints an array of these."""
    return "{" + ",".join("NULL" if one is None else _element(str(one)) for one in items) + "}"


def _element(text: str) -> str:
    plain = text and text.upper() != "NULL" and not set(text) & set('{}",\\ \t\n\r\v\f')
    if plain:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
