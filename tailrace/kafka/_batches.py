# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Columns into Kafka's records, and back: the hot part of producing and reading.

Records of a batch, https://kafka.apache.org/documentation/#record:

    length (varint) · attributes 0 · timestamp delta (varint) · offset delta (varint) ·
    key length (varint) · key · value length (varint, -1 for NULL) · value ·
    count of headers (varint) · for each: length, key, length, value

Numbers are zigzag varints. Written in Cython's pure-Python mode; uncompiled, a pointer is a
memoryview.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from tailrace import cyshim as cython

if cython.compiled:
    from cython.cimports.libc.string import memcpy
    from cython.cimports.tailrace._buffers import Column, bytes_of, ints, ints_of, longs_of, pointer
else:
    from tailrace._buffers import Column, bytes_of, ints, ints_of, longs_of, pointer

COMPILED = cython.compiled

OVERHEAD = 5 + 1 + 1 + 5 + 5 + 5
"""Bytes of a record beyond key, value and headers, at the worst."""


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _size(column: Column, row: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Of the value in bytes; -1 for NULL."""
    at: cython.Py_ssize_t = column.first + row
    if column.has_nulls and not column.valid[at >> 3] >> (at & 7) & 1:
        return -1
    return column.offsets[at + 1] - column.offsets[at]


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _varint(
    p: cython.p_uchar, used: cython.Py_ssize_t, number: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    left: cython.size_t = (number << 1) if number >= 0 else ((-number) << 1) - 1
    while left > 127:
        p[used] = left & 127 | 128
        used += 1
        left >>= 7
    p[used] = left
    return used + 1


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _varint_size(number: cython.Py_ssize_t) -> cython.Py_ssize_t:
    left: cython.size_t = (number << 1) if number >= 0 else ((-number) << 1) - 1
    size: cython.Py_ssize_t = 1
    while left > 127:
        size += 1
        left >>= 7
    return size


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _value(
    p: cython.p_uchar, used: cython.Py_ssize_t, column: Column, row: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    begin: cython.Py_ssize_t
    size: cython.Py_ssize_t = _size(column, row)
    used = _varint(p, used, size)
    if size > 0:
        begin = column.offsets[column.first + row]
        if cython.compiled:
            memcpy(p + used, column.data + begin, size)
        else:
            p[used : used + size] = column.data[begin : begin + size]
        used += size
    return used


def encode(
    keys: Column,
    values: Column,
    headers: list,
    header_of: object,
    rows: object,
    first: int,
    last: int,
) -> bytearray:
    """Records `first` … `last` of those that `rows` (int32) lists, numbered from 0 on.

    `headers`: the encoded sets of headers, with their count; `header_of` (int32, or None for the
    first of all): which of them a record has.
    """
    row: cython.Py_ssize_t
    body: cython.Py_ssize_t
    size: cython.Py_ssize_t
    i: cython.Py_ssize_t
    tail: bytes = headers[0]
    begin: cython.Py_ssize_t = first
    end: cython.Py_ssize_t = last
    which: cython.p_int = ints(rows)
    sets: cython.p_int = ints(rows if header_of is None else header_of)
    has_sets: cython.bint = header_of is not None
    room: cython.Py_ssize_t = 0
    for i in range(begin, end):
        row = which[i]
        if has_sets:
            tail = headers[sets[row]]
        room += OVERHEAD + max(0, _size(keys, row)) + max(0, _size(values, row)) + len(tail)
    out: bytearray = bytearray(room)
    p: cython.p_uchar = bytes_of(out)
    used: cython.Py_ssize_t = 0
    for i in range(begin, end):
        row = which[i]
        if has_sets:
            tail = headers[sets[row]]
        size = _size(keys, row)
        body = 2 + _varint_size(i - begin) + _varint_size(size) + max(0, size)
        size = _size(values, row)
        body += _varint_size(size) + max(0, size) + len(tail)
        used = _varint(p, used, body)
        p[used] = 0
        p[used + 1] = 0
        used = _varint(p, used + 2, i - begin)
        used = _value(p, used, keys, row)
        used = _value(p, used, values, row)
        size = len(tail)
        if cython.compiled:
            memcpy(p + used, cython.cast(cython.p_char, tail), size)
        else:
            p[used : used + size] = tail
        used += size
    if not cython.compiled:
        p.release()
    del out[used:]
    return out


def partitions(keys: Column, count: int, number: int) -> bytearray:
    """The partition of each key (int32), of `number`: murmur2, as Kafka's Java client has it; 0
    for NULL."""
    row: cython.Py_ssize_t
    size: cython.Py_ssize_t
    at: cython.Py_ssize_t
    i: cython.Py_ssize_t
    k: cython.uint
    h: cython.uint
    rows: cython.Py_ssize_t = count
    among: cython.uint = number
    out: bytearray = bytearray(4 * rows)
    p: cython.p_uchar = bytes_of(out)
    for row in range(rows):
        size = _size(keys, row)
        if size < 0:
            continue
        at = keys.offsets[keys.first + row]
        h = 0x9747B28C ^ cython.cast(cython.uint, size)
        for i in range(size >> 2):
            k = (
                cython.cast(cython.uint, keys.data[at])
                | cython.cast(cython.uint, keys.data[at + 1]) << 8
                | cython.cast(cython.uint, keys.data[at + 2]) << 16
                | cython.cast(cython.uint, keys.data[at + 3]) << 24
            )
            k = k * 0x5BD1E995 & 0xFFFFFFFF
            k ^= k >> 24
            k = k * 0x5BD1E995 & 0xFFFFFFFF
            h = h * 0x5BD1E995 & 0xFFFFFFFF
            h ^= k
            at += 4
        if size & 3 == 3:
            h ^= cython.cast(cython.uint, keys.data[at + 2]) << 16
        if size & 3 >= 2:
            h ^= cython.cast(cython.uint, keys.data[at + 1]) << 8
        if size & 3 >= 1:
            h ^= cython.cast(cython.uint, keys.data[at])
            h = h * 0x5BD1E995 & 0xFFFFFFFF
        h ^= h >> 13
        h = h * 0x5BD1E995 & 0xFFFFFFFF
        h ^= h >> 15
        h = (h & 0x7FFFFFFF) % among
        p[4 * row] = h & 255
        p[4 * row + 1] = h >> 8 & 255
        p[4 * row + 2] = h >> 16 & 255
        p[4 * row + 3] = h >> 24
    if not cython.compiled:
        p.release()
    return out


@cython.final
@cython.cclass
class Reader:
    """Goes through the bytes of a batch's records. `is_bad`: they end too early."""

    owner: object
    p: cython.p_uchar
    size: cython.Py_ssize_t
    at: cython.Py_ssize_t
    is_bad: cython.bint

    def __init__(self, buffer: object, size: int) -> None:
        self.owner = buffer
        self.p = pointer(buffer)
        self.size = size
        self.at = 0
        self.is_bad = False

    @cython.cfunc
    @cython.exceptval(check=False)
    def number(self) -> cython.Py_ssize_t:
        shift: cython.int = 0
        found: cython.ulonglong = 0
        byte: cython.ulonglong
        while self.at < self.size and shift < 64:
            byte = self.p[self.at]
            self.at += 1
            found |= (byte & 127) << shift
            if byte < 128:
                return cython.cast(cython.Py_ssize_t, found >> 1) ^ -cython.cast(
                    cython.Py_ssize_t, found & 1
                )
            shift += 7
        self.is_bad = True
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def length(self) -> cython.Py_ssize_t:
        """Of what stands here; -1 for NULL."""
        size: cython.Py_ssize_t = self.number()
        if size > self.size - self.at or size < -1:
            self.is_bad = True
            return 0
        return size

    @cython.cfunc
    @cython.exceptval(check=False)
    def copy(
        self, size: cython.Py_ssize_t, to: cython.p_uchar, used: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """`used` behind it."""
        if size <= 0:
            return used
        if cython.compiled:
            memcpy(to + used, self.p + self.at, size)
        else:
            to[used : used + size] = self.p[self.at : self.at + size]
        self.at += size
        return used + size

    def text(self) -> object:
        """What stands here as bytes; None for NULL."""
        size: cython.Py_ssize_t = self.length()
        if size < 0:
            return None
        begin: cython.Py_ssize_t = self.at
        self.at += size
        return bytes(memoryview(self.owner)[begin : begin + size])


def decode(buffer: object, size: int, count: int) -> tuple:
    """The records of a batch as columns: deltas of offsets (int64), deltas of timestamps (int64),
    keys and values, each as (bytes that are 0 for NULL, offsets (int32), data), and the headers of
    each record, None where none has any.

    Errors: ValueError where they are not `count` whole records.
    """
    row: cython.Py_ssize_t
    end: cython.Py_ssize_t
    n: cython.Py_ssize_t
    rows: cython.Py_ssize_t = count
    reader: Reader = Reader(buffer, size)
    headers: list = None
    if rows < 0 or rows > size:
        raise ValueError("records are not whole")
    places = bytearray(8 * rows)
    times = bytearray(8 * rows)
    key_valid, key_ends, keys = bytearray(rows), bytearray(4 * rows + 4), bytearray(size)
    value_valid, value_ends, values = bytearray(rows), bytearray(4 * rows + 4), bytearray(size)
    p_places: cython.p_longlong = longs_of(places)
    p_times: cython.p_longlong = longs_of(times)
    p_key_valid: cython.p_uchar = bytes_of(key_valid)
    p_value_valid: cython.p_uchar = bytes_of(value_valid)
    p_key_ends: cython.p_int = ints_of(key_ends)
    p_value_ends: cython.p_int = ints_of(value_ends)
    p_keys: cython.p_uchar = bytes_of(keys)
    p_values: cython.p_uchar = bytes_of(values)
    keys_used: cython.Py_ssize_t = 0
    values_used: cython.Py_ssize_t = 0
    for row in range(rows):
        n = reader.length()
        end = reader.at + n
        reader.at += 1
        p_times[row] = reader.number()
        p_places[row] = reader.number()
        n = reader.length()
        p_key_valid[row] = n >= 0
        keys_used = reader.copy(n, p_keys, keys_used)
        p_key_ends[row + 1] = keys_used
        n = reader.length()
        p_value_valid[row] = n >= 0
        values_used = reader.copy(n, p_values, values_used)
        p_value_ends[row + 1] = values_used
        n = reader.length()
        if n > 0 and not reader.is_bad:
            if headers is None:
                headers = [()] * rows
            headers[row] = tuple([(reader.text(), reader.text()) for _ in range(n)])
        if reader.is_bad or reader.at != end:
            raise ValueError("records are not whole")
    if reader.at != reader.size:
        raise ValueError("records are not whole")
    if not cython.compiled:
        for view in (p_keys, p_values):
            view.release()
    del keys[keys_used:]
    del values[values_used:]
    return places, times, (key_valid, key_ends, keys), (value_valid, value_ends, values), headers
