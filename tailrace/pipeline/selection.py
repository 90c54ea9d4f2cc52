"""Which of a change set's rows a pipeline applies: not its own echo, not a clear it must not do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cdc.changes import TRUNCATE, ChangeSet, TableChanges


def without_origin(changes: ChangeSet, system: str) -> Sequence[TableChanges]:
    """The tables' changes without the transactions that Tailrace wrote on behalf of `system`.

    This breaks loops: what came from a system is not sent back to it.
    """
    origins = changes.transactions.column("origin")
    if origins.null_count == len(origins):
        return changes.tables
    ours = np.array([origin == system for origin in origins.to_pylist()])
    if not ours.any():
        return changes.tables
    kept = []
    for table in changes.tables:
        keep = ~ours[changes.transaction_of(table.seq.to_numpy())]
        if keep.all():
            kept.append(table)
        elif keep.any():
            kept.append(filtered(table, keep))
    return kept


def without_opening_clear(changes: ChangeSet, table: TableChanges) -> TableChanges | None:
    """A snapshot's rows without the TRUNCATE they begin with; None where nothing is left.

    A snapshot's transaction has no transaction id at the source.
    """
    snapshot = changes.transactions.num_rows and not changes.transactions.column("xid")[0].is_valid
    if not snapshot or table.op[0].as_py() != TRUNCATE:
        return table
    if table.rows == 1:
        return None
    return filtered(table, np.arange(table.rows) > 0)


def sliced(table: TableChanges, first: int, rows: int) -> TableChanges:
    """Rows first … first + rows, without a copy."""
    if rows == table.rows:
        return table
    return table.picked(lambda array: array.slice(first, rows))


def filtered(table: TableChanges, rows: np.ndarray) -> TableChanges:
    """The changes that `rows`, a flag for each, says."""
    keep = pa.array(rows)
    return table.picked(lambda array: array.filter(keep))
