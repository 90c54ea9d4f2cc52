# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The hot part of capture: bytes of the replication stream into column buffers.

Written in Cython's pure-Python mode: compiled where a compiler is at hand, and the same algorithm
uncompiled elsewhere. `cdc.postgres.decode` wraps it in types.

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
    from cython.cimports.cdc._columns import Table, Text, u16, u32, u64
    from cython.cimports.tailrace._buffers import bytes_of
else:
    from cdc._columns import Table, Text, u16, u32, u64
    from tailrace._buffers import bytes_of

COMPILED = cython.compiled

_POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01 in µs since 1970


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
class TupleTable(Table):
    """A table whose rows come as pgoutput's TupleData."""

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
        if at + 2 > end or u16(p, at) != self.width:
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
                size = u32(p, at)
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
        if at + 2 > end or u16(p, at) != self.width:
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
                size = u32(p, at)
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
        p: cython.p_uchar = bytes_of(buffer)
        at: cython.Py_ssize_t = start
        end: cython.Py_ssize_t = stop
        size: cython.Py_ssize_t
        kind: cython.int
        self._need = 5
        while end - at >= 5:
            size = u32(p, at + 1)
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
                self._position = max(self._position, u64(p, at + 1))
        else:
            raise DecodeError(f"unknown replication message {p[at]:#04x}")
        return True

    @cython.cfunc
    def begin(self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        if end - at != 20 or self.in_transaction:
            raise DecodeError("a Begin out of place")
        self.lsn = u64(p, at)
        if u64(p, at + 8) >> 62:
            raise DecodeError("a Begin with a time that no clock shows")
        self.commit_us = cython.cast(cython.longlong, u64(p, at + 8)) + _POSTGRES_EPOCH_US
        self.xid = u32(p, at + 16)
        self.origin = None
        self.in_transaction = True
        self.listed = self.started = False
        self.skipping = self.lsn < self.resume
        return 0

    @cython.cfunc
    def commit(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        if end - at != 25 or not self.in_transaction or u64(p, at + 1) != self.lsn:
            raise DecodeError("a Commit that does not end its transaction")
        self.in_transaction = False
        self._position = max(self._position, u64(p, at + 9))
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
    def table(self, oid: cython.uint) -> TupleTable:
        """The table of a change; None where it is not captured."""
        try:
            return self.tables[oid]
        except KeyError:
            raise DecodeError(f"a change of relation {oid}, which was never described") from None

    @cython.cfunc
    def row(
        self, p: cython.p_uchar, kind: cython.int, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        table: TupleTable
        tag: cython.int
        if self.skipping:
            return 0
        if end - at < 5:
            raise DecodeError("a change shorter than its head")
        table = self.table(u32(p, at))
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
            self.types[u32(p, at)] = (schema, name)
        elif kind != 79:  # O: the transaction's native origin, which we do not use
            raise DecodeError(f"unknown pgoutput message {kind:#04x} ({chr(kind)!r})")
        return 0

    @cython.cfunc
    def relation(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        width: cython.int
        oid: cython.uint
        table: TupleTable
        if end - at < 4:
            raise DecodeError("a Relation shorter than its head")
        oid = u32(p, at)
        schema, after = _text_until_zero(p, at + 4, end)
        name, after = _text_until_zero(p, after, end)
        at = after
        if end - at < 3:
            raise DecodeError("a Relation ends inside its head")
        identity = chr(p[at])
        width = u16(p, at + 1)
        at += 3
        columns: list = []
        while at < end:
            flags = p[at]
            column, after = _text_until_zero(p, at + 1, end)
            at = after
            if end - at < 8:
                raise DecodeError("a Relation ends inside a column")
            modifier: cython.longlong = u32(p, at + 4)
            if modifier > 0x7FFFFFFF:
                modifier -= 0x100000000
            columns.append((column, u32(p, at), modifier, bool(flags & 1)))
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
        self.tables[oid] = (
            None if described is None else TupleTable(described[0], width, described[1])
        )
        return 0

    @cython.cfunc
    def truncate(
        self, p: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        count: cython.uint
        i: cython.uint
        table: TupleTable
        if self.skipping:
            return 0
        if end - at < 5 or end - at != 5 + 4 * cython.cast(cython.Py_ssize_t, u32(p, at)):
            raise DecodeError("a Truncate of another length than it says")
        count = u32(p, at)
        for i in range(count):
            table = self.table(u32(p, at + 5 + 4 * i))
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
        lsn: cython.ulonglong = u64(p, at + 1)
        prefix, after = _text_until_zero(p, at + 9, end)
        at = after
        if end - at < 4 or end - at != 4 + cython.cast(cython.Py_ssize_t, u32(p, at)):
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
        table: TupleTable
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
