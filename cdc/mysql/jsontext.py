"""MySQL's binary JSON as the text that the server prints of it. Pure.

https://dev.mysql.com/doc/dev/mysql-server/latest/json__binary_8h.html; numbers are little-endian,
`n` has two bytes in small containers and four in large ones; offsets count from the container:

    document   type:u8 value
    object     count:n size:n (key:n length:u16)* (type:u8 offset-or-value:n)* key* value*
    array      count:n size:n (type:u8 offset-or-value:n)* value*
    text       length (seven bits a byte, the eighth says that more follow) bytes
    opaque     type of a column:u8 length bytes
"""

from __future__ import annotations

import base64
import math
import struct
from decimal import Decimal

from tailrace.errors import DecodeError

DEPTH_MAX = 100
"""The server's own limit."""

(_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY, _LITERAL) = range(5)
_INT16, _UINT16, _INT32, _UINT32, _INT64, _UINT64, _DOUBLE, _TEXT, _OPAQUE = (*range(5, 13), 15)
_NUMBERS = {
    _INT16: struct.Struct("<h"),
    _UINT16: struct.Struct("<H"),
    _INT32: struct.Struct("<i"),
    _UINT32: struct.Struct("<I"),
    _INT64: struct.Struct("<q"),
    _UINT64: struct.Struct("<Q"),
}
_DOUBLES = struct.Struct("<d")
_LITERALS = {0: "null", 1: "true", 2: "false"}
_TIMESTAMP, _DATE, _TIME, _DATETIME, _DECIMAL = 7, 10, 11, 12, 246
_ESCAPES = {code: f"\\u{code:04x}" for code in range(32)} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    **{ord(of): f"\\{letter}" for of, letter in zip("\b\f\n\r\t", "bfnrt", strict=True)},
}
POINT_MIN, POINT_MAX = -14, 15
"""Where the point of a number that is printed without exponent stands, from its first digit on."""


def json_text(raw: bytes) -> bytes:
    """UTF-8. Errors: DecodeError."""
    try:
        return _Document(raw).text().encode()
    except (struct.error, IndexError, UnicodeError, ValueError):
        raise DecodeError("a JSON value is damaged") from None


class _Document:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._left = len(raw) + 1  # values; a damaged document may lead in circles

    def text(self) -> str:
        if not self._raw:  # what the server makes of a NULL where none may be
            return "null"
        return self._value(self._raw[0], 1, 0)

    def _value(self, kind: int, at: int, depth: int) -> str:
        self._left -= 1
        if depth > DEPTH_MAX or self._left < 0:
            raise DecodeError("a JSON value deeper or larger than it can be")
        if kind <= _LARGE_ARRAY:
            return self._container(kind, at, depth)
        if kind == _LITERAL:
            return self._literal(self._raw[at])
        if kind in _NUMBERS:
            return str(_NUMBERS[kind].unpack_from(self._raw, at)[0])
        if kind == _DOUBLE:
            return double_text(_DOUBLES.unpack_from(self._raw, at)[0])
        if kind == _TEXT:
            return _quoted(self._sized(at).decode())
        if kind == _OPAQUE:
            return _opaque(self._raw[at], self._sized(at + 1))
        raise DecodeError(f"unknown kind of JSON value {kind}")

    @staticmethod
    def _literal(number: int) -> str:
        if number not in _LITERALS:
            raise DecodeError(f"unknown JSON literal {number}")
        return _LITERALS[number]

    def _container(self, kind: int, start: int, depth: int) -> str:
        wide = 4 if kind in (_LARGE_OBJECT, _LARGE_ARRAY) else 2
        is_object = kind in (_SMALL_OBJECT, _LARGE_OBJECT)
        count, size = self._number(start, wide), self._number(start + wide, wide)
        if start + size > len(self._raw):
            raise DecodeError("a JSON container ends behind its document")
        keys = start + 2 * wide
        values = keys + (count * (wide + 2) if is_object else 0)
        if values + count * (wide + 1) > start + size:
            raise DecodeError("a JSON container with more members than it holds")
        parts = []
        for i in range(count):
            text = self._member(values + i * (wide + 1), start, wide, depth)
            if is_object:
                at = keys + i * (wide + 2)
                key = start + self._number(at, wide)
                length = self._number(at + wide, 2)
                if key + length > len(self._raw):
                    raise DecodeError("a JSON key ends behind its document")
                text = f"{_quoted(self._raw[key : key + length].decode())}: {text}"
            parts.append(text)
        return ("{%s}" if is_object else "[%s]") % ", ".join(parts)

    def _member(self, at: int, start: int, wide: int, depth: int) -> str:
        kind = self._raw[at]
        if kind == _LITERAL:
            return self._literal(self._number(at + 1, wide) & 0xFF)
        if kind in (_INT16, _UINT16) or (wide == 4 and kind in (_INT32, _UINT32)):
            return self._value(kind, at + 1, depth + 1)
        return self._value(kind, start + self._number(at + 1, wide), depth + 1)

    def _number(self, at: int, size: int) -> int:
        found = self._raw[at : at + size]
        if len(found) != size:
            raise DecodeError("a JSON value ends inside a number")
        return int.from_bytes(found, "little")

    def _sized(self, at: int) -> bytes:
        size = shift = 0
        while shift < 35:
            byte = self._raw[at]
            size |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if not byte & 0x80:
                break
        if at + size > len(self._raw):
            raise DecodeError("a JSON text ends behind its document")
        return self._raw[at : at + size]


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def double_text(value: float) -> str:
    """A double as JSON: the fewest digits that read back as it, with a point or an exponent.

    Which of them is the server's choice, seen by asking it (`my_gcvt` in its source).
    """
    if not math.isfinite(value):
        raise DecodeError("a JSON number that is none")
    sign, numbers, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    digits = "".join(map(str, numbers))
    minus = "-" if sign else ""
    if not value:
        return f"{minus}0.0"
    point = len(digits) + exponent
    if POINT_MIN <= point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    if 0 < point < len(digits):
        return f"{minus}{digits[:point]}.{digits[point:]}"
    if 0 < point <= POINT_MAX:
        return f"{minus}{digits}{'0' * (point - len(digits))}.0"
    fraction = f".{digits[1:]}" if digits[1:] else ""
    return f"{minus}{digits[0]}{fraction}e{point - 1}"


