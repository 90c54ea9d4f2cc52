"""Whether the line is alive and whether it does its work, judged from the processes' reports.

Never green while nothing moves although the source advances.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.state.processes import Report, is_alive
from transforms.freshness import shown

STALE_S = 20.0
"""A process reports every second, or every five; one that is silent this long hangs."""
STUCK_S = 60.0
"""How long work may wait without any of it moving before that is a fault."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A process that should run, and for a capture how much log its source may hold for it."""

    role: str
    name: str
    retain_max_bytes: int = 0


class Health:
    """Judges reports over time; call `problems` as often as you like."""

    def __init__(self, expected: Sequence[Expected], stuck_s: float = STUCK_S) -> None:
        self._expected = expected
        self._stuck_s = stuck_s
        self._moved: dict[str, tuple[object, float]] = {}

    def problems(self, reports: Sequence[Report]) -> list[str]:
        """One sentence for each reason why the line is not ready; empty when it is."""
        by_key: dict[tuple[str, str], Report] = {
            (report.role, report.name): report for report in reports
        }
        found = []
        for expected in self._expected:
            report = by_key.get((expected.role, expected.name))
            who = f"{expected.role} {expected.name}"
            if report is None or not is_alive(report):
                found.append(f"{who}: not running")
            else:
                found += [f"{who}: {text}" for text in self._judge(expected, report)]
        return found

    def warnings(self, reports: Sequence[Report]) -> list[str]:
        """What people should know of a line that may be ready all the same: entities whose newest
        value is older than they promise. The source may simply be at rest."""
        wanted = {(one.role, one.name) for one in self._expected}
        return [
            f"{report.role} {report.name}: {text}"
            for report in reports
            if (report.role, report.name) in wanted
            for text in _stale(report)
        ]

    def _judge(self, expected: Expected, report: Report) -> list[str]:
        what = (report.error or {}).get("what", "")
        if report.state in ("failed", "retrying", "paused", "stopped"):
            return [f"{report.state}: {what}" if what else report.state]
        silent_s = time.time() - report.updated_s
        if silent_s > STALE_S and report.state != "snapshot":
            return [f"silent for {silent_s:.0f} s"]
        found = []
        if self._is_stuck(report):
            found.append("work waits and nothing moves")
        found += [f"rows do not add up: {text}" for text in _texts(report.facts.get("imbalances"))]
        held = report.facts.get("held_bytes")
        limit = expected.retain_max_bytes
        if isinstance(held, int) and limit and held * 2 >= limit:
            found.append(f"the source holds {held} bytes of log for us, over half of retain_max")
        return found

    def _is_stuck(self, report: Report) -> bool:
        facts = report.facts
        if report.role == "capture":
            mark: object = (report.state, facts.get("position"), facts.get("rows"))
            waiting = bool(facts.get("lag_bytes"))
        else:
            mark = (facts.get("cursor"), facts.get("sent"))
            waiting = bool(facts.get("lag_entries"))
        key = f"{report.role}/{report.name}"
        before, since = self._moved.get(key, (None, 0.0))
        if mark != before or not waiting:
            self._moved[key] = (mark, time.monotonic())
            return False
        return time.monotonic() - since > self._stuck_s


def _stale(report: Report) -> list[str]:
    promised = report.facts.get("freshness")
    found = []
    for entity, one in promised.items() if isinstance(promised, dict) else ():
        newest_s, within = one["newest_s"], shown(one["within_s"])
        if newest_s is None:
            continue
        age_s = time.time() - newest_s
        if age_s > one["within_s"]:
            age = shown(age_s - age_s % 60) if age_s > 120 else f"{age_s:.0f}s"
            found.append(
                f"{entity} is not fresh: its newest {one['field']} is {age} old, and {within} is"
                " promised"
            )
    return found


def _texts(found: object) -> list[str]:
    return [str(one) for one in found] if isinstance(found, list) else []
