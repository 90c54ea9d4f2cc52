"""`tailrace run` of the demo's project: a process of its own, watched through what it publishes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from tailrace.errors import TailraceError
from tailrace.service.layout import Layout
from tailrace.state.processes import Report, Role, read_reports

END_S = 45
"""More than the supervisor gives its processes."""
ASK_S = 2
LOG_SHOWN_MAX = 3000

Samples = dict[str, list[tuple[dict[str, str], float]]]
"""Metric → (labels, value) of each of its series."""


class Line:
    """Runs while used as a context manager."""

    def __init__(self, project: Path, environment: dict[str, str]) -> None:
        self._project = project
        self._environment = environment
        self._log = project / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._address: str | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tailrace.service", "--project", str(self._project)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "run", "--listen", "127.0.0.1:0"],
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the line itself
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        assert process is not None
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()  # its workers end by themselves when it is gone
            process.wait()

    @property
    def log(self) -> str:
        """The end of what all its processes logged; never row values."""
        return self._log.read_text(errors="replace")[-LOG_SHOWN_MAX:]

    def report(self, role: Role) -> Report | None:
        """Of the ERP's line."""
        name = {"capture": "erp", "deliver": "erp_to_hub"}[role]
        return next((report for report in self.reports(role) if report.name == name), None)

    def reports(self, role: Role) -> list[Report]:
        """Of all processes with this role."""
        return [one for one in read_reports(Layout(self._project).run) if one.role == role]

    def check(self) -> None:
        """Errors: TailraceError where it ended, or one of its processes needs a person."""
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            raise TailraceError(f"tailrace run has ended with exit code {code}")
        for report in read_reports(Layout(self._project).run):
            if report.state == "failed":
                what = (report.error or {}).get("what", "unexpected")
                raise TailraceError(f"{report.role} has failed: {what}")

    def kill(self, role: Role) -> int | None:
        """SIGKILL the process of this role; its id, or None where there is none at this moment."""
        report = self.report(role)
        if report is None or report.state not in ("streaming", "waiting"):
            return None
        try:
            os.kill(report.pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return report.pid

    def metrics(self) -> Samples:
        """What /metrics says now; empty while nothing is served."""
        samples: Samples = {}
        with suppress(OSError):
            if self._address is None:
                self._address = self._find_address()
            if self._address is not None:
                url = f"http://{self._address}/metrics"
                with urllib.request.urlopen(url, timeout=ASK_S) as answer:
                    for family in text_string_to_metric_families(answer.read().decode()):
                        for sample in family.samples:
                            samples.setdefault(sample.name, []).append(
                                (sample.labels, sample.value)
                            )
        return samples

    def _find_address(self) -> str | None:
        for line in self._log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("message") == "serving":
                    return str(entry["address"])
        return None
