"""The exceptions desk with a target that takes nothing back: random poison, edits, replays and
kills, held against what the source says; and what of the journal such a target is given."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdc.changes import CREATE, TRUNCATE, UPDATE
from sinks.http.settings import HttpTarget
from sinks.http.sink import HttpSink
from tests.http_api import HttpApi
from tests.httprig import FAST
from tests.pipeline.desks import Change, Pipeline
from tests.pipeline.test_desk import World, live

_numbers = itertools.count(1)


class _Hub:
    """The API and the file of the checkpoint, asked as the tables of a database target are."""

    def __init__(self, api: HttpApi, file: Path) -> None:
        number = f"{next(_numbers):06}"
        self._api = api
        self._file = file
        self.root = f"/desk{number}/limited/"
        self.pipeline = f"desk_{number}"
        self.target = HttpTarget.model_validate(
            {
                "type": "http",
                "url": api.url + self.root.rstrip("/"),
                "reach": {"plain": "true", "private": ["127.0.0.1"]},
                "retries": FAST,
                "entities": {"hub.item": {"put": {"url": "/{id}"}, "delete": {"url": "/{id}"}}},
            }
        )

    def sink(self) -> HttpSink:
        return HttpSink(self.target, self.pipeline, self._file)

    def ask(self, sql: str) -> list[Any]:
        if "tailrace.exception" in sql:
            return self._receipts()
        if "hub.applied" in sql:
            revs = Counter(one["body"]["rev"] for one in self.applied if one["body"] is not None)
            return [(rev,) for rev, times in revs.items() if times > 1]
        return [
            (path.removeprefix(self.root), record["kind"], record["amount"], record["rev"])
            for path, record in self._api.state["records"].items()
            if path.startswith(self.root)
        ]

    @property
    def applied(self) -> list[dict[str, Any]]:
        return [one for one in self._api.state["applied"] if one["path"].startswith(self.root)]

    def _receipts(self) -> list[Any]:
        with closing(sqlite3.connect(self._file)) as file:
            return file.execute("SELECT id FROM receipt").fetchall()


class _World(World):
    """Without TRUNCATEs, which no API has."""

    def change(self, poison: float) -> Change:
        before = set(self.source)
        change = super().change(poison)
        if change.op != TRUNCATE:
            return change
        self.source = before
        return self.change(poison)


@pytest.fixture
def hub(api: HttpApi, tmp_path: Path) -> _Hub:
    return _Hub(api, tmp_path / "line.db")


@pytest.fixture
def pipeline(hub: _Hub, tmp_path: Path) -> Pipeline:
    made = Pipeline(tmp_path, hub.sink)
    made.ask = hub.ask
    return made


@pytest.mark.parametrize("seed", range(2))
def test_random_lives(seed: int, pipeline: Pipeline) -> None:
    live(_World(pipeline, seed), rounds=8)


def test_nothing_is_sent_of_a_transaction_that_may_be_cut_off(
    pipeline: Pipeline, hub: _Hub
) -> None:
    """What the journal has of one still open may be captured again, in other entries."""
    pipeline.journal.append([Change(CREATE, "1", "A", 1, 1)])
    pipeline.journal.append([Change(UPDATE, "1", "B", 1, 2)])
    entries = pipeline.journal.entries
    entries[1] = replace(entries[1], changes=replace(entries[1].changes, complete=False))
    pipeline.deliver()
    assert [one["body"]["rev"] for one in hub.applied] == [1]
    pipeline.journal.append([Change(UPDATE, "1", "A", 1, 3)])
    entries[2] = replace(entries[2], changes=replace(entries[2].changes, part=1))
    pipeline.deliver()
    assert [one["body"]["rev"] for one in hub.applied] == [1, 2, 3]
