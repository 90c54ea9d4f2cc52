# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The hot part of a binary log: rows events into column buffers, as PostgreSQL's text.

Written in Cython's pure-Python mode, as `cdc._columns`. `cdc.mysql.layout` says what each column
is; `cdc.mysql.decode` frames the events. Formats of the values:
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html,
https://mariadb.com/kb/en/rows_event_v1v2-rows_compressed_event_v1/ and, for the packed decimal and
the fractional times, the comments of MySQL's `decimal.cc` and `my_time.cc`:

    row          null bits of the columns present, then the values that are not NULL
    DECIMAL      groups of nine digits in four bytes, big-endian, the first bit inverted; a
                 negative number has all its bits inverted
    DATE         3 bytes little-endian: year << 9 | month << 5 | day
    DATETIME     5 bytes big-endian + 0x8000000000: (year * 13 + month) << 22 | day << 17
                 | hour << 12 | minute << 6 | second; then the fraction in 0 to 3 bytes
    TIMESTAMP    4 bytes big-endian, seconds since 1970; then the fraction
    TIME         3 bytes big-endian + 0x800000: hour << 12 | minute << 6 | second; then the
                 fraction, which counts upwards also where the time is negative

Lengths are checked before bytes are touched: bad input raises DecodeError, nothing else.
"""

from __future__ import annotations

import struct

try:
    import cython
except ModuleNotFoundError:
    from tailrace import cyshim as cython

from cdc.mysql import binaries
from cdc.mysql.charsets import decoded
from cdc.mysql.jsontext import json_text
from tailrace.errors import DecodeError

if cython.compiled:
    from cython.cimports.cdc._columns import Replaced, Table, Text
    from cython.cimports.cdc.mysql._shortest import shortest
    from cython.cimports.libc.string import memcmp, memcpy
    from cython.cimports.tailrace._buffers import bytes_of, ints_of
else:
    from cdc._columns import Replaced, Table, Text
    from tailrace._buffers import bytes_of, ints_of

COMPILED = cython.compiled

# What a column's bytes are. `size` and `more` mean what stands behind.
SIGNED = 1  # size: bytes
UNSIGNED = 2  # size: bytes
FLOAT = 3
DOUBLE = 4
DECIMAL = 5  # size: precision, more: scale
YEAR = 6
DATE = 7
DATETIME = 8  # size: digits of the fraction
TIMESTAMP = 9  # the same
TIME = 10  # the same
TEXT = 11  # size: bytes of the length; the bytes are UTF-8
CODED = 12  # size: bytes of the length; labels: the text of each byte
BYTES = 13  # size: bytes of the length; more: length of BINARY(n), whose zeros at the end are cut
BIT = 14  # size: bits
ENUM = 15  # size: bytes; labels
SET = 16  # size: bytes; labels
CODEC = 17  # size: bytes of the length; labels: the name of Python's codec
GEOMETRY = 18  # size: bytes of the length
PACKED = 19  # size: bytes of the length; labels: as CODED or CODEC, "" for UTF-8, None for bytes
JSON = 20  # size: bytes of the length
UUID = 21  # size: bytes of the length
INET = 22  # size: bytes of the length; more: bytes of an address

# Inside of functions these and what follows stand as numbers: a module's name is looked up each
# time. In place of where a value begins, -1 stands for NULL and -2 for a column that is absent.

_float = struct.Struct("<f")
_double = struct.Struct("<d")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _little(p: cython.p_uchar, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.ulonglong:
    value: cython.ulonglong = 0
    i: cython.Py_ssize_t = size
    while i > 0:
        i -= 1
        value = value << 8 | p[at + i]
    return value


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _big(p: cython.p_uchar, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.ulonglong:
    value: cython.ulonglong = 0
    i: cython.Py_ssize_t
    for i in range(size):
        value = value << 8 | p[at + i]
    return value


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _hex(value: cython.int) -> cython.int:
    return value + 48 if value < 10 else value + 87


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _decimal_bytes(digits: cython.int) -> cython.int:
    """Bytes of a packed decimal's digits: four for nine, one for every two of the rest."""
    return digits // 9 * 4 + ((digits % 9 + 1) >> 1)


