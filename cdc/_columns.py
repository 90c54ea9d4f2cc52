# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Columns under construction: the buffers that a change set's arrays are made of.

Written in Cython's pure-Python mode; `_columns.pxd` holds the C types. Uncompiled, a pointer is a
memoryview and everything else stays as it is written here. Numbers are read in network order.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from tailrace import cyshim as cython

from tailrace.errors import DecodeError

if cython.compiled:
    from cython.cimports.libc.string import memcpy
    from cython.cimports.tailrace._buffers import bytes_of, ints_of
else:
    from tailrace._buffers import bytes_of, ints_of

COMPILED = cython.compiled


def u16(p: cython.p_uchar, at: cython.Py_ssize_t) -> cython.int:
    return p[at] << 8 | p[at + 1]


def u32(p: cython.p_uchar, at: cython.Py_ssize_t) -> cython.uint:
    return (
        cython.cast(cython.uint, p[at]) << 24
        | cython.cast(cython.uint, p[at + 1]) << 16
        | cython.cast(cython.uint, p[at + 2]) << 8
        | p[at + 3]
    )


def u64(p: cython.p_uchar, at: cython.Py_ssize_t) -> cython.ulonglong:
    return cython.cast(cython.ulonglong, u32(p, at)) << 32 | u32(p, at + 4)


def grown(owner: bytearray, size: cython.Py_ssize_t) -> bytearray:
    """A larger buffer with the same beginning; never in place, since Arrow may hold the old."""
    larger: bytearray = bytearray(size)
    if cython.compiled:
        memcpy(bytes_of(larger), bytes_of(owner), len(owner))
    else:
        larger[: len(owner)] = owner
    return larger


