"""What of ours may be at a MariaDB source: a running dump of the log, and nothing that stays."""

from __future__ import annotations

import time
from contextlib import suppress

from cdc.mysql.session import Connection, query
from tailrace.errors import SourceUnavailable

PROOF = (
    "SELECT id, user, host FROM information_schema.processlist"
    " WHERE user = substring_index(current_user(), '@', 1) AND command LIKE 'Binlog Dump%';"
)


_GONE_S = 10.0


def end_streams(connection: Connection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """End the dumps that run for our user; (those ended, those still there).

    The server notices that a reader has gone only when it next writes to it.
    """
    ended = _streams(connection)
    for number in ended:
        with suppress(SourceUnavailable):  # it may have ended by itself
            query(connection, f"KILL {number}")
    deadline = time.monotonic() + _GONE_S
    while (left := _streams(connection)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return tuple(map(str, ended.values())), tuple(map(str, left.values()))


def _streams(connection: Connection) -> dict[int, str]:
    return {
        int(number): f"connection {number} of {user} from {host}"
        for number, user, host in query(connection, PROOF.rstrip(";"))
    }
