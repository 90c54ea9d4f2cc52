"""The decoder of MariaDB's and MySQL's binary logs: events in, change sets out. No I/O.

Rows events are preceded by the table maps that describe them, inside of a transaction
(`cdc.mysql.transaction`); what they hold goes into the change set under construction
(`cdc.mysql.building`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cdc.changes import BYTES_MAX, CREATE, DELETE, ROWS_MAX, UPDATE, ChangeSet
from cdc.mysql import events as ev
from cdc.mysql import withheld, xa
from cdc.mysql.building import Building
from cdc.mysql.chronicle import Chronicle
from cdc.mysql.collations import Collations
from cdc.mysql.effects import Effects
from cdc.mysql.events import Head
from cdc.mysql.gtidset import gtid_event, tagged_gtid_event
from cdc.mysql.history import History
from cdc.mysql.marks import Marks
from cdc.mysql.meaning import Meaning
from cdc.mysql.payload import payload_events
from cdc.mysql.positions import Coordinates, Position, Reached
from cdc.mysql.queries import query
from cdc.mysql.shapes import Shapes
from cdc.mysql.sqltext import MYSQL
from cdc.mysql.tablemap import TableMap, table_id
from cdc.mysql.transaction import OpenTransaction, Statement, Transactions
from cdc.mysql.zerodates import ZeroDates
from cdc.protocol import START_OVER
from cdc.schema import TableName
from tailrace.errors import DecodeError, TailraceError

_OPERATIONS = {
    **dict.fromkeys(ev.WRITE_ROWS, CREATE),
    **dict.fromkeys(ev.UPDATE_ROWS, UPDATE),
    **dict.fromkeys(ev.DELETE_ROWS, DELETE),
}
_SILENT = frozenset(
    {
        *(ev.STOP, ev.HEARTBEAT, ev.BINLOG_CHECKPOINT, ev.GTID_LIST),
        *(ev.HEARTBEAT_V2, ev.PREVIOUS_GTIDS, ev.ROWS_QUERY, ev.IGNORABLE_EVENT),
        *(ev.TRANSACTION_CONTEXT, ev.VIEW_CHANGE),  # of a replication group, without rows
        *(ev.INTVAR, ev.RAND, ev.USER_VAR),  # they prepare a statement, which is judged itself
    }
)


STATEMENT_BYTES = 4096
"""Of a statement's beginning, which says what it does."""


