"""At most one writer to a journal, enforced by the operating system."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tailrace.errors import JournalError


class WriterLock:
    """Held until `close` or the end of this process, however it ends.

    Errors: JournalError, naming the process that holds it.
    """

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise JournalError(
                f"process {holder or 'unknown'} is already writing this journal",
                where={"journal": path.with_suffix(""), "pid": holder or None},
                fix="stop that process first; a source has one capture process",
            ) from None
        self._fd: int | None = fd
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
