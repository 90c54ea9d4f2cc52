# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Columns into COPY text: the hot part of delivery.

https://www.postgresql.org/docs/current/sql-copy.html, section Text Format: values end with a tab,
the last with a newline; NULL is ``\\N``; backslash and control characters are escaped. What is
written here LOAD DATA with its default separators reads, too
(https://mariadb.com/kb/en/load-data-infile/).
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

_ESCAPES = bytes.maketrans(b"\x08\t\n\r", b"btnr")  # any other stands for itself


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
