"""The net effect against a model that applies one change after another to a dictionary."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.batches import joined, segments
from sinks.conformance import NOT_SENT, PAIR, TABLE, changes, clear, delete, upsert
from sinks.netting import NeedsOrder, _ascends, net
from transforms.rows import DELETE, PATCH, UPSERT, RowChanges

State = dict[str, tuple[str | None, str | None]]


class Impossible(Exception):
    """No source could have made this change of this state."""


def model(state: State, change: tuple) -> None:
    """What one change does to a table of (id, code, amount)."""
    op, (key, *values), *old = change
    if op == DELETE:
        state.pop(key, None)
        return
    before = state.get(key)
    if old:
        before = state.get(old[0][0])
        if before is None or key in state:
            raise Impossible
        del state[old[0][0]]
    if op == PATCH and before is None:
        return
    if NOT_SENT in values and before is None:
        raise Impossible
    state[key] = tuple(before[i] if value == NOT_SENT else value for i, value in enumerate(values))


keys = st.sampled_from("abcd")
texts = st.none() | st.sampled_from("xyz")
sometimes_sent = texts | st.just(NOT_SENT)
one_change = (
    st.tuples(st.just(UPSERT), st.tuples(keys, texts, texts))
    | st.tuples(st.just(UPSERT), st.tuples(keys, sometimes_sent, sometimes_sent))
    | st.tuples(st.just(PATCH), st.tuples(keys, sometimes_sent, texts))
    | st.tuples(st.just(DELETE), st.tuples(keys, st.none(), st.none()))
    | st.tuples(st.just(UPSERT), st.tuples(keys, sometimes_sent, texts), st.tuples(keys)).filter(
        lambda change: change[1][0] != change[2][0]
    )
)


def applied(state: State, change: RowChanges) -> State:
    """The net effect, applied to a state as a sink does: deletes, then upserts and patches."""
    effect = net(change)
    result = dict(state)
    for key in effect.deletes[0].to_pylist() if effect.deletes else []:
        result.pop(key, None)
    for rows, must_exist in ((effect.upserts, True), (effect.patches, False)):
        if rows is None:
            continue
        flags = {i: mask.to_pylist() for i, mask in rows.unsent.items()}
        for at, (key, *values) in enumerate(
            zip(*map(pa.Array.to_pylist, rows.columns), strict=True)
        ):
            missing = {i for i, mask in flags.items() if mask[at]}
            if key not in result and not must_exist:
                continue
            assert key in result or not missing
            result[key] = tuple(
                result[key][i] if i + 1 in missing else value for i, value in enumerate(values)
            )
    counted = (effect.upserts.count if effect.upserts else 0) + (
        effect.patches.count if effect.patches else 0
    )
    assert counted + effect.coalesced <= change.rows
    return result


@settings(max_examples=1500, deadline=None)
@given(
    st.dictionaries(keys, st.tuples(texts, texts)),
    st.lists(one_change, min_size=1, max_size=12),
)
def test_the_net_effect_is_what_one_by_one_gives(state: State, given_changes: list) -> None:
    expected = dict(state)
    possible = []
    for change in given_changes:
        try:
            model(expected, change)
        except Impossible:
            continue
        possible.append(change)
    if not possible:
        return
    made = changes(TABLE, *possible)
    try:
        assert applied(state, made) == expected
    except NeedsOrder:
        assert any(len(change) == 3 and NOT_SENT in change[1] for change in possible)


def test_a_composite_key_is_compared_as_a_whole() -> None:
    made = changes(PAIR, upsert("1", "23", "p"), upsert("12", "3", "q"), upsert("1", "23", "r"))
    effect = net(made)
    assert effect.upserts is not None
    assert effect.upserts.columns[2].to_pylist() == ["q", "r"]
    assert effect.coalesced == 1


def test_clears_cut_a_batch_into_segments() -> None:
    given_changes = [
        changes(TABLE, upsert("1", "a", "1"), clear(), clear(), upsert("2", "b", "1"), first=0),
        changes(PAIR, clear(), upsert("2", "y", "n"), first=10),
    ]
    found = [
        ([str(table) for table in segment.cleared], [c.seq.to_pylist() for c in segment.changes])
        for segment in segments(given_changes)
    ]
    assert found == [
        ([], [[0]]),
        (["shop.item", "shop.item"], [[3]]),
        (["shop.pair"], [[11]]),
    ]


def test_clears_that_touch_become_one_statement() -> None:
    given_changes = [changes(TABLE, clear(), first=5), changes(PAIR, clear(), first=6)]
    found = list(segments(given_changes))
    assert [[table.name for table in segment.cleared] for segment in found] == [["item", "pair"]]
    assert found[0].changes == ()


def test_changes_of_one_table_are_joined_in_order() -> None:
    late = changes(TABLE, upsert("1", "late", "1"), delete("2", None, None), first=10)
    early = changes(TABLE, upsert("1", NOT_SENT, "1"), first=3)
    together = joined([late, early])
    assert together.seq.to_pylist() == [3, 10, 11]
    assert together.unsent[1].to_pylist() == [True, False, False]


@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_fresh_rows_of_distinct_keys_stay_fresh(rows: int) -> None:
    made = changes(TABLE, *[upsert(str(n), "x", "1") for n in range(rows)], fresh=True)
    assert net(made).fresh
    again = joined([made, changes(TABLE, upsert("0", "x", "1"), first=rows, fresh=True)])
    assert not net(again).fresh


@given(st.lists(st.text("019", max_size=3), max_size=8), st.booleans())
def test_keys_that_ascend_are_different(keys: list[str], is_sorted: bool) -> None:
    if is_sorted:
        keys = sorted(keys, key=lambda key: (len(key), key))
    found = _ascends((pa.array(keys, pa.string()),))
    assert found == all((len(a), a) < (len(b), b) for a, b in pairwise(keys))
    assert not found or len(set(keys)) == len(keys)


def test_keys_of_several_columns_or_without_value_are_counted() -> None:
    one = pa.array(["1", "2"])
    assert not _ascends((one, one))
    assert not _ascends((pa.array(["1", None]),))
    assert not _ascends((pa.array([1, 2]),))
