"""Small operations on the columns of changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cdc.changes import OLD_NONE, TableChanges

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

TEXT = pa.string()


def flags(array: pa.BooleanArray) -> Flags:
    found: Flags = array.to_numpy(zero_copy_only=False)
    return found


def operations(changes: TableChanges) -> npt.NDArray[np.uint8]:
    found: npt.NDArray[np.uint8] = changes.op.to_numpy()
    return found


def has_old(changes: TableChanges) -> Flags:
    """Rows of which the log carried the old key, or more."""
    if changes.old_kind is None or changes.old is None:
        return np.zeros(changes.rows, dtype=np.bool_)
    found: Flags = changes.old_kind.to_numpy() != OLD_NONE
    return found


def take(array: pa.Array, rows: Rows) -> pa.Array:
    return array.take(pa.array(rows))


def nulls(count: int) -> pa.Array:
    return pa.nulls(count, TEXT)


def repeated(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, TEXT), count)


def where(mask: Flags, yes: pa.Array, no: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(mask), yes, no)


def joined(arrays: Sequence[pa.Array]) -> pa.Array:
    filled = [array for array in arrays if len(array)]
    return filled[0] if len(filled) == 1 else pa.concat_arrays(arrays)


def different(left: pa.Array, right: pa.Array) -> Flags:
    """Where two columns differ; NULL differs from everything but NULL."""
    unequal = flags(pc.fill_null(pc.not_equal(left, right), False))
    found: Flags = unequal | (flags(left.is_null()) != flags(right.is_null()))
    return found


def completed(changes: TableChanges) -> tuple[tuple[pa.Array, ...], dict[int, Flags]]:
    """The values after, and which were not sent, with the key filled in from the old row.

    A key column whose large value did not change is not sent again, but then the log carries the
    old key.
    """
    unsent = {at: flags(mask) for at, mask in changes.unsent.items()}
    unsent = {at: mask for at, mask in unsent.items() if mask.any()}
    values = list(changes.new)
    for at in changes.schema.key_indexes:
        old = None if changes.old is None else changes.old[at]
        if at not in unsent or old is None:
            continue
        known = unsent[at] & has_old(changes)
        values[at] = where(known, old, values[at])
        unsent[at] &= ~known
        if not unsent[at].any():
            del unsent[at]
    return tuple(values), unsent
