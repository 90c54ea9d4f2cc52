"""What the log says of the rows before their changes, in the words of the target.

The updates are sent through the same mappings the other way round; so whatever a mapping, a value
map or a protection makes of a field, it can be compared, and a row that a mapping admits only now
is known as such. Where rows before cannot be mapped (they may break a contract that the rows after
keep) nothing is known of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

import cdc.changes as change
from cdc.before import rows_before
from cdc.changes import TableChanges
from tailrace.errors import TransformError
from transforms import columns
from transforms.errors import RowError
from transforms.rows import DELETE, UPSERT, Before, RowChanges

Routed = Callable[[TableChanges], Sequence[RowChanges]]


def with_before(
    changes: TableChanges, made: Sequence[RowChanges], base: int, route: Routed
) -> list[RowChanges]:
    """`made`, which `route` made of `changes`, with `created`, `entered` and `before`."""
    numbers = changes.seq.to_numpy().astype(np.int64) + base
    operations = columns.operations(changes)
    created = np.isin(operations, (change.CREATE, change.READ))
    earlier = _earlier(changes, route)
    found = []
    for rows in made:
        at = np.searchsorted(numbers, rows.seq.to_numpy())
        mine = [one for one in earlier if one.table.table == rows.table.table]
        candidates = [_beside(rows, one) for one in mine]
        found.append(
            replace(
                rows,
                created=pa.array(created[at]),
                entered=pa.array(_entered(rows, mine)),
                before=max(candidates, key=_known, default=None),
            )
        )
    return found


def _earlier(changes: TableChanges, route: Routed) -> list[RowChanges]:
    """What comes of updates taken back: the rows before are put there again, or removed where they
    were not admitted. Without those that cannot be mapped."""
    back = _taken_back(changes)
    for _ in range(2):
        if back is None or not back.rows:
            break
        try:
            return list(route(back))
        except RowError as error:
            failing = [fault.seq for fault in error.faults]
            back = _without(back, failing) if failing else None
        except TransformError:
            break
    return []


def _taken_back(changes: TableChanges) -> TableChanges | None:
    """The updates of which the log has the whole row before, the other way round."""
    before = rows_before(changes)
    if before is None:
        return None
    rows = np.flatnonzero(before.known & (columns.operations(changes) == change.UPDATE))
    if not len(rows):
        return None
    before = before.picked(rows)
    after, _ = columns.completed(changes)
    return TableChanges(
        schema=changes.schema,
        op=pa.array(np.full(len(rows), change.UPDATE, np.uint8)),
        seq=changes.seq.take(pa.array(rows)),
        new=before.values,
        unsent={at: pa.array(flags) for at, flags in before.unsent.items()},
        old_kind=pa.array(np.full(len(rows), change.OLD_KEY, np.uint8)),
        old=tuple(
            columns.take(column, rows) if at in changes.schema.key_indexes else None
            for at, column in enumerate(after)
        ),
    )


def _without(changes: TableChanges, seqs: Sequence[int]) -> TableChanges:
    keep = pa.array(~np.isin(changes.seq.to_numpy(), seqs))
    return changes.picked(lambda array: array.filter(keep))


def _entered(rows: RowChanges, earlier: Sequence[RowChanges]) -> columns.Flags:
    """Those whose change, taken back, would remove them."""
    found = np.zeros(rows.rows, np.bool_)
    if not rows.table.admits:
        return found
    for one in earlier:
        gone = np.flatnonzero(one.op.to_numpy() == DELETE)
        if len(gone):
            place, same = _same_rows(rows, one)
            found |= same & np.isin(place, gone)
    found &= rows.op.to_numpy() == UPSERT
    return found


def _beside(rows: RowChanges, before: RowChanges) -> Before:
    """For each of `rows` the one of `before` that was put there with its `seq` and key, without
    columns that were not sent."""
    place, known = _same_rows(rows, before)
    known &= np.isin(place, np.flatnonzero(before.op.to_numpy() == UPSERT))
    index = pa.array(np.where(known, place, 0), mask=~known)
    return Before(
        known=pa.array(known),
        values={
            at: column.take(index)
            for at, column in enumerate(before.values)
            if at not in before.unsent
        },
    )


def _same_rows(rows: RowChanges, before: RowChanges) -> tuple[columns.Rows, columns.Flags]:
    """For each of `rows` the place in `before` of the one with its `seq` and key, and whether there
    is one. Several rows of a change may be of one table: each knows itself by its key."""
    numbers, wanted = before.seq.to_numpy(), rows.seq.to_numpy()
    place = np.searchsorted(numbers, wanted)
    known = place < len(numbers)
    known[known] = numbers[place[known]] == wanted[known]
    index = pa.array(np.where(known, place, 0), mask=~known)
    for at in rows.table.key_indexes:
        keys, old = rows.values[at].to_pylist(), before.values[at].take(index).to_pylist()
        known &= np.fromiter((a == b for a, b in zip(keys, old, strict=True)), bool, len(keys))
    return place, known


def _known(before: Before) -> int:
    return int(before.known.true_count)
