"""What the demo shows while it runs: figures, events, legacy rows and what became of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tailrace.service.demo.figures import Figures

LINE_EVERY_S = 2.0
FRAME_EVERY_S = 0.5
LOOK_EVERY_S = 0.1
EVENTS_SHOWN_MAX = 6

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(slots=True)
class Screen:
    """A live table on a terminal, else a line now and then."""

    figures: Figures
    erp_url: str
    hub_url: str
    _events: list[str] = field(default_factory=list)
    _live: bool = field(default_factory=lambda: sys.stdout.isatty())

    def event(self, text: str) -> None:
        self._events.append(f"{time.strftime('%H:%M:%S')}  {text}")
        if not self._live:
            print(self._events[-1], flush=True)

    def show(self, until: Callable[[], bool]) -> None:
        """Draw until `until` says so. It is asked ten times a second."""
        if not self._live:
            self._repeat(until, self._print, LINE_EVERY_S)
            return
        try:
            with Live(console=Console(), auto_refresh=False, transient=True) as live:
                self._repeat(until, lambda: live.update(self._frame(), refresh=True), FRAME_EVERY_S)
        finally:
            self.say()

    def say(self) -> None:
        """Print the events that only the live table has shown so far."""
        if self._live:
            print("".join(f"{text}\n" for text in self._events), end="", flush=True)
            self._events.clear()

    @staticmethod
    def _repeat(until: Callable[[], bool], draw: Callable[[], None], every_s: float) -> None:
        drawn_s = 0.0
        while not until():
            if time.monotonic() - drawn_s >= every_s:
                drawn_s = time.monotonic()
                draw()
            time.sleep(LOOK_EVERY_S)

    def _print(self) -> None:
        shown = self.figures.take()
        states = f"capture {shown.pop('capture')}, delivery {shown.pop('delivery')}"
        words = [states, *(f"{name} {value}" for name, value in shown.items())]
        print(f"{time.strftime('%H:%M:%S')}  {' | '.join(words)}", flush=True)

    def _frame(self) -> Group:
        figures = Table(show_header=False, box=None)
        for name, value in self.figures.take().items():
            figures.add_row(name, Text(value, style="bold"))
        records = Table(expand=True)
        for title in ("what the ERP holds", "what the hub holds"):
            records.add_column(title, no_wrap=True, overflow="ellipsis", ratio=1)
        with suppress(psycopg.Error):  # the hub has no tables yet
            _add_pairs(records, self.erp_url, self.hub_url)
        events = [Text(text) for text in self._events[-EVENTS_SHOWN_MAX:]]
        return Group(figures, records, *events)


PAIRS = (
    (
        "select kdnr, name1, kz_status, kreditlimit, newsletter, angelegt from erp.kunden"
        " where mandant = 1 order by xmin::text::bigint desc limit 2",
        "select customer_no, name, status, credit_limit, newsletter, customer_since"
        " from hub.customer where customer_no = 'C-' || rtrim(%s)",
    ),
    (
        "select artnr, bezeichnung, warengruppe, preis, gesperrt from erp.artikel"
        " order by xmin::text::bigint desc limit 2",
        'select product_no, name, "group", price, discontinued from hub.product'
        " where product_no = %s",
    ),
    (
        "select auftrnr, kdnr, status, datum, liefertermin, waehrung from erp.auftraege"
        " where mandant = 1 order by xmin::text::bigint desc limit 3",
        "select order_no, customer_no, status, ordered_on, deliver_by, currency"
        " from hub.\"order\" where order_no = 'O-' || %s",
    ),
)
"""The rows changed last, and how to find what became of the row with that key."""


def _add_pairs(records: Table, erp_url: str, hub_url: str) -> None:
    with (
        psycopg.connect(erp_url, autocommit=True) as erp,
        psycopg.connect(hub_url, autocommit=True) as hub,
    ):
        for legacy, canonical in PAIRS:
            for row in erp.execute(legacy.encode()).fetchall():
                found = hub.execute(canonical.encode(), (str(row[0]),)).fetchone()
                records.add_row(
                    Text(_joined(row), style="yellow"),
                    Text(_joined(found) if found else "not in the hub", style="green"),
                )
            records.add_section()


def _joined(row: tuple[object, ...]) -> str:
    return " | ".join("–" if value is None else str(value) for value in row)
