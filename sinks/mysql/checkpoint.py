"""The checkpoint row in the target: how far a pipeline is, and who may write.

tailrace.checkpoint   one row a pipeline; its epoch rises with each process that takes over, and its
                      origin names the system whose changes the transaction carries
tailrace.tables       the tables a pipeline has prepared, so that rows in them are known as ours
tailrace.protection   how their columns are protected: see `sinks.protection`
tailrace.exception    receipts: the ids of a pipeline's parked changes, which nothing else tells
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pymysql

from cdc.patterns import OWN_SCHEMA
from sinks.mysql import protection
from sinks.mysql.connection import Answer
from sinks.mysql.session import LOCK_WAIT_TIMEOUT, Connection, execute, query
from sinks.protocol import Checkpoint, Receipts
from sinks.refusals import already_past, fenced, of_another_journal
from tailrace.errors import TargetUnavailable

_CREATE_TABLES = (
    """
create table if not exists tailrace.checkpoint (
    pipeline varchar(64) primary key,
    epoch bigint not null,
    journal varchar(200) not null,
    journal_offset bigint not null,
    position text not null,
    origin varchar(200),
    marks bigint not null default 0,
    holder varchar(40) not null,
    updated_at timestamp(6) not null default current_timestamp(6) on update current_timestamp(6)
) engine = InnoDB default character set utf8mb4 collate utf8mb4_bin
""",
    """
create table if not exists tailrace.tables (
    pipeline varchar(64) not null,
    table_schema varchar(64) not null,
    table_name varchar(64) not null,
    prepared_at timestamp(6) not null default current_timestamp(6),
    primary key (pipeline, table_schema, table_name)
) engine = InnoDB default character set utf8mb4 collate utf8mb4_bin
""",
    protection.CREATE,
    """
