"""Dropping what every reader has, in steps small enough that the writer hardly notices.

A step is one commit. Space comes back in two ways: a segment is unlinked once the index names
nothing in it, and free pages of the database are cut off its end beyond a reserve.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from tailrace.sqlite import transaction

STEP_ROWS = 500
STEP_BYTES = 8 << 20
"""What one step drops at most, whichever comes first (and at least one entry)."""
VACUUM_PAGES = 512
"""Free pages returned to the file system in one step."""
FREE_PAGES_KEPT = 4096
"""Free pages the next entries will fill: returning and taking them again would be work for
nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """An entry may go when it is at or before `offset`, and was stored either before the time
    `stored_us` or before the journal had taken `stored_bytes` in all."""

    offset: int
    stored_us: int
    stored_bytes: int


def drop_step(
    connection: sqlite3.Connection, limits: Limits, position: str | None, position_offset: int
) -> int:
    """Drop some of the oldest entries that may go; return how many, 0 when none may.

    The journal's position is stored with it, since its last complete entry may be among them.
    """
    through = _through(connection, limits)
    if through == 0:
        return 0
    with transaction(connection):
        count = connection.execute("DELETE FROM entries WHERE offset <= ?", (through,)).rowcount
        connection.execute(
            "UPDATE state SET pruned = ?, position = ?, position_offset = ?",
            (through, position, position_offset),
        )
    return count


def _through(connection: sqlite3.Connection, limits: Limits) -> int:
    """The last entry of the next step."""
    through = size = 0
    rows = connection.execute(
        "SELECT offset, stored_us, stored_before, bytes, segment FROM entries"
        " WHERE offset <= ? ORDER BY offset LIMIT ?",
        (limits.offset, STEP_ROWS),
    )
    for offset, stored_us, stored_before, size_bytes, segment in rows:
        size += size_bytes if segment is None else 0
        if through and size > STEP_BYTES:
            break
        if stored_us >= limits.stored_us and stored_before >= limits.stored_bytes:
            break
        through = offset
    rows.close()
    return through


def give_back_pages(connection: sqlite3.Connection, deadline_s: float) -> None:
    """Cut free pages off the database until the reserve is left or the time is up."""
    while True:
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        if free <= FREE_PAGES_KEPT:
            return
        connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        if time.monotonic() > deadline_s:
            return
