"""The `transaction` block of Debezium's envelope, whatever parts changes are written in."""

from __future__ import annotations

import itertools
from collections import Counter as Count
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.changes import TRANSACTIONS, TableChanges
from cdc.schema import TableName
from sinks.batches import taken_rows
from sinks.kafka import sink as module
from sinks.kafka.ordering import Counter
from sinks.kafka.source import Source, transaction_name
from sinks.protocol import Checkpoint
from tests.localkafka import LocalKafka
from tests.sinks.test_kafka_sink import JOURNAL, SCHEMA, Bus, Change, changes, put
from transforms.model import Replicate
from transforms.router import Router
from transforms.rows import Logged, RowChanges

MOVED: Change = ("u", ("2", "a", "1.00"), "1")


@dataclass(frozen=True)
class Event:
    """Of a table of two, in a transaction; `moves` its key. `seq` is its place in its entry."""

    transaction: int
    table: int
    moves: bool


def entry(events: Sequence[Event], base: int) -> list[RowChanges]:
    """A journal entry's changes, as the pipeline routes them."""
    numbers = [one.transaction for one in events]
    firsts = [at for at, one in enumerate(numbers) if at == 0 or numbers[at - 1] != one]
    transactions = pa.RecordBatch.from_pylist(
        [
            {
                "first_seq": at,
                "position": f"0/{numbers[at]:X}",
                "commit_us": 0,
                "xid": numbers[at],
                "origin": None,
            }
            for at in firsts
        ],
        schema=TRANSACTIONS,
    )
    router = Router([Replicate(tables=("shop.*",))], (), {})
    found = []
    for table in (0, 1):
        at = [seq for seq, one in enumerate(events) if one.table == table]
        if not at:
            continue
        keys = pa.array([str(seq + 1000) for seq in at], pa.string())
        made = TableChanges(
            replace(SCHEMA, table=TableName("shop", f"t{table}")),
            pa.array([ord("u")] * len(at), pa.uint8()),
            pa.array(at, pa.int32()),
            (keys, keys, pa.array(["1"] * len(at))),
            {},
            pa.array([1] * len(at), pa.uint8()),
            (
                pa.array([str(seq if events[seq].moves else seq + 1000) for seq in at]),
                None,
                None,
            ),
        )
        logged = (Logged(made, base, transactions),)
        routed = router.route(made, base, transactions)
        found += [replace(each, logged=logged) for each in routed]
    return found


_events = st.lists(
    st.tuples(st.integers(1, 7), st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1)),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one[0],
)


@settings(max_examples=60, deadline=None)
@given(_events, st.data())
def test_numbers_are_those_of_counting_one_by_one(
    made: list[tuple[int, list[tuple[int, bool]]]], data: st.DataObject
) -> None:
    """However transactions are cut into entries, and entries into writes."""
    events = [Event(name, *one) for name, inside in made for one in inside]
    counter = Counter(lambda position, xid: f"{xid}:{position}")
    found: list[tuple[str, int, int]] = []
    at = 0
    while at < len(events):
        count = data.draw(st.integers(1, len(events) - at))
        routed = entry(events[at : at + count], 0)
        for first, last in _cuts(count, data):
            parts = [_between(change, first, last) for change in routed]
            parts = [part for part in parts if part.rows]
            numbered: dict[int, tuple[str, int, int]] = {}
            for part, orders in zip(parts, counter.number(parts), strict=True):
                assert orders is not None
                for row, seq in enumerate(part.seq.to_pylist()):
                    name = orders.names[orders.name[row]]
                    numbered[seq] = (name, int(orders.total[row]), int(orders.in_table[row]))
            found += [numbered[seq] for seq in sorted(numbered)]
        at += count
    assert found == list(_counted(events))


def _cuts(count: int, data: st.DataObject) -> Iterator[tuple[int, int]]:
    inner = data.draw(st.sets(st.integers(1, count))) if count > 1 else set()
    ends = sorted({0, count} | inner)
    yield from itertools.pairwise(ends)


def _between(change: RowChanges, first: int, last: int) -> RowChanges:
    seq = change.seq.to_numpy()
    return taken_rows(change, np.flatnonzero((seq >= first) & (seq < last)))


def _counted(events: Sequence[Event]) -> Iterator[tuple[str, int, int]]:
    total: Count[int] = Count()
    in_table: Count[tuple[int, int]] = Count()
    for one in events:
        name, table = one.transaction, (one.transaction, one.table)
        yield f"{name}:0/{name:X}", total[name] + 1, in_table[table] + 1
        total[name] += 1 + one.moves
        in_table[table] += 1 + one.moves


@pytest.fixture
def bus(kafka: LocalKafka) -> Iterator[Bus]:
    with closing(Bus(kafka)) as found:
        yield found


def blocks(bus: Bus) -> list[Any]:
    return [value and value["transaction"] for _, value, _ in bus.messages()]


def block(order: int) -> dict[str, Any]:
    return {"id": "9:22441080", "total_order": order, "data_collection_order": order}


@pytest.mark.parametrize("held", [module.HELD_BYTES, 0], ids=["held", "encoded twice"])
def test_each_event_says_which_it_is(bus: Bus, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", held)
    monkeypatch.setattr(module, "PIECE_ROWS", 2)
    sink = bus.opened(transactions=True)
    sink.write(changes(put("0", "given up")))
    sink.rollback()
    sink.write(changes(put("1", "a"), MOVED, ("d", ("2", None, None), None)))
    sink.write(changes(put("3", "a"), base=10))  # the same transaction goes on
    sink.commit(Checkpoint(JOURNAL, 1, "0/1"))
    sink.write(changes(put("4", "a", letter="r"), base=20))
    [replayed] = changes(put("5", "a"), base=30)
    logged = tuple(replace(one, replayed=True) for one in replayed.logged)
    sink.write([replace(replayed, logged=logged)])
    sink.commit(Checkpoint(JOURNAL, 2, "0/1"))
    assert blocks(bus) == [
        *(block(1), block(2), None, block(3), block(4), None, block(5)),
        *(None, None),
    ]


def test_names_of_transactions() -> None:
    postgres, mysql = Source("postgresql", "erp", "acme"), Source("mysql", "shop")
    assert transaction_name(postgres, "0/1566C78", 9) == "9:22441080"
    assert transaction_name(postgres, "0/1566C78", None) is None
    gtid = "b6aba1fb-e9bb-11f1-ba21-02fc00000001:137"
    assert transaction_name(mysql, gtid, None) == gtid
    assert transaction_name(mysql, "0-1-55", None) == "0-1-55"
    assert transaction_name(mysql, "binlog.000002:51760", None) is None
