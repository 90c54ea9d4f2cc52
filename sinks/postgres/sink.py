"""PostgreSQL as a target: rows and checkpoint in one transaction.

    begin ─▶ lock our checkpoint row (fencing) ─▶ clear, delete, upsert … ─▶ checkpoint ─▶ commit

A handful of changes is applied one by one in the source's order (`ordered`), more of them as sets
inside a savepoint (`apply`). Where sets cannot tell the outcome or the target refuses them, the
same changes are applied in order.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NoReturn

import psycopg
from psycopg import errors as pg
from psycopg import pq

from cdc.schema import TableName
from sinks.batches import Segment, joined, segments
from sinks.netting import NeedsOrder, Net, meet, net
from sinks.postgres.apply import TableWriter
from sinks.postgres.checkpoint import CheckpointTable
from sinks.postgres.names import quoted_table
from sinks.postgres.ordered import SAVEPOINT, apply_in_order
from sinks.postgres.session import Connection, connect, translate, translated
from sinks.postgres.tables import References, prepare, references
from sinks.protocol import Checkpoint, Durable, Written
from tailrace.errors import Fenced, TargetRefused, TargetUnavailable
from tailrace.failpoints import failpoint
from transforms.rows import RowChanges, TargetTable

SINGLY_ROWS_MAX = 16
"""Rows a table up to which it takes less time to apply each than to stage them: 0.8 ms against
1.2 ms for one row, as much for about twenty (12 columns, both ends on one machine)."""


class PostgresSink:
    """One pipeline's connection to its target. May be opened again after `close`.

    `origin` names the system the changes come from; where the target's log is decoded, each
    transaction says so, and a pipeline back to that system skips it.
    """

    def __init__(self, url: str, pipeline: str, *, origin: str | None = None) -> None:
        self._url = url
        self._pipeline = pipeline
        self._origin = origin
        self._holder = uuid.uuid4().hex
        self._connection: Connection | None = None
        self._checkpoint: CheckpointTable | None = None
        self._writers: dict[TargetTable, TableWriter] = {}
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
            prepare(connection, self._pipeline, table)
            number = self._numbers.setdefault(table, len(self._numbers))
            self._writers[table] = TableWriter(connection, table, number)
        with translated("reading the target's foreign keys"):
            self._references = references(
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
        self._in_transaction = True
        try:
            self._checkpoint.begin(origin=self._origin if self._marks else None)
        except Fenced:
            self.close()  # or the lock just taken would keep the newer process waiting
            raise
        for writer in self._writers.values():
            writer.begin()

    def _clear(self, cleared: Sequence[TableName], counts: dict[str, Written]) -> None:
        tables = list(dict.fromkeys(cleared))
        names = ", ".join(quoted_table(table) for table in tables)
        with translated("clearing", tables=names):
            self._execute(f"savepoint {SAVEPOINT}")
            try:
                self._connected.execute(f"truncate {names}".encode())
            except (pg.InsufficientPrivilege, pg.FeatureNotSupported):
                # No right to truncate, or a table outside this batch refers to one of these.
                self._undo()
                for table in sorted(tables, key=self._rank, reverse=True):
                    self._connected.execute(f"delete from {quoted_table(table)}".encode())
            self._execute(f"release {SAVEPOINT}")
        for table in cleared:
            counts.setdefault(str(table), Written()).cleared += 1

    def _apply(self, segment: Segment, counts: dict[str, Written]) -> None:
        rows = sum(change.rows for change in segment.changes)
        if rows <= SINGLY_ROWS_MAX * len({change.table for change in segment.changes}):
            self._apply_few(segment, counts)
        else:
            self._apply_many(segment, counts)

    def _apply_few(self, segment: Segment, counts: dict[str, Written]) -> None:
        """In order; as sets where a constraint of the target's own is against that order."""
        try:
            self._apply_in_order(segment, counts)
        except TargetRefused as refused:
            if not str(refused.where.get("sqlstate", "")).startswith("23"):
                raise
            self._undo()
            try:
                self._apply_sets(self._nets(segment), counts)
            except (NeedsOrder, TargetRefused):
                raise refused from None
            self._execute(f"release {SAVEPOINT}")
        failpoint("deliver.staged")

    def _apply_many(self, segment: Segment, counts: dict[str, Written]) -> None:
        self._execute(f"savepoint {SAVEPOINT}")
        try:
            self._apply_sets(self._nets(segment), counts)
        except (NeedsOrder, TargetRefused):
            self._undo()
            self._apply_in_order(segment, counts)
        self._execute(f"release {SAVEPOINT}")

    def _undo(self) -> None:
        self._execute(f"rollback to {SAVEPOINT}")
        for writer in self._writers.values():
            writer.undone()

    def _execute(self, statement: str) -> None:
        with translated("writing", pipeline=self._pipeline):
            self._connected.execute(statement.encode())

    def _nets(self, segment: Segment) -> list[Net]:
        """The net effect on each table, parents before children. Errors: NeedsOrder."""
        by_name: dict[TableName, dict[TargetTable, list[RowChanges]]] = {}
        for change in segment.changes:
            by_name.setdefault(change.table.table, {}).setdefault(change.table, []).append(change)
        nets = []
        for name in sorted(by_name, key=self._rank):
            versions = [joined(group) for group in by_name[name].values()]
            if len(versions) > 1 and (_keys_differ(versions) or meet(versions)):
                raise NeedsOrder  # two shapes of one table, as after ALTER TABLE, touch one row
            nets += [net(version) for version in versions]
        written = any(one.upserts or one.patches for one in nets)
        if written and any(
            one.deletes is not None and one.table.table in self._references.cascading
            for one in nets
        ):
            raise NeedsOrder  # a delete before its time could take rows that are to stay
        return nets

    def _apply_sets(self, nets: Sequence[Net], counts: dict[str, Written]) -> None:
        """Deletes, children before parents; then upserts, parents before children."""
        done = [Written(coalesced=one.coalesced) for one in nets]
        with translated("writing", pipeline=self._pipeline):
            for one, written in reversed(list(zip(nets, done, strict=True))):
                written.deleted = self._writers[one.table].delete(one)
            for one, written in zip(nets, done, strict=True):
                written.upserted = self._writers[one.table].upsert(one)
        for one, written in zip(nets, done, strict=True):
            add(counts.setdefault(str(one.table.table), Written()), written)

    def _apply_in_order(self, segment: Segment, counts: dict[str, Written]) -> None:
        done = apply_in_order(
            self._connected,
            [(change, self._writers[change.table].sql) for change in segment.changes],
        )
        for table, written in done.items():
            add(counts.setdefault(table, Written()), written)

    def _rank(self, table: TableName) -> int:
        return self._references.parents_first.index(table)

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


def _keys_differ(changes: Sequence[RowChanges]) -> bool:
    return len({change.table.key for change in changes}) > 1


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
