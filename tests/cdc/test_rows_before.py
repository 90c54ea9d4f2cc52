"""The row before a change, from whatever an image holds of it: what was NULL, and what not sent."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.arrays import table_changes
from cdc.before import rows_before, spelt_out
from cdc.changes import OLD_NONE, OLD_ROW, TRANSACTIONS, ChangeSet, TableChanges
from cdc.mysql.layout import rows as decoder
from cdc.schema import Column, TableName, TableSchema
from tailrace.journal.codec import decode, encode
from tailrace.state.exceptions.codec import pack, unpack

NOT_SENT = object()
WIDTH = 11
"""Columns, in three bytes of bits with those of a wider table beside them."""
KEY = (0, 3)
OTHERS = [at for at in range(WIDTH) if at not in KEY]
SCHEMA = TableSchema(
    TableName("shop", "item"),
    tuple(Column(f"c{at}", "text", "text", at not in KEY) for at in range(WIDTH)),
    tuple(f"c{at}" for at in KEY),
)

Row = tuple[str | None, ...]


@dataclass(frozen=True)
class Event:
    """Of one rows event: which columns its images hold, and its rows before and after."""

    op: str
    before: frozenset[int]
    after: frozenset[int]
    rows: tuple[tuple[Row, Row], ...]


def image(row: Row, present: frozenset[int]) -> bytes:
    held = sorted(present)
    nulls = sum(1 << bit for bit, at in enumerate(held) if row[at] is None)
    values = [text.encode() for at in held if (text := row[at]) is not None]
    return nulls.to_bytes((len(held) + 7) // 8, "little") + b"".join(
        bytes([len(value)]) + value for value in values
    )


def bits(present: frozenset[int]) -> bytes:
    return sum(1 << at for at in present).to_bytes((WIDTH + 7) // 8, "little")


def decoded(events: list[Event]) -> TableChanges:
    def numbers(one: int) -> bytearray:
        return bytearray(array("i", [one] * WIDTH).tobytes())

    table = decoder.RowTable(
        SCHEMA, WIDTH, KEY, numbers(decoder.TEXT), numbers(1), numbers(0), [None] * WIDTH
    )
    seq = 0
    for event in events:
        body = b"".join(
            (image(before, event.before) if event.op != "c" else b"")
            + (image(after, event.after) if event.op != "d" else b"")
            for before, after in event.rows
        )
        has = bits(event.before) if event.op != "c" else b""
        gets = bits(event.after) if event.op != "d" else b""
        seq += table.read(bytearray(body), 0, len(body), ord(event.op), seq, has, gets)
    return table_changes(*table.take())


@st.composite
def events(draw: st.DrawFn) -> Event:
    op = draw(st.sampled_from("ccuuuudd"))
    some = st.sets(st.sampled_from(OTHERS))
    before = frozenset(draw(st.just(set(OTHERS)) | some) | set(KEY))
    after = frozenset(draw(st.just(set(OTHERS)) | some) | draw(st.sampled_from([set(), {0, 3}])))
    if op == "c":
        after = frozenset(range(WIDTH))
    value = st.none() | st.sampled_from(["", "a", "ä" * 40, "0"])
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.lists(value, min_size=WIDTH, max_size=WIDTH))
        other = [draw(value) if draw(st.booleans()) else one for one in row]
        for at in KEY:
            row[at] = row[at] or "k"
            other[at] = (other[at] or "k") if at in after else row[at]
        for at in OTHERS:  # what only the image before holds did not change
            if at not in after and at in before:
                other[at] = row[at]
        rows.append((tuple(row), tuple(other)))
    return Event(op, before, after, tuple(rows))


def expected(drawn: list[Event]) -> list[Any]:
    """Per change its row before, or None where the log tells nothing, or the key only."""
    found: list[Any] = []
    for event in drawn:
        for before, _ in event.rows:
            tells = event.op != "c" and event.before > set(KEY)
            row = [one if at in event.before else NOT_SENT for at, one in enumerate(before)]
            found.append(row if tells else None)
    return found


def told(changes: TableChanges) -> list[Any]:
    before = rows_before(changes)
    if before is None:
        return [None] * changes.rows
    columns = [column.to_pylist() for column in before.values]
    for at, flags in before.unsent.items():
        columns[at] = [
            NOT_SENT if lacks else one for lacks, one in zip(flags, columns[at], strict=True)
        ]
    rows = map(list, zip(*columns, strict=True))
    return [row if known else None for row, known in zip(rows, before.known, strict=True)]


def stored(changes: TableChanges) -> TableChanges:
    transactions = pa.RecordBatch.from_pylist([], schema=TRANSACTIONS)
    payload = encode(ChangeSet((changes,), transactions, "0-1-1"))
    return decode(payload.joined(), lambda _: SCHEMA, payload.checksum).tables[0]


def parked(changes: TableChanges) -> TableChanges:
    return unpack(pack(changes, range(changes.rows)), SCHEMA)


@settings(max_examples=80, deadline=None)
@given(st.lists(events(), min_size=1, max_size=8), st.data())
def test_the_row_before_is_what_the_image_held(drawn: list[Event], data: st.DataObject) -> None:
    changes, rows = decoded(drawn), expected(drawn)
    assert told(changes) == rows
    keep = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    first = data.draw(st.integers(0, len(rows)))
    ways: list[Callable[[TableChanges], TableChanges]] = [stored, parked]
    for way in ways:
        whole = way(changes)
        assert told(whole) == rows
        part = whole.picked(lambda array: array.slice(first))
        assert told(part) == rows[first:]
        assert told(stored(part)) == rows[first:]
        some = whole.picked(lambda array: array.filter(pa.array(keep)))
        assert told(some) == [row for row, kept in zip(rows, keep, strict=True) if kept]
    index = np.array(data.draw(st.lists(st.sampled_from(range(len(rows))))), np.int64)
    before = rows_before(changes)
    if before is not None:
        assert [bool(one) for one in before.picked(index).known] == [
            rows[at] is not None for at in index
        ]


@settings(max_examples=50, deadline=None)
@given(st.lists(events(), min_size=1, max_size=3), st.data())
def test_spelt_out_it_does_not_hang_on_the_row_after(
    drawn: list[Event], data: st.DataObject
) -> None:
    changes, rows = decoded(drawn), expected(drawn)
    at = data.draw(st.sampled_from(range(len(rows))))
    one = spelt_out(changes.picked(lambda array: array.slice(at, 1)))
    assert told(replace(one, new=(pa.array(["edited"]),) * WIDTH, unsent={})) == [rows[at]]


def test_a_log_that_tells_rows_whole() -> None:
    """As PostgreSQL's, beside changes of which nothing is told."""
    text = pa.array(["1", "2", "3"])
    old = pa.array([None, "two", None], pa.string())
    changes = TableChanges(
        TableSchema(TableName("s", "t"), (SCHEMA.columns[0], SCHEMA.columns[1]), ("c0",), "full"),
        pa.array(list(b"cud"), pa.uint8()),
        pa.array(range(3), pa.int32()),
        (text, text),
        {1: pa.array([False, True, False])},
        pa.array([OLD_NONE, OLD_ROW, OLD_ROW], pa.uint8()),
        (pa.array([None, "2", "3"]), old),
    )
    assert told(changes) == [None, ["2", "two"], ["3", None]]
    assert spelt_out(changes) is changes


def test_what_did_not_change_costs_nothing() -> None:
    row = tuple("k" if at in KEY else "a" * 200 for at in range(WIDTH))
    other = (*row[:-1], "b")
    everything = frozenset(range(WIDTH))
    changes = decoded([Event("u", everything, everything, ((row, other),) * 100)])
    assert changes.replaced is not None
    assert changes.old is None
    assert len(changes.replaced.values) == 100
