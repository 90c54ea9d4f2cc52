"""Tells poison from a systemic failure: when most of what comes fails, nothing more is parked."""

from __future__ import annotations

from collections import deque

from tailrace.errors import TooManyExceptions

RECENT = 200
"""Changes that must have been seen before their share of failures says anything."""
HELD_MAX = 10_000
"""Changes the desk holds at most: more than people mend one by one, few enough to look through."""


class Breaker:
    """Watches the most recent changes at one place where they may fail.

    Not those that the desk gives again: they fail without filling it, and must not stop others.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._runs: deque[tuple[int, int]] = deque()
        self._seen = self._failed = 0
        self._has_tripped = False

    def saw(self, passed: int, failed: int = 0) -> None:
        """Errors: TooManyExceptions where more than half of the recent changes failed.

        What was seen before a pause still counts in it: what keeps failing parks no more rows.
        """
        self._runs.append((passed + failed, failed))
        self._seen += passed + failed
        self._failed += failed
        while self._seen - self._runs[0][0] >= RECENT:
            seen, lost = self._runs.popleft()
            self._seen -= seen
            self._failed -= lost
        if failed and self._seen >= RECENT and 2 * self._failed > self._seen:
            self._has_tripped = True
            raise TooManyExceptions(
                f"{self._failed} of the last {self._seen} changes failed {self._place}: that is no"
                " matter of single rows, so nothing of this batch is written or parked",
                fix="mend what they have in common; the pipeline tries again by itself, with other"
                " mappings after a restart",
            )

    def committed(self) -> None:
        """What failed has gone through since: it says nothing of what comes now."""
        if self._has_tripped:
            self._runs.clear()
            self._seen = self._failed = 0
            self._has_tripped = False


def desk_is_full(held: int) -> TooManyExceptions:
    return TooManyExceptions(
        f"{held} changes are parked or wait behind parked ones, and {HELD_MAX} is the most",
        fix="replay or discard some: tailrace exceptions list",
    )
