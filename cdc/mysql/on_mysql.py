"""MySQL: sets of GTIDs, or files and bytes; a snapshot that begins under a short lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from threading import Timer

from pymysql.constants import ER

from cdc.mysql.dump import HEARTBEAT_S, dump, dump_gtid, register
from cdc.mysql.gtidset import GtidSet
from cdc.mysql.names import quoted_table
from cdc.mysql.on_mariadb import WANTED as MARIADB_WANTED
from cdc.mysql.positions import FilePosition, MysqlPosition, Reached, is_file_position
from cdc.mysql.product import Wanted
from cdc.mysql.session import Connection, connect, query
from cdc.mysql.versions import numbers
from cdc.protocol import START_OVER
from cdc.schema import TableName
from tailrace.errors import ContinuityError, PreflightError, SourceUnavailable, TailraceError

WANTED: Wanted = {
    **{name: MARIADB_WANTED[name] for name in ("binlog_format", "binlog_row_metadata")},
    "binlog_row_value_options": ("", "the log holds parts of JSON values, which are no values"),
}
LOCK_WAIT_S = 5
"""For all tables together. Writers wait behind a lock that is waited for; so it is soon given up
and tried again."""


class OnMysql:
    """Implements `cdc.mysql.product.Product`."""

    name = "MySQL"
    oldest = (8, 0)
    rights = (
        ("REPLICATION SLAVE",),
        ("REPLICATION CLIENT", "SUPER"),
        ("LOCK TABLES",),
    )
    wanted = WANTED

    def is_version(self, text: str) -> bool:
        return "mariadb" not in text.lower()

    def system(self, connection: Connection) -> str:
        ((server,),) = query(connection, "select @@server_uuid")
        return f"mysql/{server}"

    def now(self, connection: Connection) -> str:
        """GTIDs where every transaction has one, else file and byte."""
        if query(connection, "select @@global.gtid_mode") == [("ON",)]:
            ((executed,),) = query(connection, "select @@global.gtid_executed")
            return str(GtidSet(executed))
        version = str(query(connection, "select version()")[0][0])
        words = "BINARY LOG" if numbers(version) >= (8, 2) else "MASTER"
        found = query(connection, f"show {words} status")
        if not found:
            raise PreflightError(
                "the server writes no binary log",
                fix="log_bin = binlog  -- in the server's configuration, then restart the server",
            )
        return f"{found[0][0]}:{found[0][1]}"

    def reached(self, position: str) -> Reached:
        return FilePosition(position) if is_file_position(position) else MysqlPosition(position)

    def verify(self, connection: Connection, position: str, system: str | None) -> None:
        if is_file_position(position):
            self._verify_server(connection, position, system)
            return
        reached = MysqlPosition(position)
        ours = reached.gtids
        ((executed, purged),) = query(
            connection, "select @@global.gtid_executed, @@global.gtid_purged"
        )
        if missing := ours.without(GtidSet(executed)):
            raise ContinuityError(
                "the source's log ends before our position: it was restored, reset or replaced",
                where={"ours": position, "theirs": executed, "missing": str(missing)},
                fix=START_OVER,
            )
        if gone := GtidSet(purged).without(reached.known):
            raise ContinuityError(
                "the source no longer has all of its log behind our position",
                where={"ours": position, "gone": str(gone)},
                fix=START_OVER,
            )

    def _verify_server(self, connection: Connection, position: str, system: str | None) -> None:
        """A file's position means nothing at another server; whether the file is still there, the
        server says when it is asked for it."""
        now = self.system(connection)
        if now != system:
            raise ContinuityError(
                "the source is another server than the one our position is of",
                where={"ours": position, "was": system, "is": now},
                fix=f"{START_OVER}; with gtid_mode = ON positions hold across servers",
            )

    def begin_snapshot(
        self, connection: Connection, url: str, tables: Callable[[], Sequence[TableName]]
    ) -> str:
        """Nothing but a lock tells where in the log a MySQL transaction begins.

        The captured tables alone are locked, against writing, while the transaction begins and the
        position is read: three short statements.
        """
        with closing(connect(url)) as locking:
            _lock(locking, url, tables())
            query(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
            position = self.now(connection)
            query(locking, "UNLOCK TABLES")
        return position

    def ask_for_log(self, connection: Connection, position: str, server_id: int) -> None:
        for name in ("master", "source"):  # the word changed in 8.0.26
            query(connection, f"SET @{name}_binlog_checksum = @@global.binlog_checksum")
            query(connection, f"SET @{name}_heartbeat_period = {HEARTBEAT_S * 1_000_000_000}")
        register(connection, server_id)
        if is_file_position(position):
            file, byte = FilePosition(position).start
            dump(connection, server_id, file, byte)
        else:
            dump_gtid(connection, server_id, MysqlPosition(position).known)


def _lock(connection: Connection, url: str, tables: Sequence[TableName]) -> None:
    if not tables:
        return
    locks = ", ".join(f"{quoted_table(name)} READ" for name in tables)
    # The server counts for each table anew; its limit is for the case that it takes no KILL.
    query(connection, f"SET lock_wait_timeout = {LOCK_WAIT_S + 1}")
    thread = connection.thread_id()  # type: ignore[no-untyped-call]
    giving_up = Timer(LOCK_WAIT_S, _interrupt, (url, thread))
    giving_up.start()
    try:
        query(connection, f"LOCK TABLES {locks}")
    except SourceUnavailable as error:
        if error.where.get("errno") not in (ER.LOCK_WAIT_TIMEOUT, ER.QUERY_INTERRUPTED):
            raise
        raise SourceUnavailable(
            f"captured tables have been in use by transactions for {LOCK_WAIT_S} s, so the first"
            " snapshot could not begin; it will be tried again",
            where=error.where,
            fix="if that goes on: end the transaction (SELECT * FROM sys.schema_table_lock_waits)",
        ) from None
    finally:
        giving_up.cancel()
        giving_up.join()


def _interrupt(url: str, thread: int) -> None:
    with suppress(TailraceError), closing(connect(url)) as connection:
        query(connection, f"KILL QUERY {thread}")
