"""Each pipeline's own copy of its checkpoint, which tells capture what it may prune.

The truth lies at the target. A hint is written after the target has committed, so it may be
behind but never ahead; it needs no flush to disk, and one that is missing or unreadable counts
as 0, so that nothing is pruned.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote


def _file(directory: Path, pipeline: str) -> Path:
    return directory / f"{quote(pipeline, safe='')}.offset"


def write_hint(directory: Path, pipeline: str, offset: int) -> None:
    """Say that `pipeline`'s target has durably applied everything up to `offset`."""
    path = _file(directory, pipeline)
    scratch = f"{path}.{os.getpid()}"
    try:
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, b"%d\n" % offset)
    finally:
        os.close(fd)
    os.rename(scratch, path)


def read_hints(directory: Path, pipelines: Iterable[str]) -> dict[str, int]:
    """The last hint of each of `pipelines`, 0 for one that has none."""
    return {pipeline: _read(_file(directory, pipeline)) for pipeline in pipelines}


def remove_hints(directory: Path) -> None:
    """Forget all hints: those of an earlier journal mean nothing in a new one."""
    for path in directory.glob("*.offset*"):
        path.unlink(missing_ok=True)


def _read(path: Path) -> int:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return 0
    digits = text[:-1]
    return int(digits) if text.endswith(b"\n") and digits.isdigit() else 0
