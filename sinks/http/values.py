"""A row's values, which are PostgreSQL's texts, as JSON.

Integers and floats are numbers, whatever their size; a decimal is a text, since most readers take
a JSON number for a double, unless numbers are asked for. Moments are in RFC 3339. What JSON has no
number for (NaN, infinity) is a text, as is every other type; `text` makes one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from json.encoder import encode_basestring as text

Encoder = Callable[[str], str]

_INTEGERS = {"smallint", "integer", "bigint", "int2", "int4", "int8", "oid"}
_FLOATS = {"real", "double precision", "float4", "float8"}
_DECIMALS = {"numeric", "decimal"}
_BOOLEANS = {"t": "true", "true": "true", "1": "true", "f": "false", "false": "false", "0": "false"}
_MODIFIER = re.compile(r"\s*\([^)]*\)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MOMENT = re.compile(r"(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(\+00)?")


def encoder(type_: str, *, decimals_as_numbers: bool) -> Encoder:
    """Of values of a column of this type, in PostgreSQL's spelling; NULL is not asked."""
    base = _MODIFIER.sub("", type_).lower()
    if base in _INTEGERS or base in _FLOATS or (base in _DECIMALS and decimals_as_numbers):
        return _number
    if base in ("boolean", "bool"):
        return _boolean
    if base in ("json", "jsonb"):
        return _document
    if base.startswith("timestamp"):
        return _moment
    return text


def _number(value: str) -> str:
    return value if _NUMBER.fullmatch(value) else text(value)


def _boolean(value: str) -> str:
    return _BOOLEANS.get(value) or text(value)


def _document(value: str) -> str:
    return value


def _moment(value: str) -> str:
    matched = _MOMENT.fullmatch(value)
    if matched is None:
        return text(value)
    return f'"{matched[1]}T{matched[2]}{"Z" if matched[3] else ""}"'


__all__ = ["Encoder", "encoder", "text"]
