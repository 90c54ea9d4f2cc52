"""A moment to begin a snapshot at in which no XA transaction is under way.

The rows of one that is prepared are in the log before the snapshot's position, but not yet in the
tables. Nor are they all while it is being committed: a server logs XA COMMIT first, and a snapshot
that begins in between holds a position behind the commit and not its rows. So a moment counts only
where XA RECOVER shows nothing before and after it, and nothing of XA was logged in between. One
that commits at that moment is in one of these: it stands in XA RECOVER until its rows are there.
One that is being prepared is logged before XA RECOVER shows it, so the log is looked at from
LOOK_BACK_S earlier on, too, for what was prepared in it and did not end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import closing

import pymysql.cursors

from cdc.mysql.positions import Coordinates
from cdc.mysql.session import Connection, query, translated
from tailrace.errors import PreflightError

WAIT_S = 30.0
LOOK_BACK_S = 0.25
"""Longer than a server's thread, even of a busy one, stands between two of its steps."""
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
    ends = deque([(time.monotonic(), end_of_log(connection))])
    time.sleep(LOOK_BACK_S)
    while True:
        before = end_of_log(connection)
        now = time.monotonic()
        ends.append((now, before))
        while ends[1][0] <= now - LOOK_BACK_S:
            ends.popleft()
        earlier = ends[0][1]
        waiting = prepared(connection)
        if not waiting:
            opened = begin()
            waiting = prepared(connection)
            if not waiting and not _busy(connection, earlier, before, opened):
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


def end_of_log(connection: Connection) -> Coordinates:
    found = query(connection, "SHOW MASTER STATUS")
    return (str(found[0][0]), int(found[0][1])) if found else ("", 0)


def _busy(
    connection: Connection, earlier: Coordinates, begin: Coordinates, end: Coordinates
) -> bool:
    """Whether something of XA was logged from `begin` on, or prepared since `earlier` and has not
    ended; true where that cannot be said."""
    if not earlier[0] == begin[0] == end[0]:
        return True
    if earlier[1] >= end[1]:
        return False
    under_way: set[str] = set()
    with (
        translated("reading the log around the snapshot"),
        closing(connection.cursor(pymysql.cursors.SSCursor)) as cursor,
    ):
        cursor.execute("SHOW BINLOG EVENTS IN %s FROM %s", earlier)
        for _, at, kind, _, _, text in cursor:
            if at >= end[1]:
                break
            if kind not in ("XA_prepare", "Query") or not text.startswith("XA "):
                continue
            if at >= begin[1]:
                return True
            _, verb, xid = text.split(" ", 2)
            if verb == "PREPARE":
                under_way.add(xid)
            elif verb in ("COMMIT", "ROLLBACK"):
                under_way.discard(xid)
    return bool(under_way)
