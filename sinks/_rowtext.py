# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Columns into rows on the wire: the hot part of delivery.

COPY's text: https://www.postgresql.org/docs/current/sql-copy.html, section Text Format: values end
with a tab, the last with a newline; NULL is ``\\N``; backslash and control characters are escaped.
Counted values: the parameters of MariaDB's COM_STMT_BULK_EXECUTE
(https://mariadb.com/kb/en/com_stmt_bulk_execute/): before each value a byte that is 1 for NULL, and
the length (https://mariadb.com/kb/en/protocol-data-types/); doubles and moments in binary
(https://mariadb.com/kb/en/com_stmt_execute/#binary-parameter-encoding).
Written in Cython's pure-Python mode; uncompiled, a pointer is a memoryview.
"""

from __future__ import annotations

import struct

try:
    import cython
except ModuleNotFoundError:
    from tailrace import cyshim as cython

if cython.compiled:
    from cython.cimports.libc.stdlib import strtod
    from cython.cimports.libc.string import memcpy
    from cython.cimports.tailrace._buffers import Column as Buffers
    from cython.cimports.tailrace._buffers import bytes_of
else:
    from tailrace._buffers import Column as Buffers
    from tailrace._buffers import bytes_of

COMPILED = cython.compiled

_PACK_DOUBLE = struct.Struct("<d").pack

_ESCAPES = bytes.maketrans(b"\x08\t\n\x0b\x0c\r\\", b"btnvfr\\")


@cython.final
@cython.cclass
class Column(Buffers):
    """`kind` says as what counted values have it: TEXT, DOUBLE or MOMENT."""

    kind: cython.int

    def __init__(
        self, valid: object, offsets: object, data: object, first: int, kind: int = 0
    ) -> None:
        Buffers.__init__(self, valid, offsets, data, first)
        self.kind = kind


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _is_plain(byte: cython.int) -> cython.bint:
    return byte != 92 and (byte > 13 or byte < 8)


@cython.cfunc
def _room(
    columns: list,
    start: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    a_value: cython.int,
    a_byte: cython.int,
) -> cython.Py_ssize_t:
    column: Column
    total: cython.Py_ssize_t = 0
    size: cython.Py_ssize_t  # wider than the offsets, since twice a size need not fit into one
    for column in columns:
        total += a_value * (stop - start)
        if column.has_data:
            size = column.offsets[column.first + stop] - column.offsets[column.first + start]
            total += a_byte * size
    return total


@cython.ccall
def room(columns: list, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Bytes that rows start … stop take at the worst: each byte escaped, NULL as two, and tabs."""
    return _room(columns, start, stop, 3, 2)


def encode(columns: list, start: int, stop: int) -> bytearray:
    """Rows start … stop of `columns`."""
    column: Column
    i: cython.Py_ssize_t
    row: cython.Py_ssize_t
    at: cython.Py_ssize_t
    begin: cython.Py_ssize_t
    end: cython.Py_ssize_t
    byte: cython.int
    first: cython.Py_ssize_t = start
    last: cython.Py_ssize_t = stop
    width: cython.Py_ssize_t = len(columns)
    used: cython.Py_ssize_t = 0
    out: bytearray = bytearray(room(columns, first, last))
    p: cython.p_uchar = bytes_of(out)
    escapes: bytes = _ESCAPES
    for row in range(first, last):
        for i in range(width):
            column = cython.cast(Column, columns[i])
            at = column.first + row
            if column.has_nulls and not column.valid[at >> 3] >> (at & 7) & 1:
                p[used] = 92
                p[used + 1] = 78
                used += 2
            else:
                begin = column.offsets[at]
                end = column.offsets[at + 1]
                for at in range(begin, end):
                    if not _is_plain(column.data[at]):
                        break
                else:
                    at = end
                if cython.compiled:
                    memcpy(p + used, column.data + begin, at - begin)
                elif at > begin:
                    p[used : used + at - begin] = column.data[begin:at]
                used += at - begin
                while at < end:
                    byte = column.data[at]
                    if not _is_plain(byte):
                        p[used] = 92
                        used += 1
                        byte = escapes[byte]
                    p[used] = byte
                    used += 1
                    at += 1
            p[used] = 9
            used += 1
        p[used - 1] = 10
    if not cython.compiled:
        p.release()
    del out[used:]
    return out


TEXT = 0
DOUBLE = 1  # 8 bytes, little-endian
MOMENT = 2  # a length of 0, 4, 7 or 11: year (2 bytes), month, day, hour, minute, second, µs (4)


class Unfit(ValueError):
    """A text of another form than its kind's: whoever reads texts may judge it."""


@cython.ccall
def room_counted(
    columns: list, start: cython.Py_ssize_t, stop: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Bytes that rows start … stop take at the worst: ten before each text, or a moment's 13."""
    return _room(columns, start, stop, 13, 1)


def encode_counted(columns: list, start: int, stop: int) -> bytearray:
    """Rows start … stop of `columns`. Errors: Unfit."""
    column: Column
    i: cython.Py_ssize_t
    row: cython.Py_ssize_t
    at: cython.Py_ssize_t
    begin: cython.Py_ssize_t
    size: cython.Py_ssize_t
    first: cython.Py_ssize_t = start
    last: cython.Py_ssize_t = stop
    width: cython.Py_ssize_t = len(columns)
    used: cython.Py_ssize_t = 0
    out: bytearray = bytearray(room_counted(columns, first, last))
    p: cython.p_uchar = bytes_of(out)
    for row in range(first, last):
        for i in range(width):
            column = cython.cast(Column, columns[i])
            at = column.first + row
            if column.has_nulls and not column.valid[at >> 3] >> (at & 7) & 1:
                p[used] = 1
                used += 1
                continue
            begin = column.offsets[at]
            size = column.offsets[at + 1] - begin
            p[used] = 0
            used += 1
            if column.kind == 1:
                used = _double(p, used, column.data, begin, size)
            elif column.kind == 2:
                used = _moment(p, used, column.data, begin, size)
            else:
                used = _counted(p, used, column.data, begin, size)
    if not cython.compiled:
        p.release()
    del out[used:]
    return out


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _counted(
    p: cython.p_uchar,
    used: cython.Py_ssize_t,
    data: cython.p_uchar,
    begin: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    i: cython.Py_ssize_t
    if size < 251:
        p[used] = size
        used += 1
    elif size < 1 << 16:
        p[used] = 252
        p[used + 1] = size & 255
        p[used + 2] = size >> 8
        used += 3
    else:
        p[used] = 254
        for i in range(8):
            p[used + 1 + i] = size >> 8 * i & 255
        used += 9
    if size:
        if cython.compiled:
            memcpy(p + used, data + begin, size)
        else:
            p[used : used + size] = data[begin : begin + size]
    return used + size


@cython.cfunc
@cython.exceptval(-1)
def _double(
    p: cython.p_uchar,
    used: cython.Py_ssize_t,
    data: cython.p_uchar,
    begin: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    number: cython.double
    buffer: cython.char[41]
    end: cython.p_char
    i: cython.Py_ssize_t
    first: cython.int
    if size < 1 or size > 40:
        raise Unfit
    first = data[begin + 1] if data[begin] == 45 and size > 1 else data[begin]
    if first < 48 or first > 57:
        raise Unfit
    for i in range(begin, begin + size):
        first = data[i]
        if not (48 <= first <= 57 or first in (43, 45, 46, 69, 101)):  # +-.Ee
            raise Unfit
    if cython.compiled:
        memcpy(buffer, data + begin, size)
        buffer[size] = 0
        number = strtod(buffer, cython.address(end))
        if end != buffer + size:
            raise Unfit
        memcpy(p + used, cython.address(number), 8)
    else:
        try:
            number = float(bytes(data[begin : begin + size]))
        except ValueError:
            raise Unfit from None
        p[used : used + 8] = _PACK_DOUBLE(number)
    return used + 8


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
@cython.exceptval(-1)
def _moment(
    p: cython.p_uchar,
    used: cython.Py_ssize_t,
    data: cython.p_uchar,
    begin: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """``YYYY-MM-DD``, or with `` HH:MM:SS`` and up to six digits of a fraction."""
    year: cython.int
    month: cython.int
    day: cython.int
    hour: cython.int = 0
    minute: cython.int = 0
    second: cython.int = 0
    micro: cython.int = 0
    i: cython.Py_ssize_t
    if size != 10 and size != 19 and not 21 <= size <= 26:
        raise Unfit
    year = _digits(data, begin, 4)
    month = _digits(data, begin + 5, 2)
    day = _digits(data, begin + 8, 2)
    if year < 0 or month < 1 or day < 1 or data[begin + 4] != 45 or data[begin + 7] != 45:
        raise Unfit
    if size > 10:
        hour = _digits(data, begin + 11, 2)
        minute = _digits(data, begin + 14, 2)
        second = _digits(data, begin + 17, 2)
        if hour < 0 or minute < 0 or second < 0 or data[begin + 10] != 32:
            raise Unfit
        if data[begin + 13] != 58 or data[begin + 16] != 58:
            raise Unfit
    if size > 19:
        micro = _digits(data, begin + 20, size - 20)
        if micro < 0 or data[begin + 19] != 46:
            raise Unfit
        for i in range(26 - size):
            micro *= 10
    p[used] = 4 if size == 10 else 11
    p[used + 1] = year & 255
    p[used + 2] = year >> 8
    p[used + 3] = month
    p[used + 4] = day
    if size == 10:
        return used + 5
    p[used + 5] = hour
    p[used + 6] = minute
    p[used + 7] = second
    for i in range(4):
        p[used + 8 + i] = micro >> 8 * i & 255
    return used + 12
