"""MariaDB: GTIDs with domains; a snapshot that holds no lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from cdc.mysql.dump import HEARTBEAT_S, dump, register
from cdc.mysql.positions import Coordinates, Position, Reached
from cdc.mysql.product import Wanted
from cdc.mysql.quiet import WAIT_S, begin_quietly, end_of_log
from cdc.mysql.session import Connection, query
from cdc.protocol import START_OVER
from cdc.schema import TableName
from tailrace.errors import ContinuityError, PreflightError, SourceUnavailable

WANTED: Wanted = {
    "binlog_format": (
        "ROW",
        "changes are logged as statements, which do not say what they changed",
    ),
    "binlog_row_metadata": (
        "FULL",
        "the log does not name columns, so a history of them is kept; DDL that it does not"
        " understand will stop capture",
    ),
    "gtid_strict_mode": (
        "ON",
        "where servers are written to in a ring, numbers of transactions may fall, which stops"
        " capture",
    ),
}


class OnMariadb:
    """Implements `cdc.mysql.product.Product`."""

    name = "MariaDB"
    oldest = (10, 5)  # with binlog_row_metadata, and the first still in use where it matters
    rights = (("REPLICATION SLAVE", "REPLICATION REPLICA"), ("BINLOG MONITOR", "SUPER"))
    wanted = WANTED

    def is_version(self, text: str) -> bool:
        return "mariadb" in text.lower()

    def system(self, connection: Connection) -> str:
        ((host, port),) = query(connection, "select @@hostname, @@port")
        return f"mariadb/{host}:{port}"

    def now(self, connection: Connection) -> str:
        ((current,),) = query(connection, "select @@global.gtid_binlog_pos")
        return str(current)

    def reached(self, position: str) -> Reached:
        return Position(position)

    def verify(self, connection: Connection, position: str, system: str | None) -> None:
        """Whether the log still begins before our position, the server says when it is asked."""
        # The first leaves out what was logged under another server_id than today's.
        ((current, logged),) = query(
            connection, "select @@global.gtid_current_pos, @@global.gtid_binlog_pos"
        )
        theirs, ours = Position(str(current or "")), Position(position)
        also = Position(str(logged or ""))
        behind = [str(one) for one in ours.gtids if not theirs.holds(one) and not also.holds(one)]
        if behind:
            raise ContinuityError(
                "the source's log ends before our position: it was restored, reset or replaced",
                where={"ours": position, "theirs": str(theirs), "missing": ",".join(behind)},
                fix=START_OVER,
            )

    def begin_snapshot(
        self, connection: Connection, url: str, tables: Callable[[], Sequence[TableName]]
    ) -> str:
        """The transaction itself knows where in the log it began.

        https://mariadb.com/kb/en/enhancements-for-start-transaction-with-consistent-snapshot/
        """
        deadline = time.monotonic() + WAIT_S
        while True:
            begun = begin_quietly(connection, lambda: _begin(connection))
            ((position,),) = query(connection, "select binlog_gtid_pos(%s, %s)", *begun)
            if position is not None:  # not "", which is the beginning of a server's log
                return str(position)
            # Nor does it find its way behind an event that is larger than max_allowed_packet. But
            # where the log still ends here, what it holds now is what it held.
            now = self.now(connection)
            if end_of_log(connection) == begun:
                return now
            query(connection, "ROLLBACK")
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    "the server does not say which transactions stand before a place in its log: it"
                    " was purged, or holds an event larger than max_allowed_packet",
                    where={"file": begun[0], "position": begun[1]},
                    fix="FLUSH BINARY LOGS;  -- the snapshot is tried again",
                )

    def ask_for_log(self, connection: Connection, position: str, server_id: int) -> None:
        """A position of GTIDs is one that a promoted replica understands, too."""
        for statement in (
            "SET @master_binlog_checksum = @@global.binlog_checksum",
            "SET @mariadb_slave_capability = 4",
            f"SET @master_heartbeat_period = {HEARTBEAT_S * 1_000_000_000}",
            "SET @slave_gtid_strict_mode = 1",
            "SET @slave_gtid_ignore_duplicates = 0",
        ):
            query(connection, statement)
        query(connection, "SET @slave_connect_state = %s", Position(position).start)
        register(connection, server_id)
        ((image,),) = query(connection, "select @@global.binlog_row_image")
        # Of what a row leaves out only the statement tells whether it was reset.
        dump(connection, server_id, statements=str(image).upper() != "FULL")


def _begin(connection: Connection) -> Coordinates:
    query(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
    status = dict(query(connection, "SHOW STATUS LIKE 'binlog_snapshot_%'"))
    file = status.get("Binlog_snapshot_file")
    if not file:
        raise PreflightError(
            "the server writes no binary log",
            fix="log_bin = binlog  -- in the server's configuration, then restart the server",
        )
    return str(file), int(status["Binlog_snapshot_position"])
