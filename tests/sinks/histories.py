"""Random histories of two tables, and a dictionary that goes through them row by row.

Histories are what a source can really log: a row that is changed is there, a key that is taken is
free. The target begins where the source began.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc.schema import TableName
from sinks.conformance import JOURNAL
from sinks.protocol import Checkpoint, Sink
from transforms.rows import (
    CLEAR,
    DELETE,
    PATCH,
    UPSERT,
    RowChanges,
    TargetColumn,
    TargetTable,
)

Key = tuple[str, ...]
Value = str | None
State = dict[Key, list[Value]]

ONE = TargetTable(
    TableName("s", "one"),
    tuple(TargetColumn(name, "text") for name in ("id", "a", "b")),
    ("id",),
)
TWO = TargetTable(  # a composite key whose columns stand in another order than in the table
    TableName("s", "two"),
    tuple(TargetColumn(name, "text") for name in ("k2", "a", "k1", "b")),
    ("k1", "k2"),
)
NAMES = {table.table: table for table in (ONE, TWO)}


@dataclass
class Event:
    table: TargetTable
    op: int
    row: list[Value]
    unsent: set[int] = field(default_factory=set)
    old_key: Key | None = None


def key_of(table: TargetTable, row: Sequence[Value]) -> Key:
    return tuple(str(row[i]) for i in table.key_indexes)


def play(events: Sequence[Event], states: dict[TableName, State]) -> dict[TableName, State]:
    """Row by row."""
    states = {name: {k: list(v) for k, v in state.items()} for name, state in states.items()}
    for event in events:
        state = states[event.table.table]
        key = key_of(event.table, event.row)
        if event.op == CLEAR:
            state.clear()
        elif event.op == DELETE:
            state.pop(key, None)
        elif event.op == PATCH:
            if key in state:
                state[key] = merged(event.row, state[key], event.unsent)
        else:
            before = state.pop(event.old_key or key, None)
            state[key] = merged(event.row, before, event.unsent)
    return states


def merged(row: Sequence[Value], before: Sequence[Value] | None, unsent: set[int]) -> list[Value]:
    if unsent:
        assert before is not None
    return [before[i] if before and i in unsent else value for i, value in enumerate(row)]


def changes_of(events: Sequence[Event], cut: Sequence[int]) -> list[RowChanges]:
    """Events as delivery hands them over: per table, in several pieces."""
    pieces: dict[tuple[int, TargetTable], list[tuple[int, Event]]] = {}
    for seq, event in enumerate(events):
        piece = sum(seq >= place for place in cut)
        pieces.setdefault((piece, event.table), []).append((seq, event))
    return [row_changes(table, rows) for (_, table), rows in pieces.items()]


class Target(ABC):
    """A sink that stays open, and ONE and TWO filled and read behind its back."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.sink.open(JOURNAL)
        self.sink.prepare([ONE, TWO])
        self._offset = 0

    @abstractmethod
    def fill(self, states: dict[TableName, State]) -> None:
        """Both hold this and nothing else."""

    @abstractmethod
    def states(self) -> dict[TableName, State]: ...

    def apply(self, events: Sequence[Event], cut: Sequence[int]) -> None:
        """Written and committed; the counts say what became of each event."""
        written = self.sink.write(changes_of(events, cut)).values()
        assert len(events) == sum(
            one.upserted + one.deleted + one.cleared + one.coalesced for one in written
        )
        self._offset += 1
        self.sink.commit(Checkpoint(JOURNAL, self._offset, ""))


def ends_where_the_source_ended(target: Target, histories_max: int) -> None:
    @settings(
        max_examples=histories_max,
        deadline=None,
        suppress_health_check=[HealthCheck.nested_given],
    )
    @given(histories(), st.lists(st.integers(0, 14), max_size=3))
    def ends_alike(history: tuple[dict[TableName, State], list[Event]], cut: list[int]) -> None:
        states, events = history
        target.fill(states)
        target.apply(events, cut)
        assert target.states() == play(events, states)

    ends_alike()


def row_changes(table: TargetTable, rows: Sequence[tuple[int, Event]]) -> RowChanges:
    width = len(table.columns)
    unsent = {}
    for i in range(width):
        flags = [i in event.unsent for _, event in rows]
        if any(flags):
            unsent[i] = pa.array(flags)
    values = tuple(
        pa.array(
            [None if i in event.unsent or event.op == CLEAR else event.row[i] for _, event in rows],
            pa.string(),
        )
        for i in range(width)
    )
    moved = any(event.old_key for _, event in rows)
    return RowChanges(
        table=table,
        op=pa.array([event.op for _, event in rows], pa.uint8()),
        seq=pa.array([seq for seq, _ in rows], pa.int64()),
        values=values,
        unsent=unsent,
        old_key=tuple(
            pa.array([event.old_key and event.old_key[i] for _, event in rows], pa.string())
            for i in range(len(table.key))
        )
        if moved
        else None,
        fresh=all(event.op == UPSERT and not event.old_key for _, event in rows) and not unsent,
    )


@st.composite
def histories(
    draw: st.DrawFn, *, keep_keys_with_unsent: bool = False
) -> tuple[dict[TableName, State], list[Event]]:
    parts = st.sampled_from(["1", "2", "3", ""])
    values = st.sampled_from([None, "", "x", "y", "\\N"])
    states: dict[TableName, State] = {name: {} for name in NAMES}
    for name, table in NAMES.items():
        for _ in range(draw(st.integers(0, 3))):
            row = new_row(draw, table, parts, values)
            states[name][key_of(table, row)] = row
    now = {name: {k: list(v) for k, v in state.items()} for name, state in states.items()}
    events: list[Event] = []
    for _ in range(draw(st.integers(0, 14))):
        table = draw(st.sampled_from([ONE, TWO]))
        state = now[table.table]
        event = draw_event(draw, table, state, parts, values, keep_keys_with_unsent)
        events.append(event)
        now = play([event], now)
    return states, events


def new_row(
    draw: st.DrawFn,
    table: TargetTable,
    parts: st.SearchStrategy[str],
    values: st.SearchStrategy[Value],
) -> list[Value]:
    return [draw(parts if column.name in table.key else values) for column in table.columns]


def draw_event(
    draw: st.DrawFn,
    table: TargetTable,
    state: State,
    parts: st.SearchStrategy[str],
    values: st.SearchStrategy[Value],
    keep_keys_with_unsent: bool,
) -> Event:
    kind = draw(st.sampled_from("iiuuuumddptp"))
    row = new_row(draw, table, parts, values)
    key = key_of(table, row)
    others = [i for i in range(len(row)) if i not in table.key_indexes]
    if kind == "t":
        return Event(table, CLEAR, [None] * len(row))
    if kind == "p":
        return Event(table, PATCH, row, set(draw(st.lists(st.sampled_from(others)))))
    if kind == "d" and draw(st.booleans()):
        return Event(table, DELETE, row)  # of a row that may not be there
    if kind == "i" or not state:
        return Event(table, UPSERT, row)
    before_key = draw(st.sampled_from(sorted(state)))
    if kind == "d":
        for i, part in zip(table.key_indexes, before_key, strict=True):
            row[i] = part
        return Event(table, DELETE, row)
    unsent = set(draw(st.lists(st.sampled_from(others), max_size=2)))
    for i in unsent:
        row[i] = state[before_key][i]
    if kind == "m" and key not in state:
        if keep_keys_with_unsent:
            unsent = set()
        return Event(table, UPSERT, row, unsent, before_key)
    for i, part in zip(table.key_indexes, before_key, strict=True):
        row[i] = part
    return Event(table, UPSERT, row, unsent)
