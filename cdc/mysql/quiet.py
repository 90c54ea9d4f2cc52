"""A moment to begin a snapshot at in which no XA transaction is under way.

The rows of one that is prepared are in the log before the snapshot's position, but not yet in the
tables. Nor are they all while it is being committed: a server logs XA COMMIT first, and a snapshot
that begins in between holds a position behind the commit and not its rows. So a moment counts only
where XA RECOVER shows nothing before and after it, and nothing of XA was logged in between. One
that commits at that moment is in one of these: it stands in XA RECOVER until its rows are there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import pymysql.cursors

from cdc.mysql.positions import Coordinates
from cdc.mysql.session import Connection, query, translated
from tailrace.errors import PreflightError

WAIT_S = 30.0
_AGAIN_S = 0.05
LIST = "XA RECOVER FORMAT='SQL'"


def prepared(connection: Connection) -> int:
    """How many XA transactions are prepared, and neither committed nor rolled back."""
    return len(query(connection, "XA RECOVER"))


def begin_quietly(
    connection: Connection, begin: Callable[[], Coordinates], wait_s: float = WAIT_S
) -> Coordinates:
    """Call `begin`, which opens a snapshot and says where, until that was in a quiet moment: there.

    Errors: PreflightError where there was none for `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    while True:
        before = _end_of_log(connection)
        waiting = prepared(connection)
        if not waiting:
            opened = begin()
            waiting = prepared(connection)
            if not waiting and not _logged(connection, before, opened):
                return opened
            query(connection, "ROLLBACK")
        if time.monotonic() > deadline:
            raise PreflightError(
                "a snapshot cannot begin while XA transactions are prepared or end: their rows may"
                f" be neither in it nor in the log behind it ({waiting} are prepared now)",
                fix=f"{LIST};  -- then XA COMMIT or XA ROLLBACK what was left behind, or begin the"
                " snapshot when applications commit in two phases less often",
            )
        time.sleep(_AGAIN_S)


def _end_of_log(connection: Connection) -> Coordinates:
    found = query(connection, "SHOW MASTER STATUS")
    return (str(found[0][0]), int(found[0][1])) if found else ("", 0)


def _logged(connection: Connection, begin: Coordinates, end: Coordinates) -> bool:
    """Whether something of XA is in the log between; true where that cannot be said."""
    if begin[0] != end[0]:
        return True
    if begin[1] >= end[1]:
        return False
    with (
        translated("reading the log around the snapshot"),
        closing(connection.cursor(pymysql.cursors.SSCursor)) as cursor,
    ):
        cursor.execute("SHOW BINLOG EVENTS IN %s FROM %s", begin)
        for _, at, kind, _, _, text in cursor:
            if at >= end[1]:
                return False
            if kind == "XA_prepare" or (kind == "Query" and text.startswith("XA ")):
                return True
    return False
