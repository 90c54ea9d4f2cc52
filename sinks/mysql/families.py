"""What is sent: the family of a column's values, and how far they reach.

Two types are of one family where the target's columns treat their values alike, such as `integer`
and `bigint`, or `text` and an array, which arrives as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sinks.mysql.types import BIT_MAX
from sinks.typenames import parted
from transforms.rows import TargetColumn

INTEGER, DECIMAL, SINGLE, DOUBLE, BOOLEAN = "integer", "decimal", "single", "double", "boolean"
DATE, MOMENT, INSTANT, TIME = "date", "moment", "instant", "time"
YEAR, BITS, TEXT, CHARACTERS = "year", "bits", "text", "characters"
UUID, JSON, BYTES = "uuid", "json", "bytes"

_BY_NAME = {
    "real": SINGLE,
    "double precision": DOUBLE,
    "boolean": BOOLEAN,
    "date": DATE,
    "uuid": UUID,
    "json": JSON,
    "jsonb": JSON,
    "bytea": BYTES,
}
_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19, "oid": 10}
_NATIVE_SIZE = re.compile(r"mysql:(time|binary)\((\d+)\)")
_MICROSECONDS = 6


@dataclass(frozen=True, slots=True)
class Sent:
    """`size`: decimal digits of an integer, digits of a second, or bytes that each value has;
    None where there is no such bound."""

    family: str
    size: int | None = None


def sent(column: TargetColumn) -> Sent:
    base, size, scale, zone = parted(column.type)
    native = _NATIVE_SIZE.fullmatch(column.native)
    if base in _BY_NAME:
        family = _BY_NAME[base]
        return Sent(family, int(native[2]) if native and family == BYTES else None)
    if column.native == "mysql:year":
        return Sent(YEAR, 4)
    if base in _DIGITS:
        return Sent(INTEGER, _DIGITS[base])
    if base == "numeric":
        return Sent(INTEGER, size) if size and scale == 0 else Sent(DECIMAL)
    if base == "timestamp":
        digits = _MICROSECONDS if size is None else size
        return Sent(INSTANT if zone == " with time zone" else MOMENT, digits)
    if base == "time" and zone != " with time zone":
        return Sent(TIME, _MICROSECONDS if size is None else size)
    if base == "interval" and native:
        return Sent(TIME, int(native[2]))
    if base == "bit" and size and size <= BIT_MAX:
        return Sent(BITS, size)
    # Values of these never end in a space, which a CHAR forgets.
    if (base in ("character", "bpchar") and size) or column.native.startswith("mysql:char"):
        return Sent(CHARACTERS)
    return Sent(TEXT)
