"""Whether a shorter way is worth trying."""

from __future__ import annotations

FAILURES_MAX = 3
REST_BATCHES = 100


class Guess:
    """Learnt from how it went: after failures in a row it rests for a while."""

    def __init__(self) -> None:
        self._failures = self._rest = 0

    def is_worth_trying(self) -> bool:
        """False for a while after failures; each question counts as a batch."""
        if self._rest == 0:
            return True
        self._rest -= 1
        return False

    def was(self, right: bool) -> None:
        self._failures = 0 if right else self._failures + 1
        if self._failures >= FAILURES_MAX:
            self._rest, self._failures = REST_BATCHES, 0
