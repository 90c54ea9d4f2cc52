"""Debezium's `before`, of what logs tell of rows before: all, nothing, or not every value."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pyarrow as pa

from cdc.changes import REPLACED, TRANSACTIONS, TableChanges
from cdc.schema import Column, TableName, TableSchema
from sinks.kafka.debezium import Debezium
from sinks.kafka.messages import messages
from sinks.kafka.source import Source
from transforms.model import Replicate
from transforms.router import Router
from transforms.rows import Logged

SCHEMA = TableSchema(
    TableName("shop", "item"),
    (
        Column("id", "integer", "integer", nullable=False),
        Column("name", "text", "text"),
        Column("qty", "integer", "integer", nullable=False),
    ),
    ("id",),
)
UNAVAILABLE = "__debezium_unavailable_value"
NEW, QTY = "new", 9

Said = list[tuple[int, str | None]] | None


def told(*given: tuple[str, int, int | None, Said]) -> list[Any]:
    """`before` of each message: of (operation, id, id before where the log has it, replaced)."""
    gone = [op == "d" for op, *_ in given]
    numbers = [None if dead else str(id) for dead, (_, id, *_) in zip(gone, given, strict=True)]
    changes = TableChanges(
        SCHEMA,
        pa.array([ord(op) for op, *_ in given], pa.uint8()),
        pa.array(range(len(given)), pa.int32()),
        (
            pa.array(numbers, pa.string()),
            pa.array([None if dead else NEW for dead in gone], pa.string()),
            pa.array([None if dead else str(QTY) for dead in gone], pa.string()),
        ),
        {},
        pa.array([int(old is not None) for _, _, old, _ in given], pa.uint8()),
        (pa.array([old and str(old) for _, _, old, _ in given], pa.string()), None, None),
        pa.array([said for *_, said in given], REPLACED),
    )
    transactions = pa.RecordBatch.from_pylist(
        [{"first_seq": 0, "position": "0-1-5", "commit_us": 5, "xid": 5, "origin": None}],
        schema=TRANSACTIONS,
    )
    (rows,) = Router([Replicate(tables=("shop.*",))], (), {}).route(changes, 0, transactions)
    style = Debezium(
        rows.table,
        "topic",
        Source("mariadb", "erp"),
        schemas=False,
        decimals="precise",
        tombstones=False,
        headers=(),
    )
    made = messages(replace(rows, logged=(Logged(changes, 0, transactions),)), style)
    values = [value for one in made for value in one.records.values.to_pylist()]
    return [json.loads(value)["before"] for value in values]


def row(id: int, name: str | None = NEW, qty: int | None = QTY) -> dict[str, Any]:
    return {"id": id, "name": name, "qty": qty}


def test_what_was_replaced() -> None:
    assert told(
        ("c", 1, None, None),
        ("u", 2, None, [(1, "old")]),
        ("u", 3, None, [(1, None), (2, "7")]),
        ("u", 4, None, []),
        ("d", 5, 5, [(1, "gone"), (2, "7")]),
        ("d", 6, 6, [(2, "7")]),
    ) == [None, row(2, "old"), row(3, None, 7), row(4), row(5, "gone", 7), row(6, None, 7)]


def test_a_key_that_moved() -> None:
    """A delete with the row before, and an insert."""
    assert told(("u", 2, 20, [(2, "7")]), ("u", 3, None, [(1, "x")])) == [
        row(20, NEW, 7),
        None,
        row(3, "x"),
    ]


def test_rows_of_which_nothing_or_not_all_is_told_beside_others() -> None:
    assert told(
        ("u", 1, None, None),
        ("u", 2, None, [(~1, None)]),
        ("u", 3, None, [(1, "x")]),
        ("d", 4, 4, None),
        ("d", 5, 5, [(~1, None), (2, "7")]),
    ) == [None, row(2, UNAVAILABLE), row(3, "x"), row(4, UNAVAILABLE, 0), row(5, UNAVAILABLE, 7)]


def test_of_a_key_the_rest_stands_for_nothing() -> None:
    assert told(("u", 1, None, None), ("d", 2, 2, None)) == [None, row(2, None, 0)]
    assert told(("u", 1, None, [(1, "x")]), ("d", 2, 2, None)) == [row(1, "x"), row(2, None, 0)]
