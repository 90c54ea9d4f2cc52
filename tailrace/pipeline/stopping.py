"""A request to stop, which a loop asks for between steps and which cuts its waits short."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Stop:
    """Set by SIGTERM and SIGINT once `listen` was called; also by hand, in tests."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to `timeout_s`; True when the request came."""
        return self._event.wait(timeout_s)

    def listen(self) -> None:
        def handle(signum: int, frame: FrameType | None) -> None:
            self._event.set()

        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)
