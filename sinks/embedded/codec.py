"""What the codecs of SQLite and DuckDB have in common (see `sinks.embedded.session.Codec`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from sinks.embedded.texts import Unfit
from tailrace.errors import RowRefused
from transforms.rows import RowChanges


def converted(change: RowChanges, convert: Callable[[int, pa.Array], pa.Array]) -> RowChanges:
    """Each column of the values and of the keys until now by `convert`, which gets its index.

    Errors: RowRefused where that is Unfit.
    """

    def one(index: int, column: pa.Array) -> pa.Array:
        try:
            return convert(index, column)
        except Unfit as unfit:
            raise no_value(change, unfit.row, index) from None

    return replace(
        change,
        values=tuple(one(i, column) for i, column in enumerate(change.values)),
        old_key=None
        if change.old_key is None
        else tuple(
            one(i, column)
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
