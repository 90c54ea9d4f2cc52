# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Columns into rows on the wire: the hot part of delivery.

COPY's text: https://www.postgresql.org/docs/current/sql-copy.html, section Text Format: values end
with a tab, the last with a newline; NULL is ``\\N``; backslash and control characters are escaped.
Counted text: the parameters of MariaDB's COM_STMT_BULK_EXECUTE
(https://mariadb.com/kb/en/com_stmt_bulk_execute/): before each value a byte that is 1 for NULL, and
the length (https://mariadb.com/kb/en/protocol-data-types/#length-encoded-integers).
Written in Cython's pure-Python mode; uncompiled, a pointer is a memoryview.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from tailrace import cyshim as cython

if cython.compiled:
    from cython.cimports.libc.string import memcpy

COMPILED = cython.compiled

_ESCAPES = bytes.maketrans(b"\x08\t\n\x0b\x0c\r\\", b"btnvfr\\")


@cython.cfunc
@cython.inline
def _pointer(buffer: object) -> cython.p_uchar:
    if cython.compiled:
        address: cython.size_t = buffer.address
        return cython.cast(cython.p_uchar, address)
    return memoryview(buffer).cast("B")


@cython.cfunc
@cython.inline
def _ints(buffer: object) -> cython.p_int:
    if cython.compiled:
        address: cython.size_t = buffer.address
        return cython.cast(cython.p_int, address)
    return memoryview(buffer).cast("B").cast("i")


@cython.cfunc
@cython.inline
def _bytes_of(owner: bytearray) -> cython.p_uchar:
    if cython.compiled:
        return cython.cast(cython.p_uchar, cython.cast(cython.p_char, owner))
    return memoryview(owner)


@cython.final
@cython.cclass
class Column:
    """A text column's buffers, kept alive; `first` is where it begins in them."""

    owners: tuple
    valid: cython.p_uchar
    offsets: cython.p_int
    data: cython.p_uchar
    first: cython.Py_ssize_t
    has_nulls: cython.bint
    has_data: cython.bint

    def __init__(self, valid: object, offsets: object, data: object, first: int) -> None:
        self.owners = (valid, offsets, data)
        self.first = first
        self.has_nulls = valid is not None
        self.has_data = data is not None
        if valid is not None:
            self.valid = _pointer(valid)
        self.offsets = _ints(offsets)
        if data is not None:
            self.data = _pointer(data)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _is_plain(byte: cython.int) -> cython.bint:
    return byte != 92 and (byte > 13 or byte < 8)


@cython.ccall
def room(columns: list, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Bytes that rows start … stop take at the worst: each byte escaped, NULL as two, and tabs."""
    column: Column
    total: cython.Py_ssize_t = 0
    size: cython.Py_ssize_t  # wider than the offsets, since twice a size need not fit into one
    for column in columns:
        total += 3 * (stop - start)
        if column.has_data:
            size = column.offsets[column.first + stop] - column.offsets[column.first + start]
            total += 2 * size
    return total


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
    p: cython.p_uchar = _bytes_of(out)
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


@cython.ccall
def room_counted(
    columns: list, start: cython.Py_ssize_t, stop: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Bytes that rows start … stop take at the worst: ten before each value."""
    column: Column
    total: cython.Py_ssize_t = 0
    size: cython.Py_ssize_t
    for column in columns:
        total += 10 * (stop - start)
        if column.has_data:
            size = column.offsets[column.first + stop] - column.offsets[column.first + start]
            total += size
    return total


def encode_counted(columns: list, start: int, stop: int) -> bytearray:
    """Rows start … stop of `columns`."""
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
    p: cython.p_uchar = _bytes_of(out)
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
                for at in range(8):
                    p[used + 1 + at] = size >> 8 * at & 255
                used += 9
            if size:
                if cython.compiled:
                    memcpy(p + used, column.data + begin, size)
                else:
                    p[used : used + size] = column.data[begin : begin + size]
                used += size
    if not cython.compiled:
        p.release()
    del out[used:]
    return out
