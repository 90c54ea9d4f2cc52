"""The decoder of MariaDB's and MySQL's binary logs: events in, change sets out. No I/O.

A transaction begins with a GTID event and ends with XID, or with the one statement it consists of.
Its rows events are preceded by the table maps that describe them. One that only prepares an XA
transaction is set aside (`cdc.mysql.xa`); its rows come in the place of the one that commits it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cdc.arrays import table_changes, transactions
from cdc.changes import BYTES_MAX, CREATE, DELETE, ROWS_MAX, TRUNCATE, UPDATE, ChangeSet
from cdc.mysql import events as ev
from cdc.mysql import statements, xa
from cdc.mysql.chronicle import Chronicle
from cdc.mysql.collations import Collations
from cdc.mysql.effects import Effects
from cdc.mysql.events import Gtid, Head
from cdc.mysql.gtidset import MysqlGtid, gtid_event, tagged_gtid_event
from cdc.mysql.history import History
from cdc.mysql.lookalikes import Lookalikes
from cdc.mysql.marks import Marks
from cdc.mysql.payload import payload_events
from cdc.mysql.positions import AnyGtid, FilePosition, Position, Reached
from cdc.mysql.prepared import Prepared
from cdc.mysql.queries import Query, query
from cdc.mysql.shapes import Shapes
from cdc.mysql.sqltext import MYSQL
from cdc.mysql.tablemap import TableMap, table_id
from cdc.mysql.zerodates import ZeroDates
from cdc.protocol import START_OVER
from cdc.schema import TableName
from tailrace.errors import ContinuityError, DecodeError, TailraceError

_OPERATIONS = {
    **dict.fromkeys(ev.WRITE_ROWS, CREATE),
    **dict.fromkeys(ev.UPDATE_ROWS, UPDATE),
    **dict.fromkeys(ev.DELETE_ROWS, DELETE),
}
_SILENT = frozenset(
    {
        *(ev.STOP, ev.HEARTBEAT, ev.ANNOTATE_ROWS, ev.BINLOG_CHECKPOINT, ev.GTID_LIST),
        *(ev.HEARTBEAT_V2, ev.PREVIOUS_GTIDS, ev.ROWS_QUERY, ev.IGNORABLE_EVENT),
        *(ev.TRANSACTION_CONTEXT, ev.VIEW_CHANGE),  # of a replication group, without rows
        *(ev.INTVAR, ev.RAND, ev.USER_VAR),  # they prepare a statement, which is judged itself
    }
)


class BinlogDecoder:
    """Events of a replication stream in, change sets out.

    `captured` says whether a table is wanted, `in_schema` whether one of a schema is; `charset_of`
    maps a collation's number to its character set; `position` is that up to which the journal holds
    every transaction, by default the beginning of a MariaDB's log;
    `shape_of` gives today's shape of a table, for one that is cleared before any change of it was
    read; `lookalikes` says which BINARY is one;
    `chronicle` knows the columns of tables where the log does not name them; `fold` makes of a
    name in a statement the one that the log has;
    `checksums`: whether events have one before the first FORMAT_DESCRIPTION says so. A set may
    hold more than `rows_max` rows by those of one event, some hundred.
    Errors: DecodeError on anything unknown, PreflightError on what is not read yet; both name
    file and position, and the state is then useless.
    """

    def __init__(
        self,
        captured: Callable[[TableName], bool],
        charset_of: Mapping[int, str],
        *,
        position: Reached | None = None,
        shape_of: Callable[[TableName], TableMap | None] = lambda _: None,
        checksums: bool = False,
        rows_max: int = ROWS_MAX,
        bytes_max: int = BYTES_MAX,
        zero_dates: ZeroDates | None = None,
        in_schema: Callable[[str], bool] = lambda _: False,
        lookalikes: Lookalikes | None = None,
        chronicle: Chronicle | None = None,
        fold: Callable[[str], str] = str,
    ) -> None:
        self._chronicle = chronicle or Chronicle(History(), Collations({}, charset_of, {}))
        lookalikes = lookalikes or Lookalikes(None, shape_of)
        self._zero_dates = zero_dates or ZeroDates()
        self._shapes = Shapes(captured, charset_of, shape_of, lookalikes, self._chronicle)
        self._effects = Effects(captured, in_schema, fold, lookalikes, self._chronicle)
        self._charset_of = charset_of
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._position = position or Position()
        self._checksums = checksums
        self._file = ""
        self._next = 0
        self._packed = False  # whether what is fed comes out of a compressed transaction
        self._tables: dict[int, Any] = {}  # of the open transaction
        self._gtid: AnyGtid | None = None
        self._alone = False  # whether the transaction is the one statement that comes next
        self._alter_phase = 0
        self._skipping = self._listed = self._started = False
        self._waiting = Prepared(self._position)
        self._holding: xa.Held | None = None  # of the open transaction
        self._again: Iterator[tuple[Any, int, memoryview]] | None = None
        self._head: Head | None = None
        self._commit_us = 0
        self._origin: str | None = None
        self._used: list[Any] = []
        self._opened: list[tuple[int, str, int, int | None, str | None]] = []
        self.rows = 0
        self._bytes = 0
        self._part = 0

    @property
    def position(self) -> str:
        """Every transaction up to it has been received whole."""
        return str(self._position)

    @property
    def coordinates(self) -> tuple[str, int]:
        """File and position behind the event read last; for people, and to measure the lag."""
        return self._file, self._next

    @property
    def facts(self) -> Mapping[str, str]:
        """What of the chronicle's facts has changed."""
        return self._chronicle.facts

    @property
    def full(self) -> bool:
        return self.rows >= self._rows_max or self._bytes >= self._bytes_max

    @property
    def complete(self) -> bool:
        """Whether the set under construction ends at a transaction's end."""
        return not (self._gtid is not None and self._started)

    def opened(self, event: memoryview) -> Iterator[memoryview]:
        """The event, or those that it is a compressed transaction of; each is to be fed.

        Errors: as `feed`.
        """
        head = ev.head(event)
        if head.type != ev.TRANSACTION_PAYLOAD:
            yield event
            return
        self._next, self._packed = head.next, True
        try:
            body = ev.checked(event) if self._checksums else event
            yield from payload_events(body[ev.HEAD.size :])
        except TailraceError as error:
            raise self._located(error, head) from None
        finally:
            self._packed = False

    def feed(self, event: memoryview) -> None:
        """Decode one event; `full` afterwards asks for `take`.

        One that commits an XA transaction brings all the rows of that, see `sets`.
        """
        self._fed(event)
        while self._goes_on():
            pass

    def sets(self, packet: memoryview) -> Iterator[ChangeSet]:
        """Decode what the server sent in one piece; the sets that became full by it."""
        for event in self.opened(packet):
            self._fed(event)
            going_on = True
            while going_on:
                if self.full and (taken := self.take()):
                    yield taken
                going_on = self._goes_on()

    def _fed(self, event: memoryview) -> None:
        self._head = ev.head(event)
        if not self._packed:
            self._next = ev.unwrapped(self._head.next, self._next)
        self._located_at(self._head, self._event, self._head, event)

    def _goes_on(self) -> bool:
        """Decode one of the events that were held for the one fed last; False where none is."""
        if self._again is None:
            return False
        assert self._head is not None
        self._located_at(self._head, self._read_again, self._again)
        return True

    def _read_again(self, events: Iterator[tuple[Any, int, memoryview]]) -> None:
        held = next(events, None)
        if held is not None:
            return self._read(*held)
        self._again = None
        self._end()

    def _located_at(self, head: Head, step: Callable[..., None], *arguments: Any) -> None:
        try:
            step(*arguments)
        except (struct.error, IndexError):
            raise self._located(DecodeError("an event ends inside a field"), head) from None
        except TailraceError as error:
            raise self._located(error, head) from None

    def _located(self, error: TailraceError, head: Head) -> TailraceError:
        error.where.setdefault("file", self._file)
        error.where.setdefault("position", max(0, head.next - head.size))
        error.where.setdefault("event", head.type)
        error.fix = error.fix or f"see what wrote this; to go on behind it, {START_OVER}"
        if self._gtid is not None:
            error.where.setdefault("gtid", str(self._gtid))
        return error

    def _event(self, head: Head, event: memoryview) -> None:
        kind = head.type
        if kind == ev.FORMAT_DESCRIPTION:
            format_ = ev.format_description(event[ev.HEAD.size :])
            self._checksums = format_.checksums
            self._shapes.is_mariadb = "mariadb" in format_.server_version.lower()
            return
        if self._checksums and not self._packed:
            event = ev.checked(event)
        body = event[ev.HEAD.size :]
        if kind in _OPERATIONS or kind in ev.COMPRESSED_ROWS:
            self._rows(kind, body)
        elif kind == ev.TABLE_MAP:
            self._map(body)
        elif kind == ev.GTID:
            self._begin(head, body)
        elif kind in (ev.MYSQL_GTID, ev.ANONYMOUS_GTID):
            self._begin_named(*gtid_event(body))
        elif kind == ev.TAGGED_GTID:
            self._begin_named(*tagged_gtid_event(body))
        elif kind == ev.XID:
            self._end()
        elif kind == ev.XA_PREPARE:
            self._prepared(*xa.prepare(body))
        elif kind in (ev.QUERY, ev.QUERY_COMPRESSED):
            compressed = kind == ev.QUERY_COMPRESSED
            asked = query(body, compressed=compressed, charset_of=self._charset_of)
            mysql = 0 if isinstance(self._position, Position) else MYSQL
            self._query(replace(asked, sql_mode=asked.sql_mode | mysql))
        elif kind == ev.ROTATE:
            self._file, self._next = ev.rotate(body)
            if self._gtid is None:
                self._position.rest((self._file, self._next))
        elif kind == ev.INCIDENT:
            raise DecodeError("the server has lost events of its log (an incident event)")
        elif kind == ev.PARTIAL_UPDATE_ROWS:
            raise DecodeError(
                "a change of a part of a JSON value, which does not say what the value is",
                fix="SET GLOBAL binlog_row_value_options = '', end the sessions that have another"
                f" value, then {START_OVER}",
            )
        elif kind == ev.START_ENCRYPTION:
            pass  # a replica is sent events in the clear
        elif kind not in _SILENT and not head.flags & ev.IGNORABLE:
            raise DecodeError(f"unknown event {kind}")

    def _begin(self, head: Head, body: memoryview) -> None:
        gtid, flags = ev.mariadb_gtid(body, head.server)
        self._open(gtid, head.time_s * 1_000_000, alone=bool(flags & ev.GTID_STANDALONE))
        self._alter_phase = ev.alter_phase(body)
        if not self._skipping:
            self._waiting.refuse_missing(gtid)
        if flags & ev.GTID_PREPARED_XA:
            self._hold(gtid)

    def _begin_named(self, gtid: MysqlGtid, commit_us: int) -> None:
        """MySQL does not say beforehand whether BEGIN comes next, or a statement by itself."""
        if gtid.sequence == 0 or isinstance(self._position, FilePosition):
            # A position in a file tells only of places in files whether they are before it.
            gtid = self._nameless()
        self._open(gtid, commit_us, alone=True)

    def _nameless(self) -> MysqlGtid:
        """Where its file says that it begins takes the place of a name."""
        if not isinstance(self._position, FilePosition):
            raise DecodeError(
                "a transaction without a GTID, behind others that have one",
                fix=f"SET GLOBAL gtid_mode = ON, then {START_OVER}",
            )
        return MysqlGtid(self._file, self._next)

    def _open(self, gtid: AnyGtid, commit_us: int, *, alone: bool) -> None:
        if self._gtid is not None:
            raise DecodeError(f"transaction {gtid} begins inside {self._gtid}")
        if isinstance(gtid, Gtid) != isinstance(self._position, Position):
            raise DecodeError(f"transaction {gtid} is named as the other product names its own")
        self._gtid, self._alone = gtid, alone
        self._commit_us = commit_us
        self._skipping = self._position.holds(gtid)
        if self._skipping:
            self._waiting.refuse_unasked(gtid)
        self._listed = self._started = False
        self._origin = None
        self._tables.clear()

    def _hold(self, gtid: AnyGtid) -> None:
        """Set the open transaction's rows aside."""
        if not self._skipping or self._waiting.awaits(gtid):
            self._holding = xa.Held()

    def _end(self) -> None:
        if self._gtid is None:
            raise DecodeError("a transaction ends that has not begun")
        if self._holding is not None:
            raise DecodeError("an XA transaction ends without having been prepared")
        if not self._skipping:
            self._position.advance(self._gtid, (self._file, self._next))
        self._gtid = None

    def _prepared(self, xid: xa.Xid, one_phase: bool) -> None:
        """What is open was to prepare `xid`, or (at MySQL only) to commit it at once."""
        self._in_transaction()
        held, gtid = self._holding, self._gtid
        assert gtid is not None
        self._holding = None
        if held is None:
            if not self._skipping:
                raise DecodeError("an XA transaction is prepared that has not begun")
            return self._end()
        if one_phase:
            self._again = held.again()
            return
        held.origin = self._origin
        self._waiting.add(xid, gtid, held)
        if not self._skipping:
            self._position.prepare(gtid, (self._file, self._next))
        self._gtid = None

    def _xa(self, text: str) -> None:
        """A statement XA …"""
        self._in_transaction()
        verb, xid = xa.statement(text)
        if verb == "start" and self._holding is None:
            assert self._gtid is not None
            self._hold(self._gtid)
        self._alone = False
        if verb not in ("commit", "rollback"):
            return
        if self._skipping:
            return self._end()
        held = self._waiting.ended(xid)
        if verb == "commit":
            if held is None:
                raise ContinuityError(
                    "an XA transaction is committed whose rows are not in the log behind our"
                    " position",
                    where={"xid": str(xid)},
                    fix=START_OVER,
                )
            self._again, self._origin = held.again(), held.origin
            return
        if held is not None:
            held.close()
        self._end()

    def _map(self, body: memoryview) -> None:
        self._in_transaction()
        # What is passed over may have another shape by now.
        passed = self._skipping and self._holding is None
        self._tables[table_id(body)] = None if passed else self._shapes.of(body)

    def _rows(self, kind: int, body: memoryview) -> None:
        self._in_transaction()
        number = table_id(body)
        try:
            table = self._tables[number]
        except KeyError:
            raise DecodeError(f"rows of table {number}, which was never described") from None
        if table is None:
            return
        if self._holding is not None and not isinstance(table, Marks):
            self._holding.add(table, kind, body)
        elif self._holding is not None or not self._skipping:
            self._read(table, kind, body)

    def _read(self, table: Any, kind: int, body: memoryview) -> None:
        """The rows of a rows event."""
        plain = ev.COMPRESSED_ROWS.get(kind, kind)
        reader = ev.Reader(body)
        reader.take(8)
        if plain >= ev.WRITE_ROWS[1]:
            reader.take(max(0, reader.number(2) - 2))
        width = reader.packed()
        if width != table.wide:
            raise DecodeError("rows with another number of columns than their table")
        size = (width + 7) // 8
        op = _OPERATIONS[plain]
        before = reader.take(size) if op != CREATE else b""
        after = before if op == DELETE else reader.take(size)
        data = bytearray(body[reader.at :] if kind == plain else ev.uncompressed(reader.rest()))
        if isinstance(table, Marks):
            self._origin = table.origin(data, op, before, after)
            return
        every = (1 << width) - 1
        if op != DELETE and int.from_bytes(after, "little") & every != every:
            self._shapes.refuse_absent(table, op, int.from_bytes(after, "little"))
        self._list()
        if not table.count:
            self._used.append(table)
        self.rows += table.read(data, 0, len(data), op, self.rows, before, after)
        self._bytes += len(data)

    def _list(self) -> None:
        """Note the transaction at its first row in this set."""
        if not self._listed:
            assert self._gtid is not None
            self._opened.append(
                (
                    self.rows,
                    str(self._gtid),
                    self._commit_us,
                    self._gtid.sequence & (1 << 63) - 1,
                    self._origin,
                )
            )
            self._listed = self._started = True

    def _in_transaction(self) -> None:
        if self._gtid is None:
            raise DecodeError("rows outside a transaction")

    def _query(self, asked: Query) -> None:
        """A statement that is its own transaction (DDL), or one inside of one."""
        verb, text = statements.split(asked.statement, asked.sql_mode)
        if verb == "begin" or statements.BEGINS.search(text):
            self._alone = False
            return
        if verb == "commit":
            return self._end()
        if verb == "savepoint":
            return
        if verb == "xa":
            return self._xa(text)
        logged = self._started or (self._holding is not None and self._holding.events)
        if verb == "rollback" and logged and not self._skipping:
            raise DecodeError("a rollback of rows already logged (tables without transactions?)")
        if not self._skipping:
            self._affects(verb, replace(asked, statement=text))
        ended = verb == "rollback" and not statements.ROLLBACK_TO.match(text)
        if self._gtid is not None and (self._alone or ended):
            self._end()

    def _affects(self, verb: str, asked: Query) -> None:
        """What a statement does to the captured tables."""
        self._effects.refuse(verb, asked)
        if verb == "truncate":
            self._in_transaction()
            if (name := self._effects.cleared(asked)) is not None:
                self._clear(name)
        if verb in statements.REPLACES:
            done = not self._alter_phase & (ev.START_ALTER | ev.ROLLBACK_ALTER)
            if done and self._effects.altered(asked, str(self._gtid)):
                self._shapes.forget()

    def _clear(self, name: TableName) -> None:
        table = self._shapes.newest(name)
        if table is None:
            raise DecodeError(f"TRUNCATE of {name}, of which nothing is known any more")
        self._list()
        if not table.count:
            self._used.append(table)
        table.clear_at(TRUNCATE, self.rows)
        self.rows += 1

    def take(self) -> ChangeSet | None:
        """The set under construction, or None where it has neither rows nor an end to tell."""
        if not self.rows and not (self._part and self.complete):
            return None
        taken = ChangeSet(
            tables=tuple(
                self._zero_dates.changes(table_changes(*table.take())) for table in self._used
            ),
            transactions=transactions(self._opened),
            position=self.position,
            complete=self.complete,
            part=self._part,
        )
        self._part = 0 if taken.complete else self._part + 1
        self._used, self._opened = [], []
        self.rows = self._bytes = 0
        self._listed = False
        return taken
