"""PostgreSQL as a target: rows and checkpoint in one transaction.

    begin ─▶ lock our checkpoint row (fencing) ─▶ clear, delete, upsert … ─▶ checkpoint ─▶ commit

A batch is applied as sets inside a savepoint. Where the target refuses the sets, the same changes
are applied one by one in the source's order (`ordered`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NoReturn

import psycopg
from psycopg import errors as pg
from psycopg import pq

from cdc.schema import TableName
from sinks.netting import NeedsOrder, Net, Segment, joined, net, segments
from sinks.postgres.apply import TableWriter
from sinks.postgres.checkpoint import CheckpointTable
from sinks.postgres.names import quoted_table
from sinks.postgres.ordered import apply_in_order
from sinks.postgres.session import Connection, connect, translate, translated
from sinks.postgres.tables import parents_first, prepare
from sinks.protocol import Checkpoint, Durable, Written
from tailrace.errors import Fenced, TargetRefused, TargetUnavailable
from tailrace.failpoints import failpoint
from transforms.rows import RowChanges, TargetTable

ORIGIN_PREFIX = "tailrace.origin"
"""Prefix of the logical message that marks our transactions in the target's own log."""


class PostgresSink:
    """One pipeline's connection to its target. May be opened again after `close`.

    `origin` names the system the changes come from; where the target's log is decoded, each
    transaction says so, and a pipeline back to that system skips it.
    """

    def __init__(self, url: str, pipeline: str, *, origin: str | None = None) -> None:
        self._url = url
        self._pipeline = pipeline
        self._origin = origin
        self._connection: Connection | None = None
        self._checkpoint: CheckpointTable | None = None
        self._writers: dict[TargetTable, TableWriter] = {}
        self._numbers = itertools.count()
        self._order: list[TableName] = []
        self._in_transaction = False
        self._marks = False
        self._epoch = 0
        self.system = ""

    def open(self, journal: str) -> Checkpoint:
        self.close()
        self._connection = connection = connect(self._url, self._pipeline)
        self._checkpoint = table = CheckpointTable(connection, self._pipeline, self._epoch)
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
            prepare(connection, self._pipeline, table)
            with translated("making a staging table", table=str(table.table)):
                self._writers[table] = TableWriter(connection, table, next(self._numbers))
        with translated("reading the target's foreign keys"):
            self._order, _ = parents_first(
                connection, dict.fromkeys(table.table for table in self._writers)
            )

    def write(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        with translated("writing", pipeline=self._pipeline):
            self._begin()
        counts: dict[str, Written] = {}
        for segment in segments(changes):
            if segment.cleared:
                self._clear(segment.cleared, counts)
            if segment.changes:
                self._apply(segment, counts)
        failpoint("deliver.applied")
        return counts

    def commit(self, checkpoint: Checkpoint) -> Durable:
        assert self._checkpoint is not None
        with translated("storing the checkpoint", pipeline=self._pipeline):
            self._begin()
            self._checkpoint.store(checkpoint)
        failpoint("deliver.before_commit")
        pgconn = self._connected.pgconn
        try:
            pgconn.send_query(b"commit")
            while pgconn.flush():
                pass
            failpoint("deliver.commit_sent")
            answer = _only_result(pgconn)
        except psycopg.OperationalError as error:
            self._lost(error)
        if answer.status != pq.ExecStatus.COMMAND_OK or answer.command_status != b"COMMIT":
            self._refused_commit(answer)
        self._in_transaction = False
        return Durable(checkpoint)

    def rollback(self) -> None:
        if self._connection is not None and self._in_transaction:
            with translated("rolling back", pipeline=self._pipeline):
                self._connection.execute("rollback")
        self._in_transaction = False
        self._writers.clear()  # what was created inside the transaction is gone with it

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._checkpoint = None
        self._writers.clear()
        self._in_transaction = False

    @property
    def _connected(self) -> Connection:
        assert self._connection is not None, "open the sink first"
        return self._connection

    def _begin(self) -> None:
        if self._in_transaction:
            return
        assert self._checkpoint is not None
        self._connected.execute("begin")
        self._in_transaction = True
        try:
            self._checkpoint.lock()
        except Fenced:
            self.close()  # or the lock just taken would keep the newer process waiting
            raise
        if self._marks:
            self._connected.execute(
                "select pg_logical_emit_message(true, %s, %s)", (ORIGIN_PREFIX, self._origin)
            )
        for writer in self._writers.values():
            writer.begin()

    def _clear(self, tables: Sequence[TableName], counts: dict[str, Written]) -> None:
        names = ", ".join(quoted_table(table) for table in tables)
        with translated("clearing", tables=names):
            self._connected.execute("savepoint tailrace")
            try:
                self._connected.execute(f"truncate {names}".encode())
            except (pg.InsufficientPrivilege, pg.FeatureNotSupported):
                # No right to truncate, or a table outside this batch refers to one of these.
                self._connected.execute("rollback to tailrace")
                for table in sorted(tables, key=self._rank, reverse=True):
                    self._connected.execute(f"delete from {quoted_table(table)}".encode())
            self._connected.execute("release tailrace")
        for table in tables:
            counts.setdefault(str(table), Written()).cleared += 1

    def _apply(self, segment: Segment, counts: dict[str, Written]) -> None:
        by_table: dict[TargetTable, list[RowChanges]] = {}
        for change in segment.changes:
            by_table.setdefault(change.table, []).append(change)
        changes = [joined(group) for group in by_table.values()]
        with translated("writing", pipeline=self._pipeline):
            self._connected.execute("savepoint tailrace")
        try:
            done = self._apply_sets([net(change) for change in changes])
        except NeedsOrder:
            done = self._apply_in_order(segment.changes)
        except TargetRefused:
            done = self._apply_in_order(segment.changes)
        except pg.Error as error:
            refused = translate(error, "writing", {"pipeline": self._pipeline})
            if not isinstance(refused, TargetRefused):
                raise refused from None
            done = self._apply_in_order(segment.changes)
        with translated("writing", pipeline=self._pipeline):
            self._connected.execute("release tailrace")
        for table, written in done.items():
            add(counts.setdefault(table, Written()), written)

    def _apply_sets(self, nets: Sequence[Net]) -> dict[str, Written]:
        """Deletes, children before parents; then upserts, parents before children."""
        ordered = sorted(nets, key=lambda one: self._rank(one.table.table))
        if len(ordered) == 1 and self._copied_directly(ordered[0]):
            (only,) = ordered
            assert only.upserts is not None
            return {str(only.table.table): Written(upserted=only.upserts.count)}
        done = {str(one.table.table): Written(coalesced=one.coalesced) for one in ordered}
        for one in reversed(ordered):
            done[str(one.table.table)].deleted = self._writers[one.table].delete(one)
        for one in ordered:
            done[str(one.table.table)].upserted = self._writers[one.table].upsert(one)
        return done

    def _copied_directly(self, only: Net) -> bool:
        writer = self._writers[only.table]
        if not writer.may_copy_directly(only):
            return False
        if writer.copy_directly(only):
            failpoint("deliver.staged")
            return True
        self._connected.execute("rollback to tailrace")
        return False

    def _apply_in_order(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        with translated("writing", pipeline=self._pipeline):
            self._connected.execute("rollback to tailrace")
        for writer in self._writers.values():
            writer.begin()
        return apply_in_order(
            self._connected, [(change, self._writers[change.table].sql) for change in changes]
        )

    def _rank(self, table: TableName) -> int:
        return self._order.index(table)

    def _lost(self, error: psycopg.Error) -> NoReturn:
        """Whether it committed, the target knows: opening again waits for the old transaction."""
        raise TargetUnavailable(
            "the answer to COMMIT was lost; the checkpoint will tell whether it happened",
            where={"pipeline": self._pipeline},
        ) from error

    def _refused_commit(self, answer: pq.abc.PGresult) -> NoReturn:
        """A deferred constraint, or a server that is shutting down."""
        self._in_transaction = False
        error = psycopg.errors.error_from_result(answer, encoding="utf-8")
        raise translate(error, "committing", {"pipeline": self._pipeline})


def add(total: Written, more: Written) -> None:
    """Add `more` to `total`."""
    total.upserted += more.upserted
    total.deleted += more.deleted
    total.cleared += more.cleared
    total.coalesced += more.coalesced


def _system(connection: Connection) -> str:
    row = connection.execute(
        "select system_identifier::text || '/' || current_database() from pg_control_system()"
    ).fetchone()
    assert row is not None
    return str(row[0])


def _only_result(pgconn: pq.abc.PGconn) -> pq.abc.PGresult:
    answer = None
    while (result := pgconn.get_result()) is not None:
        answer = result
    if answer is None:
        raise psycopg.OperationalError("no answer to COMMIT")
    return answer
