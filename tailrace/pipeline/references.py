"""Gives rows the keys of the entities they refer to; those whose parent is not there must wait.

routed rows ─▶ is the parent at the target, or among these rows? ─▶ its key
                                    └── no ──▶ desk, until the parent is written
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdc.schema import TableName
from sinks.protocol import FindsKeys
from sinks.rowtext import as_text
from tailrace.state.exceptions.model import Cause
from transforms.references import Reference
from transforms.rows import UPSERT, RowChanges, TargetTable


@dataclass(frozen=True, slots=True)
class Orphan:
    """The row `seq` refers to what is not there: `key` of the reference's table and column."""

    seq: int
    reference: Reference
    key: str

    @property
    def place(self) -> tuple[str, str]:
        return place(self.reference.table, self.reference.column), self.key

    @property
    def cause(self) -> Cause:
        one = self.reference
        return Cause(
            kind="reference",
            at=one.mapping,
            reason="missing",
            field=one.field,
            problem=f"the {one.entity} that it refers to has not come",
            fix="it is replayed by itself when that comes; if it never will, discard it",
        )


def refers(rows: Sequence[RowChanges]) -> bool:
    return any(change.table.refs for change in rows)


ASK_AGAIN_S = 30.0
"""Foreign keys come and go seldom. One that is not known yet refuses rows one by one; one that is
gone makes some wait until the next replay."""
Demands = Mapping[TargetTable, Sequence[tuple[int, Reference]]]
"""By table the columns, by position, that a foreign key of the target is on."""


def resolved(
    rows: Sequence[RowChanges], sink: FindsKeys, demands: Demands
) -> tuple[list[RowChanges], list[Orphan]]:
    """`rows` with the keys they refer to, and those that refer to what is not there.

    A parent that is among `rows` is there.
    """
    found: list[RowChanges] = []
    orphans: dict[int, Orphan] = {}
    for change in rows:
        for at, reference in (*change.table.refs, *demands.get(change.table, ())):
            values, lacking = _column(change, at, reference, rows, sink)
            change = replace(
                change,
                values=tuple(values if i == at else v for i, v in enumerate(change.values)),
            )
            for seq, key in lacking:
                orphans.setdefault(seq, Orphan(seq, reference, key))
        found.append(change)
    return found, sorted(orphans.values(), key=lambda one: one.seq)


def _column(
    change: RowChanges,
    at: int,
    reference: Reference,
    rows: Sequence[RowChanges],
    sink: FindsKeys,
) -> tuple[pa.Array, list[tuple[int, str]]]:
    values = as_text(change.values[at])
    asked = (change.op.to_numpy() == UPSERT) & values.is_valid().to_numpy(zero_copy_only=False)
    if at in change.unsent:
        asked &= ~change.unsent[at].to_numpy(zero_copy_only=False)
    places = np.flatnonzero(asked)
    keys = values.take(pa.array(places))
    distinct = keys.unique().to_pylist()
    known = sink.find(reference, distinct) if distinct else {}
    if not reference.source:
        known = {**_pending(rows, reference, distinct), **known}
    texts = values.to_pylist()
    lacking = []
    for place in places.tolist():
        key = texts[place]
        if key in known:
            texts[place] = known[key]
        else:
            lacking.append((int(change.seq[place].as_py()), key))
    if not reference.source:
        return change.values[at], lacking
    return pa.array(texts, pa.string()), lacking


class ForeignKeys:
    """What the target demands of its tables, asked now and then."""

    def __init__(self) -> None:
        self._known: dict[TableName, tuple[float, Sequence[Reference]]] = {}

    def demands(
        self, rows: Sequence[RowChanges], sink: FindsKeys, lacks: Callable[[str], bool]
    ) -> Demands:
        """Of `rows`, as far as it may be lacking: `lacks` says of which tables rows are held."""
        found: dict[TargetTable, list[tuple[int, Reference]]] = {}
        for table in {change.table for change in rows if change.table.composite is None}:
            names = [column.name for column in table.columns]
            for one in self._of(table.table, sink):
                if one.field in names and lacks(str(one.table)):
                    found.setdefault(table, []).append((names.index(one.field), one))
        return found

    def _of(self, table: TableName, sink: FindsKeys) -> Sequence[Reference]:
        asked_s, found = self._known.get(table, (0.0, ()))
        now_s = time.monotonic()
        if not asked_s or now_s - asked_s > ASK_AGAIN_S:
            found = sink.demands(table)
            self._known[table] = (now_s, found)
        return found


def _pending(
    rows: Sequence[RowChanges], reference: Reference, keys: Sequence[str]
) -> Mapping[str, str]:
    """Of `keys` those that `rows` put into the table."""
    wanted = pa.array(keys, pa.string())
    found: set[str] = set()
    for key in upserted(rows, reference.table, reference.column):
        found.update(key.filter(pc.is_in(key, wanted)).to_pylist())
    return {key: key for key in found}


def upserted(rows: Sequence[RowChanges], table: TableName, column: str) -> Iterator[pa.Array]:
    """The values of a column of rows that are put into a table."""
    for change in rows:
        names = [one.name for one in change.table.columns]
        if change.table.table == table and column in names:
            values = as_text(change.values[names.index(column)])
            yield values.filter(pa.array(change.op.to_numpy() == UPSERT))


def place(table: TableName, column: str) -> str:
    """Where something is waited for."""
    return f"{table}.{column}"
