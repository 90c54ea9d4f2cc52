"""Named places where a test can kill this process, to prove what a crash leaves behind.

``TAILRACE_FAILPOINTS="deliver.before_commit=3,capture.journaled=1"`` sends SIGKILL to the process
the third time it reaches the first place, or the first time it reaches the second. Unset (always,
outside tests) a failpoint is one failed dictionary look-up.
"""

from __future__ import annotations

import os
import signal

NAMES = (
    "capture.read",  # bytes read from the source, nothing journaled
    "capture.journaled",  # entry durable in the journal, source not yet told
    "capture.before_ack",  # status update built, not yet sent
    "deliver.read",  # entry read from the journal
    "deliver.staged",  # rows sent to the target, most often into a staging table
    "deliver.applied",  # rows in the target's tables, transaction open
    "deliver.exceptions_stored",  # parked changes durable here, the target knows nothing of them
    "deliver.before_commit",  # checkpoint written, transaction open
    "deliver.commit_sent",  # COMMIT on the wire, answer unread
    "deliver.exceptions_committed",  # committed, what the desk let go still on disk
    "deliver.after_commit",  # committed, local hint not yet written
)


def _parse(text: str) -> dict[str, int]:
    armed = {}
    for item in filter(None, text.split(",")):
        name, _, nth = item.partition("=")
        if name not in NAMES:
            raise ValueError(f"TAILRACE_FAILPOINTS: {name!r} is none of {', '.join(NAMES)}")
        armed[name] = int(nth or 1)
    return armed


_armed = _parse(os.environ.get("TAILRACE_FAILPOINTS", ""))


def failpoint(name: str) -> None:
    """Die here by SIGKILL if the environment armed this place and its count is reached."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
