"""Runs one capture process per source and one delivery process per pipeline, and keeps them up.

A process that dies is started again with growing waits; one that says it needs a person (state
`failed`) is left, while the others go on. SIGTERM reaches every process, which finishes the batch
in hand; one that does not within the grace time is killed. A process whose supervisor is gone
stops by itself: its standard input ends.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.pipeline.retry import Backoff
from tailrace.pipeline.stopping import Stop
from tailrace.state.processes import read_reports

log = logging.getLogger("tailrace.supervisor")

GRACE_S = 30.0
HEALTHY_S = 30.0
"""A process that lived this long starts its waits from the beginning when it dies."""
TICK_S = 0.2


@dataclass(slots=True)
class Child:
    role: str
    name: str
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    start_again_s: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)
    abandoned: bool = False


class Supervisor:
    def __init__(
        self, project: Path, children: Sequence[Child], reports: Path, metrics: Path, stop: Stop
    ) -> None:
        self._project = project
        self._children = children
        self._reports = reports
        self._metrics = metrics
        self._stop = stop

    def run(self) -> int:
        """Until a stop is asked for. Exit code: 0, or 1 when a process had to be abandoned."""
        try:
            while not self._stop:
                for child in self._children:
                    self._look_after(child)
                if all(child.abandoned for child in self._children):
                    log.error("every process needs a person; nothing is left to supervise")
                    break
                self._stop.wait(TICK_S)
        finally:
            self._end()
        return 1 if any(child.abandoned for child in self._children) else 0

    def _look_after(self, child: Child) -> None:
        if child.abandoned:
            return
        if child.process is None:
            if time.monotonic() >= child.start_again_s:
                self._start(child)
            return
        code = child.process.poll()
        if code is None:
            return
        pid = child.process.pid
        self._release(child)
        if self._needs_a_person(child, pid):
            child.abandoned = True
            log.error("process needs a person", extra={"role": child.role, "child": child.name})
            return
        if time.monotonic() - child.started_s > HEALTHY_S:
            child.backoff.reset()
        wait_s = child.backoff.next_s()
        child.start_again_s = time.monotonic() + wait_s
        log.warning(
            "process died; starting again",
            extra={"role": child.role, "child": child.name, "code": code, "wait_s": wait_s},
        )

    def _start(self, child: Child) -> None:
        command = [sys.executable, "-m", "tailrace.service", "--project", str(self._project)]
        child.process = subprocess.Popen(
            [*command, child.role, child.name],
            stdin=subprocess.PIPE,
            env={
                **os.environ,
                "PROMETHEUS_MULTIPROC_DIR": str(self._metrics),
                "TAILRACE_SUPERVISED": "1",
            },
        )
        child.started_s = time.monotonic()

    def _release(self, child: Child) -> None:
        process = child.process
        assert process is not None
        if process.stdin is not None:
            process.stdin.close()
        for gauge in self._metrics.glob(f"gauge_live*_{process.pid}.db"):
            gauge.unlink(missing_ok=True)
        child.process = None

    def _needs_a_person(self, child: Child, pid: int) -> bool:
        return any(
            report.role == child.role and report.name == child.name and report.pid == pid
            for report in read_reports(self._reports)
            if report.state == "failed"
        )

    def _end(self) -> None:
        running = [child for child in self._children if child.process is not None]
        for child in running:
            assert child.process is not None
            child.process.terminate()
        deadline = time.monotonic() + GRACE_S
        for child in running:
            assert child.process is not None
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("process does not stop; killing it", extra={"child": child.name})
                child.process.kill()
                child.process.wait()
            if self._needs_a_person(child, child.process.pid):
                child.abandoned = True  # it failed in the moment of stopping
            self._release(child)