def shortest_float(raw: bytes) -> bytes:
    """A single-precision number in the fewest digits that read back as it."""
    (value,) = _float.unpack(raw)
    for digits in range(6, 9):
        text = f"{value:.{digits}g}"
        if _float.pack(float(text)) == raw:
            break
    else:
        text = f"{value:.9g}"
    return text.encode()


def shortest_double(value: float) -> bytes:
    """A double in the fewest digits that read back as it, without a needless `.0`."""
    return repr(value).removesuffix(".0").encode()


@cython.final
@cython.cclass
class RowTable(Table):
    """A table whose rows come in rows events.

    `kinds`, `sizes`, `mores`: int32 arrays, an element a column of the log, which may have more at
    the end than the `schema`: those are passed over. `labels`: per column what its kind says, or
    None. `left_out`: by index, the text or NULL that columns have where rows leave them out.
    """

    kinds: bytearray
    sizes: bytearray
    mores: bytearray
    labels: list
    p_kinds: cython.p_int
    p_sizes: cython.p_int
    p_mores: cython.p_int
    _before: bytearray  # where each value of the row before begins and ends, or -1, -2
    _after: bytearray
    p_before: cython.p_int
    p_after: cython.p_int
    scratch: bytearray
    p_scratch: cython.p_uchar
    filled: cython.Py_ssize_t
    keys: tuple
    is_key: bytearray  # 1 for a column of the key
    p_key: cython.p_uchar
    logged: cython.int
    left_out: object

    def __init__(
        self,
        schema: object,
        width: int,
        key: tuple,
        kinds: bytearray,
        sizes: bytearray,
        mores: bytearray,
        labels: list,
        hidden: int = 0,
    ) -> None:
        Table.__init__(self, schema, width - hidden, key)
        self.logged = width
        self.left_out = {}
        self.keys = key
        self.is_key = bytearray(i in key for i in range(width))
        self.p_key = bytes_of(self.is_key)
        self.kinds = kinds
        self.sizes = sizes
        self.mores = mores
        self.labels = labels
        self.p_kinds = ints_of(kinds)
        self.p_sizes = ints_of(sizes)
        self.p_mores = ints_of(mores)
        self._before = bytearray(8 * width)
        self._after = bytearray(8 * width)
        self.p_before = ints_of(self._before)
        self.p_after = ints_of(self._after)
        self.scratch = bytearray(128)
        self.p_scratch = bytes_of(self.scratch)
        self.filled = 0

    @property
    def count(self) -> int:
        """Rows in the set under construction."""
        return self.rows

    @property
    def wide(self) -> int:
        """Columns of the table in the log."""
        return self.logged

    @property
    def schema_of(self) -> object:
        return self.schema

    def clear_at(self, op: int, seq: int) -> None:
        """Add a TRUNCATE."""
        self.begin_row(op, seq)
        self.no_row_after()
        self.rows += 1

    def leave_out(self, values: object) -> None:
        """`values`: a dictionary of `left_out` from here on."""
        self.left_out = values

    def take(self) -> tuple:
        """As `Table.result`."""
        return self.result()

    def read(
        self,
        buffer: bytearray,
        start: int,
        stop: int,
        op: int,
        seq: int,
        before_bits: bytes,
        after_bits: bytes,
    ) -> int:
        """Add the rows of a rows event's body; return how many.

        `before_bits`, `after_bits`: which columns the images hold, as in the event; b"" for none.
        """
        p: cython.p_uchar = bytes_of(buffer)
        at: cython.Py_ssize_t = start
        end: cython.Py_ssize_t = stop
        count: cython.int = 0
        before: bytearray = bytearray(before_bits)
        after: bytearray = bytearray(after_bits)
        tells: cython.bint = op != 99 and self.tells(before)
        while at < end:
            self.begin_row(op, seq + count)
            if op != 99:  # c
                at = self.image(p, at, end, before, self.p_before)
            if op == 99:
                at = self.image(p, at, end, after, self.p_after)
                self.created(p)
            elif op == 117:  # u
                at = self.image(p, at, end, after, self.p_after)
                self.updated(p, tells)
            else:
                self.old_key(p)
                self.no_row_after()
                if tells:
                    self.deleted(p)
            self.rows += 1
            count += 1
        return count

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def image(
        self,
        p: cython.p_uchar,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        present: bytearray,
        spans: cython.p_int,
    ) -> cython.Py_ssize_t:
        """Find where each value lies; return where the image ends."""
        i: cython.int
        bit: cython.int = 0
        count: cython.int = 0
        nulls: cython.Py_ssize_t = at
        for i in range(self.logged):
            if present[i >> 3] >> (i & 7) & 1:
                count += 1
        at += (count + 7) >> 3
        if at > end:
            raise DecodeError("a row ends inside its null bits")
        for i in range(self.logged):
            if not present[i >> 3] >> (i & 7) & 1:
                spans[2 * i] = -2
                continue
            if p[nulls + (bit >> 3)] >> (bit & 7) & 1:
                spans[2 * i] = -1
            else:
                spans[2 * i] = at
                at = self.after_value(i, p, at, end)
                spans[2 * i + 1] = at
            bit += 1
        return at

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def after_value(
        self, i: cython.int, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Where the value of column i that begins at `at` ends."""
        kind: cython.int = self.p_kinds[i]
        size: cython.Py_ssize_t = self.p_sizes[i]
        length: cython.Py_ssize_t
        if kind == 1 or kind == 2 or kind == 15 or kind == 16:
            length = size
        elif kind == 11 or kind == 12 or kind == 13 or (kind >= 17 and kind <= 22):
            if at + size > end:
                raise DecodeError("a row ends inside a length")
            length = size + _little(p, at, size)
        elif kind == 3:
            length = 4
        elif kind == 4:
            length = 8
        elif kind == 5:
            length = _decimal_bytes(size - self.p_mores[i]) + _decimal_bytes(self.p_mores[i])
        elif kind == 6:
            length = 1
        elif kind == 7:
            length = 3
        elif kind == 8:
            length = 5 + ((size + 1) >> 1)
        elif kind == 9:
            length = 4 + ((size + 1) >> 1)
        elif kind == 10:
            length = 3 + ((size + 1) >> 1)
        elif kind == 14:
            length = (size + 7) >> 3
        else:
            raise DecodeError(f"unknown kind of column {kind}")
        if length > end - at:
            raise DecodeError("a row ends inside a value")
        return at + length

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def created(self, p: cython.p_uchar) -> cython.int:
        i: cython.int
        for i in range(self.width):
            if self.p_after[2 * i] == -2:
                self.put_left_out(i)
            else:
                self.put_span(i, p, self.p_after, self.columns[i])
        return 0

    @cython.cfunc
    def tells(self, before: bytearray) -> cython.bint:
        """Whether images with these columns tell of a row more than its key."""
        i: cython.int
        whole: cython.bint = True
        for i in range(self.width):
            if not before[i >> 3] >> (i & 7) & 1:
                whole = False
            elif not self.p_key[i]:
                return True
        return whole

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put_left_out(self, i: cython.int) -> cython.int:
        column: Text = self.columns[i]
        if i not in self.left_out:
            raise DecodeError("a row without all its columns")
        value = self.left_out[i]
        if value is None:
            return column.null()
        self.whole(value, column)
        return column.end_value()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def updated(self, p: cython.p_uchar, tells: cython.bint) -> cython.int:
        """Absent after but present before: unchanged. Absent in both: not sent. Unless the event
        is of a row that began anew, which says so by `left_out`."""
        i: cython.int
        moves: cython.bint = False
        replaced: Replaced = self.replaced_values() if tells else None
        for i in range(self.width):
            if self.p_after[2 * i] == -2:
                if i in self.left_out:
                    self.put_left_out(i)
                    if self.p_key[i]:
                        moves = True
                    elif tells:
                        self.replace(i, p, replaced)
                elif self.p_before[2 * i] != -2:
                    self.put_span(i, p, self.p_before, self.columns[i])
                else:
                    self.mark_unsent(i)
                    cython.cast(Text, self.columns[i]).null()
                continue
            self.put_span(i, p, self.p_after, self.columns[i])
            if self.p_key[i]:
                moves = moves or not self.same(i, p)
            elif tells and not self.same(i, p):
                self.replace(i, p, replaced)
        if moves:
            self.old_key(p)
        if tells:
            replaced.end_row(1)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def deleted(self, p: cython.p_uchar) -> cython.int:
        """What the row held besides its key; that something was NULL needs no telling."""
        i: cython.int
        replaced: Replaced = self.replaced_values()
        for i in range(self.width):
            if not self.p_key[i] and self.p_before[2 * i] != -1:
                self.replace(i, p, replaced)
        replaced.end_row(1)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def replace(self, i: cython.int, p: cython.p_uchar, replaced: Replaced) -> cython.int:
        if self.p_before[2 * i] == -2:
            replaced.add(~i)
            return replaced.values.null()
        replaced.add(i)
        return self.put_span(i, p, self.p_before, replaced.values)

    @cython.cfunc
    def same(self, i: cython.int, p: cython.p_uchar) -> cython.bint:
        """Whether the row before and the row after hold the same bytes in column i."""
        one: cython.int = self.p_before[2 * i]
        other: cython.int = self.p_after[2 * i]
        size: cython.int
        if one < 0 or other < 0:
            return one == other
        size = self.p_before[2 * i + 1] - one
        if size != self.p_after[2 * i + 1] - other:
            return False
        if cython.compiled:
            return memcmp(p + one, p + other, size) == 0
        return p[one : one + size] == p[other : other + size]

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def old_key(self, p: cython.p_uchar) -> cython.int:
        i: cython.int
        if self.old is None:
            self.old = [None] * self.width
            self.old_kind = bytearray(self.room)
        self.old_kind[self.rows] = 1
        for i in self.keys:
            if self.p_before[2 * i] == -2:
                raise DecodeError("a row before without its key")
            self.put_span(i, p, self.p_before, self.old_column(i))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put_span(
        self, i: cython.int, p: cython.p_uchar, spans: cython.p_int, column: Text
    ) -> cython.int:
        if spans[2 * i] == -1:
            return column.null()
        self.put_value(i, p, spans[2 * i], spans[2 * i + 1], column)
        return column.end_value()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put_value(
        self,
        i: cython.int,
        p: cython.p_uchar,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        column: Text,
    ) -> cython.int:
        """Add the text of the value p[at:end] of column i. Its length has been checked."""
        kind: cython.int = self.p_kinds[i]
        size: cython.int = self.p_sizes[i]
        self.filled = 0
        if kind == 11:
            return column.put(p, at + size, end - at - size)
        if kind == 1 or kind == 2:
            self.integer(p, at, size, kind == 1)
        elif kind == 5:
            self.decimal(p, at, size, self.p_mores[i])
        elif kind == 8:
            self.datetime(p, at, size)
        elif kind == 9:
            self.timestamp(p, at, size)
        elif kind == 7:
            self.date(p, at)
        elif kind == 10:
            self.time(p, at, size)
        elif kind == 12:
            return self.coded(p, at + size, end, self.labels[i], column)
        elif kind == 17:
            return self.whole(decoded(_copy_of(p, at + size, end), self.labels[i]), column)
        elif kind == 13:
            return self.hexadecimal(p, at + size, end, self.p_mores[i], column)
        elif kind == 20:
            return self.whole(json_text(_copy_of(p, at + size, end)), column)
        elif kind == 18:
            return self.whole(binaries.geometry(_copy_of(p, at + size, end)), column)
        elif kind == 19:
            return self.packed(_copy_of(p, at + size, end), self.labels[i], column)
        elif kind == 21:
            return self.whole(binaries.uuid(_copy_of(p, at + size, end)), column)
        elif kind == 22:
            return self.whole(
                binaries.address(_copy_of(p, at + size, end), self.p_mores[i]), column
            )
        elif kind == 3:
            return self.whole(shortest_float(_copy_of(p, at, end)), column)
        elif kind == 4:
            return self.double(_double_at(p, at), column)
        elif kind == 6:
            self.digits(1900 + p[at] if p[at] else 0, 4 if p[at] else 1)
        elif kind == 14:
            self.bits(p, end, size)
        elif kind == 15:
            return self.enum(_little(p, at, size), self.labels[i], column)
        else:
            return self.set(_little(p, at, size), self.labels[i], column)
        return column.put(self.p_scratch, 0, self.filled)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def double(self, value: cython.double, column: Text) -> cython.int:
        if not cython.compiled:
            return self.whole(shortest_double(value), column)
        return column.put(self.p_scratch, 0, shortest(value, self.p_scratch))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def whole(self, text: bytes, column: Text) -> cython.int:
        owner: bytearray = bytearray(text)
        return column.put(bytes_of(owner), 0, len(text))

    @cython.cfunc
    def packed(self, stored: bytes, label: object, column: Text) -> cython.int:
        """The value of a compressed column."""
        plain: bytes = binaries.unpacked(stored)
        owner: bytearray = bytearray(plain)
        if label is None:
            return self.hexadecimal(bytes_of(owner), 0, len(plain), 0, column)
        if label == "":
            return self.whole(plain, column)
        if isinstance(label, str):
            return self.whole(decoded(plain, label), column)
        return self.coded(bytes_of(owner), 0, len(plain), label, column)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def byte(self, value: cython.int) -> cython.int:
        self.p_scratch[self.filled] = value
        self.filled += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def digits(self, value: cython.ulonglong, least: cython.int) -> cython.int:
        """Decimal digits of `value`, with zeros in front up to `least`."""
        count: cython.int = 1
        rest: cython.ulonglong = value
        pair: cython.int
        while rest >= 100:
            rest = rest // 100
            count += 2
        if rest >= 10:
            count += 1
        count = max(count, least)
        at: cython.Py_ssize_t = self.filled + count
        self.filled = at
        while count > 1:
            at -= 2
            count -= 2
            pair = cython.cast(cython.int, value % 100)
            value = value // 100
            self.p_scratch[at] = 48 + pair // 10
            self.p_scratch[at + 1] = 48 + pair % 10
        if count:
            self.p_scratch[at - 1] = 48 + cython.cast(cython.int, value % 10)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def two(self, value: cython.int) -> cython.int:
        """Two digits, of a number below 100."""
        self.p_scratch[self.filled] = 48 + value // 10
        self.p_scratch[self.filled + 1] = 48 + value % 10
        self.filled += 2
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def integer(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, size: cython.int, signed: cython.bint
    ) -> cython.int:
        value: cython.ulonglong = _little(p, at, size)
        one: cython.ulonglong = 1
        if signed and p[at + size - 1] & 128:
            self.byte(45)
            if size < 8:
                value = (one << (8 * size)) - value
            elif cython.compiled:
                value = ~value + 1
            else:
                value = (1 << 64) - value
        return self.digits(value, 1)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def decimal(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, precision: cython.int, scale: cython.int
    ) -> cython.int:
        flip: cython.int = 0 if p[at] & 128 else 255
        first: cython.int = 128
        left: cython.int = precision - scale
        written: cython.bint = False
        digits: cython.int
        size: cython.int
        value: cython.ulonglong
        if flip:
            self.byte(45)
        while left > 0:
            digits = left % 9 if left % 9 else 9
            size = _decimal_bytes(digits)
            value = self.group(p, at, size, flip, first)
            first = 0
            at += size
            left -= digits
            if value or written:
                self.digits(value, digits if written else 1)
                written = True
        if not written:
            self.byte(48)
        if scale:
            self.byte(46)
        while scale > 0:
            digits = min(scale, 9)
            size = _decimal_bytes(digits)
            value = self.group(p, at, size, flip, first)
            first = 0
            at += size
            scale -= digits
            self.digits(value, digits)
        return 0

    @cython.cfunc
    def group(
        self,
        p: cython.p_uchar,
        at: cython.Py_ssize_t,
        size: cython.int,
        flip: cython.int,
        first: cython.int,
    ) -> cython.ulonglong:
        """One group of digits; `first`: the bit that says the sign, in the first group only."""
        value: cython.ulonglong = 0
        j: cython.int
        for j in range(size):
            value = value << 8 | ((p[at + j] ^ flip ^ first) & 255)
            first = 0
        if value > 999_999_999:
            raise DecodeError("a decimal with more digits than it has")
        return value

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fraction(self, p: cython.p_uchar, at: cython.Py_ssize_t, digits: cython.int) -> cython.int:
        """A point and `digits` digits, stored in pairs of digits."""
        value: cython.ulonglong
        if digits == 0:
            return 0
        value = _big(p, at, (digits + 1) >> 1)
        return self.point(value // 10 if digits & 1 else value, digits)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def point(self, value: cython.ulonglong, digits: cython.int) -> cython.int:
        limit: cython.ulonglong = 1
        i: cython.int
        for i in range(digits):
            limit *= 10
        if value >= limit:
            raise DecodeError("a fraction of a second of a second or more")
        self.byte(46)
        return self.digits(value, digits)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def day(
        self, year: cython.ulonglong, month: cython.ulonglong, day: cython.ulonglong
    ) -> cython.int:
        self.digits(year, 4)
        self.byte(45)
        self.two(cython.cast(cython.int, month))
        self.byte(45)
        return self.two(cython.cast(cython.int, day))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def clock(
        self, hour: cython.ulonglong, minute: cython.ulonglong, second: cython.ulonglong
    ) -> cython.int:
        self.digits(hour, 2)
        self.byte(58)
        self.two(cython.cast(cython.int, minute))
        self.byte(58)
        return self.two(cython.cast(cython.int, second))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def date(self, p: cython.p_uchar, at: cython.Py_ssize_t) -> cython.int:
        value: cython.ulonglong = _little(p, at, 3)
        return self.day(value >> 9, value >> 5 & 15, value & 31)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def datetime(self, p: cython.p_uchar, at: cython.Py_ssize_t, digits: cython.int) -> cython.int:
        value: cython.ulonglong = _big(p, at, 5) & 0x7FFFFFFFFF
        months: cython.ulonglong = value >> 22
        if not p[at] & 128:
            raise DecodeError("a datetime before the year 0")
        self.day(months // 13, months % 13, value >> 17 & 31)
        self.byte(32)
        self.clock(value >> 12 & 31, value >> 6 & 63, value & 63)
        return self.fraction(p, at + 5, digits)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def timestamp(self, p: cython.p_uchar, at: cython.Py_ssize_t, digits: cython.int) -> cython.int:
        """In UTC. Days to dates as in http://howardhinnant.github.io/date_algorithms.html"""
        seconds: cython.ulonglong = _big(p, at, 4)
        if seconds == 0:  # MySQL's zero timestamp; the true 1970-01-01 00:00:00 cannot be stored
            self.day(0, 0, 0)
            self.byte(32)
            self.clock(0, 0, 0)
            return self.fraction(p, at + 4, digits)
        shifted: cython.ulonglong = seconds // 86400 + 719468
        era: cython.ulonglong = shifted // 146097
        of_era: cython.ulonglong = shifted % 146097
        year: cython.ulonglong = (
            of_era - of_era // 1460 + of_era // 36524 - of_era // 146096
        ) // 365
        of_year: cython.ulonglong = of_era - (365 * year + year // 4 - year // 100)
        month: cython.ulonglong = (5 * of_year + 2) // 153
        day: cython.ulonglong = of_year - (153 * month + 2) // 5 + 1
        month = month + 3 if month < 10 else month - 9
        self.day(year + era * 400 + (1 if month <= 2 else 0), month, day)
        self.byte(32)
        self.clock(seconds // 3600 % 24, seconds // 60 % 60, seconds % 60)
        self.fraction(p, at + 4, digits)
        self.byte(43)
        self.byte(48)
        return self.byte(48)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def time(self, p: cython.p_uchar, at: cython.Py_ssize_t, digits: cython.int) -> cython.int:
        stored: cython.int = (digits + 1) >> 1
        value: cython.longlong = cython.cast(cython.longlong, _big(p, at, 3 + stored))
        one: cython.longlong = 1
        clock: cython.longlong
        parts: cython.longlong
        value -= one << (23 + 8 * stored)
        if value < 0:
            self.byte(45)
            value = -value
        clock = value >> (8 * stored)
        parts = value & ((one << (8 * stored)) - 1)
        self.clock(clock >> 12 & 1023, clock >> 6 & 63, clock & 63)
        if digits == 0:
            return 0
        return self.point(parts // 10 if digits & 1 else parts, digits)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def bits(self, p: cython.p_uchar, end: cython.Py_ssize_t, size: cython.int) -> cython.int:
        j: cython.int
        for j in range(size - 1, -1, -1):
            self.byte(48 + (p[end - 1 - (j >> 3)] >> (j & 7) & 1))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def hexadecimal(
        self,
        p: cython.p_uchar,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        padded: cython.Py_ssize_t,
        column: Text,
    ) -> cython.int:
        """bytea's text; a BINARY(n) gets back the zeros that the log cuts."""
        size: cython.Py_ssize_t = max(end - at, padded)
        j: cython.Py_ssize_t
        owner: bytearray = bytearray(2 + 2 * size)
        to: cython.p_uchar = bytes_of(owner)
        to[0] = 92
        to[1] = 120
        for j in range(size):
            to[2 + 2 * j] = _hex(p[at + j] >> 4 if j < end - at else 0)
            to[3 + 2 * j] = _hex(p[at + j] & 15 if j < end - at else 0)
        return column.put(to, 0, 2 + 2 * size)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def coded(
        self,
        p: cython.p_uchar,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        labels: list,
        column: Text,
    ) -> cython.int:
        """Text in a character set of single bytes; runs of ASCII go as they are."""
        start: cython.Py_ssize_t = at
        while at < end:
            if p[at] >= 128:
                column.put(p, start, at - start)
                self.whole(labels[p[at]], column)
                start = at + 1
            at += 1
        return column.put(p, start, end - start)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def enum(self, number: cython.ulonglong, labels: list, column: Text) -> cython.int:
        """Number 0 is the empty string of an invalid value."""
        if number > len(labels):
            raise DecodeError("an enum value beyond its labels")
        return 0 if number == 0 else self.whole(labels[number - 1], column)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set(self, members: cython.ulonglong, labels: list, column: Text) -> cython.int:
        found: list = [label for j, label in enumerate(labels) if members >> j & 1]
        if len(labels) < 64 and members >> len(labels):
            raise DecodeError("a set value beyond its labels")
        return self.whole(b",".join(found), column)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _double_at(p: cython.p_uchar, at: cython.Py_ssize_t) -> cython.double:
    value: cython.double = 0
    if cython.compiled:
        memcpy(cython.address(value), p + at, 8)  # as little-endian as the machine
        return value
    return _double.unpack(bytes(p[at : at + 8]))[0]


@cython.cfunc
def _copy_of(p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
    if cython.compiled:
        return cython.cast(cython.p_char, p)[at:end]
    return bytes(p[at:end])
