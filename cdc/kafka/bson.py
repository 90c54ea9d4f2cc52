"""Fields of documents as columns of a declared type, exactly. Pure."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa

from cdc.kafka import moments, numbers
from cdc.kafka.declared import Declared
from cdc.kafka.extended import binary, is_object_id, milliseconds, number, object_id, shown
from cdc.kafka.numbers import Convert, array_literal

_DAY_MS = 86_400_000
_FIRST_MS, _END_MS = -210_866_803_200_000, 9_224_318_016_000_000
"""What PostgreSQL's timestamp reaches."""

One = Callable[[Any], Any]
"""A value, as `json` reads it, as one of a column. Errors: ValueError where it is none, exactly."""


def column(declared: Declared) -> tuple[One, pa.DataType, Convert]:
    """(one, Arrow type of its values, those → what a column holds). Errors: ValueError where BSON
    has no such values."""
    one, kind, finish = _scalar(declared)
    if not declared.is_array:
        return one, kind, finish

    def literal(value: Any) -> str:
        if not isinstance(value, list):
            raise ValueError
        items = [None if item is None else one(item) for item in value]
        return array_literal(finish(pa.array(items, kind)).to_pylist())

    return literal, pa.string(), numbers.texts


def _scalar(declared: Declared) -> tuple[One, pa.DataType, Convert]:
    base, size = declared.base, declared.size
    if base == "numeric":
        return _numeric(size, declared.scale), pa.string(), numbers.texts
    if base in ("timestamp with time zone", "timestamp without time zone"):
        digits = 3 if size is None else min(size, 3)
        finish = _zoned if base.endswith("with time zone") else moments.moments("ms")
        return _moment(10 ** (3 - digits)), pa.int64(), finish
    if base not in _PLAIN:
        raise ValueError(f"MongoDB has no values of type {declared.spelled}")
    return _PLAIN[base]


def _integer(value: Any) -> int:
    found = number(value)
    if found != int(found):
        raise ValueError
    return int(found)


def _numeric(size: int | None, scale: int) -> One:
    def one(value: Any) -> str:
        found = number(value)
        decimal = found if isinstance(found, Decimal) else Decimal(repr(found))
        if decimal.is_finite():
            return _scaled(decimal, size, scale)
        if size is not None and not decimal.is_nan():
            raise ValueError
        return "NaN" if decimal.is_nan() else "-Infinity" if decimal < 0 else "Infinity"

    return one


def _scaled(decimal: Decimal, size: int | None, scale: int) -> str:
    """All its digits, and zeros up to the scale. Errors: ValueError where they are too many."""
    text = format(decimal, "f")
    if size is None:
        return text
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > scale or len(whole.lstrip("-0")) > size - scale:
        raise ValueError
    return f"{whole}.{fraction.ljust(scale, '0')}" if scale else whole


def _float(value: Any) -> float:
    """Exactly."""
    found = number(value)
    double = float(found)
    if not isinstance(found, float) and double - double == 0 and Decimal(double) != found:
        raise ValueError
    return double


def _single(value: Any) -> float:
    double = _float(value)
    with np.errstate(over="ignore"):
        if double == double and float(np.float32(double)) != double:
            raise ValueError
    return double


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _text(value: Any) -> str:
    """Texts and object ids as they are; of all else its JSON, which a mapping may cast."""
    if isinstance(value, str):
        return value
    try:
        return object_id(value)
    except ValueError:
        return shown(value)


def _uuid(value: Any) -> str:
    if isinstance(value, str):
        return str(UUID(value))
    found, kind = binary(value)
    if kind != 4:
        raise ValueError
    return str(UUID(bytes=found))


def _hexed(value: Any) -> str:
    return "\\x" + binary(value)[0].hex()


def _moment(unit: int) -> One:
    def one(value: Any) -> int:
        found = milliseconds(value)
        if found % unit or not _FIRST_MS <= found < _END_MS:
            raise ValueError
        return found

    return one


def _day(value: Any) -> int:
    """Midnight in UTC."""
    found = milliseconds(value)
    if found % _DAY_MS or not _FIRST_MS <= found < _END_MS:
        raise ValueError
    return found // _DAY_MS


def _zoned(column: pa.Array) -> pa.Array:
    texts = moments.moments("ms")(column).to_pylist()
    return pa.array(
        [
            None if one is None else one[:-3] + "+00 BC" if one.endswith(" BC") else one + "+00"
            for one in texts
        ],
        pa.string(),
    )


_PLAIN: dict[str, tuple[One, pa.DataType, Convert]] = {
    "smallint": (_integer, pa.int16(), numbers.integers),
    "integer": (_integer, pa.int32(), numbers.integers),
    "bigint": (_integer, pa.int64(), numbers.integers),
    "real": (_single, pa.float64(), numbers.doubles),
    "double precision": (_float, pa.float64(), numbers.doubles),
    "boolean": (_truth, pa.bool_(), numbers.truths),
    "text": (_text, pa.string(), numbers.texts),
    "character varying": (_text, pa.string(), numbers.texts),
    "character": (_text, pa.string(), numbers.texts),
    "uuid": (_uuid, pa.string(), numbers.texts),
    "json": (shown, pa.string(), numbers.texts),
    "jsonb": (shown, pa.string(), numbers.texts),
    "bytea": (_hexed, pa.string(), numbers.texts),
    "date": (_day, pa.int32(), moments.dates),
}


# Keys


def key(value: Any) -> str:
    """Of any id, and of no other: an object id by its digits, all else by its JSON. A JSON number
    of 24 hexadecimal digits there is not: no integer has so many, and a double shows a point."""
    try:
        return object_id(value)
    except ValueError:
        return shown(value)


def key_column(declared: Declared) -> tuple[One, pa.DataType, Convert]:
    """As `column`, for ids of one type only. Errors: ValueError."""
    one, kind, finish = column(declared)
    if declared.is_array or declared.base not in _KEYS:
        raise ValueError(f"_id may be one of {', '.join(sorted(_KEYS))}")
    return _KEYS[declared.base] or one, kind, finish


def _text_key(value: Any) -> str:
    """An object id, or a text that does not look like one."""
    if isinstance(value, str):
        if is_object_id(value):
            raise ValueError
        return value
    return object_id(value)


def _uuid_key(value: Any) -> str:
    if isinstance(value, str):
        raise ValueError
    return _uuid(value)


_KEYS: dict[str, One | None] = {
    "smallint": None,
    "integer": None,
    "bigint": None,
    "numeric": None,
    "text": _text_key,
    "uuid": _uuid_key,
}
"""Numbers that are equal are one id to MongoDB, whatever their types."""
