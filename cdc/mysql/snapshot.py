"""Existing rows, consistent with a position, as the log would have printed them."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pyarrow as pa
import pymysql.cursors

from cdc.arrays import transactions
from cdc.changes import BYTES_MAX, READ, TRUNCATE, ChangeSet, TableChanges
from cdc.mysql import binaries
from cdc.mysql import tablemap as tm
from cdc.mysql.catalog import CatalogTable
from cdc.mysql.layout import BINARY_CHARSET, rows
from cdc.mysql.names import quoted, quoted_table
from cdc.mysql.product import Product
from cdc.mysql.session import Connection, connect, query, translated
from cdc.mysql.tablemap import MapColumn
from cdc.mysql.zerodates import ZeroDates
from cdc.protocol import SnapshotProgress
from cdc.schema import TableName
from tailrace.errors import SourceUnavailable

FETCH_ROWS_MAX = 16_384
FETCH_ROWS_FIRST = 64


class BinlogSnapshot:
    """Implements `cdc.protocol.Snapshot`. `read` gives the tables as the snapshot sees them."""

    def __init__(
        self,
        url: str,
        product: Product,
        read: Callable[[Connection], list[CatalogTable]],
        facts: Callable[[list[CatalogTable]], Mapping[str, str]],
        zero_dates: ZeroDates,
    ) -> None:
        self._zero_dates = zero_dates
        self._connection = connect(url)
        try:
            query(self._connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            locked: list[TableName] = []

            def named() -> list[TableName]:
                locked.extend(table.name for table in read(self._connection))
                return locked

            self._position = product.begin_snapshot(self._connection, url, named)
            self._taken_us = int(time.time() * 1_000_000)
            self._tables = read(self._connection)
            if locked and {table.name for table in self._tables} - set(locked):
                raise SourceUnavailable("a table was made while the first snapshot began")
        except BaseException:
            self._connection.close()
            raise
        self._facts = facts(self._tables)

    @property
    def position(self) -> str:
        return self._position

    @property
    def facts(self) -> Mapping[str, str]:
        return self._facts

    def changes(self) -> Iterator[tuple[ChangeSet, SnapshotProgress]]:
        for table in self._tables:
            yield from self._changes_of(table)

    def _changes_of(self, table: CatalogTable) -> Iterator[tuple[ChangeSet, SnapshotProgress]]:
        copied = part = 0
        chunks = _chunks(self._connection, table)
        chunk = next(chunks, None)
        while True:
            following = next(chunks, None) if chunk else None
            columns = columns_of(table, chunk or [], opening=part == 0)
            copied += len(chunk or ())
            complete = following is None
            yield (
                self._set(table, columns, part, complete=complete),
                SnapshotProgress(str(table.name), copied, max(table.rows_estimated, copied)),
            )
            if complete:
                return
            chunk, part = following, part + 1

    def _set(
        self, table: CatalogTable, columns: list[pa.Array], part: int, *, complete: bool
    ) -> ChangeSet:
        count = len(columns[0])
        operations = [TRUNCATE] * (part == 0) + [READ] * (count - (part == 0))
        changes = TableChanges(
            schema=table.schema,
            op=pa.array(operations, pa.uint8()),
            seq=pa.array(range(count), pa.int32()),
            new=tuple(columns),
        )
        return ChangeSet(
            tables=(self._zero_dates.changes(changes),),
            transactions=transactions([(0, self._position, self._taken_us, None, None)]),
            position=self._position,
            complete=complete,
            part=part,
        )

    def close(self) -> None:
        self._connection.close()


def _chunks(connection: Connection, table: CatalogTable) -> Iterator[list[tuple[Any, ...]]]:
    wanted = ", ".join(map(shown, table.columns))
    sql = f"select {wanted} from {quoted_table(table.name)}"
    with (
        translated("reading a table", table=str(table.name)),
        closing(connection.cursor(pymysql.cursors.SSCursor)) as cursor,
    ):
        cursor.execute(sql)
        wanted_rows = FETCH_ROWS_FIRST
        while chunk := list(cursor.fetchmany(wanted_rows)):
            try:
                yield chunk
            except GeneratorExit:  # else the cursor would read the table to its end
                _cut(connection)
                raise
            # The number of rows follows from how wide the last ones were, a character standing for
            # a byte; never more than doubling guards against one wide row
            # after many narrow ones.
            size = sum(len(value) for row in chunk for value in row if value is not None)
            fitting = BYTES_MAX * len(chunk) // max(size, 1)
            wanted_rows = max(1, min(fitting, 2 * wanted_rows, FETCH_ROWS_MAX))


def _cut(connection: Connection) -> None:
    inside: Any = connection
    inside._force_close()
    inside._result.unbuffered_active = False


_CHARACTERS = (tm.STRING, tm.VARCHAR, tm.BLOB, tm.VARCHAR_COMPRESSED, tm.BLOB_COMPRESSED)


def shown(column: MapColumn) -> str:
    """SQL for a column's value as `_rows` prints it."""
    name = quoted(column.name)
    if column.unsigned and column.type in tm.INTEGERS:  # perhaps ZEROFILL, whose zeros are no value
        return f"cast(cast({name} as unsigned) as char)"
    if column.unsigned and column.type == tm.NEWDECIMAL:
        return f"cast(cast({name} as decimal({column.size}, {column.more})) as char)"
    if column.type in (tm.FLOAT, tm.DOUBLE):
        return f"cast(cast({name} as double) as char)"  # a sum would lose the sign of -0
    if column.type == tm.YEAR:
        return f"cast({name} + 0 as char)"
    if column.type == tm.BIT:
        return f"lpad(bin({name} + 0), {column.size}, '0')"
    if column.type == tm.TIMESTAMP2:
        return f"concat(cast({name} as char), if({name} = 0, '', '+00'))"
    if column.type == tm.JSON:
        return f"cast({name} as char)"
    if column.type in (tm.GEOMETRY, tm.INET6):
        return f"hex({name})"
    if column.type in (tm.UUID, tm.INET4):
        return f"cast({name} as char)"
    if column.charset == BINARY_CHARSET and column.type in _CHARACTERS:
        return f"concat('\\\\x', lower(hex({name})))"
    return f"convert({name} using utf8mb4)"


def _single(text: str) -> str:
    found: bytes = rows.shortest_float(struct.pack("<f", float(text)))
    return found.decode()


def _double(text: str) -> str:
    found: bytes = rows.shortest_double(float(text))
    return found.decode()


def _geometry(text: str) -> str:
    return binaries.geometry(bytes.fromhex(text)).decode()


def _address(text: str) -> str:
    return binaries.address(bytes.fromhex(text), 16).decode()


_PRINTED = {tm.FLOAT: _single, tm.DOUBLE: _double, tm.GEOMETRY: _geometry, tm.INET6: _address}


def columns_of(
    table: CatalogTable, chunk: list[tuple[Any, ...]], *, opening: bool = False
) -> list[pa.Array]:
    """One array a column of what `shown` selects; a row that opens a snapshot is NULL in each."""
    found = []
    for number, column in enumerate(table.columns):
        values = [None] * opening + [row[number] for row in chunk]
        printed = _PRINTED.get(column.type)
        if printed is not None:
            values = [None if value is None else printed(value) for value in values]
        found.append(pa.array(values, pa.string()))
    return found
