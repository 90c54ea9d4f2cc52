"""The replication slot: making it together with its snapshot, looking at it, dropping it."""

from __future__ import annotations

import logging
import select
import time
from dataclasses import dataclass
from typing import Any

from psycopg import pq

from cdc.postgres.lsn import parse_lsn
from cdc.postgres.session import Connection, quoted, translated
from tailrace.errors import PreflightError, SourceError, SourceUnavailable

log = logging.getLogger("tailrace.postgres")

PLUGIN = "pgoutput"
WAITING_SAID_S = 5.0
"""Making a slot waits for every transaction then open; after this long we say for which."""
TERMINATE_MS = 10_000

HEARTBEAT_PREFIX = "tailrace.heartbeat"


@dataclass(frozen=True, slots=True)
class NewSlot:
    """A slot that lives as long as the connection that made it, until `keep_slot`.

    `position`: where its stream begins. `snapshot`: the database as it was exactly there; it can
    be opened while the connection stays open and idle.
    """

    name: str
    position: str
    snapshot: str


def create_slot(replication: Connection, name: str, observer: Connection) -> NewSlot:
    """Make a temporary slot and export its snapshot. `observer` looks what it waits for, if it
    does. The slot's own name is `name` with the connection's process.

    Errors: PreflightError where the server allows none; SourceUnavailable.
    """
    pgconn = replication.pgconn
    temporary = f"{name[:50]}_{pgconn.backend_pid}"
    # The syntax of PostgreSQL 14, which its successors still take.
    pgconn.send_query(
        f"CREATE_REPLICATION_SLOT {quoted(temporary)} TEMPORARY LOGICAL {PLUGIN}"
        " EXPORT_SNAPSHOT".encode()
    )
    said = time.monotonic()
    while pgconn.is_busy():
        select.select([pgconn.socket], [], [], 1.0)
        pgconn.consume_input()
        if pgconn.is_busy() and time.monotonic() - said > WAITING_SAID_S:
            said = time.monotonic()
            log.warning(
                "making the slot waits for open transactions",
                extra={"slot": name, "open": blockers(observer, pgconn.backend_pid)},
            )
    result = pgconn.get_result()
    while pgconn.get_result() is not None:
        pass
    if result is None or result.status != pq.ExecStatus.TUPLES_OK:
        raise _refused(name, result)
    values = [(result.get_value(0, column) or b"").decode() for column in range(result.nfields)]
    return NewSlot(name=temporary, position=values[1], snapshot=values[2])


def keep_slot(connection: Connection, new: NewSlot, name: str) -> None:
    """Make the slot that stays: `name`, at the same position. Errors: SourceUnavailable."""
    with translated("making the slot", slot=name):
        row = connection.execute(
            "select lsn::text from pg_copy_logical_replication_slot(%s, %s, false)",
            (new.name, name),
        ).fetchone()
    assert row == (new.position,)


def _refused(name: str, result: pq.abc.PGresult | None) -> SourceError | PreflightError:
    sqlstate = ((result and result.error_field(pq.DiagnosticField.SQLSTATE)) or b"").decode()
    message = ((result and result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)) or b"").decode()
    where: dict[str, object] = {"slot": name, "sqlstate": sqlstate or None}
    if sqlstate in ("42501", "55000"):  # no privilege; wal_level
        return PreflightError(
            f"no replication slot can be made: {message}",
            where=where,
            fix="tailrace check names what is missing",
        )
    return SourceUnavailable(f"no replication slot was made: {message or 'no answer'}", where=where)


def blockers(connection: Connection, pid: int) -> list[str]:
    """Whom a waiting backend waits for, for a log line. Of other roles' sessions a role without
    pg_read_all_stats sees no more than the process id."""
    rows = connection.execute(
        "select pid, application_name, xact_start::text from pg_stat_activity"
        " where pid = any(pg_blocking_pids(%s))",
        (pid,),
    ).fetchall()
    return [
        f"pid {pid}" + (f" ({application})" if application else "") + (f" since {at}" if at else "")
        for pid, application, at in rows
    ]


@dataclass(frozen=True, slots=True)
class Slot:
    """A row of pg_replication_slots, and the log's end at that moment.

    `lost`: why the server gave it up, else None. `room_bytes`: log it may still keep for us.
    """

    name: str
    plugin: str | None
    database: str | None
    temporary: bool
    two_phase: bool
    active_pid: int | None
    restart: int | None
    confirmed: int | None
    lost: str | None
    room_bytes: int | None
    current: int

    @property
    def lag_bytes(self) -> int:
        """Log written and not yet acknowledged by us."""
        return max(0, self.current - (self.confirmed or 0))

    @property
    def held_bytes(self) -> int:
        """Log the server keeps for us."""
        return 0 if self.restart is None else max(0, self.current - self.restart)


def read_slot(connection: Connection, name: str) -> Slot | None:
    """Errors: SourceUnavailable."""
    with translated("looking at the slot", slot=name):
        # As JSON, since each version has columns that the one before had not.
        row = connection.execute(
            "select to_jsonb(s), pg_current_wal_lsn()::text from pg_replication_slots s"
            " where slot_name = %s",
            (name,),
        ).fetchone()
    if row is None:
        return None
    slot: dict[str, Any] = row[0]
    return Slot(
        name=name,
        plugin=slot["plugin"],
        database=slot["database"],
        temporary=slot["temporary"],
        two_phase=slot["two_phase"],
        active_pid=slot["active_pid"],
        restart=slot["restart_lsn"] and parse_lsn(slot["restart_lsn"]),
        confirmed=slot["confirmed_flush_lsn"] and parse_lsn(slot["confirmed_flush_lsn"]),
        lost=_lost(slot),
        room_bytes=slot["safe_wal_size"],
        current=parse_lsn(row[1]),
    )


def _lost(slot: dict[str, Any]) -> str | None:
    reason: str | None = slot.get("invalidation_reason")
    if reason:
        return reason
    return "wal_removed" if slot["wal_status"] == "lost" else None


def drop_slot(connection: Connection, name: str) -> bool:
    """Drop it, ending the connection that uses it. False where there is none.

    Errors: PreflightError where it is not ours to drop; SourceUnavailable.
    """
    slot = read_slot(connection, name)
    if slot is None:
        return False
    if slot.plugin != PLUGIN or slot.database != connection.info.dbname:
        raise PreflightError(
            "the slot of this name is not ours",
            where={"slot": name, "plugin": slot.plugin, "database": slot.database},
        )
    with translated("dropping the slot", slot=name):
        if slot.active_pid is not None:
            connection.execute(
                "select pg_terminate_backend(%s, %s)", (slot.active_pid, TERMINATE_MS)
            )
        connection.execute("select pg_drop_replication_slot(%s)", (name,))
    return True


def emit_heartbeat(connection: Connection) -> None:
    """Write one mark into the log: no transaction, no row, some 60 bytes.

    Without it the slot would hold the log of busy neighbour databases, of which nothing reaches us.
    """
    with translated("writing a heartbeat"):
        connection.execute("select pg_logical_emit_message(false, %s, '')", (HEARTBEAT_PREFIX,))
