"""A sink on a real API in another process, for tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc.schema import TableName
from sinks.conformance import Change, changes
from sinks.http.settings import HttpTarget
from sinks.http.sink import HttpSink
from sinks.protocol import NO_RECEIPTS, Checkpoint, Receipts
from sinks.protocol import Line as Planned
from tests.http_api import HttpApi
from tests.line import Line
from transforms.rows import Before, Places, RowChanges, TargetColumn, TargetTable

_numbers = itertools.count(1)

ITEM = TargetTable(
    TableName("public", "item"),
    (
        TargetColumn("id", "integer", nullable=False),
        TargetColumn("code", "text"),
        TargetColumn("amount", "numeric(12,2)"),
    ),
    ("id",),
)
PUT = {"put": {"url": "/items/{id}"}, "delete": {"url": "/items/{id}"}}
FAST = {"wait_first_s": "0.01", "wait_longest_s": "0.02"}


class Origins:
    """All of one journal entry."""

    def __init__(self, entry: int) -> None:
        self._entry = entry

    def of(self, seq: npt.NDArray[np.int64]) -> Places:
        nothing = np.zeros(len(seq), np.int64)
        return Places(nothing + self._entry, seq, ["0/1"] * len(seq), nothing)


def rows(*given: Change, table: TargetTable = ITEM, entry: int = 1, **more: Any) -> RowChanges:
    return replace(changes(table, *given), origins=Origins(entry), **more)


def before(table: TargetTable, *given: Sequence[str | None] | None) -> Before:
    """The rows before, None where the log is silent."""
    width = len(table.columns)
    texts = [(None,) * width if row is None else tuple(row) for row in given]
    return Before(
        pa.array([row is not None for row in given]),
        {at: pa.array([row[at] for row in texts], pa.string()) for at in range(width)},
    )


def planned(*tables: TargetTable, checkpoint: Path = Path("/nowhere")) -> Planned:
    """What `check` knows of a pipeline."""
    return Planned("line", "erp", tables, checkpoint)


class Rig:
    """A target with one entity below a path of its own at the API, and its sink."""

    def __init__(self, api: HttpApi, directory: Path, entity: dict[str, Any], **more: Any) -> None:
        self.api = api
        number = next(_numbers)
        self.root = f"/t{number:06}"
        self.pipeline = f"line_{number}"
        self.directory = directory
        self.target = HttpTarget.model_validate(
            {
                "type": "http",
                "url": api.url + self.root,
                "reach": {"plain": "true", "private": ["127.0.0.1"]},
                "retries": FAST,
                "entities": {"item": entity},
                **more,
            }
        )
        self.table = ITEM
        self.sink = self.another()
        self._offset = 0

    def another(self, file: str = "line") -> HttpSink:
        return HttpSink(self.target, self.pipeline, self.checkpoint(file))

    def checkpoint(self, file: str = "line") -> Path:
        return self.directory / f"{file}_{self.root[1:]}.db"

    def write(self, *given: Change, entry: int = 1, **more: Any) -> Any:
        return self.sink.write([rows(*given, table=self.table, entry=entry, **more)])

    def apply(self, *given: Change, entry: int = 1, **more: Any) -> Any:
        counts = self.write(*given, entry=entry, **more)
        self.commit(entry)
        return counts

    def commit(self, offset: int, receipts: Receipts = NO_RECEIPTS) -> None:
        self.sink.commit(Checkpoint("journal", offset, f"0/{offset}"), receipts)

    def fault(self, kind: str, path: str = "", **more: Any) -> None:
        self.api.fault(kind, path=self.root + path, **more)

    @property
    def records(self) -> dict[str, Any]:
        """By path below ours."""
        return {
            path.removeprefix(self.root): record
            for path, record in self.api.state["records"].items()
            if path.startswith(self.root + "/")
        }

    @property
    def applied(self) -> list[tuple[str, str]]:
        """(method, path) of what took effect."""
        return [
            (one["method"], one["path"].removeprefix(self.root))
            for one in self.api.state["applied"]
            if one["path"].startswith(self.root + "/")
        ]

    @property
    def seen(self) -> list[dict[str, Any]]:
        return [one for one in self.api.state["seen"] if one["path"].startswith(self.root + "/")]


def point_to(line: Line, api: HttpApi, settings: str) -> None:
    """Make the project's target this API. `settings`: lines of YAML, indented by four."""
    file = line.directory / "tailrace.yml"
    target = (
        f"  hub:\n    type: http\n    url: {api.url}\n"
        "    reach: {plain: true, private: [127.0.0.1]}\n" + settings
    )
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(target if one.startswith("  hub:") else one for one in lines))
