"""Each pipeline's own copy of its checkpoint, which tells capture what it may prune.

The truth lies at the target. A hint is written after the target has committed, so it may be
behind but never ahead; it needs no flush to disk, and one that is missing or unreadable counts
as 0, so that nothing is pruned.

A file holds the offset twice, in fixed width, and is overwritten in place by one call: a reader
that catches half of it sees two numbers that differ. (Replacing a file by renaming costs many times
as much on ext4, which flushes the new one; and this happens at every commit of a target.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

_FORM = re.compile(rb"([0-9]{20})\n\1\n")


def _file(directory: Path, pipeline: str) -> Path:
    return directory / f"{quote(pipeline, safe='')}.offset"


def write_hint(directory: Path, pipeline: str, offset: int) -> None:
    """Say that `pipeline`'s target has durably applied everything up to `offset`."""
    path = _file(directory, pipeline)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(fd, b"%020d\n%020d\n" % (offset, offset), 0)
    finally:
        os.close(fd)


def read_hints(directory: Path, pipelines: Iterable[str]) -> dict[str, int]:
    """The last hint of each of `pipelines`, 0 for one that has none."""
    return {pipeline: _read(_file(directory, pipeline)) for pipeline in pipelines}


def remove_hints(directory: Path) -> None:
    """Forget all hints: those of an earlier journal mean nothing in a new one."""
    for path in directory.glob("*.offset"):
        path.unlink(missing_ok=True)


def _read(path: Path) -> int:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return 0
    match = _FORM.fullmatch(text)
    return int(match[1]) if match else 0
