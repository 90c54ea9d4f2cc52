# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Rows of ``COPY … TO STDOUT`` into column buffers; the hot part of a snapshot."""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from tailrace import cyshim as cython

from tailrace.errors import DecodeError

if cython.compiled:
    from cython.cimports.cdc._columns import Table, Text
    from cython.cimports.tailrace._buffers import bytes_of
else:
    from cdc._columns import Table, Text
    from tailrace._buffers import bytes_of

COMPILED = cython.compiled


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _unescaped(byte: cython.int) -> cython.int:
    """What a byte after a backslash stands for in COPY's text format."""
    if byte == 110:  # n
        return 10
    if byte == 116:  # t
        return 9
    if byte == 114:  # r
        return 13
    if byte == 98:  # b
        return 8
    if byte == 102:  # f
        return 12
    if byte == 118:  # v
        return 11
    return byte


@cython.final
@cython.cclass
class CopyText:
    """Rows of ``COPY … TO STDOUT`` in text format, as a snapshot's changes (operation r).

    https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2
    """

    table: Table
    scratch: bytearray

    def __init__(self, schema: object, width: int, key: tuple) -> None:
        self.table = Table(schema, width, key)
        self.scratch = bytearray(1)

    @property
    def rows(self) -> int:
        return self.table.rows

    def clear(self) -> None:
        """Add the TRUNCATE that begins a table's snapshot."""
        self.table.begin_row(116, self.table.rows)
        self.table.no_row_after()
        self.table.rows += 1

    def feed(self, buffer: bytearray, start: int, stop: int) -> int:
        """Decode the whole lines in buffer[start:stop]; return where the rest begins."""
        p: cython.p_uchar = bytes_of(buffer)
        at: cython.Py_ssize_t = start
        end: cython.Py_ssize_t = buffer.rfind(b"\n", start, stop) + 1
        if end <= start:
            return start
        while at < end:
            self.table.begin_row(114, self.table.rows)
            at = self.line(p, at, end)
            self.table.rows += 1
        return at

    @cython.cfunc
    def line(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        i: cython.int
        width: cython.int = self.table.width
        column: Text
        if width == 0:
            return at + 1
        for i in range(width):
            column = cython.cast(Text, self.table.columns[i])
            if p[at] == 92 and at + 1 < end and p[at + 1] == 78:  # \N
                column.null()
                at += 2
            else:
                at = self.value(column, p, at, end)
            if at >= end or p[at] != (10 if i == width - 1 else 9):
                raise DecodeError("a COPY line with another number of columns than its table")
            at += 1
        return at

    @cython.cfunc
    def value(
        self, column: Text, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        start: cython.Py_ssize_t = at
        byte: cython.int
        while at < end:
            byte = p[at]
            if byte == 9 or byte == 10:
                break
            if byte == 92:
                column.put(p, start, at - start)
                if at + 1 >= end:
                    raise DecodeError("a COPY line ends inside an escape")
                self.scratch[0] = _unescaped(p[at + 1])
                column.put(bytes_of(self.scratch), 0, 1)
                at += 2
                start = at
            else:
                at += 1
        column.put(p, start, at - start)
        column.end_value()
        return at

    def take(self) -> tuple:
        """Hand over the rows as in `Table.result` and begin anew."""
        return self.table.result()
