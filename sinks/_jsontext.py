# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Columns into JSON texts, one a row: the hot part of targets that take messages.

A text is put together of parts: constants, texts picked from a few, and objects with the values of
columns. What a value becomes says its kind; texts are those of PostgreSQL, whose forms are fixed.
JSON: https://www.rfc-editor.org/rfc/rfc8259; quotes, backslashes and control characters are
escaped.
Written in Cython's pure-Python mode; uncompiled, a pointer is a memoryview.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from tailrace import cyshim as cython

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_Resize
    from cython.cimports.libc.string import memcpy
    from cython.cimports.tailrace._buffers import Column, bytes_of, ints, pointer
else:
    from tailrace._buffers import Column, bytes_of, ints, pointer

COMPILED = cython.compiled

CONSTANT, PICK, OPEN, CLOSE, VALUE = range(5)
"""What a part is."""

RAW, TEXT, BOOLEAN, NUMBER, DECIMAL, DATE, TIME, TIMESTAMP, ZONED, BYTES = range(10)
"""What a value becomes:

RAW        the text itself, which is JSON: integers, and what was converted before
TEXT       a string
BOOLEAN    true or false
NUMBER     the text itself; NaN and infinity are unfit
DECIMAL    the unscaled number's bytes, big-endian, in Base64; `unit` is the scale
DATE       days since 1970
TIME       `unit` (µs in each: 1 or 1000) since midnight
TIMESTAMP  the same since 1970
ZONED      ``2026-01-31T12:00:00.500000Z``, with `unit` digits of a second
BYTES      Base64 of what stands there in hexadecimal
"""

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_HEX = b"0123456789abcdef"
_SIZE_MAX = (1 << 31) - 1


class Unfit(ValueError):
    """A text of another form than its kind's; the argument is the number of its part."""


class TooLong(ValueError):
    """All texts together would be 2 GiB and more."""


