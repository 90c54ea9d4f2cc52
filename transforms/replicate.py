"""Tables copied as they are: no SQL, no copies of values, only what each operation means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce

import numpy as np
import pyarrow as pa

import cdc.changes as change
from cdc.changes import TableChanges
from cdc.schema import Column, TableSchema
from tailrace.errors import TransformError
from transforms import columns
from transforms.errors import RowError
from transforms.model import Replicate
from transforms.rows import CLEAR, DELETE, UPSERT, RowChanges, TargetColumn, TargetTable
from transforms.rules import target_name

_MODIFIER = re.compile(r"\([0-9, -]+\)")

_MEANING = np.zeros(256, dtype=np.uint8)
for _source, _target in (
    (change.CREATE, UPSERT),
    (change.UPDATE, UPSERT),
    (change.READ, UPSERT),
    (change.DELETE, DELETE),
    (change.TRUNCATE, CLEAR),
):
    _MEANING[_source] = _target


def copy_of(schema: TableSchema, rule: Replicate) -> TargetTable:
    """The target of a table copied as it is. Errors: TransformError for a table without key."""
    if not schema.key:
        raise TransformError(
            "a table whose rows nothing tells apart cannot be replicated",
            where={"table": str(schema.table)},
            fix="give it a primary key, or leave it out of replicate",
        )
    return TargetTable(
        target_name(schema.table, rule),
        tuple(
            TargetColumn(
                column.name,
                target_type(column.type, column.base_type),
                column.nullable and column.name not in schema.key,
                column.native or _of_their_own(column),
            )
            for column in schema.columns
        ),
        schema.key,
        rule.existing,
    )


def target_type(type_: str, base_type: str) -> str:
    """A type of the source's own making is unknown at the target: it goes as its base type."""
    return type_ if _MODIFIER.sub("", type_) == base_type else base_type


def _of_their_own(column: Column) -> str:
    """PostgreSQL's name of a type that goes as its base type: an extension's, an enum …"""
    known = target_type(column.type, column.base_type) == column.type
    return "" if known else f"postgres:{column.type}"


def replicate(changes: TableChanges, target: TargetTable, base: int) -> list[RowChanges]:
    """The same rows as changes of the target. Errors: RowError."""
    operations = columns.operations(changes)
    opening = int(changes.rows > 0 and operations[0] == change.TRUNCATE)
    if opening and changes.rows > 1:  # apart from it, a snapshot's rows may take the fast path
        return [
            *_replicate(changes.picked(lambda array: array.slice(0, 1)), target, base),
            *_replicate(changes.picked(lambda array: array.slice(1)), target, base),
        ]
    return _replicate(changes, target, base)


def _replicate(changes: TableChanges, target: TargetTable, base: int) -> list[RowChanges]:
    operations = columns.operations(changes)
    values, unsent = columns.completed(changes)
    meaning = _MEANING[operations]
    if target.existing == "keep":
        refuse_clear(changes, target)
    deletes = operations == change.DELETE
    known = columns.has_old(changes)
    for at in changes.schema.key_indexes:
        if at in unsent:
            raise _no_key(changes, at, unsent[at])
    old_key = _old_key(changes, values, known & (operations == change.UPDATE))
    if deletes.any():
        values = _with_deleted_keys(changes, values, deletes, known)
    fresh = bool(np.isin(operations, (change.CREATE, change.READ)).all())
    return [
        RowChanges(
            target,
            pa.array(meaning),
            pa.array(changes.seq.to_numpy().astype(np.int64) + base),
            values,
            {at: pa.array(mask) for at, mask in unsent.items()},
            old_key,
            fresh and not unsent,
            str(changes.schema.table),
        )
    ]


def _with_deleted_keys(
    changes: TableChanges,
    values: Sequence[pa.Array],
    deletes: columns.Flags,
    known: columns.Flags,
) -> tuple[pa.Array, ...]:
    filled = list(values)
    for at in changes.schema.key_indexes:
        old = None if changes.old is None else changes.old[at]
        if old is None or not known[deletes].all():
            raise _no_key(changes, at, deletes & ~known)
        filled[at] = columns.where(deletes, old, filled[at])
    return tuple(filled)


def _old_key(
    changes: TableChanges, values: Sequence[pa.Array], known: columns.Flags
) -> tuple[pa.Array, ...] | None:
    """The key before, in rows where it was another one."""
    if changes.old is None or not known.any():
        return None
    pairs = [(changes.old[at], values[at]) for at in changes.schema.key_indexes]
    old = [before for before, _ in pairs if before is not None]
    if len(old) < len(pairs):
        return None
    changed = known & reduce(
        np.logical_or, (columns.different(before, after) for before, after in pairs)
    )
    if not changed.any():
        return None
    nothing = columns.nulls(changes.rows)
    return tuple(columns.where(changed, column, nothing) for column in old)


def _no_key(changes: TableChanges, at: int, missing: columns.Flags) -> RowError:
    row = int(np.argmax(missing))
    column = changes.schema.columns[at].name
    return RowError(
        f"the log does not carry {column}, a column of the key",
        where={"table": str(changes.schema.table), "column": column},
        fix=f"ALTER TABLE {changes.schema.table} REPLICA IDENTITY FULL, then a new snapshot",
        seq=int(changes.seq[row].as_py()),
    )


def refuse_clear(changes: TableChanges, target: TargetTable) -> None:
    """Errors: RowError for a TRUNCATE where it would remove rows that are not ours."""
    clears = columns.operations(changes) == change.TRUNCATE
    if clears.any():
        raise RowError(
            "a TRUNCATE would also remove rows that the target held before (existing: keep)",
            where={"table": str(changes.schema.table), "target": str(target.table)},
            fix="allow it: existing: refuse",
            seq=int(changes.seq[int(np.argmax(clears))].as_py()),
        )
