"""The checkpoint row in the file: how far a pipeline is, and who may write.

tailrace.checkpoint   one row a pipeline; its epoch rises with each process that takes over
tailrace.tables       the tables a pipeline has prepared, so that rows in them are known as ours
tailrace.protection   how their columns are protected: see `sinks.protection`
tailrace.exception    receipts: the ids of a pipeline's parked changes, which nothing else tells
"""

from __future__ import annotations

from datetime import UTC, datetime

from cdc.patterns import OWN_SCHEMA
from cdc.schema import TableName
from sinks.embedded.session import Engine, Session
from sinks.protocol import Checkpoint, Receipts
from sinks.refusals import already_past, fenced, of_another_journal

_TABLES = {
    "checkpoint": "pipeline text not null primary key, epoch bigint not null,"
    " journal text not null, journal_offset bigint not null, position text not null,"
    " holder text not null, updated_at text not null",
    "tables": "pipeline text not null, table_schema text not null, table_name text not null,"
    " prepared_at text not null, primary key (pipeline, table_schema, table_name)",
    "protection": "pipeline text not null, table_schema text not null, table_name text not null,"
    " column_name text not null, protected text not null,"
    " primary key (pipeline, table_schema, table_name, column_name)",
    "exception": "pipeline text not null, journal text not null, id text not null,"
    " parked_at text not null, primary key (pipeline, journal, id)",
}


def book(engine: Engine, name: str) -> str:
    """One of the tables above in SQL."""
    return engine.table(TableName(OWN_SCHEMA, name))


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


class CheckpointTable:
    """One pipeline's row, as one process sees it. Errors: the engine's."""

    def __init__(self, engine: Engine, pipeline: str, holder: str) -> None:
        self._engine = engine
        self._pipeline = pipeline
        self._holder = holder
        self._journal = ""
        self._row = book(engine, "checkpoint")
        self._receipts = book(engine, "exception")
        self.epoch = 0

    def ensure(self, session: Session) -> None:
        """Make the tables where they are absent."""
        self._engine.make_schema(session, OWN_SCHEMA)
        for name, columns in _TABLES.items():
            session.execute(f"create table if not exists {book(self._engine, name)} ({columns})")

    def take_over(self, session: Session, journal: str) -> Checkpoint:
        """Raise the epoch, so that any older process can no longer commit; in a transaction.

        A process whose turn was ended for another finds another holder when it comes back and
        stays out: only one that starts anew takes over. Errors: Fenced, CheckpointMismatch.
        """
        session.execute(
            f"insert into {self._row} values (?, 0, ?, 0, '', ?, ?) on conflict do nothing",
            (self._pipeline, journal, self._holder, now()),
        )
        ((epoch, theirs, offset, position, holder),) = session.query(
            f"select epoch, journal, journal_offset, position, holder from {self._row}"
            " where pipeline = ?",
            (self._pipeline,),
        )
        if theirs != journal:
            raise of_another_journal(self._pipeline, theirs, journal)
        if self.epoch and holder != self._holder:
            raise fenced(self._pipeline, self.epoch)
        session.execute(
            f"update {self._row} set epoch = epoch + 1, holder = ?, updated_at = ?"
            " where pipeline = ?",
            (self._holder, now(), self._pipeline),
        )
        self.epoch = int(epoch) + 1
        self._journal = journal
        return Checkpoint(journal, int(offset), str(position))

    def verify(self, session: Session) -> None:
        """In a transaction that has just begun. Errors: Fenced."""
        found = session.query(
            f"select epoch from {self._row} where pipeline = ?", (self._pipeline,)
        )
        if found != [(self.epoch,)]:
            raise fenced(self._pipeline, self.epoch)

    def store(self, session: Session, checkpoint: Checkpoint) -> None:
        """Move the row forward, in the open transaction. Errors: CheckpointMismatch."""
        moved = session.execute(
            f"update {self._row} set journal_offset = ?, position = ?, updated_at = ?"
            " where pipeline = ? and journal = ? and journal_offset <= ?",
            (
                checkpoint.offset,
                checkpoint.position,
                now(),
                self._pipeline,
                checkpoint.journal,
                checkpoint.offset,
            ),
        )
        if moved != 1:
            raise already_past(self._pipeline, checkpoint.offset)

    def receipts(self, session: Session) -> frozenset[str]:
        rows = session.query(
            f"select id from {self._receipts} where pipeline = ? and journal = ?",
            (self._pipeline, self._journal),
        )
        return frozenset(str(row[0]) for row in rows)

    def keep(self, session: Session, receipts: Receipts) -> None:
        """Add and remove receipts, in the open transaction."""
        for one in receipts.released:
            session.execute(
                f"delete from {self._receipts} where pipeline = ? and journal = ? and id = ?",
                (self._pipeline, self._journal, one),
            )
        for one in receipts.parked:
            session.execute(
                f"insert into {self._receipts} values (?, ?, ?, ?) on conflict do nothing",
                (self._pipeline, self._journal, one, now()),
            )
