"""Large payloads, end to end in append-only files, named by the first journal offset they hold.

Which bytes are an entry is written in the index, after the bytes are durable. A byte that the
index has named is never written again, so a reader needs no lock: it either reads what the index
says or finds the file gone. What lies between or behind named bytes (a process that died, a tail
that was cut) is waste, gone when its file is.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from tailrace.journal.codec import Payload

SEGMENT_BYTES = 64 << 20
"""A file is closed beyond this size: the grain in which pruning returns disk space."""


def segment_name(first: int) -> str:
    return f"{first:016d}"


_VECTORS_MAX = 512
"""Buffers written by one system call; Linux takes 1024."""


class SegmentWriter:
    """Appends payloads; knows nothing of what the index holds but what it is told.

    `write` … `sync` make payloads durable; then either `keep` (the index has them) or `undo`.
    """

    def __init__(self, directory: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        directory.mkdir(exist_ok=True)
        self._names = sorted(int(name) for name in os.listdir(directory) if name.isdigit())
        self._fd = -1
        self._end = 0
        self._kept_end = 0
        self._new: list[int] = []
        self._unsynced = False
        self._doubtful = False

    def write(self, payload: Payload, offset: int) -> tuple[int, int]:
        """Append; return (segment, start). Errors: OSError; then `undo`."""
        if self._fd < 0 or self._end >= self._segment_bytes:
            self.sync()
            self._begin(offset)
        start = self._end
        self._unsynced = True
        self._end += _write(self._fd, payload.buffers, start)
        return self._names[-1], start

    def _begin(self, first: int) -> None:
        self._close()
        path = self._directory / segment_name(first)
        if first in self._names:
            # Left by an append that failed: no entry has this offset, so nothing names its bytes.
            self._remove(first)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._end = self._kept_end = 0
        self._names.append(first)
        self._new.append(first)
        sync_directory(self._directory)

    def sync(self) -> None:
        """Everything written is on disk. Errors: OSError, after which the file is not trusted."""
        if self._unsynced:
            try:
                os.fdatasync(self._fd)
            except OSError:
                self._doubtful = True
                raise
            self._unsynced = False

    def keep(self) -> None:
        """The index names everything written."""
        self._kept_end = self._end
        self._new.clear()

    def undo(self) -> None:
        """Forget, and give back the space of, what was written since `keep`.

        After a failed flush the kernel may take bytes for clean that never reached the disk, so
        that file takes no more.
        """
        if self._new:
            self._close()
            for name in self._new:
                with suppress(OSError):
                    self._remove(name)
            self._new.clear()
        elif self._fd >= 0:
            self._end = self._kept_end
            try:
                os.ftruncate(self._fd, self._kept_end)
            except OSError:
                self._doubtful = True
            if self._doubtful:
                self._close()
        self._unsynced = self._doubtful = False

    def abandon(self) -> None:
        """Write no more to the open file and leave it as it is: what the index names is unknown."""
        self._close()
        self._new.clear()
        self._unsynced = self._doubtful = False

    @property
    def names(self) -> tuple[int, ...]:
        """Of the files there are, oldest first."""
        return tuple(self._names)

    def remove(self, name: int) -> None:
        """Delete a file of which the index names nothing."""
        if self._fd >= 0 and name == self._names[-1]:
            self._close()
        self._remove(name)

    def _remove(self, name: int) -> None:
        (self._directory / segment_name(name)).unlink(missing_ok=True)
        self._names.remove(name)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._end = self._kept_end = 0

    close = _close


class SegmentReader:
    """Reads payloads; one file stays open between reads, until `close`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = -1
        self._name = 0

    def read(self, segment: int, start: int, size: int) -> pa.Buffer | None:
        """The bytes, or None where the file is gone or shorter. Errors: OSError."""
        if segment != self._name:
            self.close()
            try:
                path = self._directory / segment_name(segment)
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            self._name = segment
        if not 0 <= start <= start + size <= os.fstat(self._fd).st_size:
            return None
        buffer = pa.allocate_buffer(size)
        view = memoryview(buffer)
        while view:
            count = os.preadv(self._fd, [view], start)
            if not count:
                return None
            view = view[count:]
            start += count
        return buffer

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._name = 0


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: a new file's flush does not."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(fd: int, buffers: Sequence[Any], start: int) -> int:
    """Write all of `buffers` at `start`, however many calls it takes; return the bytes."""
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    at = start
    while views:
        count = os.pwritev(fd, views[:_VECTORS_MAX], at)
        if not count:
            raise OSError(errno.EIO, "the file takes no more bytes")
        at += count
        while views and count >= len(views[0]):
            count -= len(views.pop(0))
        if views:
            views[0] = views[0][count:]
    return at - start
