"""Whose turn it is to write a file: one process at a time, in the order in which they asked.

    PATH.tailrace-turn   locked by the one that writes
    PATH.tailrace-next   locked by the one that waits for its end; holds its pipeline's name

The locks are the kernel's (flock), so they end with the process that holds them. The two files stay
when nobody writes.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tailrace.errors import TargetUnavailable

ASK_S = 0.02
WAIT_S = 30.0
"""A transaction of another pipeline may take its time; then delivery says that it waits."""


class Turn:
    """One pipeline's turns at one file."""

    def __init__(
        self, path: Path, pipeline: str, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """`stopping`: whether it is in vain to wait any longer."""
        self._stopping = stopping
        self._now = path.with_name(path.name + ".tailrace-turn")
        self._next = path.with_name(path.name + ".tailrace-next")
        self._path = path
        self._pipeline = pipeline
        self._held: int | None = None

    @property
    def is_held(self) -> bool:
        return self._held is not None

    def take(self, wait_s: float = WAIT_S) -> None:
        """Wait for our turn. Errors: TargetUnavailable, naming who writes."""
        if self._held is not None:
            return
        deadline = time.monotonic() + wait_s
        queue = self._locked(self._next, deadline)
        try:
            os.truncate(queue, 0)
            os.pwrite(queue, self._pipeline.encode(), 0)
            self._held = self._locked(self._now, deadline)
            os.truncate(self._held, 0)
            os.pwrite(self._held, f"{self._pipeline}, process {os.getpid()}".encode(), 0)
        finally:
            os.close(queue)

    def give(self) -> None:
        """End our turn. Idempotent."""
        if self._held is not None:
            os.close(self._held)
        self._held = None

    def waiting(self) -> str | None:
        """The pipeline of the process that waits for the end of our turn; None where none does."""
        try:
            queue = os.open(self._next, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(queue, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.pread(queue, 200, 0).decode(errors="replace")
        finally:
            os.close(queue)
        return None

    def _locked(self, path: Path, deadline: float) -> int:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise TargetUnavailable(
                f"the target's file cannot be written: {error.strerror}",
                where={"file": str(path)},
                fix="see that its directory is there and that this user may write in it",
            ) from None
        try:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return handle
                if time.monotonic() > deadline or self._stopping():
                    raise self._busy()
                time.sleep(ASK_S)
        except BaseException:
            os.close(handle)
            raise

    def _busy(self) -> TargetUnavailable:
        holder = ""
        with suppress(OSError):
            holder = self._now.read_text(errors="replace")
        return TargetUnavailable(
            "another pipeline is writing the target's file",
            where={"file": str(self._path), "pipeline": self._pipeline, "writer": holder or None},
            fix="it is tried again; where that process hangs, end it",
        )
