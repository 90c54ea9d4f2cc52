"""How a writer wakes readers in other processes: a FIFO each, and a byte in it.

A byte stays in the FIFO until the reader takes it, so one written between the reader's last look
at the journal and its going to sleep ends that sleep at once. The order that makes this safe: the
writer commits, then rings; the reader empties its FIFO, then looks. A byte lost all the same (a
reader's FIFO removed by hand) costs no more than the reader's backstop.
"""

from __future__ import annotations

import errno
import os
import secrets
import select
import stat
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

SETTLED_NS = 100_000_000
"""A directory's time stamp is coarse: one younger than this may hide a later change."""


class Sleeper:
    """The reader's end. Its FIFO appears under its name only when it is open for reading, so a
    FIFO that nobody has open is stale."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        unique = f"{quote(name, safe='')}.{os.getpid()}.{secrets.token_hex(4)}"
        hidden = directory / f".{unique}"
        self._path = directory / unique
        os.mkfifo(hidden, 0o600)
        try:
            self._fd = os.open(hidden, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            os.rename(hidden, self._path)
        except OSError:
            hidden.unlink(missing_ok=True)
            raise
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def fileno(self) -> int:
        return self._fd

    def drain(self) -> None:
        """Take what has been rung so far. To be called before looking at the journal."""
        try:
            while len(os.read(self._fd, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def wait(self, timeout_s: float) -> bool:
        """Sleep until rung; True at once when rung since the last `drain`."""
        return bool(self._poll.poll(timeout_s * 1000))

    def close(self) -> None:
        if self._fd >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1


class Bell:
    """The writer's end: knows every reader's FIFO and keeps it open."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._readers: dict[str, int] = {}
        self._seen_ns = -1

    def ring(self) -> None:
        """Wake every reader that is alive. Never blocks, never fails."""
        with suppress(OSError):
            self._look_for_readers()
        for name, fd in list(self._readers.items()):
            try:
                os.write(fd, b"\n")
            except BlockingIOError:
                pass  # full of bytes not taken yet: it is awake already
            except OSError:
                os.close(self._readers.pop(name))

    def _look_for_readers(self) -> None:
        changed_ns = os.stat(self._directory).st_mtime_ns
        if changed_ns == self._seen_ns:
            return
        settled = time.time_ns() - changed_ns > SETTLED_NS
        for name in os.listdir(self._directory):
            if name not in self._readers and not name.startswith("."):
                self._open(name)
        self._seen_ns = changed_ns if settled else -1

    def _open(self, name: str) -> None:
        path = self._directory / name
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENXIO:
                path.unlink(missing_ok=True)
            return
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            self._readers[name] = fd
        else:
            os.close(fd)

    def close(self) -> None:
        for fd in self._readers.values():
            os.close(fd)
        self._readers.clear()
