"""What happens in the demo: snapshot, work with two kills on the way, drain."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from tailrace.errors import TailraceError
from tailrace.service.demo.line import Line
from tailrace.service.demo.load import Load
from tailrace.service.demo.screen import Screen
from tailrace.service.demo.shop import Shop
from tailrace.service.demo.signals import Signals
from tailrace.state.processes import Role

SNAPSHOT_S = 180
DRAIN_S = 180
KILLS: tuple[tuple[Role, float], ...] = (("deliver", 0.4), ("capture", 0.6))
"""Who is killed, and after which part of the load's time."""
OPEN_END_S = 30
"""Stands for the load's time in a demo that ends with Ctrl-C."""


@dataclass(slots=True)
class Play:
    """The acts of the demo, in order."""

    line: Line
    load: Load
    screen: Screen
    signals: Signals
    shop: Shop | None = None
    _killed: dict[Role, tuple[int, float]] = field(default_factory=dict)
    """Role → (id, time in seconds) of the process that was killed, until another is at work."""

    def snapshot(self) -> None:
        self.screen.event("snapshot of what is there")
        self._until(self._copied, SNAPSHOT_S, "the snapshot")

    def work(self, seconds: float | None) -> None:
        """The load, with one kill of each process on the way."""
        kills = list(KILLS)
        began_s = time.monotonic()

        def ended() -> bool:
            if self.signals.asked:
                return True
            self._check()
            self._look()
            elapsed_s = time.monotonic() - began_s
            if (
                kills
                and elapsed_s > kills[0][1] * (seconds or OPEN_END_S)
                and self._kill(kills[0][0])
            ):
                kills.pop(0)
            return seconds is not None and elapsed_s >= seconds and not kills

        with self.signals.deferred():
            self.screen.event("streaming; the ERP is at work")
            for load in self._loads:
                load.start()
            self.screen.show(ended)
            if self.signals.was_interrupt():
                self.screen.event("Ctrl-C")
            for load in self._loads:
                load.stop()
        self._check()

    def drain(self, erp_url: str, hub_url: str) -> None:
        """Until the last change of all, made here, has arrived: changes arrive in commit order."""
        self.screen.event("the load has stopped; waiting for the line to drain")
        last = "beschreibung = 'Ende' where zb_code = 'VKS'"
        with psycopg.connect(erp_url, autocommit=True) as erp:
            erp.execute(f"update erp.zahlungsbedingungen set {last}".encode())
        arrived = f"select from raw.zahlungsbedingungen where {last.replace('where', 'and')}"
        if self.shop is not None:
            self.shop.mark_end()
        with psycopg.connect(hub_url, autocommit=True) as hub:
            self._until(
                lambda: (
                    hub.execute(arrived.encode()).rowcount == 1
                    and (self.shop is None or self.shop.has_arrived(hub_url))
                    and not self._killed
                ),
                DRAIN_S,
                "the line to drain",
            )

    def _copied(self) -> bool:
        captures, deliveries = self.line.reports("capture"), self.line.reports("deliver")
        lines = 1 if self.shop is None else 2
        return (
            len(captures) == len(deliveries) == lines
            and all(one.state == "streaming" for one in captures)
            and all(one.state == "waiting" and one.facts.get("offset") for one in deliveries)
        )

    @property
    def _loads(self) -> list[Load | Shop]:
        return [self.load] if self.shop is None else [self.load, self.shop]

    def _check(self) -> None:
        for load in self._loads:
            load.check()

    def _until(self, condition: Callable[[], bool], deadline_s: float, what: str) -> None:
        end_s = time.monotonic() + deadline_s

        def ended() -> bool:
            self.signals.check()
            self._look()
            if time.monotonic() > end_s:
                raise TailraceError(f"waited {deadline_s:.0f} s for {what}")
            return condition()

        self.screen.show(ended)

    def _kill(self, role: Role) -> bool:
        pid = self.line.kill(role)
        if pid is None:
            return False
        self._killed[role] = pid, time.monotonic()
        self.screen.event(f"killed {role} (process {pid}) with SIGKILL")
        return True

    def _look(self) -> None:
        """Notice what failed and what recovered."""
        self.line.check()
        for role, (pid, killed_s) in list(self._killed.items()):
            report = self.line.report(role)
            if report and report.pid != pid and report.state in ("streaming", "waiting"):
                del self._killed[role]
                took_s = time.monotonic() - killed_s
                self.screen.event(f"{role} recovered after {took_s:.1f} s (process {report.pid})")
