"""The checkpoint row in the target: how far a pipeline is, and who may write.

tailrace.checkpoint   one row a pipeline; its epoch rises with each process that takes over
tailrace.tables       the tables a pipeline has prepared, so that rows in them are known as ours
tailrace.protection   how their columns are protected: see `sinks.protection`
tailrace.exception    receipts: the ids of a pipeline's parked changes, which nothing else tells
"""

from __future__ import annotations

from psycopg import errors as pg

from sinks.postgres import protection
from sinks.postgres.connection import Answer
from sinks.postgres.session import Connection, application_name
from sinks.protocol import Checkpoint, Receipts
from sinks.refusals import already_past, fenced, of_another_journal
from tailrace.errors import TailraceError, TargetUnavailable

ORIGIN_PREFIX = "tailrace.origin"
"""Prefix of the logical message that marks our transactions in the target's own log."""

_CREATE_SCHEMA = """
create schema if not exists tailrace;
comment on schema tailrace is 'How far each pipeline of Tailrace has written this database'
"""

_CREATE_TABLES = f"""
create table if not exists tailrace.checkpoint (
    pipeline text primary key,
    epoch bigint not null,
    journal text not null,
    journal_offset bigint not null,
    position text not null,
    holder text not null,
    backend_pid integer not null,
    updated_at timestamptz not null default now()
);
create table if not exists tailrace.tables (
    pipeline text not null,
    table_schema text not null,
    table_name text not null,
    prepared_at timestamptz not null default now(),
    primary key (pipeline, table_schema, table_name)
);
{protection.CREATE.strip()};
create table if not exists tailrace.exception (
    pipeline text not null,
    journal text not null,
    id text not null,
    parked_at timestamptz not null default now(),
    primary key (pipeline, journal, id)
)
"""

_LOCK = (
    b"select epoch, journal_offset from tailrace.checkpoint where pipeline = $1::text for update"
)
_MARK = f"select pg_logical_emit_message(true, '{ORIGIN_PREFIX}', $1)".encode()
_STORE = (
    b"update tailrace.checkpoint set journal_offset = $1, position = $2, updated_at = now()"
    b" where pipeline = $3"
)
_PARK = (
    b"insert into tailrace.exception (pipeline, journal, id)"
    b" select $1, $2, id from unnest(string_to_array($3, ',')) id on conflict do nothing"
)
_RELEASE = (
    b"delete from tailrace.exception"
    b" where pipeline = $1 and journal = $2 and id = any(string_to_array($3, ','))"
)

_TAKE_OVER_WAIT = "2s"
"""How long the older process may finish what it holds before its connection is ended."""

_TAKE_OVER_END = "30s"
"""How long its end may take."""

_GRANTS = "grant create on database … to the target role, or let its owner run `check --sql`"


