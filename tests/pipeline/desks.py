"""A pipeline in one process on a real target: a journal in memory, a desk on disk, kills."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa

import tailrace.failpoints
from cdc.changes import (
    CREATE,
    DELETE,
    OLD_KEY,
    OLD_NONE,
    TRANSACTIONS,
    TRUNCATE,
    UPDATE,
    ChangeSet,
    TableChanges,
)
from cdc.schema import Column, TableName, TableSchema
from sinks.protocol import Sink
from tailrace.journal.protocol import Entry, Extent
from tailrace.pipeline.deliver import Delivery, DeliverySettings
from tailrace.pipeline.desk import Desk
from tailrace.pipeline.stopping import Stop
from tailrace.state.exceptions.store import Store
from tailrace.state.processes import Reporter
from transforms.entity import Entity
from transforms.model import Mapping
from transforms.router import Router

FAILPOINTS = [name for name in tailrace.failpoints.NAMES if name.startswith("deliver.")]
JOURNAL = "journal-1"
SCHEMA = TableSchema(
    TableName("shop", "item"),
    (
        Column("id", "text", "text", nullable=False),
        Column("kind", "text", "text"),
        Column("amount", "integer", "integer"),
        Column("rev", "integer", "integer"),
    ),
    ("id",),
)
KINDS = {"A": "alpha", "B": "beta"}
TARGET = TableName("hub", "item")
LIMIT = 1000
"""The target takes no larger amount; no mapping takes a kind that is none of KINDS."""

ENTITY = Entity.model_validate(
    {
        "entity": "item",
        "key": ["id"],
        "fields": {
            "id": {"type": "text", "required": "true"},
            "kind": {"type": "text"},
            "amount": {"type": "integer"},
            "rev": {"type": "integer"},
        },
    }
)
MAPPING = Mapping.model_validate(
    {
        "mapping": "item",
        "entity": "item",
        "table": "shop.item",
        "into": "hub.item",
        "key": {"id": "id"},
        "fields": {
            "kind": {"from": "kind", "values": KINDS},
            "amount": "amount",
            "rev": "rev",
        },
    }
)


@dataclass(frozen=True, slots=True)
class Change:
    """`op` as in a change set; `old` is the key before, where it moved."""

    op: int
    id: str
    kind: str | None = None
    amount: int | None = None
    rev: int | None = None
    old: str | None = None


def change_set(changes: Sequence[Change], position: str) -> ChangeSet:
    """One transaction."""
    gone = [one.op in (DELETE, TRUNCATE) for one in changes]
    old = [one.id if one.op == DELETE else one.old for one in changes]
    text = [None if out else one.id for one, out in zip(changes, gone, strict=True)]
    new = (
        pa.array(text, pa.string()),
        pa.array([one.kind for one in changes], pa.string()),
        *(
            pa.array([None if value is None else str(value) for value in values], pa.string())
            for values in ([one.amount for one in changes], [one.rev for one in changes])
        ),
    )
    table = TableChanges(
        SCHEMA,
        pa.array([one.op for one in changes], pa.uint8()),
        pa.array(range(len(changes)), pa.int32()),
        new,
        old_kind=pa.array([OLD_NONE if key is None else OLD_KEY for key in old], pa.uint8()),
        old=(pa.array(old, pa.string()), None, None, None),
    )
    transactions = pa.RecordBatch.from_pylist(
        [{"first_seq": 0, "position": position, "commit_us": 1, "xid": 1, "origin": None}],
        schema=TRANSACTIONS,
    )
    return ChangeSet((table,), transactions, position)


@dataclass
class MemoryJournal:
    id: str = JOURNAL
    position: str | None = None
    entries: list[Entry] = field(default_factory=list)

    def append(self, changes: Sequence[Change]) -> int:
        offset = len(self.entries) + 1
        self.entries.append(Entry(offset, change_set(changes, f"0/{offset}"), 0, 1))
        return offset

    def get(self, key: str) -> str | None:
        return "done"

    def facts(self) -> dict[str, str]:
        return {}

    def read(self, after: int, *, bytes_max: int) -> Sequence[Entry]:
        return self.entries[after:]

    def wait(self, timeout_s: float) -> bool:
        return True

    def extent(self) -> Extent:
        return Extent(1, len(self.entries), 0, 0)

    def close(self) -> None: ...


class Killed(BaseException):
    """What stands for SIGKILL: nothing of ours catches it, and the connection breaks."""


def died(failpoint: str, nth: int, run: Callable[[], None]) -> bool:
    """True where `run` came to that place for the `nth` time, and died there."""

    def die(pid: int, signal: int) -> None:
        raise Killed

    armed = tailrace.failpoints._armed
    armed[failpoint] = nth
    try:
        with patch.object(os, "kill", die):
            run()
    except Killed:
        return True
    finally:
        armed.clear()
    return False


class Pipeline:
    """`deliver` is one process from its start to its end, or to its death."""

    def __init__(self, directory: Path, sink: Any) -> None:
        self.journal = MemoryJournal()
        self.ask: Callable[[str], list[Any]] = lambda sql: []
        self.reporter: Reporter | None = None
        self._directory = directory
        self._sink = sink

    def store(self) -> Store:
        return Store(self._directory / "exceptions" / "line.db", JOURNAL)

    def deliver(self, connect: Callable[[], Sink] | None = None, stop: Stop | None = None) -> None:
        """Everything the journal has and the desk was asked for, or until told to `stop`.

        `connect`: to another target. Errors: Killed; ours.
        """
        sink: Sink = self._sink()
        self.reporter = Reporter(self._directory / "run", "deliver", "line")
        try:
            with (
                closing(Router((), [MAPPING], {"item": ENTITY})) as router,
                closing(Desk(self.store())) as desk,
            ):
                Delivery(
                    DeliverySettings("line", self._directory / "hints", mapping_version="v1"),
                    self.journal,
                    router,
                    desk,
                    connect or (lambda: sink),
                    self.reporter,
                    Stop() if stop is None else stop,
                    once=stop is None,
                ).run()
        finally:
            sink.close()

    def deliver_or_die(self, failpoint: str, nth: int) -> bool:
        """True where it died at that place."""
        return died(failpoint, nth, self.deliver)


OPS = {"c": CREATE, "u": UPDATE, "d": DELETE, "t": TRUNCATE}
