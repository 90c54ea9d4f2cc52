# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The hot part of capture: bytes of the replication stream into column buffers.

Written in Cython's pure-Python mode: compiled where a compiler is at hand, and the same algorithm
uncompiled elsewhere. `cdc.postgres.decode` chooses the variant and wraps it in types.

Frames, https://www.postgresql.org/docs/current/protocol-message-formats.html:

    d  len:i32  w start:i64 end:i64 time:i64  <pgoutput message>     XLogData
    d  len:i32  k end:i64 time:i64 reply:i8                          keepalive
    W, N, S, E, c, C, Z  len:i32 …                  copy begins, notice, parameter, error, copy ends

Messages, https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html:

    B final_lsn:i64 time:i64 xid:i32           C flags:i8 lsn:i64 end_lsn:i64 time:i64
    R oid:i32 schema:z name:z identity:c n:i16 (flags:i8 name:z type:i32 modifier:i32)*n
    Y oid:i32 schema:z name:z                  O lsn:i64 name:z
    I oid:i32 N tuple                          D oid:i32 (K|O) tuple
    U oid:i32 [(K|O) tuple] N tuple            T n:i32 options:i8 oid:i32*n
    M flags:i8 lsn:i64 prefix:z len:i32 bytes
    tuple = n:i16 (n | u | t len:i32 bytes)*n

Lengths are checked before bytes are touched: bad input raises DecodeError, nothing else.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from tailrace import cyshim as cython

from tailrace.errors import DecodeError

if cython.compiled:
    from cython.cimports.libc.string import memcpy

COMPILED = cython.compiled

_POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01 in µs since 1970


@cython.cfunc
@cython.inline
def _bytes_of(owner: bytearray) -> cython.p_uchar:
    """Where the bytes are: a pointer when compiled, a memoryview otherwise; both index alike."""
    if cython.compiled:
        return cython.cast(cython.p_uchar, cython.cast(cython.p_char, owner))
    return memoryview(owner)


@cython.cfunc
@cython.inline
def _ints_of(owner: bytearray) -> cython.p_int:
    if cython.compiled:
        return cython.cast(cython.p_int, cython.cast(cython.p_char, owner))
    return memoryview(owner).cast("i")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _u16(p: cython.p_uchar, at: cython.Py_ssize_t) -> cython.int:
    return p[at] << 8 | p[at + 1]


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _u32(p: cython.p_uchar, at: cython.Py_ssize_t) -> cython.uint:
    return (
        cython.cast(cython.uint, p[at]) << 24
        | cython.cast(cython.uint, p[at + 1]) << 16
        | cython.cast(cython.uint, p[at + 2]) << 8
        | p[at + 3]
    )


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _u64(p: cython.p_uchar, at: cython.Py_ssize_t) -> cython.ulonglong:
    return cython.cast(cython.ulonglong, _u32(p, at)) << 32 | _u32(p, at + 4)


@cython.cfunc
def _grown(owner: bytearray, size: cython.Py_ssize_t) -> bytearray:
    """A larger buffer with the same beginning; never in place, since Arrow may hold the old."""
    larger: bytearray = bytearray(size)
    if cython.compiled:
        memcpy(_bytes_of(larger), _bytes_of(owner), len(owner))
    else:
        larger[: len(owner)] = owner
    return larger