create table if not exists tailrace.exception (
    pipeline varchar(64) not null,
    journal varchar(200) not null,
    id varchar(41) not null,
    parked_at timestamp(6) not null default current_timestamp(6),
    primary key (pipeline, journal, id)
) engine = InnoDB default character set utf8mb4 collate utf8mb4_bin
""",
)

_TAKE_OVER_WAIT_S = 2
"""How long the older process may finish what it holds before its connection is ended."""

_TAKE_OVER_END_S = 30
"""How long its end may take."""

IDS_AT_ONCE = 100

_ACCESS_DENIED = {1044, 1142, 1227}


class CheckpointTable:
    """One pipeline's row, as one process sees it.

    While it is connected, a process also holds a named lock of its `holder`. So whoever takes over
    knows which connection to end: the number of a connection alone may be another's by now.
    """

    def __init__(self, connection: Connection, pipeline: str, holder: str, epoch: int = 0) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._holder = holder
        self._epoch = epoch
        self._journal = ""
        self._offset = 0
        self.is_locked = False

    @property
    def epoch(self) -> int:
        return self._epoch

    def ensure(self) -> None:
        """Create the tables where they are absent; a user that may only use them does."""
        found = query(
            self._connection,
            "select table_name from information_schema.tables where table_schema = %s"
            " and table_name in ('checkpoint', 'tables', 'protection', 'exception')",
            OWN_SCHEMA,
        )
        if len(found) == len(_CREATE_TABLES):
            return
        try:
            present = query(
                self._connection,
                "select 1 from information_schema.schemata where schema_name = %s",
                OWN_SCHEMA,
            )
            if not present:
                execute(self._connection, f"create database if not exists {OWN_SCHEMA}")
            for statement in _CREATE_TABLES:
                execute(self._connection, statement)
        except pymysql.Error as error:
            if error.args[0] not in _ACCESS_DENIED:
                raise
            raise TargetUnavailable(
                "the target user may not keep checkpoints in a database tailrace",
                fix="create database tailrace; grant all on tailrace.* to the target user",
            ) from error

    def take_over(self, journal: str) -> Checkpoint:
        """Raise the epoch, so that any older process can no longer commit.

        The older one may hold the row in a long transaction. It is given a moment, then its
        connection is ended (a user may end its own connections), which rolls it back. A process
        that comes back after such an end finds another holder and stays out: only one that
        starts anew takes over. Errors: Fenced, CheckpointMismatch.
        """
        self._announce()
        try:
            return self._claim(journal, _TAKE_OVER_WAIT_S)
        except pymysql.OperationalError as error:
            if error.args[0] != LOCK_WAIT_TIMEOUT:
                raise
            execute(self._connection, "rollback")
            for (holder,) in query(
                self._connection,
                "select holder from tailrace.checkpoint where pipeline = %s",
                self._pipeline,
            ):
                self._end(str(holder))
            return self._claim(journal, _TAKE_OVER_END_S)

    def _announce(self) -> None:
        """Hold our named lock; a connection of ours that still has it is a dead one."""
        for wait in (0, _TAKE_OVER_END_S):
            if query(self._connection, "select get_lock(%s, %s)", self._named(), wait)[0][0] == 1:
                return
            self._end(self._holder)
        raise TargetUnavailable(
            "an earlier connection of this process does not end",
            where={"pipeline": self._pipeline},
            fix=f"end it at the target: select is_used_lock('{self._named()}') is its number",
        )

    def _named(self, holder: str | None = None) -> str:
        return f"tailrace:{holder or self._holder}"

    def _end(self, holder: str) -> None:
        ((number,),) = query(self._connection, "select is_used_lock(%s)", self._named(holder))
        if number is None:
            return
        try:
            execute(self._connection, f"kill connection {int(number)}")
        except pymysql.OperationalError as error:
            if error.args[0] != 1094:  # it has ended by itself
                raise

    def _claim(self, journal: str, wait_s: int) -> Checkpoint:
        connection = self._connection
        execute(connection, f"set innodb_lock_wait_timeout = {wait_s}")
        execute(connection, "start transaction")
        execute(
            connection,
            "insert into tailrace.checkpoint"
            " (pipeline, epoch, journal, journal_offset, position, holder)"
            " values (%s, 0, %s, 0, '', %s) on duplicate key update epoch = epoch",
            self._pipeline,
            journal,
            self._holder,
        )
        ((epoch, theirs, offset, position, holder),) = query(
            connection,
            "select epoch, journal, journal_offset, position, holder from tailrace.checkpoint"
            " where pipeline = %s for update",
            self._pipeline,
        )
        if theirs != journal or (self._epoch and holder != self._holder):
            execute(connection, "rollback")
            if theirs == journal:
                raise fenced(self._pipeline, self._epoch)
            raise of_another_journal(self._pipeline, theirs, journal)
        execute(
            connection,
            "update tailrace.checkpoint set epoch = epoch + 1, holder = %s where pipeline = %s",
            self._holder,
            self._pipeline,
        )
        execute(connection, "commit")
        # Without autocommit what follows a transaction that the server ended by itself, such as the
        # next piece of a bulk, is a part of one that is rolled back.
        execute(connection, "set innodb_lock_wait_timeout = 50, autocommit = 0")
        self._epoch = int(epoch) + 1
        self._journal = journal
        return Checkpoint(journal, int(offset), str(position))

    def begin(self, *, origin: str | None) -> None:
        """Soon begin a transaction that holds the row to its end, and says where it comes from.

        The row is changed before all others, so that who reads the server's log knows what comes.
        Errors, once it is sent: Fenced.
        """
        self.is_locked = False
        soon = self._connection.soon
        soon("start transaction")
        soon(
            "update tailrace.checkpoint set marks = marks + 1, origin = %s"
            " where pipeline = %s and epoch = %s",
            (origin, self._pipeline, self._epoch),
            then=self._locked,
        )
        soon(
            "select journal_offset from tailrace.checkpoint where pipeline = %s",
            (self._pipeline,),
            then=self._read,
        )

    def _locked(self, answer: Answer) -> None:
        if answer.affected_rows != 1:
            raise fenced(self._pipeline, self._epoch)
        self.is_locked = True

    def _read(self, answer: Answer) -> None:
        ((offset,),) = answer.rows
        self._offset = int(offset)

    def store(self, checkpoint: Checkpoint) -> None:
        """Soon move the row forward, in the transaction that has locked it. Errors: SinkError."""
        if checkpoint.offset < self._offset:
            raise already_past(self._pipeline, checkpoint.offset)
        self._connection.soon(
            "update tailrace.checkpoint set journal_offset = %s, position = %s where pipeline = %s",
            (checkpoint.offset, checkpoint.position, self._pipeline),
        )

    def receipts(self) -> frozenset[str]:
        rows = query(
            self._connection,
            "select id from tailrace.exception where pipeline = %s and journal = %s",
            self._pipeline,
            self._journal,
        )
        execute(self._connection, "rollback")  # without autocommit, reading began a transaction
        return frozenset(str(row[0]) for row in rows)

    def keep(self, receipts: Receipts) -> None:
        """Soon add and remove receipts, in the open transaction."""
        soon, ours = self._connection.soon, (self._pipeline, self._journal)
        for ids in _some(receipts.released):
            soon(
                "delete from tailrace.exception where pipeline = %s and journal = %s and id in %s",
                (*ours, ids),
            )
        for ids in _some(receipts.parked):
            soon(
                "insert into tailrace.exception (pipeline, journal, id) values"
                f" {', '.join(['(%s, %s, %s)'] * len(ids))}"
                " on duplicate key update parked_at = parked_at",
                [value for one in ids for value in (*ours, one)],
            )


def _some(ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """As many as a statement has room for."""
    for first in range(0, len(ids), IDS_AT_ONCE):
        yield tuple(ids[first : first + IDS_AT_ONCE])