def _opaque(kind: int, data: bytes) -> str:
    """A value of SQL's in JSON. Dates and times are packed into eight bytes."""
    if kind == _DECIMAL:
        return _decimal(data)
    if kind in (_DATE, _DATETIME, _TIMESTAMP, _TIME) and len(data) == 8:
        (packed,) = _NUMBERS[_INT64].unpack(data)
        return f'"{_time(packed) if kind == _TIME else _moment(packed, kind)}"'
    encoded = base64.encodebytes(data).decode().rstrip("\n")  # the server breaks lines, too
    return _quoted(f"base64:type{kind}:{encoded}")


def _moment(packed: int, kind: int) -> str:
    whole, fraction = packed >> 24, packed & 0xFFFFFF
    day, clock = whole >> 17, whole & 0x1FFFF
    months = day >> 5
    date = f"{months // 13:04}-{months % 13:02}-{day & 31:02}"
    return date if kind == _DATE else f"{date} {_clock(clock)}.{fraction:06}"


def _time(packed: int) -> str:
    minus, packed = ("-", -packed) if packed < 0 else ("", packed)
    return f"{minus}{_clock(packed >> 24)}.{packed & 0xFFFFFF:06}"


def _clock(packed: int) -> str:
    return f"{packed >> 12:02}:{packed >> 6 & 63:02}:{packed & 63:02}"


def _decimal(data: bytes) -> str:
    """Precision, scale, then groups of nine digits as in a row."""
    precision, scale = data[0], data[1]
    packed = bytearray(data[2:])
    is_negative = not packed[0] & 0x80
    packed[0] ^= 0x80
    if is_negative:
        packed = bytearray(byte ^ 0xFF for byte in packed)
    groups = bytes(packed)
    whole, at = _digits(groups, 0, precision - scale, short_first=True)
    fraction, at = _digits(groups, at, scale, short_first=False)
    if at != len(packed):
        raise DecodeError("a JSON decimal of another length than it says")
    text = whole.lstrip("0") or "0"
    return ("-" if is_negative else "") + text + (f".{fraction}" if scale else "")


def _digits(packed: bytes, at: int, count: int, *, short_first: bool) -> tuple[str, int]:
    groups = [9] * (count // 9)
    if count % 9:
        groups.insert(0 if short_first else len(groups), count % 9)
    found = []
    for digits in groups:
        size = 4 if digits == 9 else (digits + 1) // 2
        found.append(f"{int.from_bytes(packed[at : at + size], 'big'):0{digits}}")
        if len(found[-1]) != digits:
            raise DecodeError("a JSON decimal with more digits than it has")
        at += size
    return "".join(found), at
