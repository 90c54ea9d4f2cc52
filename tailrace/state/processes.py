"""What each process of a project last said of itself, for `status`, health and people.

One small JSON file a process, replaced atomically, so that a reader never sees half of one and
no process waits for another.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tailrace.errors import UNEXPECTED, TailraceError

Role = Literal["capture", "deliver"]
State = Literal[
    "starting", "snapshot", "streaming", "waiting", "retrying", "paused", "stopped", "failed"
]
"""starting    connecting and verifying
snapshot    copying existing rows
streaming   at work
waiting     delivery: nothing to read yet
retrying    the source, target or disk is not available; tries again by itself
paused      delivery: the target refuses everything, or the desk is full; tries again by itself
stopped     ended on request
failed      needs a person; says what and where
"""


@dataclass(slots=True)
class Report:
    """`since_s` and `updated_s` are seconds since 1970."""

    role: Role
    name: str
    pid: int
    state: State = "starting"
    since_s: float = 0.0
    updated_s: float = 0.0
    error: dict[str, object] | None = None
    facts: dict[str, object] = field(default_factory=dict)


class Reporter:
    """Writes one process's report; cheap enough to call every second."""

    def __init__(self, directory: Path, role: Role, name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / f"{role}-{name}.json"
        self.report = Report(role, name, os.getpid(), since_s=time.time())

    def say(self, state: State, *, error: BaseException | None = None, **facts: object) -> None:
        report = self.report
        now = time.time()
        if state != report.state:
            report.since_s = now
        report.state = state
        report.updated_s = now
        report.error = None if error is None else describe_error(error)
        report.facts.update(facts)
        scratch = self._path.with_suffix(f".{report.pid}.tmp")
        scratch.write_text(json.dumps(asdict(report), separators=(",", ":")))
        scratch.replace(self._path)


def describe_error(error: BaseException) -> dict[str, object]:
    """An error as plain values: code, kind, what, where, fix."""
    if isinstance(error, TailraceError):
        return {
            "code": error.code,
            "kind": type(error).__name__,
            "what": error.what,
            "where": {
                key: value if isinstance(value, int) else str(value)
                for key, value in error.where.items()
            },
            "fix": error.fix,
        }
    return {
        "code": UNEXPECTED,
        "kind": type(error).__name__,
        "what": "unexpected: see the log",
        "where": {},
    }


def read_reports(directory: Path) -> list[Report]:
    """Every process's last report, by role and name."""
    reports = []
    for path in sorted(directory.glob("*-*.json")):
        try:
            reports.append(Report(**json.loads(path.read_text())))
        except (OSError, ValueError, TypeError):
            continue  # being replaced, or left by another version
    return reports


def is_alive(report: Report) -> bool:
    try:
        os.kill(report.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