class Text:
    """One column of text under construction: Arrow's offsets, data and validity bitmap."""

    def __init__(self) -> None:
        self.room = 512
        self.rows_room = 64
        self.data = bytearray(self.room)
        self.offsets = bytearray(4 * (self.rows_room + 1))
        self.valid = None
        self.p_data = bytes_of(self.data)
        self.p_offsets = ints_of(self.offsets)
        self.used = self.rows = self.nulls = 0

    def reserve_bytes(self, size: cython.Py_ssize_t) -> cython.int:
        if self.used + size > self.room:
            self.room = max(self.used + size, 2 * self.room)
            if self.used + size > 0x7FFFFFFF:
                raise DecodeError("a column of one change set exceeds 2 GiB")
            self.data = grown(self.data, self.room)
            self.p_data = bytes_of(self.data)
        return 0

    def reserve_rows(self, size: cython.Py_ssize_t) -> cython.int:
        rows: cython.Py_ssize_t = self.rows + size
        before: cython.Py_ssize_t
        if rows > self.rows_room:
            self.rows_room = max(rows, 2 * self.rows_room)
            self.offsets = grown(self.offsets, 4 * (self.rows_room + 1))
            self.p_offsets = ints_of(self.offsets)
            if self.valid is not None:
                before = len(self.valid)
                self.valid = grown(self.valid, (self.rows_room + 7) >> 3)
                self.p_valid = bytes_of(self.valid)
                self.fill_valid(before)
        return 0

    def fill_valid(self, start: cython.Py_ssize_t) -> cython.int:
        i: cython.Py_ssize_t
        for i in range(start, len(self.valid)):
            self.p_valid[i] = 255
        return 0

    def put(self, p: cython.p_uchar, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.int:
        """Add bytes to the value under construction."""
        if self.used + size > self.room:
            self.reserve_bytes(size)
        if cython.compiled:
            memcpy(self.p_data + self.used, p + at, size)
        else:
            self.p_data[self.used : self.used + size] = p[at : at + size]
        self.used += size
        return 0

    def end_value(self) -> cython.int:
        if self.rows == self.rows_room:
            self.reserve_rows(1)
        self.rows += 1
        self.p_offsets[self.rows] = self.used
        return 0

    def null(self) -> cython.int:
        if self.rows == self.rows_room:
            self.reserve_rows(1)
        if self.valid is None:
            self.valid = bytearray((self.rows_room + 7) >> 3)
            self.p_valid = bytes_of(self.valid)
            self.fill_valid(0)
        self.p_valid[self.rows >> 3] &= 255 ^ (1 << (self.rows & 7))
        self.rows += 1
        self.p_offsets[self.rows] = self.used
        self.nulls += 1
        return 0

    def null_until(self, rows: cython.Py_ssize_t) -> cython.int:
        while self.rows < rows:
            self.null()
        return 0

    def repeat_last_of(self, other: Text) -> cython.int:
        """Add the value that `other` got last (unchanged, so the old row's is the new one's)."""
        start: cython.Py_ssize_t = other.p_offsets[other.rows - 1]
        last: cython.Py_ssize_t = other.rows - 1
        if other.valid is not None and not other.p_valid[last >> 3] >> (last & 7) & 1:
            return self.null()
        self.put(other.p_data, start, other.used - start)
        return self.end_value()

    def buffers(self) -> tuple:
        """(rows, nulls, validity or None, offsets, data, bytes used)."""
        return self.rows, self.nulls, self.valid, self.offsets, self.data, self.used


class Replaced:
    """`TableChanges.replaced` under construction: a list of (column, value before) a row."""

    def __init__(self) -> None:
        self.values = Text()
        self.room = self.rows_room = 64
        self.columns = bytearray(2 * self.room)
        self.ends = bytearray(4 * (self.rows_room + 1))
        self.known = bytearray(self.rows_room)
        self.p_columns = bytes_of(self.columns)
        self.p_ends = ints_of(self.ends)
        self.p_known = bytes_of(self.known)
        self.rows = 0

    def add(self, column: cython.int) -> cython.int:
        """Name the column of the value that is put next."""
        entry: cython.Py_ssize_t = self.values.rows
        if entry == self.room:
            self.room *= 2
            self.columns = grown(self.columns, 2 * self.room)
            self.p_columns = bytes_of(self.columns)
        self.p_columns[2 * entry] = column & 255
        self.p_columns[2 * entry + 1] = column >> 8 & 255
        return 0

    def end_row(self, known: cython.int) -> cython.int:
        if self.rows == self.rows_room:
            self.rows_room *= 2
            self.ends = grown(self.ends, 4 * (self.rows_room + 1))
            self.known = grown(self.known, self.rows_room)
            self.p_ends = ints_of(self.ends)
            self.p_known = bytes_of(self.known)
        self.p_known[self.rows] = known
        self.rows += 1
        self.p_ends[self.rows] = cython.cast(cython.int, self.values.rows)
        return 0

    def unknown_until(self, rows: cython.Py_ssize_t) -> cython.int:
        while self.rows < rows:
            self.end_row(0)
        return 0

    def buffers(self) -> tuple:
        """(known, ends, columns, values as in `Text.buffers`)."""
        return self.known, self.ends, self.columns, self.values.buffers()


class Table:
    """The changes of one table in the set under construction."""

    def __init__(self, schema: object, width: int, key: tuple) -> None:
        self.schema = schema
        self.width = width
        self.key = frozenset(key)
        self.reset()

    def reset(self) -> cython.int:
        self.columns = [Text() for _ in range(self.width)]
        self.rows = 0
        self.room = 64
        self.ops = bytearray(self.room)
        self.seqs = bytearray(4 * self.room)
        self.p_ops = bytes_of(self.ops)
        self.p_seqs = ints_of(self.seqs)
        self.old = self.old_kind = self.unsent = self.replaced = None
        self.full_row = False
        return 0

    def begin_row(self, op: cython.int, seq: cython.int) -> cython.int:
        if self.rows == self.room:
            self.room *= 2
            self.ops = grown(self.ops, self.room)
            self.seqs = grown(self.seqs, 4 * self.room)
            self.p_ops = bytes_of(self.ops)
            self.p_seqs = ints_of(self.seqs)
            if self.old_kind is not None:
                self.old_kind = grown(self.old_kind, self.room)
            if self.unsent is not None:
                for index in self.unsent:
                    self.unsent[index] = grown(self.unsent[index], self.room)
        self.p_ops[self.rows] = op
        self.p_seqs[self.rows] = seq
        self.full_row = False
        return 0

    def no_row_after(self) -> cython.int:
        """A delete or truncate: NULL in every column."""
        column: Text
        for column in self.columns:
            column.null()
        return 0

    def mark_unsent(self, index: cython.int) -> cython.int:
        if self.unsent is None:
            self.unsent = {}
        if index not in self.unsent:
            self.unsent[index] = bytearray(self.room)
        self.unsent[index][self.rows] = 1
        return 0

    def old_column(self, index: cython.int) -> Text:
        """The column of old values, made when first needed and padded up to this row."""
        column: Text = self.old[index]
        if column is None:
            column = self.old[index] = Text()
        column.null_until(self.rows)
        return column

    def replaced_values(self) -> Replaced:
        """Made when first needed and padded up to this row."""
        if self.replaced is None:
            self.replaced = Replaced()
        self.replaced.unknown_until(self.rows)
        return self.replaced

    def result(self) -> tuple:
        """Hand over the buffers and begin anew.

        (schema, rows, ops, seqs, columns, unsent or None, old kinds or None, old or None, replaced
        or None), a column as in `Text.buffers`.
        """
        column: Text
        old: list = None
        if self.old is not None:
            old = []
            for column in self.old:
                if column is not None:
                    column.null_until(self.rows)
                old.append(None if column is None else column.buffers())
        replaced: tuple = None
        if self.replaced is not None:
            self.replaced.unknown_until(self.rows)
            replaced = self.replaced.buffers()
        columns: list = []
        for column in self.columns:
            columns.append(column.buffers())
        taken: tuple = (
            self.schema,
            self.rows,
            self.ops,
            self.seqs,
            columns,
            self.unsent,
            self.old_kind,
            old,
            replaced,
        )
        self.reset()
        return taken
