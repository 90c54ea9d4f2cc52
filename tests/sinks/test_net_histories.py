"""The net effect of a batch is what applying its changes one by one would leave."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.schema import TableName
from sinks.batches import Segment, joined, segments
from sinks.netting import NeedsOrder, Net, net
from tests.sinks.histories import (
    Event,
    Key,
    State,
    changes_of,
    histories,
    key_of,
    merged,
    play,
)
from transforms.rows import RowChanges


def apply_nets(parts: Sequence[Segment], states: dict[TableName, State]) -> dict[TableName, State]:
    states = {name: {k: list(v) for k, v in state.items()} for name, state in states.items()}
    for part in parts:
        for name in part.cleared:
            states[name].clear()
        by_table: dict[TableName, list[RowChanges]] = {}
        for change in part.changes:
            by_table.setdefault(change.table.table, []).append(change)
        for name, changes in by_table.items():
            effect = net(joined(changes))
            assert counted(effect) == sum(change.rows for change in changes)
            apply_net(effect, states[name])
    return states


def counted(one: Net) -> int:
    deleted = len(one.deletes[0]) if one.deletes is not None else 0
    written = sum(rows.count for rows in (one.upserts, one.patches) if rows is not None)
    return written + deleted - one.implied + one.coalesced


def apply_net(one: Net, state: State) -> None:
    seen: set[Key] = set()
    if one.deletes is not None:
        for key in zip(*(column.to_pylist() for column in one.deletes), strict=True):
            assert key not in seen
            seen.add(key)
            state.pop(key, None)
    seen = set()
    for rows, patch in ((one.upserts, False), (one.patches, True)):
        if rows is None:
            continue
        columns = [column.to_pylist() for column in rows.columns]
        flags = {i: column.to_pylist() for i, column in rows.unsent.items()}
        for at in range(rows.count):
            row = [column[at] for column in columns]
            key = key_of(one.table, row)
            assert key not in seen, "a key twice in one net effect"
            seen.add(key)
            unsent = {i for i, column in flags.items() if column[at]}
            if patch and key not in state:
                continue
            state[key] = merged(row, state.get(key), unsent)


@given(histories(keep_keys_with_unsent=True), st.lists(st.integers(0, 14), max_size=3))
@settings(max_examples=400, deadline=None)
def test_net_effect_is_that_of_each_change_in_turn(
    history: tuple[dict[TableName, State], list[Event]], cut: list[int]
) -> None:
    states, events = history
    parts = list(segments(changes_of(events, cut)))
    assert apply_nets(parts, states) == play(events, states)


@given(histories(), st.lists(st.integers(0, 14), max_size=3))
@settings(max_examples=200, deadline=None)
def test_what_it_cannot_tell_it_does_not_guess(
    history: tuple[dict[TableName, State], list[Event]], cut: list[int]
) -> None:
    states, events = history
    parts = list(segments(changes_of(events, cut)))
    try:
        after = apply_nets(parts, states)
    except NeedsOrder:
        assert any(event.old_key and event.unsent for event in events)
    else:
        assert after == play(events, states)