@cython.final
@cython.cclass
class Text:
    """One column of text under construction: Arrow's offsets, data and validity bitmap."""

    data: bytearray
    offsets: bytearray
    valid: bytearray  # None while there is no NULL
    p_data: cython.p_uchar
    p_offsets: cython.p_int
    p_valid: cython.p_uchar
    used: cython.Py_ssize_t
    room: cython.Py_ssize_t
    rows: cython.Py_ssize_t
    rows_room: cython.Py_ssize_t
    nulls: cython.Py_ssize_t

    def __init__(self) -> None:
        self.room = 512
        self.rows_room = 64
        self.data = bytearray(self.room)
        self.offsets = bytearray(4 * (self.rows_room + 1))
        self.valid = None
        self.p_data = _bytes_of(self.data)
        self.p_offsets = _ints_of(self.offsets)
        self.used = self.rows = self.nulls = 0

    @cython.cfunc
    def reserve_bytes(self, size: cython.Py_ssize_t) -> cython.int:
        if self.used + size > self.room:
            self.room = max(self.used + size, 2 * self.room)
            if self.used + size > 0x7FFFFFFF:
                raise DecodeError("a column of one change set exceeds 2 GiB")
            self.data = _grown(self.data, self.room)
            self.p_data = _bytes_of(self.data)
        return 0

    @cython.cfunc
    def reserve_rows(self, size: cython.Py_ssize_t) -> cython.int:
        rows: cython.Py_ssize_t = self.rows + size
        before: cython.Py_ssize_t
        if rows > self.rows_room:
            self.rows_room = max(rows, 2 * self.rows_room)
            self.offsets = _grown(self.offsets, 4 * (self.rows_room + 1))
            self.p_offsets = _ints_of(self.offsets)
            if self.valid is not None:
                before = len(self.valid)
                self.valid = _grown(self.valid, (self.rows_room + 7) >> 3)
                self.p_valid = _bytes_of(self.valid)
                self.fill_valid(before)
        return 0

    @cython.cfunc
    def fill_valid(self, start: cython.Py_ssize_t) -> cython.int:
        i: cython.Py_ssize_t
        for i in range(start, len(self.valid)):
            self.p_valid[i] = 255
        return 0

    @cython.cfunc
    @cython.inline
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

    @cython.cfunc
    @cython.inline
    def end_value(self) -> cython.int:
        if self.rows == self.rows_room:
            self.reserve_rows(1)
        self.rows += 1
        self.p_offsets[self.rows] = self.used
        return 0

    @cython.cfunc
    def null(self) -> cython.int:
        if self.rows == self.rows_room:
            self.reserve_rows(1)
        if self.valid is None:
            self.valid = bytearray((self.rows_room + 7) >> 3)
            self.p_valid = _bytes_of(self.valid)
            self.fill_valid(0)
        self.p_valid[self.rows >> 3] &= 255 ^ (1 << (self.rows & 7))
        self.rows += 1
        self.p_offsets[self.rows] = self.used
        self.nulls += 1
        return 0

    @cython.cfunc
    def null_until(self, rows: cython.Py_ssize_t) -> cython.int:
        while self.rows < rows:
            self.null()
        return 0

    @cython.cfunc
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


