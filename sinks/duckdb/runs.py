"""Changes in the source's order, in few statements: one of DuckDB costs as much for a row as for a
thousand.

Consecutive changes that touch each row once at most are a *run*. Within it the order of different
rows matters to constraints only, so it is written as sets; where that is refused, the run is undone
and its changes are applied one by one, which tells the refused one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from sinks.ordered import Row, in_order
from transforms.rows import DELETE, RowChanges, TargetTable

RUN_ROWS = 4096

Kind = tuple[TargetTable, int, bool, tuple[int, ...]]
"""Table, operation, whether the key moves, and the columns that were not sent."""


def runs(changes: Sequence[RowChanges]) -> Iterator[list[Row]]:
    run: list[Row] = []
    touched: set[tuple[object, ...]] = set()
    for row in in_order(changes):
        name = str(row.table.table)
        keys = {(name, *row.key), (name, *(row.values[i] for i in row.table.key_indexes))}
        if touched & keys or len(run) == RUN_ROWS:
            yield run
            run, touched = [], set()
        run.append(row)
        touched |= keys
    if run:
        yield run


def kinds(run: Sequence[Row]) -> Iterator[tuple[Kind, Sequence[Row], list[pa.Array]]]:
    """Rows of one kind, and their columns, then the columns of the key until now; deletes first."""
    found: dict[Kind, list[Row]] = {}
    for row in run:
        found.setdefault((row.table, row.op, row.moves, row.missing), []).append(row)
    for kind, rows in sorted(found.items(), key=lambda one: one[0][1] != DELETE):
        columns = [
            *zip(*(row.values for row in rows), strict=True),
            *zip(*(row.key for row in rows), strict=True),
        ]
        yield kind, rows, [pa.array(column, pa.string()) for column in columns]
