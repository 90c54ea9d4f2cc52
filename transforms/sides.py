"""Row changes of a mapping as those of its source's side table (see `transforms.composite`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from transforms.rows import RowChanges, TargetTable


def beside(
    rows: RowChanges, target: TargetTable, base: int, transactions: pa.RecordBatch | None
) -> RowChanges:
    """`rows` with the commit time and position of each change, into `target`.

    `target` has the columns of `rows` and these two; any other table takes them as they are.
    `transactions` are those of the change set whose rows count from `base` on.
    """
    if target.composite is None:
        return rows
    if transactions is None or not transactions.num_rows:
        times, positions = pa.repeat(0, rows.rows), pa.repeat("", rows.rows)
    else:
        first = transactions.column("first_seq").to_numpy()
        at = np.searchsorted(first, rows.seq.to_numpy() - base, side="right") - 1
        index = pa.array(np.maximum(at, 0))
        times = transactions.column("commit_us").take(index)
        positions = transactions.column("position").take(index)
    return replace(rows, table=target, values=(*rows.values, times, positions))
