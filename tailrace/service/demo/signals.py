"""What signals ask of the demo: Ctrl-C, SIGTERM, and a terminal that is closed.

Python drops what a handler raises while an object is being finalised, and a thread that is just
being started may then never begin. So each signal is kept as well, and whoever waits looks.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self


class Signals:
    """Takes them while it is used as a context manager: the first raises, those after it no more,
    so that what is being removed is removed. What is ignored from the beginning stays so."""

    def __init__(self) -> None:
        self._asked: int | None = None
        self._deferred = False
        self._before: dict[int, signal.Handlers | object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def asked(self) -> bool:
        return self._asked is not None

    def check(self) -> None:
        """Errors: KeyboardInterrupt or SystemExit where a signal has come."""
        if self._asked == signal.SIGINT:
            raise KeyboardInterrupt
        if self._asked is not None:
            raise SystemExit(128 + self._asked)

    def was_interrupt(self) -> bool:
        """Whether Ctrl-C has come, which is done with then. Errors: as `check`, of the others."""
        if self._asked != signal.SIGINT:
            self.check()
            return False
        self._asked = None
        return True

    def ignore(self) -> None:
        """From now on nothing raises."""
        self._deferred = True

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Nothing raises meanwhile."""
        self._deferred = True
        yield
        self._deferred = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        is_first = self._asked is None
        self._asked = number
        if is_first and not self._deferred:
            self.check()