@cython.final
@cython.cclass
class Table:
    """The changes of one table in the set under construction."""

    schema: object
    columns: list
    key: frozenset
    width: cython.int
    rows: cython.Py_ssize_t
    room: cython.Py_ssize_t
    ops: bytearray
    seqs: bytearray
    p_ops: cython.p_uchar
    p_seqs: cython.p_int
    old: list  # of Text or None a column; None while no old tuple came
    old_kind: bytearray
    unsent: dict  # column index → bytearray, 1 where not sent
    full_row: cython.bint  # the row under construction has its whole old row

    def __init__(self, schema: object, width: int, key: tuple) -> None:
        self.schema = schema
        self.width = width
        self.key = frozenset(key)
        self.reset()

    @cython.cfunc
    def reset(self) -> cython.int:
        self.columns = [Text() for _ in range(self.width)]
        self.rows = 0
        self.room = 64
        self.ops = bytearray(self.room)
        self.seqs = bytearray(4 * self.room)
        self.p_ops = _bytes_of(self.ops)
        self.p_seqs = _ints_of(self.seqs)
        self.old = self.old_kind = self.unsent = None
        self.full_row = False
        return 0

    @cython.cfunc
    def begin_row(self, op: cython.int, seq: cython.int) -> cython.int:
        if self.rows == self.room:
            self.room *= 2
            self.ops = _grown(self.ops, self.room)
            self.seqs = _grown(self.seqs, 4 * self.room)
            self.p_ops = _bytes_of(self.ops)
            self.p_seqs = _ints_of(self.seqs)
            if self.old_kind is not None:
                self.old_kind = _grown(self.old_kind, self.room)
            if self.unsent is not None:
                for index in self.unsent:
                    self.unsent[index] = _grown(self.unsent[index], self.room)
        self.p_ops[self.rows] = op
        self.p_seqs[self.rows] = seq
        self.full_row = False
        return 0

    @cython.cfunc
    def no_row_after(self) -> cython.int:
        """A delete or truncate: NULL in every column."""
        column: Text
        for column in self.columns:
            column.null()
        return 0

    @cython.cfunc
    def mark_unsent(self, index: cython.int) -> cython.int:
        if self.unsent is None:
            self.unsent = {}
        if index not in self.unsent:
            self.unsent[index] = bytearray(self.room)
        self.unsent[index][self.rows] = 1
        return 0

    @cython.cfunc
    def old_column(self, index: cython.int) -> Text:
        """The column of old values, made when first needed and padded up to this row."""
        column: Text = self.old[index]
        if column is None:
            column = self.old[index] = Text()
        column.null_until(self.rows)
        return column

    @cython.cfunc
    def new_tuple(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Read the row after; return where it ended."""
        i: cython.int
        kind: cython.int
        size: cython.Py_ssize_t
        column: Text
        columns: list = self.columns
        if at + 2 > end or _u16(p, at) != self.width:
            raise DecodeError("a row has another number of columns than its table")
        at += 2
        for i in range(self.width):
            column = cython.cast(Text, columns[i])
            if at >= end:
                raise DecodeError("a row ends inside its columns")
            kind = p[at]
            at += 1
            if kind == 116:  # t
                if at + 4 > end:
                    raise DecodeError("a row ends inside a length")
                size = _u32(p, at)
                at += 4
                if size > end - at:
                    raise DecodeError("a value is longer than its message")
                column.put(p, at, size)
                column.end_value()
                at += size
            elif kind == 110:  # n
                column.null()
            elif kind == 117:  # u
                if self.full_row:
                    column.repeat_last_of(self.old[i])
                else:
                    self.mark_unsent(i)
                    column.null()
            else:
                raise DecodeError(f"unknown kind of column value {kind:#04x}")
        return at

    @cython.cfunc
    def old_tuple(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t, whole: cython.bint
    ) -> cython.Py_ssize_t:
        """Read the old key or the whole old row; return where it ended."""
        i: cython.int
        kind: cython.int
        size: cython.Py_ssize_t
        column: Text
        if self.old is None:
            self.old = [None] * self.width
            self.old_kind = bytearray(self.room)
        self.old_kind[self.rows] = 2 if whole else 1
        self.full_row = whole
        if at + 2 > end or _u16(p, at) != self.width:
            raise DecodeError("an old row has another number of columns than its table")
        at += 2
        for i in range(self.width):
            if at >= end:
                raise DecodeError("an old row ends inside its columns")
            kind = p[at]
            at += 1
            if kind == 116:  # t
                if at + 4 > end:
                    raise DecodeError("an old row ends inside a length")
                size = _u32(p, at)
                at += 4
                if size > end - at:
                    raise DecodeError("an old value is longer than its message")
                column = self.old_column(i)
                column.put(p, at, size)
                column.end_value()
                at += size
            elif kind == 110:  # n; outside the key of a key tuple it means nothing
                if whole or i in self.key:
                    self.old_column(i).null()
            else:
                raise DecodeError(f"unknown kind of old column value {kind:#04x}")
        return at

    def result(self) -> tuple:
        """Hand over the buffers and begin anew.

        (schema, rows, ops, seqs, columns, unsent or None, old kinds or None, old or None), a
        column as in `Text.buffers`.
        """
        column: Text
        old: list = None
        if self.old is not None:
            old = []
            for column in self.old:
                if column is not None:
                    column.null_until(self.rows)
                old.append(None if column is None else column.buffers())
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
        )
        self.reset()
        return taken


@cython.cfunc
def _text_until_zero(p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> tuple:
    """(text, position after its zero byte)."""
    stop: cython.Py_ssize_t = at
    while stop < end and p[stop] != 0:
        stop += 1
    if stop >= end:
        raise DecodeError("a name without its end")
    return _copy_of(p, at, stop).decode("utf-8", "surrogateescape"), stop + 1


@cython.cfunc
def _copy_of(p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
    if cython.compiled:
        return cython.cast(cython.p_char, p)[at:end]
    return bytes(p[at:end])


@cython.final
@cython.cclass
class Decoder:
    """State between feeds: tables, the set under construction, and where we are in the log.

    `describe(oid, schema, name, identity, columns)` answers a Relation message with
    (TableSchema, key indexes), or None for a table that is not captured; `columns` holds
    (name, type oid, type modifier, is key).
    """

    describe: object
    tables: dict  # oid → Table, or None where not captured
    types: dict  # oid → (schema, name)
    used: list  # tables with rows in this set
    finished: list  # results of tables whose shape changed inside this set
    _rows: cython.Py_ssize_t
    _bytes: cython.Py_ssize_t
    rows_max: cython.Py_ssize_t
    bytes_max: cython.Py_ssize_t
    _position: cython.ulonglong  # all before it has been received whole
    resume: cython.ulonglong  # transactions that committed before it are in the journal already
    in_transaction: cython.bint
    skipping: cython.bint
    listed: cython.bint  # the open transaction stands in `transactions` of this set
    started: cython.bint  # the open transaction has had a row, in this set or an earlier one
    lsn: cython.ulonglong
    commit_us: cython.longlong
    xid: cython.uint
    origin: object
    transactions: list  # (first seq, commit LSN, commit µs, xid, origin)
    _reply_wanted: cython.bint
    _ended: cython.bint
    _error: bytes
    _need: cython.Py_ssize_t

    def __init__(
        self, describe: object, resume: int = 0, rows_max: int = 32768, bytes_max: int = 8 << 20
    ) -> None:
        self.describe = describe
        self.tables = {}
        self.types = {}
        self.used = []
        self.finished = []
        self.transactions = []
        self._rows = self._bytes = 0
        self.rows_max = rows_max
        self.bytes_max = bytes_max
        self.resume = self._position = resume
        self.in_transaction = self.skipping = self.listed = self.started = False
        self.lsn = self.xid = self.commit_us = 0
        self.origin = None
        self._reply_wanted = self._ended = False
        self._error = None
        self._need = 0

    @property
    def rows(self) -> int:
        """Changes in the set under construction."""
        return self._rows

    @property
    def position(self) -> int:
        """Every transaction that committed before this LSN has been received whole."""
        return self._position

    @property
    def lsn_open(self) -> int:
        """Commit LSN of the transaction being received, 0 between transactions."""
        return self.lsn if self.in_transaction else 0

    @property
    def complete(self) -> bool:
        """True where the set under construction ends at a transaction's end."""
        return not (self.in_transaction and self.started)

    @property
    def full(self) -> bool:
        return self._rows >= self.rows_max or self._bytes >= self.bytes_max

    @property
    def need(self) -> int:
        """Size in bytes of the frame that `feed` could not complete."""
        return self._need

    @property
    def ended(self) -> bool:
        """The server has ended the stream."""
        return self._ended

    @property
    def error(self) -> bytes:
        """Body of an ErrorResponse, or None."""
        return self._error

    def reply_wanted(self) -> bool:
        """Whether the server has asked for a status update since the last call."""
        wanted: cython.bint = self._reply_wanted
        self._reply_wanted = False
        return wanted

    def feed(self, buffer: bytearray, start: int, stop: int) -> int:
        """Decode whole frames in buffer[start:stop]; return where the first undecoded one begins.

        Stops early where the set is `full` or the stream has ended.
        """
        p: cython.p_uchar = _bytes_of(buffer)
        at: cython.Py_ssize_t = start
        end: cython.Py_ssize_t = stop
        size: cython.Py_ssize_t
        kind: cython.int
        self._need = 5
        while end - at >= 5:
            size = _u32(p, at + 1)
            if size < 4 or size > 0x7FFFFFFF:
                raise DecodeError(f"a frame of {size} bytes cannot be")
            if size + 1 > end - at:
                self._need = size + 1
                break
            kind = p[at]
            if kind == 100:  # d, CopyData
                if not self.copy_data(p, at + 5, at + 1 + size):
                    break
            else:
                self.other_frame(p, kind, at + 5, at + 1 + size)
                if self._ended:
                    break
            at += size + 1
        return at

    @cython.cfunc
    def other_frame(
        self, p: cython.p_uchar, kind: cython.int, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        if kind == 69:  # E, ErrorResponse
            self._error = _copy_of(p, at, end)
            self._ended = True
        elif kind == 99 or kind == 67 or kind == 90:  # c C Z: the copy has ended
            self._ended = True
        elif kind != 78 and kind != 83 and kind != 87:  # N notice, S parameter, W the copy begins
            raise DecodeError(f"unknown frame {kind:#04x} in the replication stream")
        return 0

    @cython.cfunc
    def copy_data(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.bint:
        """Decode one CopyData; False leaves it for after the set was taken."""
        kind: cython.int
        if at >= end:
            raise DecodeError("an empty message")
        if p[at] == 119:  # w
            if end - at < 26:
                raise DecodeError("a message shorter than its head")
            kind = p[at + 25]
            at += 26
            if kind == 73 or kind == 85 or kind == 68:  # I U D
                if self._rows >= self.rows_max or self._bytes >= self.bytes_max:
                    return False
                self.row(p, kind, at, end)
            elif kind == 66:  # B
                if self._rows >= self.rows_max or self._bytes >= self.bytes_max:
                    return False
                self.begin(p, at, end)
            elif kind == 67:  # C
                self.commit(p, at, end)
            else:
                self.rare(p, kind, at, end)
        elif p[at] == 107:  # k
            if end - at != 18:
                raise DecodeError("a keepalive of another length")
            if p[at + 17]:
                self._reply_wanted = True
            if not self.in_transaction:
                self._position = max(self._position, _u64(p, at + 1))
        else:
            raise DecodeError(f"unknown replication message {p[at]:#04x}")
        return True

    @cython.cfunc
    def begin(self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        if end - at != 20 or self.in_transaction:
            raise DecodeError("a Begin out of place")
        self.lsn = _u64(p, at)
        self.commit_us = cython.cast(cython.longlong, _u64(p, at + 8)) + _POSTGRES_EPOCH_US
        self.xid = _u32(p, at + 16)
        self.origin = None
        self.in_transaction = True
        self.listed = self.started = False
        self.skipping = self.lsn < self.resume
        return 0

    @cython.cfunc
    def commit(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        if end - at != 25 or not self.in_transaction or _u64(p, at + 1) != self.lsn:
            raise DecodeError("a Commit that does not end its transaction")
        self.in_transaction = False
        self._position = max(self._position, _u64(p, at + 9))
        return 0

    @cython.cfunc
    def next_seq(self) -> cython.int:
        """Number the next change, listing its transaction if it is the first."""
        if not self.in_transaction:
            raise DecodeError("a change outside a transaction")
        if not self.listed:
            self.transactions.append((self._rows, self.lsn, self.commit_us, self.xid, self.origin))
            self.listed = self.started = True
        self._rows += 1
        return self._rows - 1

    @cython.cfunc
    def table(self, oid: cython.uint) -> Table:
        """The table of a change; None where it is not captured."""
        try:
            return self.tables[oid]
        except KeyError:
            raise DecodeError(f"a change of relation {oid}, which was never described") from None

    @cython.cfunc
    def row(
        self, p: cython.p_uchar, kind: cython.int, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        table: Table
        tag: cython.int
        if self.skipping:
            return 0
        if end - at < 5:
            raise DecodeError("a change shorter than its head")
        table = self.table(_u32(p, at))
        if table is None:
            return 0
        self._bytes += end - at
        if table.rows == 0:
            self.used.append(table)
        tag = p[at + 4]
        at += 5
        if kind == 73:  # I
            table.begin_row(99, self.next_seq())
        elif kind == 85:  # U
            table.begin_row(117, self.next_seq())
        else:
            table.begin_row(100, self.next_seq())
        if kind != 73 and (tag == 75 or tag == 79):  # K, O
            at = table.old_tuple(p, at, end, tag == 79)
            if kind == 85:
                if at >= end:
                    raise DecodeError("an update without its new row")
                tag = p[at]
                at += 1
        if kind == 68:
            if table.old_kind is None or not table.old_kind[table.rows]:
                raise DecodeError("a delete without its old row")
            table.no_row_after()
        elif tag == 78:  # N
            at = table.new_tuple(p, at, end)
        else:
            raise DecodeError(f"unknown part of a change {tag:#04x}")
        if at != end:
            raise DecodeError("a change longer than its columns")
        table.rows += 1
        return 0

    @cython.cfunc
    def rare(
        self, p: cython.p_uchar, kind: cython.int, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        if kind == 82:  # R
            self.relation(p, at, end)
        elif kind == 84:  # T
            self.truncate(p, at, end)
        elif kind == 77:  # M
            self.message(p, at, end)
        elif kind == 89:  # Y
            if end - at < 4:
                raise DecodeError("a Type shorter than its head")
            schema, after = _text_until_zero(p, at + 4, end)
            name, after = _text_until_zero(p, after, end)
            self.types[_u32(p, at)] = (schema, name)
        elif kind != 79:  # O: the transaction's native origin, which we do not use
            raise DecodeError(f"unknown pgoutput message {kind:#04x} ({chr(kind)!r})")
        return 0

    @cython.cfunc
    def relation(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        width: cython.int
        oid: cython.uint
        table: Table
        if end - at < 4:
            raise DecodeError("a Relation shorter than its head")
        oid = _u32(p, at)
        schema, after = _text_until_zero(p, at + 4, end)
        name, after = _text_until_zero(p, after, end)
        at = after
        if end - at < 3:
            raise DecodeError("a Relation ends inside its head")
        identity = chr(p[at])
        width = _u16(p, at + 1)
        at += 3
        columns: list = []
        while at < end:
            flags = p[at]
            column, after = _text_until_zero(p, at + 1, end)
            at = after
            if end - at < 8:
                raise DecodeError("a Relation ends inside a column")
            modifier: cython.longlong = _u32(p, at + 4)
            if modifier > 0x7FFFFFFF:
                modifier -= 0x100000000
            columns.append((column, _u32(p, at), modifier, bool(flags & 1)))
            at += 8
        if len(columns) != width:
            raise DecodeError("a Relation with another number of columns than it says")
        described = self.describe(oid, schema or "pg_catalog", name, identity, columns, self.types)
        table = self.tables.get(oid)
        if table is not None:
            if described is not None and described[0] == table.schema:
                return 0
            if table.rows:
                self.finished.append(table.result())
        self.tables[oid] = None if described is None else Table(described[0], width, described[1])
        return 0

    @cython.cfunc
    def truncate(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        count: cython.uint
        i: cython.uint
        table: Table
        if self.skipping:
            return 0
        if end - at < 5 or end - at != 5 + 4 * cython.cast(cython.Py_ssize_t, _u32(p, at)):
            raise DecodeError("a Truncate of another length than it says")
        count = _u32(p, at)
        for i in range(count):
            table = self.table(_u32(p, at + 5 + 4 * i))
            if table is not None:
                if table.rows == 0:
                    self.used.append(table)
                table.begin_row(116, self.next_seq())
                table.no_row_after()
                table.rows += 1
        return 0

    @cython.cfunc
    def message(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        """pg_logical_emit_message: a heartbeat, or the mark of another Tailrace's transaction."""
        if end - at < 9:
            raise DecodeError("a Message shorter than its head")
        transactional: cython.bint = p[at] & 1
        lsn: cython.ulonglong = _u64(p, at + 1)
        prefix, after = _text_until_zero(p, at + 9, end)
        at = after
        if end - at < 4 or end - at != 4 + cython.cast(cython.Py_ssize_t, _u32(p, at)):
            raise DecodeError("a Message of another length than it says")
        if not transactional:
            if not self.in_transaction:
                self._position = max(self._position, lsn)
        elif prefix == "tailrace.origin" and not self.listed:
            self.origin = _copy_of(p, at + 4, end).decode("utf-8", "replace")
        return 0

    def take(self) -> tuple:
        """Hand over the set under construction: (tables, transactions, complete, position).

        A table as in `Table.result`. The next set begins empty.
        """
        results: list = []
        table: Table
        for table in self.used:
            if table.rows:
                results.append(table.result())
        taken: tuple = (
            self.finished + results,
            self.transactions,
            self.complete,
            self._position,
        )
        self.used = []
        self.finished = []
        self.transactions = []
        self._rows = self._bytes = 0
        self.listed = False
        return taken


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
        p: cython.p_uchar = _bytes_of(buffer)
        at: cython.Py_ssize_t = start
        end: cython.Py_ssize_t = buffer.rfind(b"\\n", start, stop) + 1
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
            if p[at] == 92 and at + 1 < end and p[at + 1] == 78:  # \\N
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
                column.put(_bytes_of(self.scratch), 0, 1)
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
