"""Cutting and joining row changes: what stands between two clears, and one table's as one.

Pure: arrays in, arrays out. `seq` orders the rows of all tables of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc.schema import TableName
from transforms.rows import CLEAR, Before, RowChanges

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch between two clears: clear `cleared` first, then apply `changes`.

    A table stands in `cleared` as often as it was cleared.
    """

    cleared: tuple[TableName, ...]
    changes: tuple[RowChanges, ...]


def segments(changes: Sequence[RowChanges]) -> Iterator[Segment]:
    """Cut a batch at its clears. Clears that follow one another become one."""
    clears = sorted(
        (int(seq), change.table.table)
        for change in changes
        for seq in change.seq.to_numpy()[change.op.to_numpy() == CLEAR]
    )
    if not clears:
        if changes:
            yield Segment((), tuple(changes))
        return
    group: list[TableName] = []
    after = -1
    for seq, table in [*clears, (np.iinfo(np.int64).max, None)]:
        between = _between(changes, after, seq)
        if between or (table is None and group):
            yield Segment(tuple(group), between)
            group = []
        if table is not None:
            group.append(table)
        after = seq


def _between(changes: Sequence[RowChanges], after: int, upto: int) -> tuple[RowChanges, ...]:
    """The rows after `after` up to and with `upto`, without the clears."""
    found = []
    for change in changes:
        first, last = (int(at) for at in np.searchsorted(change.seq, (after, upto), side="right"))
        if last > first:
            part = sliced(change, first, last - first)
            keep = part.op.to_numpy() != CLEAR
            if keep.all():
                found.append(part)
            elif keep.any():
                found.append(taken_rows(part, np.flatnonzero(keep)))
    return tuple(found)


def sliced(change: RowChanges, first: int, count: int) -> RowChanges:
    """Rows first … first + count of `change`, without a copy."""
    return _mapped(change, lambda array: array.slice(first, count))


def taken_rows(change: RowChanges, rows: Ints) -> RowChanges:
    """The rows with these indexes."""
    indexes = pa.array(rows)
    return _mapped(change, lambda array: array.take(indexes))


def _mapped(change: RowChanges, pick: Callable[[pa.Array], pa.Array]) -> RowChanges:
    return replace(
        change,
        op=pick(change.op),
        seq=pick(change.seq),
        values=tuple(pick(column) for column in change.values),
        unsent={index: pick(flags) for index, flags in change.unsent.items()},
        old_key=None
        if change.old_key is None
        else tuple(pick(column) for column in change.old_key),
        created=None if change.created is None else pick(change.created),
        entered=None if change.entered is None else pick(change.entered),
        before=None if change.before is None else _before(change.before, pick),
    )


def _before(before: Before, pick: Callable[[pa.Array], pa.Array]) -> Before:
    return Before(pick(before.known), {at: pick(one) for at, one in before.values.items()})


def joined(changes: Sequence[RowChanges]) -> RowChanges:
    """Several changes of one table as one, in order of `seq`."""
    if len(changes) == 1:
        return changes[0]
    first = changes[0]
    together = RowChanges(
        table=first.table,
        op=concat([change.op for change in changes]),
        seq=concat([change.seq for change in changes]),
        values=tuple(
            concat([change.values[i] for change in changes]) for i in range(len(first.values))
        ),
        unsent={
            index: concat(
                [
                    change.unsent.get(index, pa.array(np.zeros(change.rows, bool)))
                    for change in changes
                ]
            )
            for index in sorted({index for change in changes for index in change.unsent})
        },
        old_key=_joined_old_keys(changes),
        fresh=all(change.fresh for change in changes),
        source=first.source,
        logged=tuple(one for change in changes for one in change.logged),
        origins=first.origins,
        created=_joined_flags([change.created for change in changes]),
        entered=_joined_flags([change.entered for change in changes]),
        before=_joined_before(changes),
    )
    seq = together.seq.to_numpy()
    if (np.diff(seq) > 0).all():
        return together
    return taken_rows(together, np.argsort(seq, kind="stable"))


def _joined_flags(flags: Sequence[pa.BooleanArray | None]) -> pa.BooleanArray | None:
    return None if any(one is None for one in flags) else concat(flags)


def _joined_before(changes: Sequence[RowChanges]) -> Before | None:
    """Of the columns that are known of all that are known of at all."""
    known = [change.before for change in changes if change.before is not None]
    if not known:
        return None
    columns = [at for at in known[0].values if all(at in one.values for one in known)]
    nothing = {at: known[0].values[at].type for at in columns}
    filled = [
        change.before
        or Before(
            pa.array(np.zeros(change.rows, bool)),
            {at: pa.nulls(change.rows, kind) for at, kind in nothing.items()},
        )
        for change in changes
    ]
    return Before(
        concat([one.known for one in filled]),
        {at: concat([one.values[at] for one in filled]) for at in columns},
    )


def concat(arrays: Sequence[pa.Array]) -> pa.Array:
    """One array; as text where the types differ."""
    if any(array.type != arrays[0].type for array in arrays):
        arrays = [array.cast(pa.string()) for array in arrays]
    return pa.concat_arrays(arrays)


def _joined_old_keys(changes: Sequence[RowChanges]) -> tuple[pa.Array, ...] | None:
    if all(change.old_key is None for change in changes):
        return None
    parts: list[list[pa.Array]] = [[] for _ in changes[0].table.key]
    for change in changes:
        for i, part in enumerate(parts):
            if change.old_key is None:
                kind = change.values[change.table.key_indexes[i]].type
                part.append(pa.nulls(change.rows, kind))
            else:
                part.append(change.old_key[i])
    return tuple(concat(part) for part in parts)