@cython.final
@cython.cclass
class Part:
    """`text`: of a constant, or what stands before a value (its name); `texts`, `index`: of a pick;
    `flags`: of an object, a byte each row, 0 where it is null; of a value, 1 where it was not sent.
    `end`: of an object, the number of the part that closes it. `absent`: what stands for a value
    that was not sent, name included; None: nothing. `column`: of a value."""

    what: cython.int
    kind: cython.int
    unit: cython.longlong
    end: cython.Py_ssize_t
    text: bytes
    size: cython.Py_ssize_t
    absent: bytes
    texts: list
    owners: tuple
    index: cython.p_int
    flags: cython.p_uchar
    has_flags: cython.bint
    column: Column

    def __init__(
        self,
        what: int,
        text: bytes = b"",
        *,
        texts: object = None,
        index: object = None,
        flags: object = None,
        end: int = 0,
        kind: int = 0,
        unit: int = 0,
        absent: object = None,
        column: object = None,
    ) -> None:
        self.what = what
        self.text = text
        self.size = len(text)
        self.kind = kind
        self.unit = unit
        self.end = end
        self.absent = b"" if absent is None else absent
        self.texts = [] if texts is None else texts
        self.owners = (index, flags)
        self.column = column
        if index is not None:
            self.index = ints(index)
        self.has_flags = flags is not None
        if flags is not None:
            self.flags = pointer(flags)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put(
    p: cython.p_uchar, used: cython.Py_ssize_t, text: bytes, size: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    if cython.compiled:
        memcpy(p + used, cython.cast(cython.p_char, text), size)
    else:
        p[used : used + size] = text
    return used + size


@cython.cfunc
def _grow(out: bytearray, room: cython.Py_ssize_t) -> cython.int:
    if cython.compiled:
        PyByteArray_Resize(out, room)
    else:
        out.extend(bytes(room - len(out)))
    return 0


def encode(parts: list, first: int, last: int, guess: int) -> tuple:
    """Rows `first` … `last` as (texts one behind the other, offsets as int32).

    `guess`: bytes a row, to begin with. Errors: Unfit, TooLong.
    """
    part: Part
    column: Column
    i: cython.Py_ssize_t
    row: cython.Py_ssize_t
    at: cython.Py_ssize_t
    begin: cython.Py_ssize_t
    size: cython.Py_ssize_t
    need: cython.Py_ssize_t
    text: bytes
    start: cython.Py_ssize_t = first
    stop: cython.Py_ssize_t = last
    count: cython.Py_ssize_t = len(parts)
    used: cython.Py_ssize_t = 0
    room: cython.Py_ssize_t = max(1024, (stop - start) * guess)
    out: bytearray = bytearray(room)
    p: cython.p_uchar = bytes_of(out)
    marks: bytearray = bytearray(4 * (stop - start + 1))
    m: cython.p_uchar = bytes_of(marks)
    base64: bytes = _BASE64
    digits: bytes = _HEX
    for row in range(start, stop):
        i = 0
        while i < count:
            part = cython.cast(Part, parts[i])
            text = part.text
            size = 0
            if part.what == 1:
                text = part.texts[part.index[row]]
                size = len(text)
            elif part.what == 4:
                column = part.column
                at = column.first + row
                if column.has_data:
                    size = column.offsets[at + 1] - column.offsets[at]
            need = used + part.size + 6 * size + len(part.absent) + 64
            if need > room:
                if need > _SIZE_MAX:
                    raise TooLong
                room = min(_SIZE_MAX, max(need, room + (room >> 1)))
                if not cython.compiled:
                    p.release()
                _grow(out, room)
                p = bytes_of(out)
            if part.what == 0:
                used = _put(p, used, text, part.size)
            elif part.what == 1:
                used = _put(p, used, text, size)
            elif part.what == 2:
                if part.has_flags and not part.flags[row]:
                    used = _put(p, used, b"null", 4)
                    i = part.end
                else:
                    p[used] = 123
                    used += 1
            elif part.what == 3:
                if p[used - 1] == 44:  # the comma behind the last value
                    used -= 1
                p[used] = 125
                used += 1
            elif part.has_flags and part.flags[row]:
                used = _put(p, used, part.absent, len(part.absent))
            else:
                used = _put(p, used, text, part.size)
                if column.has_nulls and not column.valid[at >> 3] >> (at & 7) & 1:
                    used = _put(p, used, b"null", 4)
                else:
                    begin = column.offsets[at]
                    if part.kind == 1:
                        used = _text(p, used, column.data, begin, size, digits)
                    else:
                        begin = _value(p, used, part, begin, size, base64)
                        if begin < 0:
                            raise Unfit(i)
                        used = begin
                p[used] = 44
                used += 1
            i += 1
        at = 4 * (row - start + 1)
        m[at] = used & 255
        m[at + 1] = used >> 8 & 255
        m[at + 2] = used >> 16 & 255
        m[at + 3] = used >> 24
    if not cython.compiled:
        p.release()
        m.release()
    del out[used:]
    return out, marks


@cython.cfunc
@cython.exceptval(check=False)
def _text(
    p: cython.p_uchar,
    used: cython.Py_ssize_t,
    data: cython.p_uchar,
    begin: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
    digits: bytes,
) -> cython.Py_ssize_t:
    byte: cython.int
    at: cython.Py_ssize_t
    p[used] = 34
    used += 1
    for at in range(begin, begin + size):
        byte = data[at]
        if byte >= 32 and byte != 34 and byte != 92:
            p[used] = byte
            used += 1
            continue
        p[used] = 92
        used += 1
        if byte == 34 or byte == 92:
            p[used] = byte
        elif byte == 8:
            p[used] = 98
        elif byte == 9:
            p[used] = 116
        elif byte == 10:
            p[used] = 110
        elif byte == 12:
            p[used] = 102
        elif byte == 13:
            p[used] = 114
        else:
            p[used] = 117
            p[used + 1] = 48
            p[used + 2] = 48
            p[used + 3] = digits[byte >> 4]
            p[used + 4] = digits[byte & 15]
            used += 4
        used += 1
    p[used] = 34
    return used + 1


@cython.cfunc
@cython.exceptval(check=False)
def _value(
    p: cython.p_uchar,
    used: cython.Py_ssize_t,
    part: Part,
    begin: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
    base64: bytes,
) -> cython.Py_ssize_t:
    """Where it ends; negative where it is unfit."""
    days: cython.longlong
    micros: cython.longlong
    kind: cython.int = part.kind
    data: cython.p_uchar = part.column.data
    if kind == 0 or kind == 3:
        if kind == 3 and not _is_number(data, begin, size):
            return -1
        if cython.compiled:
            memcpy(p + used, data + begin, size)
        else:
            p[used : used + size] = data[begin : begin + size]
        return used + size
    if kind == 2:
        if size < 1:
            return -1
        if data[begin] == 116 or data[begin] == 49:
            return _put(p, used, b"true", 4)
        return _put(p, used, b"false", 5)
    if kind == 4:
        return _decimal(p, used, data, begin, size, part.unit, base64)
    if kind == 9:
        return _hex(p, used, data, begin, size, base64)
    if kind == 5:
        if size != 10:
            return -1
        days = _days(data, begin)
        return -1 if days == _NONE else _number(p, used, days)
    if kind == 6:
        micros = _micros(data, begin, size)
        return -1 if micros < 0 else _number(p, used, micros // part.unit)
    if kind == 7:
        if size < 19 or data[begin + 10] != 32:
            return -1
        days = _days(data, begin)
        micros = _micros(data, begin + 11, size - 11)
        if days == _NONE or micros < 0:
            return -1
        days = days * 86400000000 + micros
        if part.unit > 1:  # towards the past, as Java's floorDiv
            micros = days % part.unit
            if micros < 0:
                micros += part.unit
            days = (days - micros) // part.unit
        return _number(p, used, days)
    return _zoned(p, used, data, begin, size, part.unit)


@cython.cfunc
@cython.exceptval(check=False)
def _is_number(
    data: cython.p_uchar, begin: cython.Py_ssize_t, size: cython.Py_ssize_t
) -> cython.bint:
    if size < 1:
        return False
    if data[begin] == 45:
        begin += 1
        size -= 1
    return size > 0 and data[begin] >= 48 and data[begin] <= 57


_NONE: cython.longlong = -(1 << 62)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _digits(data: cython.p_uchar, at: cython.Py_ssize_t, count: cython.Py_ssize_t) -> cython.int:
    """The number of `count` digits; negative where one is none."""
    i: cython.Py_ssize_t
    digit: cython.int
    number: cython.int = 0
    for i in range(at, at + count):
        digit = data[i] - 48
        if digit < 0 or digit > 9:
            return -1
        number = number * 10 + digit
    return number


@cython.cfunc
@cython.exceptval(check=False)
def _days(data: cython.p_uchar, at: cython.Py_ssize_t) -> cython.longlong:
    """Since 1970, of ``YYYY-MM-DD``: https://howardhinnant.github.io/date_algorithms.html"""
    era: cython.longlong
    year: cython.longlong = _digits(data, at, 4)
    month: cython.longlong = _digits(data, at + 5, 2)
    day: cython.longlong = _digits(data, at + 8, 2)
    if year < 0 or month < 1 or month > 12 or day < 1 or day > 31:
        return _NONE
    if data[at + 4] != 45 or data[at + 7] != 45:
        return _NONE
    if month <= 2:
        year -= 1
        month += 12
    if year < 0:
        return _NONE
    era = year // 400
    year -= era * 400
    day += (153 * (month - 3) + 2) // 5 - 1 + year * 365 + year // 4 - year // 100
    return era * 146097 + day - 719468


@cython.cfunc
@cython.exceptval(check=False)
def _micros(
    data: cython.p_uchar, at: cython.Py_ssize_t, size: cython.Py_ssize_t
) -> cython.longlong:
    """Since midnight, of ``HH:MM:SS`` with up to six digits of a fraction; negative: unfit."""
    i: cython.Py_ssize_t
    hour: cython.longlong
    minute: cython.longlong
    second: cython.longlong
    micro: cython.longlong = 0
    if size != 8 and not 10 <= size <= 15:
        return -1
    hour = _digits(data, at, 2)
    minute = _digits(data, at + 3, 2)
    second = _digits(data, at + 6, 2)
    if hour < 0 or hour > 24 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return -1
    if data[at + 2] != 58 or data[at + 5] != 58:
        return -1
    if size > 8:
        micro = _digits(data, at + 9, size - 9)
        if micro < 0 or data[at + 8] != 46:
            return -1
        for i in range(15 - size):
            micro *= 10
    return ((hour * 60 + minute) * 60 + second) * 1000000 + micro


@cython.cfunc
@cython.exceptval(check=False)
def _number(
    p: cython.p_uchar, used: cython.Py_ssize_t, number: cython.longlong
) -> cython.Py_ssize_t:
    i: cython.int
    count: cython.int = 1
    left: cython.longlong
    if number < 0:
        p[used] = 45
        used += 1
        number = -number
    left = number
    while left > 9:
        count += 1
        left //= 10
    for i in range(count):
        p[used + count - 1 - i] = 48 + number % 10
        number //= 10
    return used + count


@cython.cfunc
@cython.exceptval(check=False)
def _zoned(
    p: cython.p_uchar,
    used: cython.Py_ssize_t,
    data: cython.p_uchar,
    begin: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
    width: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """``YYYY-MM-DD HH:MM:SS.ffffff+00``: sessions are in UTC."""
    i: cython.Py_ssize_t
    end: cython.Py_ssize_t = size - 3
    if end < 19 or data[begin + end] != 43 or data[begin + end + 1] != 48:
        return -1
    if data[begin + end + 2] != 48 or data[begin + 10] != 32 or _days(data, begin) == _NONE:
        return -1
    if _micros(data, begin + 11, end - 11) < 0:
        return -1
    p[used] = 34
    for i in range(19):
        p[used + 1 + i] = data[begin + i]
    p[used + 11] = 84
    used += 20
    if width > 0:
        p[used] = 46
        for i in range(width):
            p[used + 1 + i] = data[begin + 20 + i] if 20 + i < end else 48
        used += 1 + width
    p[used] = 90
    p[used + 1] = 34
    return used + 2


@cython.cfunc
@cython.exceptval(check=False)
def _decimal(
    p: cython.p_uchar,
    used: cython.Py_ssize_t,
    data: cython.p_uchar,
    begin: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
    scale: cython.longlong,
    base64: bytes,
) -> cython.Py_ssize_t:
    """Up to 18 digits; of more of them somebody else takes care."""
    at: cython.Py_ssize_t
    byte: cython.int
    count: cython.int = 0
    behind: cython.longlong = -1
    number: cython.longlong = 0
    limit: cython.longlong = 128
    length: cython.int = 1
    bytes_: cython.uchar[9]
    is_negative: cython.bint = size > 0 and data[begin] == 45
    if not cython.compiled:
        bytes_ = bytearray(9)
    if size < 1:
        return -1
    for at in range(begin + is_negative, begin + size):
        byte = data[at]
        if byte == 46 and behind < 0:
            behind = 0
            continue
        if byte < 48 or byte > 57:
            return -1
        number = number * 10 + (byte - 48)
        count += 1
        if count > 18:
            return -1
        if behind >= 0:
            behind += 1
    if behind < 0:
        behind = 0
    while behind < scale:
        number *= 10
        behind += 1
        count += 1
        if count > 18:
            return -1
    if behind > scale or not count:
        return -1
    if is_negative:
        number = -number
    while length < 8 and (number >= limit or number < -limit):
        length += 1
        limit <<= 8
    for at in range(length):
        bytes_[at] = number >> 8 * (length - 1 - at) & 255
    p[used] = 34
    used = _base64(p, used + 1, bytes_, length, base64)
    p[used] = 34
    return used + 1


@cython.cfunc
@cython.exceptval(check=False)
def _base64(
    p: cython.p_uchar,
    used: cython.Py_ssize_t,
    data: cython.p_uchar,
    size: cython.Py_ssize_t,
    base64: bytes,
) -> cython.Py_ssize_t:
    at: cython.Py_ssize_t = 0
    bits: cython.uint
    while at + 3 <= size:
        bits = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
        p[used] = base64[bits >> 18]
        p[used + 1] = base64[bits >> 12 & 63]
        p[used + 2] = base64[bits >> 6 & 63]
        p[used + 3] = base64[bits & 63]
        used += 4
        at += 3
    if at < size:
        bits = data[at] << 16
        if at + 1 < size:
            bits |= data[at + 1] << 8
        p[used] = base64[bits >> 18]
        p[used + 1] = base64[bits >> 12 & 63]
        p[used + 2] = base64[bits >> 6 & 63] if at + 1 < size else 61
        p[used + 3] = 61
        used += 4
    return used


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _nibble(byte: cython.int) -> cython.int:
    if 48 <= byte <= 57:
        return byte - 48
    if 97 <= byte <= 102:
        return byte - 87
    return -1


@cython.cfunc
@cython.exceptval(check=False)
def _hex(
    p: cython.p_uchar,
    used: cython.Py_ssize_t,
    data: cython.p_uchar,
    begin: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
    base64: bytes,
) -> cython.Py_ssize_t:
    """Of ``\\x`` and pairs of digits, three bytes at a time."""
    at: cython.Py_ssize_t
    high: cython.int
    low: cython.int
    held: cython.int = 0
    three: cython.uchar[3]
    if not cython.compiled:
        three = bytearray(3)
    if size < 2 or size & 1 or data[begin] != 92 or data[begin + 1] != 120:
        return -1
    p[used] = 34
    used += 1
    at = begin + 2
    while at < begin + size:
        high = _nibble(data[at])
        low = _nibble(data[at + 1])
        if high < 0 or low < 0:
            return -1
        three[held] = high << 4 | low
        held += 1
        if held == 3:
            used = _base64(p, used, three, 3, base64)
            held = 0
        at += 2
    if held:
        used = _base64(p, used, three, held, base64)
    p[used] = 34
    return used + 1
