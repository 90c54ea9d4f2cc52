"""The figures the demo shows: counts and rates of both ends, lag, checkpoint, operations."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cdc.sizes import format_bytes
from tailrace.service.demo.line import Line, Samples

RATE_OVER_S = 3.0
OPERATIONS = {"r": "copied", "c": "inserts", "u": "updates", "d": "deletes"}


@dataclass(slots=True)
class Figures:
    """`line` publishes them; `changes` is what the load has done so far."""

    line: Line
    changes: Callable[[], int]
    _history: deque[tuple[float, int, int]] = field(default_factory=deque)

    def take(self) -> dict[str, str]:
        metrics = self.line.metrics()
        capture, deliver = self.line.report("capture"), self.line.report("deliver")
        facts = deliver.facts if deliver else {}
        written = int(_sum(metrics, "tailrace_rows_total", outcome="written"))
        changes = self.changes()
        load_rate, written_rate = self._rates(changes, written)
        return {
            "capture": capture.state if capture else "starting",
            "delivery": deliver.state if deliver else "starting",
            "load": f"{changes:,} changes ({load_rate:,.0f}/s)",
            "captured": _operations(metrics),
            "written": f"{written:,} rows ({written_rate:,.0f}/s)",
            "lag": (
                f"{_sum(metrics, 'tailrace_pipeline_lag_seconds'):.2f} s,"
                f" {_sum(metrics, 'tailrace_pipeline_lag_entries'):,.0f} entries,"
                f" {format_bytes(int(_sum(metrics, 'tailrace_source_lag_bytes')))}"
            ),
            "checkpoint": str(facts.get("position", "none yet")),
        }

    def _rates(self, changes: int, written: int) -> tuple[float, float]:
        """Each second's changes and rows written, over the last few seconds."""
        now = time.monotonic()
        history = self._history
        history.append((now, changes, written))
        while now - history[0][0] > RATE_OVER_S and len(history) > 2:
            history.popleft()
        then, changes_then, written_then = history[0]
        if now - then < 0.1:
            return 0.0, 0.0
        took = now - then
        return (changes - changes_then) / took, max(0, written - written_then) / took


def _operations(metrics: Samples) -> str:
    totals = {
        word: int(_sum(metrics, "tailrace_captured_rows_total", operation=letter))
        for letter, word in OPERATIONS.items()
    }
    return ", ".join(f"{rows:,} {word}" for word, rows in totals.items() if rows) or "nothing yet"


def _sum(metrics: Samples, name: str, **labels: str) -> float:
    return sum(value for found, value in metrics.get(name, []) if labels.items() <= found.items())