class BinlogDecoder:
    """Events of a replication stream in, change sets out.

    `captured` says whether a table is wanted, `in_schema` whether one of a schema is; `charset_of`
    maps a collation's number to its character set; `position` is that up to which the journal holds
    every transaction, by default the beginning of a MariaDB's log;
    `shape_of` gives today's shape of a table, for one that is cleared before any change of it was
    read; `chronicle` knows the columns of tables where the log does not name them, and which
    BINARY is none; `left_out`: whether computed columns are; `fold` makes of a
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
        chronicle: Chronicle | None = None,
        left_out: bool = False,
        fold: Callable[[str], str] = str,
    ) -> None:
        chronicle = chronicle or Chronicle(History(), Collations({}, charset_of, {}))
        self._chronicle = chronicle
        self._shapes = Shapes(captured, charset_of, shape_of, chronicle, left_out=left_out)
        self._charset_of = charset_of
        self._building = Building(
            self._shapes.withheld, zero_dates or ZeroDates(), rows_max, bytes_max
        )
        self._transactions = Transactions(position or Position())
        meaning = Meaning(captured, in_schema, fold, chronicle)
        self._effects = Effects(meaning, self._transactions, self._shapes, self._building)
        self._checksums = checksums
        self._file = ""
        self._at = self._next = 0  # where the event begins, and the one behind it
        self._packed = False  # whether what is fed comes out of a compressed transaction
        self._head: Head | None = None

    @property
    def position(self) -> str:
        """Every transaction up to it has been received whole."""
        return str(self._transactions.position)

    @property
    def coordinates(self) -> Coordinates:
        """File and position behind the event read last; for people, and to measure the lag."""
        return self._file, self._next

    @property
    def facts(self) -> Mapping[str, str]:
        """What is to be kept beside the position."""
        left_out = self._shapes.withheld.left_out
        return {**self._chronicle.facts, **withheld.facts(left_out=left_out)}

    @property
    def rows(self) -> int:
        """In the set under construction."""
        return self._building.rows

    @property
    def full(self) -> bool:
        return self._building.full

    @property
    def complete(self) -> bool:
        """Whether the set under construction ends at a transaction's end."""
        opened = self._transactions.open
        return opened is None or not opened.started

    def take(self) -> ChangeSet | None:
        """The set under construction, or None where it has neither rows nor an end to tell."""
        return self._building.take(self.position, complete=self.complete)

    def opened(self, event: memoryview) -> Iterator[memoryview]:
        """The event, or those that it is a compressed transaction of; each is to be fed.

        Errors: as `feed`.
        """
        head = ev.head(event)
        if head.type != ev.TRANSACTION_PAYLOAD:
            yield event
            return
        self._behind(head)
        self._packed = True
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
            self._behind(self._head)
        self._located_at(self._head, self._event, self._head, event)

    def _behind(self, head: Head) -> None:
        """Go behind an event. From MariaDB 11.4 on those inside a transaction do not say where."""
        if not head.next and self._transactions.open is not None:
            self._next += head.size
        else:
            self._next = ev.unwrapped(head.next, self._next)
        self._at = max(0, self._next - head.size)

    def _goes_on(self) -> bool:
        """Decode one of the events that were held for the one fed last; False where none is."""
        if self._transactions.again is None:
            return False
        assert self._head is not None
        self._located_at(self._head, self._read_again, self._transactions.again)
        return True

    def _read_again(self, events: Iterator[xa.Kept]) -> None:
        held = next(events, None)
        if held is not None:
            return self._read(self._transactions.inside, *held)
        self._transactions.again = None
        self._transactions.end(self.coordinates)

    def _located_at(self, head: Head, step: Callable[..., None], *arguments: Any) -> None:
        try:
            step(*arguments)
        except (struct.error, IndexError):
            raise self._located(DecodeError("an event ends inside a field"), head) from None
        except TailraceError as error:
            raise self._located(error, head) from None

    def _located(self, error: TailraceError, head: Head) -> TailraceError:
        error.where.setdefault("file", self._file)
        error.where.setdefault("position", self._at)
        error.where.setdefault("event", head.type)
        error.fix = error.fix or f"see what wrote this; to go on behind it, {START_OVER}"
        if (opened := self._transactions.open) is not None:
            error.where.setdefault("gtid", str(opened.gtid))
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
        elif kind == ev.ANNOTATE_ROWS:
            text = bytes(body[:STATEMENT_BYTES]).decode("utf-8", "replace")
            self._transactions.inside.statement = Statement(text)
        elif kind == ev.GTID:
            self._begin(head, body)
        elif kind in (ev.MYSQL_GTID, ev.ANONYMOUS_GTID):
            self._transactions.begin_named(*gtid_event(body), self.coordinates)
        elif kind == ev.TAGGED_GTID:
            self._transactions.begin_named(*tagged_gtid_event(body), self.coordinates)
        elif kind == ev.XID:
            self._transactions.end(self.coordinates)
        elif kind == ev.XA_PREPARE:
            xid, one_phase = xa.prepare(body)
            self._transactions.prepare(xid, self.coordinates, one_phase=one_phase)
        elif kind in (ev.QUERY, ev.QUERY_COMPRESSED):
            compressed = kind == ev.QUERY_COMPRESSED
            asked = query(body, compressed=compressed, charset_of=self._charset_of)
            mysql = 0 if isinstance(self._transactions.position, Position) else MYSQL
            asked = replace(asked, sql_mode=asked.sql_mode | mysql)
            self._effects.of(asked, self.coordinates)
        elif kind == ev.ROTATE:
            self._file, self._next = ev.rotate(body)
            if self._transactions.open is None:
                self._transactions.position.rest(self.coordinates)
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
        self._transactions.begin(
            gtid,
            head.time_s * 1_000_000,
            alone=bool(flags & ev.GTID_STANDALONE),
            alter_phase=ev.alter_phase(body),
            prepares=bool(flags & ev.GTID_PREPARED_XA),
        )

    def _map(self, body: memoryview) -> None:
        opened = self._transactions.inside
        if opened.statement is not None:
            opened.statement.tables.add(table_id(body))
        # What is passed over may have another shape by now.
        passed = opened.skipping and opened.held is None
        opened.tables[table_id(body)] = None if passed else self._shapes.of(body)

    def _rows(self, kind: int, body: memoryview) -> None:
        opened = self._transactions.inside
        number = table_id(body)
        try:
            table = opened.tables[number]
        except KeyError:
            raise DecodeError(f"rows of table {number}, which was never described") from None
        replaces = opened.statement.replaces if opened.statement else None
        if body[6] & ev.STATEMENT_END:
            opened.statement = None
        if table is None:
            return
        if opened.held is not None and not isinstance(table, Marks):
            opened.held.add(table, kind, body, replaces)
        elif opened.held is not None or not opened.skipping:
            self._read(opened, table, kind, body, replaces)

    def _read(
        self,
        opened: OpenTransaction,
        table: Any,
        kind: int,
        body: memoryview,
        replaces: bool | None,
    ) -> None:
        """The rows of a rows event; `replaces` as of a `Statement`."""
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
            opened.origin = table.origin(data, op, before, after)
            return
        every = (1 << width) - 1
        if op != DELETE and (present := int.from_bytes(after, "little") & every) != every:
            table.leave_out(self._shapes.left_out(table, op, present, replaces))
        self._building.read(opened, table, op, data, before, after)
