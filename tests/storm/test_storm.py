"""A small storm; `make storm` is the large one."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Database
from tests.storm.harness import storm


def test_each_change_is_applied_once_and_in_order(database18: Database, tmp_path: Path) -> None:
    outcome = storm(
        database18.server, database18.name, tmp_path / "project", changes=500, kills=3, seed=7
    )
    print(outcome.line())
    assert outcome.clean, outcome
    assert outcome.faults > 150
    assert outcome.changes >= 500
    assert outcome.repeated > 50  # answers were lost of what was done, and it was asked again
