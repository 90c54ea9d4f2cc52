"""When to try again, and how long to wait before it."""

from __future__ import annotations

import random

from tailrace.pipeline.policy import kinds

RETRIED = kinds("retry")
"""Conditions that pass by themselves or with an operator's help elsewhere."""

PAUSING = kinds("pause")
"""Conditions of a target that a person ends; until then the pipeline tries again."""

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 30.0


class Backoff:
    """Doubling waits with full jitter, so that many processes do not come back at one moment."""

    def __init__(self, first_s: float = FIRST_WAIT_S, longest_s: float = LONGEST_WAIT_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._tries = 0

    def next_s(self) -> float:
        ceiling = min(self._longest_s, self._first_s * 2.0**self._tries)
        self._tries = min(self._tries + 1, 20)
        return ceiling / 2 + random.random() * ceiling / 2

    def reset(self) -> None:
        self._tries = 0
