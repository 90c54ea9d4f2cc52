"""PostgreSQL as a target: rows and checkpoint in one transaction.

    begin ─▶ lock our checkpoint row (fencing) ─▶ clear, delete, upsert … ─▶ checkpoint ─▶ commit

`sinks.applying` says what is written in which way; `apply` and `ordered` are the two ways. For
entities of several sources `sinks.composites` stands around it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg
from psycopg import errors as pg
from psycopg import pq

from cdc.schema import TableName
from sinks import composites
from sinks.applying import SAVEPOINT
from sinks.foreign_keys import References
from sinks.identity_people import COUNT_CONFLICTS
from sinks.postgres.apply import TableWriter
from sinks.postgres.checkpoint import CheckpointTable
from sinks.postgres.composite import CompositeWriter
from sinks.postgres.composite_tables import prepare_composite
from sinks.postgres.connection import Answer
from sinks.postgres.discrepancies import count
from sinks.postgres.find import demands, find
from sinks.postgres.names import quoted_table
from sinks.postgres.ordered import apply_in_order
from sinks.postgres.session import Connection, connect, translate, translated
from sinks.postgres.tables import prepare, references
from sinks.protocol import NO_RECEIPTS, Checkpoint, Durable, Receipts, Written
from sinks.refusals import answer_lost
from tailrace.errors import Fenced, TargetRefused, TargetUnavailable
from tailrace.failpoints import failpoint
from transforms.composite import Composite
from transforms.references import Reference
from transforms.rows import RowChanges, TargetTable

T = TypeVar("T")

SINGLY_ROWS_MAX = 32
"""Rows a table up to which it takes no more time to apply each than to COPY them: two round trips
against four, and as much work for about thirty (new rows of 12 columns)."""

_AMONG_ROWS = ("23503", "23505", "23P01")
"""Constraints of which a row may be in the way of another: references, unique and exclusion."""


class PostgresSink:
    """One pipeline's connection to its target. May be opened again after `close`.

    `origin` names the system the changes come from; where the target's log is decoded, each
    transaction says so, and a pipeline back to that system skips it.
    """

    undoes = True

    def __init__(self, url: str, pipeline: str, *, origin: str | None = None) -> None:
        self._url = url
        self._pipeline = pipeline
        self._origin = origin
        self._holder = uuid.uuid4().hex
        self._connection: Connection | None = None
        self._checkpoint: CheckpointTable | None = None
        self._writers: dict[TargetTable, TableWriter] = {}
        self._composites: dict[str, CompositeWriter] = {}
        self._numbers: dict[TargetTable, int] = {}
        self._references = References()
        self._in_transaction = False
        self._marks = False
        self._epoch = 0
        self.system = ""

    def open(self, journal: str) -> Checkpoint:
        self.close()
        self._connection = connection = connect(self._url, self._pipeline)
        self._checkpoint = table = CheckpointTable(
            connection, self._pipeline, self._holder, self._epoch
        )
        with translated("opening the target", pipeline=self._pipeline):
            self.system = _system(connection)
            level = connection.execute("show wal_level").fetchone()
            self._marks = self._origin is not None and level == ("logical",)
            table.ensure()
            checkpoint = table.take_over(journal)
        self._epoch = table.epoch
        return checkpoint

    def prepare(self, tables: Sequence[TargetTable]) -> None:
        connection = self._connected
        for table in tables:
            if table in self._writers:
                continue
            if table.composite is not None:
                self._prepare_composite(table.composite)
            prepare(connection, self._pipeline, table)
            number = self._numbers.setdefault(table, len(self._numbers))
            self._writers[table] = TableWriter(connection, table, number)
            if (of := table.composite) is not None and of.table == table.table:
                writer = CompositeWriter(connection, of, self._writers[table])
                self._composites[of.entity] = writer
        with translated("reading the target's foreign keys"):
            self._references = references(
                connection, dict.fromkeys(table.table for table in self._writers)
            )

    def write(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        self._begin()
        counts = self._unless_fenced(lambda: composites.write(self, changes))
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
        if not self._checkpoint.is_locked:  # nothing was written
            with translated("storing the checkpoint", pipeline=self._pipeline):
                self._unless_fenced(connection.settle)
        try:
            self._checkpoint.keep(receipts)
            self._checkpoint.store(checkpoint)
            failpoint("deliver.before_commit")
            connection.soon(b"commit", then=_committed)
            connection.settle(lambda: failpoint("deliver.commit_sent"))
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise answer_lost(self._pipeline) from error
            # A deferred constraint, or a server that is shutting down.
            raise translate(error, "committing", {"pipeline": self._pipeline}) from None
        self._in_transaction = False
        return Durable(checkpoint)

    def discrepancies(self) -> dict[str, int]:
        if not self._composites:
            return {}
        with translated("counting discrepancies", pipeline=self._pipeline):
            return count(self._connected, list(self._composites))

    def conflicts(self) -> dict[str, int]:
        with translated("counting conflicts", pipeline=self._pipeline):
            found = {
                entity: self._connected.execute(COUNT_CONFLICTS.encode(), (entity,)).fetchone()
                for entity, writer in self._composites.items()
                if writer.composite.match
            }
        return {entity: int(str(row[0])) for entity, row in found.items() if row is not None}

    def rollback(self) -> None:
        if self._connection is not None and self._in_transaction:
            self._connection.forget()
            if self._connection.info.transaction_status != pq.TransactionStatus.IDLE:
                with translated("rolling back", pipeline=self._pipeline):
                    self._connection.soon(b"rollback")
                    self._connection.settle()
        self._in_transaction = False
        self._writers.clear()  # what was created inside the transaction is gone with it
        self._composites.clear()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._checkpoint = None
        self._writers.clear()
        self._composites.clear()
        self._in_transaction = False

    @property
    def _connected(self) -> Connection:
        assert self._connection is not None, "open the sink first"
        return self._connection

    def _prepare_composite(self, composite: Composite) -> None:
        if composite.entity not in self._composites:
            prepare_composite(self._connected, self._pipeline, composite)

    def _begin(self) -> None:
        """Soon: with the first that is written."""
        if self._in_transaction:
            return
        assert self._checkpoint is not None
        self._in_transaction = True
        self._checkpoint.begin(origin=self._origin if self._marks else None)
        for writer in self._writers.values():
            writer.begin()

    def _unless_fenced(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except Fenced:
            self.close()  # or the lock just taken would keep the newer process waiting
            raise

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
        statements = {change.table: self._writers[change.table].sql for change in changes}
        return apply_in_order(self._connected, changes, statements)

    def savepoint(self, name: str = SAVEPOINT) -> None:
        self._connected.soon(f"savepoint {name}".encode())

    def undo(self, name: str = SAVEPOINT) -> None:
        self._connected.soon(f"rollback to {name}".encode())
        for writer in self._writers.values():
            writer.undone()

    def release(self, name: str = SAVEPOINT) -> None:
        self._connected.soon(f"release {name}".encode())

    def abandon(self, name: str = SAVEPOINT) -> None:
        self.undo(name)
        self.release(name)

    def may_go_as_sets(self, refused: TargetRefused) -> bool:
        return refused.where.get("sqlstate") in _AMONG_ROWS

    def clear(self, tables: Sequence[TableName]) -> None:
        names = ", ".join(quoted_table(table) for table in tables)
        self.savepoint()
        with translated("clearing", tables=names):
            try:
                self._connected.execute(f"truncate {names}".encode())
            except (pg.InsufficientPrivilege, pg.FeatureNotSupported):
                # No right to truncate, or a table outside this batch refers to one of these.
                self.undo()
                for table in sorted(tables, key=self._references.rank, reverse=True):
                    self._connected.execute(f"delete from {quoted_table(table)}".encode())
        self.release()


def _system(connection: Connection) -> str:
    row = connection.execute(
        "select system_identifier::text || '/' || current_database() from pg_control_system()"
    ).fetchone()
    assert row is not None
    return str(row[0])


def _committed(answer: Answer) -> None:
    if answer.command_status != b"COMMIT":
        raise TargetUnavailable("the target rolled back what it was to commit")
