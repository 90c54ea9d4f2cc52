"""What a mapping decided for each row, put into the columns of its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

import cdc.changes as change
from cdc.changes import TableChanges
from transforms import columns
from transforms.columns import Flags, Rows
from transforms.program import Program
from transforms.rows import CLEAR, DELETE, PATCH, UPSERT, RowChanges


@dataclass(frozen=True, slots=True)
class Upserts:
    """Rows to put at the target. `unsent`: field number → rows where it stays as it is."""

    rows: Rows
    keys: tuple[pa.Array, ...]
    fields: tuple[pa.Array, ...]
    unsent: Mapping[int, Flags]
    old_key: tuple[pa.Array, ...] | None


@dataclass(frozen=True, slots=True)
class Removals:
    """Rows to remove, as the mapping's `on_delete` says, by the key they had."""

    rows: Rows
    keys: tuple[pa.Array, ...]

    @classmethod
    def empty(cls) -> Removals:
        return cls(np.empty(0, dtype=np.int64), ())


def assembled(
    program: Program,
    changes: TableChanges,
    base: int,
    upserts: Upserts,
    removals: Removals,
    cleared: Rows,
) -> list[RowChanges]:
    """At most two: a TRUNCATE that opens the set stands alone, so rows behind it stay fresh."""
    if len(cleared) and cleared[0] == 0 and changes.rows > 1:
        alone = Upserts(upserts.rows[:0], _cut(upserts.keys), _cut(upserts.fields), {}, None)
        return [
            *assembled_once(program, changes, base, alone, Removals.empty(), cleared[:1]),
            *assembled_once(program, changes, base, upserts, removals, cleared[1:]),
        ]
    return assembled_once(program, changes, base, upserts, removals, cleared)


def _cut(arrays: Sequence[pa.Array]) -> tuple[pa.Array, ...]:
    return tuple(array[:0] for array in arrays)


def assembled_once(
    program: Program,
    changes: TableChanges,
    base: int,
    upserts: Upserts,
    removals: Removals,
    cleared: Rows,
) -> list[RowChanges]:
    rows = np.concatenate([upserts.rows, removals.rows, cleared])
    if not len(rows):
        return []
    shape = _Shape(len(upserts.rows), len(removals.rows), len(cleared))
    order = None if shape.upserts == len(rows) else np.argsort(rows, kind="stable")
    operations = columns.operations(changes)
    fresh = order is None and bool(np.isin(operations[rows], (change.CREATE, change.READ)).all())
    values, unsent = _columns(program, shape, upserts, removals)
    old_key = None
    if upserts.old_key is not None:
        old_key = tuple(shape.followed(key) for key in upserts.old_key)
    seq = changes.seq.to_numpy().astype(np.int64)[rows] + base
    op = np.repeat(
        np.array([UPSERT, _removal(program), CLEAR], dtype=np.uint8),
        (shape.upserts, shape.removals, shape.cleared),
    )
    if order is not None:
        seq, op = seq[order], op[order]
        values = [columns.take(value, order) for value in values]
        unsent = {at: mask[order] for at, mask in unsent.items()}
        if old_key is not None:
            old_key = tuple(columns.take(key, order) for key in old_key)
    return [
        RowChanges(
            program.target,
            pa.array(op),
            pa.array(seq),
            tuple(values),
            {at: pa.array(mask) for at, mask in unsent.items() if mask.any()},
            old_key,
            fresh and not upserts.unsent,
            program.source,
        )
    ]


@dataclass(frozen=True, slots=True)
class _Shape:
    """How many rows of each sort there are, in this order."""

    upserts: int
    removals: int
    cleared: int

    @property
    def total(self) -> int:
        return self.upserts + self.removals + self.cleared

    def followed(self, upserts: pa.Array, removed: pa.Array | None = None) -> pa.Array:
        """A column: values of upserts, of removals if they have one, and NULL."""
        if self.upserts == self.total:
            return upserts
        if removed is None or not self.removals:
            return columns.joined([upserts, columns.nulls(self.removals + self.cleared)])
        return columns.joined([upserts, removed, columns.nulls(self.cleared)])


def _removal(program: Program) -> int:
    return DELETE if program.on_delete.action == "delete" else PATCH


def _columns(
    program: Program, shape: _Shape, upserts: Upserts, removals: Removals
) -> tuple[list[pa.Array], dict[int, Flags]]:
    """One array a target column, and which values are left as they are.

    A PATCH sends the mapping's own fields (set_null), or the column that marks it (soft).
    """
    values: list[pa.Array] = [None] * len(program.target.columns)
    unsent: dict[int, Flags] = {}
    for at, output in enumerate(program.keys):
        removed = removals.keys[at] if shape.removals else None
        values[output.index] = shape.followed(upserts.keys[at], removed)
    for at, output in enumerate(program.fields):
        values[output.index] = shape.followed(upserts.fields[at])
        if at in upserts.unsent or program.soft is not None:
            left = np.zeros(shape.total, dtype=np.bool_)
            left[: shape.upserts] = upserts.unsent.get(at, False)
            left[shape.upserts : shape.upserts + shape.removals] = program.soft is not None
            unsent[output.index] = left
    if program.soft is not None:
        marks = [columns.repeated("f", shape.upserts), columns.repeated("t", shape.removals)]
        values[program.soft] = shape.followed(*marks)
    return values, unsent
