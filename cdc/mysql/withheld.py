"""Columns that a log of MariaDB has in some events and not in others. Pure.

From 11.5 on rows that are changed or deleted are logged without the columns that are computed,
whatever `binlog_row_image` is, while rows that are inserted have them; such columns are left out of
all changes then, as they are of a snapshot. (11.4.5 still logs them, 11.8.9 does not.) What was so
at the first snapshot stays so, whichever server is read later.

    mariadb.computed   "left out"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdc.changes import REPLACED, TableChanges
from cdc.mysql.tablemap import MapColumn, TableMap
from cdc.mysql.versions import numbers
from cdc.protocol import START_OVER
from cdc.schema import TableName, TableSchema
from tailrace.errors import ContinuityError

FACT = "mariadb.computed"
LEFT_OUT = "left out"
_FIRST = (11, 5)


def leaves_out(version: str) -> bool:
    """Whether a server of this `version()` logs changed rows without computed columns."""
    return "mariadb" in version.lower() and numbers(version) >= _FIRST


def computed(columns: Iterable[MapColumn]) -> tuple[str, ...]:
    return tuple(column.name for column in columns if column.computed)


@lru_cache(1000)
def schema_without(schema: TableSchema, names: frozenset[str]) -> TableSchema:
    return replace(schema, columns=tuple(one for one in schema.columns if one.name not in names))


def facts(*, left_out: bool) -> Mapping[str, str]:
    return {FACT: LEFT_OUT} if left_out else {}


def refuse_newly(tables: Iterable[TableMap]) -> None:
    """For captured tables whose computed columns were captured, at a server that leaves them out.

    Errors: ContinuityError.
    """
    for table in tables:
        if names := computed(table.columns):
            raise ContinuityError(
                f"{', '.join(names)} of {table.table} were captured and are computed, which this"
                " server, unlike the one before, logs of inserted rows only",
                where={"table": str(table.table)},
                fix=f"{START_OVER}; it is then captured without them",
            )


class Withheld:
    """`known` gives the shape that a table has at this place of the log; `left_out`: whether
    computed columns are."""

    def __init__(self, known: Callable[[TableName], TableMap | None], *, left_out: bool) -> None:
        self._known = known
        self.left_out = left_out
        self._names: dict[str, frozenset[str]] = {}

    def forget(self) -> None:
        """A table was altered."""
        self._names.clear()

    def names(self, schema: TableSchema) -> frozenset[str]:
        """Columns of the log's table that its changes go without."""
        if not self.left_out:
            return frozenset()
        if schema.version not in self._names:
            known = self._known(schema.table)
            self._names[schema.version] = frozenset(computed(known.columns) if known else ())
        return self._names[schema.version]


def without(changes: TableChanges, names: frozenset[str]) -> TableChanges:
    """The same without these columns."""
    if not names:
        return changes
    kept = [i for i, column in enumerate(changes.schema.columns) if column.name not in names]
    return replace(
        changes,
        schema=schema_without(changes.schema, names),
        new=_of(changes.new, kept),
        unsent={n: changes.unsent[i] for n, i in enumerate(kept) if i in changes.unsent},
        old=None if changes.old is None else _of(changes.old, kept),
        replaced=None
        if changes.replaced is None
        else _replaced(changes.replaced, len(changes.schema.columns), kept),
    )


def _of(columns: Sequence[pa.Array], kept: Sequence[int]) -> tuple[pa.Array, ...]:
    return tuple(columns[i] for i in kept)


def _replaced(told: pa.ListArray, width: int, kept: Sequence[int]) -> pa.ListArray:
    """The values before of the columns `kept` of `width`, by their new numbers."""
    number = np.full(width, -1)
    number[list(kept)] = np.arange(len(kept))
    entries = told.flatten()
    column = entries.field("column").to_numpy()
    moved = number[np.where(column < 0, ~column, column)]
    stays = moved >= 0
    numbers = np.where(column < 0, ~moved, moved)[stays].astype(np.int16)
    rows = pc.list_parent_indices(told).to_numpy()[stays]
    counts = np.bincount(rows, minlength=len(told))
    return pa.ListArray.from_arrays(
        pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32()),
        pa.StructArray.from_arrays(
            [pa.array(numbers), entries.field("value").filter(pa.array(stays))],
            fields=list(REPLACED.value_type),
        ),
        type=REPLACED,
        mask=told.is_null(),
    )
