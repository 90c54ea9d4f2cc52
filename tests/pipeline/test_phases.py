"""Parents that go before what refers to them: the rows end as in the source's order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.schema import TableName
from tailrace.pipeline.isolate import between, seqs_of
from tailrace.pipeline.phases import phases, pieces, postponed, taken
from transforms.references import Reference
from transforms.rows import CLEAR, DELETE, UPSERT, RowChanges, TargetColumn, TargetTable

COLUMNS = (TargetColumn("id", "text", nullable=False), TargetColumn("of", "text"))
PARENT = TargetTable(TableName("t", "parent"), COLUMNS, ("id",))
OTHER_PARENT = TargetTable(TableName("t", "other"), COLUMNS, ("id",))
PLAIN = TargetTable(TableName("t", "plain"), COLUMNS, ("id",))
REFS = tuple(
    (1, Reference("m", "of", "e", table.table, "id", "text", source="erp"))
    for table in (PARENT, OTHER_PARENT)
)
CHILD = TargetTable(TableName("t", "child"), COLUMNS, ("id",), refs=REFS)


@dataclass(frozen=True)
class Op:
    op: int
    key: str
    old: str | None = None


KEYS = st.sampled_from("abc")
OPS = st.one_of(
    st.builds(Op, st.sampled_from([UPSERT, UPSERT, DELETE]), KEYS),
    st.builds(Op, st.just(UPSERT), KEYS, KEYS),
    st.builds(Op, st.just(CLEAR), st.just("")),
)
TABLES = (PARENT, OTHER_PARENT, PLAIN, CHILD)
CHANGES = st.dictionaries(st.sampled_from(TABLES), OPS, min_size=1, max_size=2)
"""What one source change becomes, by table."""
State = dict[TableName, dict[str, str]]


def row_changes(changes: Sequence[dict[TargetTable, Op]]) -> list[RowChanges]:
    found = []
    for table in TABLES:
        rows = [(seq, ops[table]) for seq, ops in enumerate(changes) if table in ops]
        if rows:
            texts = pa.array([op.key or None for _, op in rows], pa.string())
            of = ["abc"[seq % 3] if table is CHILD else str(seq) for seq, _ in rows]
            found.append(
                RowChanges(
                    table,
                    pa.array([op.op for _, op in rows], pa.uint8()),
                    pa.array([seq for seq, _ in rows], pa.int64()),
                    (texts, pa.array(of, pa.string())),
                    old_key=(pa.array([op.old for _, op in rows], pa.string()),),
                )
            )
    return found


def events(rows: Iterable[RowChanges]) -> list[tuple[int, TableName, Op, str]]:
    """In the source's order."""
    found = []
    for change in rows:
        assert change.old_key is not None
        columns = (change.seq, change.op, *change.values, change.old_key[0])
        for seq, op, key, of, old in zip(*(c.to_pylist() for c in columns), strict=True):
            found.append((seq, change.table.table, Op(op, key or "", old), of))
    return sorted(found, key=lambda one: (one[0], one[1]))


def apply(state: State, rows: Iterable[RowChanges]) -> None:
    for _, table, op, of in events(rows):
        held = state.setdefault(table, {})
        if op.op == CLEAR:
            held.clear()
        if op.op in (DELETE, UPSERT):
            held.pop(op.key if op.old is None else op.old, None)
        if op.op == UPSERT:
            held[op.key] = of


@settings(max_examples=400, deadline=None)
@given(st.lists(CHANGES, max_size=8), st.booleans(), st.sets(st.integers(0, 7)))
def test_the_rows_end_as_in_the_sources_order(
    changes: Sequence[dict[TargetTable, Op]], is_joined: bool, refused: set[int]
) -> None:
    """Also where some of the parents that go early are `refused` there and go in their place."""
    rows = row_changes(changes)
    if not is_joined:
        rows = [part for seq in range(len(changes)) for part in _only(rows, seq)]
    *early, rest = phases(rows) if rows else [[]]
    late: set[int] = set()
    for parents in early:
        for seq in sorted(refused & set(seqs_of(parents).tolist())):
            if seq not in late:
                late.update(postponed(parents, seq).tolist())
        early = [taken(parents, set(seqs_of(parents).tolist()) - late)]
    if late:
        rest = taken(rows, late | set(seqs_of(rest).tolist()))
    parts = [*early, *pieces(rest, late)]
    for part in parts[len(early) :]:
        assert not any(_refer(part, late)), "none stands in one piece with a parent that is late"
    assert sorted(e for part in parts for e in events(part)) == sorted(events(rows))
    seqs = [{seq for seq, *_ in events(part)} for part in parts]
    assert all(max(one) < min(next_) for one, next_ in pairwise(seqs[len(early) :]))
    assert len(set().union(*seqs)) == sum(map(len, seqs)), "a change is written at once"
    straight: State = {}
    apply(straight, rows)
    phased: State = {}
    for part in parts:
        apply(phased, part)
    assert phased == straight


def _refer(rows: Sequence[RowChanges], late: set[int]) -> Iterator[bool]:
    """Of each row that refers, whether its parent is put before it by a change of `late`."""
    put = [
        (seq, table, op.key)
        for seq, table, op, _ in events(rows)
        if op.op == UPSERT and seq in late and table in (PARENT.table, OTHER_PARENT.table)
    ]
    for seq, table, _, of in events(rows):
        if table == CHILD.table:
            yield any(before < seq and key == of for before, _, key in put)


def _only(rows: Sequence[RowChanges], seq: int) -> list[RowChanges]:
    return between(rows, seq, seq)


def test_parents_go_first_although_others_go() -> None:
    changes = [
        {CHILD: Op(UPSERT, "x")},
        {PARENT: Op(UPSERT, "a")},
        {PARENT: Op(DELETE, "b")},
        {PARENT: Op(UPSERT, "c"), PLAIN: Op(UPSERT, "c")},
    ]
    first, rest = phases(row_changes(changes))
    assert [seq for seq, *_ in events(first)] == [1]
    assert [seq for seq, *_ in events(rest)] == [0, 2, 3, 3]
