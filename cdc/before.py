"""Rows before their changes, put together from what the log says of them.

A log that tells them whole (PostgreSQL's REPLICA IDENTITY FULL) has them in `old`. Of others the
change set holds what was replaced, so that a wide row of which two columns changed costs two
values; the rest is as in the row after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cdc.changes import OLD_KEY, OLD_NONE, OLD_ROW, TableChanges

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RowsBefore:
    """One row a change.

    known   the log tells the row, and not its key only; of others nothing here is meant
    values  an array a column
    unsent  column index → of known rows, true where this value was *not sent*
    """

    known: Flags
    values: tuple[pa.Array, ...]
    unsent: Mapping[int, Flags]

    def picked(self, rows: npt.NDArray[np.int64]) -> RowsBefore:
        """Those with these indexes."""
        index = pa.array(rows)
        return RowsBefore(
            self.known[rows],
            tuple(column.take(index) for column in self.values),
            {at: flags[rows] for at, flags in self.unsent.items()},
        )


def rows_before(changes: TableChanges) -> RowsBefore | None:
    """None where the log tells no row."""
    whole = _kinds(changes) == OLD_ROW
    known = whole.copy()
    if changes.replaced is not None:
        known |= _flags(changes.replaced.is_valid())
    if not known.any():
        return None
    values = list(changes.new)
    unsent = {at: _flags(flags) & ~whole for at, flags in changes.unsent.items()}
    _put_old(changes, whole, values, unsent)
    if changes.replaced is not None:
        _put_replaced(changes.replaced, values, unsent)
    return RowsBefore(
        known, tuple(values), {at: flags for at, flags in unsent.items() if flags.any()}
    )


def spelt_out(changes: TableChanges) -> TableChanges:
    """The same with the rows before all in `old`, so that those after may be edited.

    What was not sent of one row must not have been sent of any.
    """
    before = rows_before(changes)
    if changes.replaced is None or before is None:
        return changes
    kinds = np.where(before.known, OLD_ROW, _kinds(changes)).astype(np.uint8)
    old = [None if at in before.unsent else one for at, one in enumerate(before.values)]
    return replace(changes, old_kind=pa.array(kinds), old=tuple(old), replaced=None)


def _kinds(changes: TableChanges) -> npt.NDArray[np.uint8]:
    if changes.old_kind is None or changes.old is None:
        return np.full(changes.rows, OLD_NONE, np.uint8)
    kinds: npt.NDArray[np.uint8] = changes.old_kind.to_numpy()
    return kinds


def _put_old(
    changes: TableChanges, whole: Flags, values: list[pa.Array], unsent: dict[int, Flags]
) -> None:
    """Whole rows, and of the others the key where the log has another."""
    has_key = whole | (_kinds(changes) == OLD_KEY)
    for at, old in enumerate(changes.old or ()):
        given = has_key if at in changes.schema.key_indexes else whole
        if old is None:
            unsent[at] = unsent.get(at, False) | whole
        elif given.any():
            values[at] = pc.if_else(pa.array(given), old, values[at])
            unsent[at] = unsent.get(at, False) & ~given


def _put_replaced(replaced: pa.ListArray, values: list[pa.Array], unsent: dict[int, Flags]) -> None:
    rows = pc.list_parent_indices(replaced).to_numpy()
    entries = replaced.flatten()
    for at, found in _by_column(entries.field("column").to_numpy()):
        here = np.zeros(len(replaced), np.bool_)
        here[rows[found]] = True
        if at < 0:
            unsent[~at] = unsent.get(~at, False) | here
            continue
        given = entries.field("value").take(pa.array(found))
        values[at] = pc.replace_with_mask(values[at], pa.array(here), given)
        if at in unsent:
            unsent[at] &= ~here


def _by_column(column: npt.NDArray[np.int16]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Each column with the entries that name it, in their order."""
    if not len(column):
        return
    order = np.argsort(column, kind="stable")
    ends = np.flatnonzero(np.diff(column[order])) + 1
    for entries in np.split(order, ends):
        yield int(column[entries[0]]), entries


def _flags(array: pa.BooleanArray) -> Flags:
    flags: Flags = array.to_numpy(zero_copy_only=False)
    return flags
