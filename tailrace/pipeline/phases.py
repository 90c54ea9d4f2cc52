"""What is written one after the other, where parents get their keys by being written (identity).

    routed rows ─▶ parents that may go early ─▶ everything else, in pieces that end
                        └── refused ──▶ goes there     where a row needs a parent's key

A parent that goes early may be refused for what the source undid before it (a unique value that
another row had), so it is tried again in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdc.schema import TableName
from sinks.batches import taken_rows
from sinks.rowtext import as_text
from tailrace.pipeline.isolate import between
from transforms.references import Reference
from transforms.rows import CLEAR, UPSERT, RowChanges

_LAST = int(np.iinfo(np.int64).max)


def phases(rows: Sequence[RowChanges]) -> Iterator[list[RowChanges]]:
    """What is written one after the other: parents whose keys others need, then everything else.

    First go only parents that nothing hangs on but those others: a source change is written at
    once, what is done to one row stays in its order, and a CLEAR comes before what is put there.
    """
    needed = {one.table for _, one in _needs(rows)}
    upto = _last_clear(rows)
    first = between(rows, 0, upto)
    rest: list[RowChanges] = []
    parents: list[_Parents] = []
    for change in between(rows, upto + 1, _LAST):
        if change.table.table in needed and not change.table.refs:
            parents.append(_Parents(change))
        else:
            rest.append(change)
    if not parents:
        yield [*rows]
        return
    late = np.unique(np.concatenate([_NONE, *(change.seq.to_numpy() for change in rest)]))
    late = _with_theirs(parents, late)
    for one in parents:
        early = ~np.isin(one.change.seq.to_numpy(), late)
        first += _picked(one.change, early)
        rest += _picked(one.change, ~early)
    if first:
        yield first
    if rest:
        yield rest


def postponed(early: Sequence[RowChanges], seq: int) -> np.ndarray:
    """`seq` of what is to go in its place since the change `seq` cannot go early: that, and what
    comes behind it in the same rows. Empty where it is in its place already."""
    if seq <= _last_clear(early):
        return _NONE
    late = _with_theirs(
        [_Parents(change) for change in between(early, seq, _LAST)], np.array([seq])
    )
    return late[late >= seq]


def pieces(rows: Sequence[RowChanges], parents: Collection[int]) -> Iterator[Sequence[RowChanges]]:
    """`rows` in order, cut so that none stands in one piece with what it refers to, as far as that
    is put there by a change of `parents` before it."""
    begin = 0
    for child, parent in sorted(_children(rows, taken(rows, parents))):
        if begin <= parent:
            yield between(rows, begin, child - 1)
            begin = child
    if rows:
        yield between(rows, begin, _LAST)


def _children(
    rows: Sequence[RowChanges], parents: Sequence[RowChanges]
) -> Iterator[tuple[int, int]]:
    """`seq` of rows, and of the parent before them that they refer to."""
    for change in rows if parents else ():
        for at, reference in change.table.refs:
            put = _put(parents, reference)
            keys = as_text(change.values[at])
            among = pc.is_in(keys, pa.array(put, pa.string()))
            numbers = change.seq.filter(among).to_pylist()
            for seq, key in zip(numbers, keys.filter(among).to_pylist(), strict=True):
                if put[key] < seq:
                    yield seq, put[key]


def _put(parents: Sequence[RowChanges], reference: Reference) -> dict[str, int]:
    """Keys that `parents` put where `reference` leads to, and the first `seq` that does."""
    found: dict[str, int] = {}
    for change in parents:
        names = [one.name for one in change.table.columns]
        if change.table.table == reference.table and reference.column in names:
            keys = as_text(change.values[names.index(reference.column)]).to_pylist()
            for seq, key in zip(change.seq.to_pylist(), keys, strict=True):
                if key is not None:
                    found[key] = min(seq, found.get(key, seq))
    return found


def _needs(rows: Sequence[RowChanges]) -> Iterator[tuple[int, Reference]]:
    """References, with their columns, to what gets its key by being written."""
    return (one for change in rows for one in change.table.refs if one[1].source)


def _last_clear(rows: Sequence[RowChanges]) -> int:
    """Its `seq`; -1 where there is none."""
    cleared = [change.seq.to_numpy()[change.op.to_numpy() == CLEAR] for change in rows]
    return max((int(seqs[-1]) for seqs in cleared if len(seqs)), default=-1)


def _with_theirs(parents: Sequence[_Parents], late: np.ndarray) -> np.ndarray:
    """`seq` of all that cannot go early since those of `late` cannot, these among them."""
    while True:
        touched: dict[TableName, list[pa.Array]] = {}
        for one in parents:
            touched.setdefault(one.table, []).extend(one.touched(late))
        grown = [one.late(late, pa.chunked_array(touched[one.table])) for one in parents]
        found = np.unique(np.concatenate([late, *grown]))
        if len(found) == len(late):
            return found
        late = found


_NONE = np.empty(0, np.int64)


class _Parents:
    """Changes of a table whose keys others need."""

    def __init__(self, change: RowChanges) -> None:
        self.change = change
        self.table = change.table.table
        self._seq = change.seq.to_numpy()
        self._key = as_text(change.values[change.table.key_indexes[0]])
        self._old = None if change.old_key is None else as_text(change.old_key[0])
        self._stays = change.op.to_numpy() == UPSERT
        if self._old is not None:
            self._stays &= self._old.is_null().to_numpy(zero_copy_only=False)

    def touched(self, late: np.ndarray) -> list[pa.Array]:
        """Keys to which something is done that is not put there early."""
        others = pa.array(~self._stays | np.isin(self._seq, late))
        found = [self._key] if self._old is None else [self._key, self._old]
        return [keys.filter(others) for keys in found]

    def late(self, late: np.ndarray, touched: pa.ChunkedArray) -> np.ndarray:
        """`seq` of all that is not put there early."""
        among = pc.is_in(self._key, touched).to_numpy(zero_copy_only=False)
        found: np.ndarray = self._seq[~self._stays | among | np.isin(self._seq, late)]
        return found


def _picked(change: RowChanges, flags: np.ndarray) -> list[RowChanges]:
    if flags.all():
        return [change]
    return [taken_rows(change, np.flatnonzero(flags))] if flags.any() else []


def taken(rows: Sequence[RowChanges], seqs: Collection[int]) -> list[RowChanges]:
    """The rows of the changes `seqs`."""
    wanted = np.array(sorted(seqs), np.int64)
    return [
        one for change in rows for one in _picked(change, np.isin(change.seq.to_numpy(), wanted))
    ]
