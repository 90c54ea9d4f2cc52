"""A request to stop, which a loop asks for between steps and which cuts its waits short."""

from __future__ import annotations

import os
import signal
import threading
import time

PATIENCE_S = 5.0
"""So long a batch in hand may take to be finished; supervisors kill after ten seconds or more."""


class Stop:
    """Set by SIGTERM and SIGINT once `listen` was called; also by hand, in tests."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._asked_s = 0.0

    def __bool__(self) -> bool:
        return self._event.is_set()

    @property
    def overdue(self) -> bool:
        """The request is older than `PATIENCE_S`: what is open is to be given up."""
        return bool(self) and time.monotonic() - self._asked_s > PATIENCE_S

    def set(self) -> None:
        if not self:
            self._asked_s = time.monotonic()
        self._event.set()

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to `timeout_s`; True when the request came."""
        return self._event.wait(timeout_s)

    def listen(self) -> None:
        """From the main thread. The request is heard also while that thread is in a library's long
        call, in which Python runs no handlers of signals."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, lambda signum, frame: None)
        threading.Thread(target=self._hear, args=(reading,), name="signals", daemon=True).start()

    def _hear(self, reading: int) -> None:
        while os.read(reading, 1)[0] not in (signal.SIGTERM, signal.SIGINT):
            pass
        self.set()
