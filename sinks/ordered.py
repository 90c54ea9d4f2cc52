"""Changes one by one, in the source's order.

This always holds: the source itself went through these states, so a target with the same
constraints can too: unique values that changed hands, parents replaced under their children, keys
that moved with values that were not sent. It is how a handful of changes is applied anyway, what
sets fall back to, and how the first row that the target refuses is found.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import pyarrow as pa

from sinks.batches import sliced
from sinks.protocol import Written
from sinks.rowtext import as_text
from tailrace.errors import RowRefused, TailraceError
from transforms.rows import DELETE, UPSERT, RowChanges, TargetTable

READ_ROWS = 1024
"""Rows turned into Python values at once."""

Values = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One change. `key` is the row's until now; `missing` are indexes of columns not sent."""

    seq: int
    change: RowChanges
    op: int
    values: Values
    key: Values
    moves: bool
    missing: tuple[int, ...]

    @property
    def table(self) -> TargetTable:
        return self.change.table

    @property
    def sent(self) -> Values:
        if not self.missing:
            return self.values
        return tuple(value for i, value in enumerate(self.values) if i not in self.missing)

    @property
    def must_exist(self) -> bool:
        """A row of which values were not sent has them in the target already."""
        return bool(self.missing) and self.op == UPSERT

    @property
    def place(self) -> dict[str, object]:
        """Where an error about this row is."""
        return {
            "table": str(self.table.table),
            "source_table": self.change.source or None,
            "key_columns": ", ".join(self.table.key),
        }


def in_order(changes: Sequence[RowChanges]) -> Iterator[Row]:
    """The rows of all of `changes`, by `seq`."""
    return heapq.merge(*map(_rows, changes), key=attrgetter("seq"))


def count(row: Row, counts: dict[str, Written]) -> None:
    written = counts.setdefault(str(row.table.table), Written())
    if row.op == DELETE:
        written.deleted += 1
    else:
        written.upserted += 1


def at(row: Row, error: TailraceError) -> TailraceError:
    """`error` with attribute `seq`, the place of the refused change."""
    error.seq = row.seq  # type: ignore[attr-defined]
    return error


def diverged(table: TargetTable, rows: int) -> RowRefused:
    return RowRefused(
        f"{rows} row(s) that the source only partly sent are not in the target",
        where={"table": str(table.table), "key_columns": ", ".join(table.key)},
        fix="the target has lost rows: copy the table anew. To have the source send whole rows,"
        " set REPLICA IDENTITY FULL there",
    )


def _rows(change: RowChanges) -> Iterator[Row]:
    for first in range(0, change.rows, READ_ROWS):
        yield from _read(sliced(change, first, min(READ_ROWS, change.rows - first)))


def _read(change: RowChanges) -> Iterator[Row]:
    values = _tuples(change.values)
    unsent = {i: flags.to_pylist() for i, flags in change.unsent.items()}
    old_keys = None if change.old_key is None else _tuples(change.old_key)
    key_indexes = change.table.key_indexes
    for n, (seq, op) in enumerate(zip(change.seq.to_pylist(), change.op.to_pylist(), strict=True)):
        moves = old_keys is not None and op == UPSERT and old_keys[n][0] is not None
        yield Row(
            seq=seq,
            change=change,
            op=op,
            values=values[n],
            key=old_keys[n]
            if moves and old_keys is not None
            else tuple(values[n][i] for i in key_indexes),
            moves=moves,
            missing=tuple(i for i, flags in unsent.items() if flags[n]),
        )


def _tuples(columns: Sequence[pa.Array]) -> list[Values]:
    return list(zip(*(as_text(column).to_pylist() for column in columns), strict=True))
