"""What the log says of the rows before their changes, in the words of the target.

The rows before are sent through the same mappings as those after; so whatever a mapping, a value
map or a protection makes of a field, it can be compared. Where they cannot be mapped (they may
break a contract that the rows after keep) nothing is known of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

import cdc.changes as change
from cdc.changes import TableChanges
from tailrace.errors import TransformError
from transforms import columns
from transforms.rows import Before, RowChanges

Routed = Callable[[TableChanges], Sequence[RowChanges]]


def with_before(
    changes: TableChanges, made: Sequence[RowChanges], base: int, route: Routed
) -> list[RowChanges]:
    """`made`, which `route` made of `changes`, with `created` and `before`."""
    numbers = changes.seq.to_numpy().astype(np.int64) + base
    operations = columns.operations(changes)
    created = np.isin(operations, (change.CREATE, change.READ))
    old = _old_rows(changes)
    try:
        earlier = [] if old is None else route(old)
    except TransformError:
        earlier = []
    found = []
    for rows in made:
        at = np.searchsorted(numbers, rows.seq.to_numpy())
        candidates = [_beside(rows, one) for one in earlier if one.table.table == rows.table.table]
        found.append(
            replace(
                rows,
                created=pa.array(created[at]),
                before=max(candidates, key=_known, default=None),
            )
        )
    return found


def _old_rows(changes: TableChanges) -> TableChanges | None:
    """Those of updates of which the log has the whole row, as if they were read now."""
    if changes.old is None or changes.old_kind is None:
        return None
    whole = changes.old_kind.to_numpy() == change.OLD_ROW
    rows = np.flatnonzero(whole & (columns.operations(changes) == change.UPDATE))
    if not len(rows):
        return None
    lacking = {at for at, column in enumerate(changes.old) if column is None}
    return TableChanges(
        schema=changes.schema,
        op=pa.array(np.full(len(rows), change.READ, np.uint8)),
        seq=changes.seq.take(pa.array(rows)),
        new=tuple(
            columns.nulls(len(rows)) if column is None else columns.take(column, rows)
            for column in changes.old
        ),
        unsent={at: pa.array(np.ones(len(rows), bool)) for at in lacking},
    )


def _beside(rows: RowChanges, before: RowChanges) -> Before:
    """For each of `rows` the one of `before` with its `seq` and key, without columns that were not
    sent. Several rows of a change may be of one table: each knows itself by its key."""
    numbers, wanted = before.seq.to_numpy(), rows.seq.to_numpy()
    place = np.searchsorted(numbers, wanted)
    known = place < len(numbers)
    known[known] = numbers[place[known]] == wanted[known]
    index = pa.array(np.where(known, place, 0), mask=~known)
    for at in rows.table.key_indexes:
        keys, old = rows.values[at].to_pylist(), before.values[at].take(index).to_pylist()
        known &= np.fromiter((a == b for a, b in zip(keys, old, strict=True)), bool, len(keys))
    return Before(
        known=pa.array(known),
        values={
            at: column.take(index)
            for at, column in enumerate(before.values)
            if at not in before.unsent
        },
    )


def _known(before: Before) -> int:
    return int(before.known.true_count)