class CheckpointTable:
    """One pipeline's row, as one process sees it."""

    def __init__(self, connection: Connection, pipeline: str, holder: str, epoch: int = 0) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._holder = holder
        self._epoch = epoch
        self._journal = ""
        self._offset = 0
        self.is_locked = False

    def ensure(self) -> None:
        """Create the tables where they are absent; a role that may only use them does.

        A schema that the DBA has made is used: making one takes a right on the database, also
        where it is there already.
        """
        found = self._connection.execute(
            "select to_regclass('tailrace.checkpoint') is not null"
            " and to_regclass('tailrace.tables') is not null"
            " and to_regclass('tailrace.protection') is not null"
            " and to_regclass('tailrace.exception') is not null,"
            " exists (select from pg_namespace where nspname = 'tailrace')"
        ).fetchone()
        assert found is not None
        has_tables, has_schema = found
        if has_tables:
            return
        statements = _CREATE_TABLES if has_schema else f"{_CREATE_SCHEMA};\n{_CREATE_TABLES}"
        try:
            with self._connection.transaction():
                self._connection.execute("select pg_advisory_xact_lock(hashtext('tailrace'))")
                for statement in statements.split(";\n"):
                    self._connection.execute(statement.encode())
        except pg.InsufficientPrivilege as error:
            raise TargetUnavailable(
                "the target role may not create schema tailrace", fix=_GRANTS
            ) from error

    def take_over(self, journal: str) -> Checkpoint:
        """Raise the epoch, so that any older process can no longer commit.

        The older one may hold the row in a long transaction. It is given a moment, then its
        connection is ended (a role may end its own connections), which rolls it back. A process
        that comes back after such an end finds another holder and stays out: only one that
        starts anew takes over. Errors: Fenced, CheckpointMismatch.
        """
        row = self._claimed(journal)
        if row is None:
            raise self._why_not(journal)
        epoch, offset, position = row
        assert isinstance(epoch, int)
        assert isinstance(offset, int)
        self._epoch = epoch
        self._journal = journal
        return Checkpoint(journal, offset, str(position))

    def _claimed(self, journal: str) -> tuple[object, ...] | None:
        try:
            return self._claim(journal, _TAKE_OVER_WAIT)
        except pg.LockNotAvailable:
            self._connection.execute(
                "select pg_terminate_backend(backend_pid) from tailrace.checkpoint"
                " where pipeline = %s and backend_pid in (select pid from pg_stat_activity"
                " where application_name = %s and pid <> pg_backend_pid())",
                (self._pipeline, application_name(self._pipeline)),
            )
            return self._claim(journal, _TAKE_OVER_END)

    def _claim(self, journal: str, wait: str) -> tuple[object, ...] | None:
        with self._connection.transaction():
            self._connection.execute("select set_config('lock_timeout', %s, true)", (wait,))
            return self._connection.execute(
                "insert into tailrace.checkpoint as c"
                " (pipeline, epoch, journal, journal_offset, position, holder, backend_pid)"
                " values (%s, 1, %s, 0, '', %s, pg_backend_pid())"
                " on conflict (pipeline) do update set"
                " epoch = c.epoch + 1, holder = excluded.holder, backend_pid = pg_backend_pid()"
                " where c.journal = excluded.journal and (%s or c.holder = excluded.holder)"
                " returning epoch, journal_offset, position",
                (self._pipeline, journal, self._holder, self._epoch == 0),
            ).fetchone()

    def _why_not(self, journal: str) -> TailraceError:
        row = self._connection.execute(
            "select journal from tailrace.checkpoint where pipeline = %s", (self._pipeline,)
        ).fetchone()
        if row is None or row[0] == journal:
            return fenced(self._pipeline, self._epoch)
        return of_another_journal(self._pipeline, row[0], journal)

    def begin(self, *, origin: str | None) -> None:
        """Soon begin a transaction that holds the row to its end, and says where it comes from.

        Errors, once it is sent: Fenced.
        """
        self.is_locked = False
        soon = self._connection.soon
        soon(b"begin")
        soon(_LOCK, (self._pipeline,), then=self._locked)
        if origin is not None:
            soon(_MARK, (origin,))

    def _locked(self, answer: Answer) -> None:
        epoch, offset = (
            (answer.get_value(0, 0), answer.get_value(0, 1)) if answer.ntuples else (None, None)
        )
        if epoch is None or offset is None or int(epoch) != self._epoch:
            raise fenced(self._pipeline, self._epoch)
        self._offset = int(offset)
        self.is_locked = True

    def store(self, checkpoint: Checkpoint) -> None:
        """Soon move the row forward, in the transaction that has locked it. Errors: SinkError."""
        if checkpoint.offset < self._offset:
            raise already_past(self._pipeline, checkpoint.offset)
        self._connection.soon(_STORE, (str(checkpoint.offset), checkpoint.position, self._pipeline))

    def receipts(self) -> frozenset[str]:
        rows = self._connection.execute(
            "select id from tailrace.exception where pipeline = %s and journal = %s",
            (self._pipeline, self._journal),
        )
        return frozenset(str(row[0]) for row in rows)

    def keep(self, receipts: Receipts) -> None:
        """Soon add and remove receipts, in the open transaction."""
        for statement, ids in ((_RELEASE, receipts.released), (_PARK, receipts.parked)):
            if ids:
                self._connection.soon(statement, (self._pipeline, self._journal, ",".join(ids)))

    @property
    def epoch(self) -> int:
        return self._epoch
