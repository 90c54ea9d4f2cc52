"""A MariaDB or MySQL source: what capture calls, made of the parts beside this file."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping

from cdc.findings import refuse_errors
from cdc.mysql import withheld
from cdc.mysql.alteration import Shape
from cdc.mysql.catalog import (
    CatalogTable,
    read_charsets,
    read_collations,
    read_tables,
    tables_beyond,
)
from cdc.mysql.chronicle import Chronicle
from cdc.mysql.decode import BinlogDecoder
from cdc.mysql.history import History
from cdc.mysql.marks import SYSTEM
from cdc.mysql.preflight import inspect
from cdc.mysql.products import product_of
from cdc.mysql.session import Connection, connect, query
from cdc.mysql.settings import BinlogSource
from cdc.mysql.snapshot import BinlogSnapshot
from cdc.mysql.stream import BinlogStream
from cdc.mysql.tablemap import TableMap
from cdc.mysql.zerodates import ZeroDates
from cdc.order import NO_NEEDS, Needs, in_order
from cdc.protocol import START_OVER, SourceState
from cdc.schema import TableName
from tailrace.errors import ContinuityError, SourceUnavailable

log = logging.getLogger("tailrace.mariadb")


TABLES = "mariadb.tables"
"""The fact that lists the tables captured since the first snapshot: JSON, [[schema, name], …]."""


class BinlogDatabase:
    """Implements `cdc.protocol.Source`. Errors of every method: SourceUnavailable.

    It leaves nothing at the server: no table, no slot; a replica's registration ends with its
    connection. `name` makes our number among the replicas, where the settings give none.
    `needs`: the order of a snapshot.
    """

    def __init__(self, settings: BinlogSource, name: str, *, needs: Needs = NO_NEEDS) -> None:
        self._settings = settings
        self._needs = needs
        self._server_id = settings.server_id or zlib.crc32(name.encode()) | 1 << 31
        self._zero_dates = ZeroDates(settings.zero_dates)
        self._product = product_of(settings)
        self._connection = connect(settings.url)
        self._captured: frozenset[TableName] = frozenset()
        self._left_out = False
        self._facts: Mapping[str, str] = {}
        self._before: list[TableMap] = []
        self._stream: BinlogStream | None = None

    def verify(self, facts: Mapping[str, str], position: str) -> None:
        """Errors: ContinuityError where the server's log does not hold our position."""
        if TABLES not in facts:
            raise ContinuityError("the journal does not say which source it is of", fix=START_OVER)
        self._captured = frozenset(TableName(*name) for name in json.loads(facts[TABLES]))
        self._facts = facts
        self._product.verify(self._connection, position, facts.get(SYSTEM))
        self._settle_computed(facts)
        self._warn_of_new_tables()

    def _settle_computed(self, facts: Mapping[str, str]) -> None:
        """As it was at the first snapshot. Errors: ContinuityError where that cannot be."""
        self._left_out = facts.get(withheld.FACT) == withheld.LEFT_OUT
        if not self._left_out and self._leaves_out():
            tables, _ = read_tables(
                self._connection, self._settings.patterns, read_charsets(self._connection)
            )
            withheld.refuse_newly(table.map for table in tables if table.name in self._captured)
            self._left_out = True

    def _leaves_out(self) -> bool:
        ((version,),) = query(self._connection, "select version()")
        return withheld.leaves_out(str(version))

    def _warn_of_new_tables(self) -> None:
        if new := tables_beyond(self._connection, self._settings.patterns, self._captured):
            log.warning(
                "tables are not captured, since they were not there at the first snapshot",
                extra={"tables": list(map(str, new)), "fix": START_OVER},
            )

    def snapshot(self, previous: Mapping[str, str]) -> BinlogSnapshot:
        """Errors: PreflightError."""
        findings, tables = inspect(self._connection, self._settings)
        refuse_errors(findings)
        self._before = [table.map for table in tables]
        return BinlogSnapshot(
            self._settings.url, self._product, self._read, self._begin, self._zero_dates
        )

    def _read(self, connection: Connection) -> list[CatalogTable]:
        tables, refused = read_tables(
            connection, self._settings.patterns, read_charsets(connection)
        )
        if refused:  # made since the preflight looked
            raise refused[0]
        if [table.map for table in tables] != self._before:
            # What they were when the snapshot began is not known; try again.
            raise SourceUnavailable("tables were altered while the snapshot began")
        by_name = {table.name: table for table in tables}
        return [by_name[name] for name in in_order(by_name, self._needs)]

    def _begin(self, tables: list[CatalogTable]) -> Mapping[str, str]:
        self._captured = frozenset(table.name for table in tables)
        self._left_out = self._leaves_out()
        read = self._product.now(self._connection)
        history = History.begun((Shape(table.map, table.charset) for table in tables), read)
        self._facts = {
            TABLES: json.dumps(sorted((name.schema, name.name) for name in self._captured)),
            SYSTEM: self._product.system(self._connection),
            **history.facts,
            **withheld.facts(left_out=self._left_out),
        }
        return self._facts

    def stream(self, position: str) -> BinlogStream:
        """After `verify` or `snapshot`, which say what is captured."""
        ((checksum,),) = query(self._connection, "select @@global.binlog_checksum")
        ((folds,),) = query(self._connection, "select @@lower_case_table_names")
        fold = str.lower if folds else str
        decoder = BinlogDecoder(
            self._captured.__contains__,
            read_charsets(self._connection),
            position=self._product.reached(position),
            shape_of=self._shape_of,
            checksums=checksum == "CRC32",
            zero_dates=self._zero_dates,
            left_out=self._left_out,
            in_schema={table.schema for table in self._captured}.__contains__,
            chronicle=self._chronicle(position),
            fold=fold,
        )
        self._stream = BinlogStream(
            connect(self._settings.url),
            decoder,
            lambda connection: self._product.ask_for_log(connection, position, self._server_id),
        )
        return self._stream

    def _chronicle(self, position: str) -> Chronicle:
        """The history as it was at the position, and what is needed to go on with it."""
        ((metadata,),) = query(self._connection, "select @@global.binlog_row_metadata")
        return Chronicle(
            History.of(self._facts, self._captured, self._product.reached(position).includes),
            read_collations(self._connection),
            described=metadata == "FULL",
            before_read=lambda at, read: self._product.reached(read).includes(at),
        )

    def _shape_of(self, name: TableName) -> TableMap | None:
        """Today's shape. Errors: PreflightError where today's cannot be captured."""
        charset_of = read_charsets(self._connection)
        patterns = self._settings.patterns
        tables, refused = read_tables(self._connection, patterns, charset_of, only=name)
        if refused:
            raise refused[0]
        return next((table.map for table in tables if table.name == name), None)

    def heartbeat(self) -> None:
        """Nothing is held for us that a mark would free; the server sends heartbeats itself."""

    def state(self) -> SourceState:
        current = self._product.now(self._connection)
        lag = 0 if self._stream is None else self._lag_bytes(*self._stream.coordinates)
        return SourceState(position=current, lag_bytes=lag, held_bytes=0, room_bytes=None)

    def _lag_bytes(self, file: str, position: int) -> int:
        """What the server has logged behind the event we read last."""
        sizes = [
            (name, int(size)) for name, size, *_ in query(self._connection, "show binary logs")
        ]
        return sum(size for name, size in sizes if name >= file) - position if file else 0

    def give_up(self) -> None:
        """Nothing to let go of."""

    def close(self) -> None:
        self._connection.close()
