"""Capture stops between two sets, however much there is still to read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import tailrace.pipeline.capture as module
from cdc.mysql.settings import BinlogSource
from cdc.mysql.source import BinlogDatabase
from tailrace.journal.protocol import Entry, JournalWriter
from tailrace.journal.sqlite import SqliteReader, SqliteWriter
from tailrace.pipeline.capture import Capture, CaptureSettings
from tailrace.pipeline.stopping import Stop
from tailrace.state.processes import Reporter
from tests.maria import Maria

ROWS = 200_000
TRANSACTION = (
    "xa start 'x'",
    f"insert into t select seq from seq_1_to_{ROWS}",
    *("xa end 'x'", "xa prepare 'x'", "xa commit 'x'"),
)
"""All of it comes with one event, its commit: no pause of the source's is between its sets."""


Run = Callable[[Callable[[JournalWriter, int], bool]], int]


@pytest.fixture
def run(maria: Maria, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Captures the database until `done`, which is asked after each set with their number; gives
    the number of sets that were stored."""
    settings = BinlogSource(type=maria.kind, url=maria.server.url(), tables=(f"{maria.name}.*",))

    def capture(done: Callable[[JournalWriter, int], bool]) -> int:
        stop, stored = Stop(), 0

        def after(name: str) -> None:
            nonlocal stored
            if name == "capture.journaled":
                stored += 1
                if done(journal, stored):
                    stop.set()

        monkeypatch.setattr(module, "failpoint", after)
        with SqliteWriter(tmp_path / "journal") as journal:
            Capture(
                CaptureSettings("erp", (), tmp_path / "hints"),
                lambda: BinlogDatabase(settings, "erp"),
                journal,
                Reporter(tmp_path, "capture", "erp"),
                stop,
            ).run()
        return stored

    return capture


def test_a_stop_while_it_catches_up(run: Run, maria: Maria, tmp_path: Path) -> None:
    maria.execute("create table t (id int primary key)", "insert into t values (0)")

    def behind(_: JournalWriter, stored: int) -> bool:
        if stored == 1:  # the snapshot
            maria.execute(*TRANSACTION)
        return stored == 2

    assert run(behind) == 2
    with closing(SqliteReader(tmp_path / "journal", "test")) as reader:
        begun = reader.position
    assert run(lambda journal, _: journal.position != begun) > 2
    with closing(SqliteReader(tmp_path / "journal", "test")) as reader:
        entries: list[Entry] = []
        while more := reader.read(entries[-1].offset if entries else 0, bytes_max=1 << 24):
            entries += more
    assert sum(entry.changes.rows for entry in entries) == 2 + ROWS  # one clears the table
