"""MariaDB or MySQL as a target: rows and checkpoint in one InnoDB transaction.

    begin ─▶ lock our checkpoint row (fencing) ─▶ clear, delete, upsert … ─▶ checkpoint ─▶ commit

`sinks.applying` says what is written in which way; `apply` and `ordered` are the two ways. Tables
are made over another connection, since a CREATE would commit what is open.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import TypeVar

import pymysql

from cdc.schema import TableName
from sinks import composites
from sinks.applying import SAVEPOINT
from sinks.foreign_keys import References
from sinks.identity_people import COUNT_CONFLICTS
from sinks.mysql.apply import TableWriter, delete_freed
from sinks.mysql.catalog import foreign_keys, kept_name
from sinks.mysql.checkpoint import CheckpointTable
from sinks.mysql.composite import CompositeWriter
from sinks.mysql.composite_tables import prepare_composite
from sinks.mysql.discrepancies import count
from sinks.mysql.find import demands, find
from sinks.mysql.loading import Loader
from sinks.mysql.names import quoted_table
from sinks.mysql.ordered import apply_in_order
from sinks.mysql.passing import CONNECTION
from sinks.mysql.products import MARIADB, Product
from sinks.mysql.rights import Rights
from sinks.mysql.session import (
    AMONG_ROWS,
    REFERRED_TO,
    Connection,
    connect,
    execute,
    query,
    translated,
)
from sinks.mysql.tables import prepare
from sinks.mysql.types import ColumnType
from sinks.mysql.writers import statements
from sinks.protocol import NO_RECEIPTS, Checkpoint, Durable, Receipts, Written
from sinks.refusals import answer_lost
from tailrace.errors import Fenced, TargetRefused
from tailrace.failpoints import failpoint
from transforms.composite import Composite
from transforms.references import Reference
from transforms.rows import RowChanges, TargetTable

T = TypeVar("T")
_COMMIT = "commit"

SINGLY_ROWS_MAX = 16
"""As at a PostgreSQL target, where it was measured; here it was not."""


class MariadbSink:
    """One pipeline's connection to its target, MariaDB or the `product` it is declared as. May be
    opened again after `close`.

    `origin` names the system the changes come from; each transaction says so in the target's log,
    and a pipeline back to that system skips it.
    """

    undoes = True

    def __init__(
        self, url: str, pipeline: str, *, origin: str | None = None, product: Product = MARIADB
    ) -> None:
        self._url = url
        self._product = product
        self._origin = origin
        self._pipeline = pipeline
        self._holder = uuid.uuid4().hex
        self._connection: Connection | None = None
        self._checkpoint: CheckpointTable | None = None
        self._loader: Loader | None = None
        self._writers: dict[TargetTable, TableWriter] = {}
        self._composites: dict[str, CompositeWriter] = {}
        self._types: dict[TargetTable, tuple[ColumnType, ...]] = {}
        self._references = References()
        self._in_transaction = False
        self._transaction = ""
        self._epoch = 0
        self.system = ""

    def open(self, journal: str) -> Checkpoint:
        self.close()
        self._connection = connection = connect(self._url, self._pipeline, self._product)
        self._checkpoint = table = CheckpointTable(
            connection, self._pipeline, self._holder, self._epoch
        )
        with translated("opening the target", pipeline=self._pipeline):
            ((system,),) = query(connection, f"select {self._product.system}")
            self.system = str(system)
            self._loader = Loader(connection)
            table.ensure()
            checkpoint = table.take_over(journal)
        self._epoch = table.epoch
        return checkpoint

    def prepare(self, tables: Sequence[TargetTable]) -> None:
        assert self._loader is not None, "open the sink first"
        wanted = [table for table in tables if table not in self._writers]
        if not wanted:
            return
        with closing(connect(self._url, self._pipeline, self._product)) as other:
            for table in wanted:
                if table.composite is not None:
                    self._prepare_composite(other, table.composite)
                found = prepare(other, self._pipeline, table)
                with translated("reading the target's foreign keys", table=str(table.table)):
                    sql = statements(other, table, found, len(self._writers))
                self._types[table] = tuple(sql.types.values())
                self._writers[table] = TableWriter(self._connected, self._loader, sql)
                if (of := table.composite) is not None and of.table == table.table:
                    with translated("preparing an entity", table=str(of.table)):
                        self._composites[of.entity] = CompositeWriter(
                            self._connected, of, self._writers[table], lambda: self._transaction
                        )
            with translated("reading the target's foreign keys"):
                names = {kept_name(other, table.table): table.table for table in self._writers}
                self._references = References.of(
                    names.values(),
                    foreign_keys(other, names),
                    hidden=not Rights(other).shows_foreign_keys,
                )

    def write(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        self._begin()
        converted = [self._converted(change) for change in changes]
        with translated("writing", pipeline=self._pipeline):
            counts = self._unless_fenced(lambda: composites.write(self, converted))
        failpoint("deliver.applied")
        return counts

    def find(self, reference: Reference, keys: Sequence[str]) -> dict[str, str]:
        with translated("looking up references", pipeline=self._pipeline):
            self._begin()
            return self._unless_fenced(lambda: find(self._connected, reference, keys))

    def demands(self, table: TableName) -> list[Reference]:
        with translated("reading the target's foreign keys", pipeline=self._pipeline):
            self._begin()
            return self._unless_fenced(lambda: demands(self._connected, table))

    def receipts(self) -> frozenset[str]:
        assert self._checkpoint is not None
        with translated("reading what is parked", pipeline=self._pipeline):
            return self._checkpoint.receipts()

    def commit(self, checkpoint: Checkpoint, receipts: Receipts = NO_RECEIPTS) -> Durable:
        assert self._checkpoint is not None
        connection = self._connected
        self._begin()
        with translated("storing the checkpoint", pipeline=self._pipeline):
            if not self._checkpoint.is_locked:  # nothing was written
                self._unless_fenced(connection.settle)
            self._checkpoint.keep(receipts)
            self._checkpoint.store(checkpoint)
            failpoint("deliver.before_commit")
            connection.soon("commit", of=_COMMIT)
            try:
                connection.settle(lambda: failpoint("deliver.commit_sent"))
            except pymysql.Error as error:
                if getattr(error, "of", None) is _COMMIT or error.args[0] in CONNECTION:
                    raise answer_lost(self._pipeline) from error
                raise
        self._in_transaction = False
        return Durable(checkpoint)

    def discrepancies(self) -> dict[str, int]:
        if not self._composites:
            return {}
        with translated("counting discrepancies", pipeline=self._pipeline):
            return count(self._connected, list(self._composites))

    def conflicts(self) -> dict[str, int]:
        entities = [name for name, one in self._composites.items() if one.composite.match]
        if not entities:
            return {}
        with translated("counting conflicts", pipeline=self._pipeline):
            found = {
                entity: int(query(self._connected, COUNT_CONFLICTS, entity)[0][0])
                for entity in entities
            }
            execute(self._connected, "rollback")  # without autocommit, reading began a transaction
        return found

    def rollback(self) -> None:
        if self._connection is not None and self._in_transaction:
            self._connection.forget()
            with translated("rolling back", pipeline=self._pipeline):
                execute(self._connection, "rollback")
        self._in_transaction = False
        self._writers.clear()  # tables may be others by the time this is tried again
        self._composites.clear()

    def close(self) -> None:
        if self._connection is not None:
            with suppress(pymysql.Error):  # it may be closed already
                self._connection.close()
        self._connection = self._checkpoint = self._loader = None
        self._writers.clear()
        self._composites.clear()
        self._in_transaction = False

    @property
    def _connected(self) -> Connection:
        assert self._connection is not None, "open the sink first"
        return self._connection

    def _prepare_composite(self, connection: Connection, composite: Composite) -> None:
        if composite.entity not in self._composites:
            prepare_composite(connection, self._pipeline, composite)

    def _begin(self) -> None:
        """Soon: with the first that is written."""
        if self._in_transaction:
            return
        assert self._checkpoint is not None
        self._in_transaction = True
        self._transaction = uuid.uuid4().hex
        self._checkpoint.begin(origin=self._origin)

    def _unless_fenced(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except Fenced:
            self.close()  # or the lock just taken would keep the newer process waiting
            raise

    def _converted(self, change: RowChanges) -> RowChanges:
        """The same with values in the text that the server reads."""
        types = self._types[change.table]
        keys = [types[i] for i in change.table.key_indexes]
        return replace(
            change,
            values=tuple(
                type_.text(column) for type_, column in zip(types, change.values, strict=True)
            ),
            old_key=None
            if change.old_key is None
            else tuple(
                type_.text(column) for type_, column in zip(keys, change.old_key, strict=True)
            ),
        )

    # What `sinks.applying` asks of us

    @property
    def singly_max(self) -> int:
        return SINGLY_ROWS_MAX

    @property
    def references(self) -> References:
        return self._references

    def writer(self, table: TargetTable) -> TableWriter:
        return self._writers[table]

    def composite(self, entity: str) -> CompositeWriter:
        return self._composites[entity]

    def in_order(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        tables = {change.table: self._writers[change.table].sql for change in changes}
        return apply_in_order(self._connected, changes, tables)

    def clear(self, tables: Sequence[TableName]) -> None:
        """A TRUNCATE would commit."""
        free = {table.table: writer.sql.free_all for table, writer in self._writers.items()}
        for table in sorted(tables, key=self._references.rank, reverse=True):
            try:
                with translated("clearing", table=str(table)):
                    delete = f"delete from {quoted_table(table)}"
                    delete_freed(self._connected, delete, free.get(table))
            except TargetRefused as refused:
                if refused.where.get("errno") in REFERRED_TO:
                    refused.fix = "drop the foreign key at the target, or let its columns be NULL"
                raise

    def savepoint(self, name: str = SAVEPOINT) -> None:
        self._connected.soon(f"savepoint {name}")

    def undo(self, name: str = SAVEPOINT) -> None:
        self._connected.soon(f"rollback to {name}")

    def release(self, name: str = SAVEPOINT) -> None:
        """Nothing: the next of that name takes its place."""

    def abandon(self, name: str = SAVEPOINT) -> None:
        self.undo(name)

    def may_go_as_sets(self, refused: TargetRefused) -> bool:
        return refused.where.get("errno") in AMONG_ROWS
