"""What the codecs of SQLite and DuckDB have in common (see `sinks.embedded.session.Codec`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from tailrace.errors import RowRefused
from transforms.rows import RowChanges


def converted(change: RowChanges, convert: Callable[[int, pa.Array], pa.Array]) -> RowChanges:
    """Each column of the values and of the keys until now by `convert`, which gets its index."""
    return replace(
        change,
        values=tuple(convert(i, column) for i, column in enumerate(change.values)),
        old_key=None
        if change.old_key is None
        else tuple(
            convert(i, column)
            for i, column in zip(change.table.key_indexes, change.old_key, strict=True)
        ),
    )


def no_value(change: RowChanges, row: int, index: int) -> RowRefused:
    """Of what stands in row `row` and column `index`."""
    refused = RowRefused(
        "the target refused a row: a value is none of the column's type",
        where={
            "table": str(change.table.table),
            "source_table": change.source or None,
            "key_columns": ", ".join(change.table.key),
            "column": change.table.columns[index].name,
        },
    )
    refused.seq = change.seq[row].as_py()
    return refused
