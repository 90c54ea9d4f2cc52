"""What the demo shows while it runs: rates, lag, and legacy rows beside what became of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from tailrace.state.processes import Report, read_reports

LINE_EVERY_S = 2.0


@dataclass(slots=True)
class Scene:
    """Everything a frame is drawn from."""

    erp_url: str
    hub_url: str
    reports: Path
    changes: Callable[[], int]
    events: list[str] = field(default_factory=list)
    _last: tuple[float, int, int] = (0.0, 0, 0)
    _rates: tuple[float, float] = (0.0, 0.0)

    def event(self, text: str) -> None:
        self.events.append(f"{time.strftime('%H:%M:%S')} {text}")

    def report(self, role: str) -> Report | None:
        return next((one for one in read_reports(self.reports) if one.role == role), None)

    def figures(self) -> dict[str, str]:
        capture, deliver = self.report("capture"), self.report("deliver")
        facts = deliver.facts if deliver else {}
        rows = facts.get("rows")
        written = int(rows.get("written", 0)) if isinstance(rows, dict) else 0
        now = time.monotonic()
        before, changes, was = self._last
        if now - before >= 1:
            if written >= was and before:
                self._rates = (
                    (self.changes() - changes) / (now - before),
                    (written - was) / (now - before),
                )
            self._last = (now, self.changes(), written)
        return {
            "capture": capture.state if capture else "starting",
            "delivery": deliver.state if deliver else "starting",
            "changes at the ERP": f"{self.changes():,} ({self._rates[0]:,.0f}/s)",
            "rows written to the hub": f"{written:,} ({self._rates[1]:,.0f}/s)",
            "lag": f"{facts.get('lag_entries', '–')} entries, {facts.get('lag_s', '–')} s",
            "checkpoint": str(facts.get("position", "–")),
        }


PAIRS = (
    (
        "kunden → customer",
        "select kdnr, name1, kz_status, kreditlimit, angelegt from erp.kunden"
        " where mandant = 1 order by xmin::text::bigint desc limit 3",
        "select customer_no, name, status, credit_limit, customer_since from hub.customer"
        " where customer_no = 'C-' || rtrim(%s)",
    ),
    (
        "auftraege → order",
        "select auftrnr, kdnr, status, datum, waehrung from erp.auftraege where status <> '90'"
        " order by xmin::text::bigint desc limit 3",
        'select order_no, customer_no, status, ordered_on, currency from hub."order"'
        " where order_no = 'O-' || %s",
    ),
)


def show(scene: Scene, until: Callable[[], bool]) -> None:
    """Draw until `until` says so: a live table on a terminal, else a line now and then."""
    if sys.stdout.isatty():
        with Live(console=Console(), refresh_per_second=4) as live:
            while not until():
                live.update(_frame(scene))
                time.sleep(0.5)
        return
    said = 0.0
    while not until():
        if time.monotonic() - said > LINE_EVERY_S:
            said = time.monotonic()
            print(
                "  ".join(f"{name} {value}" for name, value in scene.figures().items()), flush=True
            )
        time.sleep(0.1)


def _frame(scene: Scene) -> Group:
    figures = Table(show_header=False, box=None)
    for name, value in scene.figures().items():
        figures.add_row(name, f"[bold]{value}")
    pairs = []
    with suppress(psycopg.Error):
        pairs = _pairs(scene)
    return Group(figures, Columns(pairs), *scene.events[-6:])


def _pairs(scene: Scene) -> list[Table]:
    """Legacy rows changed last, and the canonical records they have become so far."""
    tables = []
    with (
        psycopg.connect(scene.erp_url, autocommit=True) as erp,
        psycopg.connect(scene.hub_url, autocommit=True) as hub,
    ):
        for title, legacy, canonical in PAIRS:
            table = Table(title=title)
            rows = erp.execute(legacy.encode()).fetchall()
            for _ in range(5):
                table.add_column(overflow="ellipsis", max_width=20)
            for row in rows:
                table.add_row(*(str(value) for value in row), style="yellow")
                found = hub.execute(canonical.encode(), (str(row[0]),)).fetchone()
                table.add_row(*(str(value) for value in found or ("…",) * 5), style="green")
            tables.append(table)
    return tables
