"""Column buffers to the arrays of a change set."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cdc.changes import REPLACED, TRANSACTIONS, TableChanges
from cdc.schema import TableSchema


def table_changes(
    schema: TableSchema,
    rows: int,
    ops: bytearray,
    seqs: bytearray,
    columns: list[tuple[Any, ...]],
    unsent: dict[int, bytearray] | None,
    old_kind: bytearray | None,
    old: list[tuple[Any, ...] | None] | None,
    replaced: tuple[Any, ...] | None,
) -> TableChanges:
    """Takes what `cdc._columns.Table.result` hands over."""
    return TableChanges(
        schema=schema,
        op=_fixed(pa.uint8(), rows, ops),
        seq=_fixed(pa.int32(), rows, seqs),
        new=tuple(_strings(*column) for column in columns),
        unsent={
            index: _fixed(pa.uint8(), rows, flags).cast(pa.bool_())
            for index, flags in sorted((unsent or {}).items())
        },
        old_kind=None if old_kind is None else _fixed(pa.uint8(), rows, old_kind),
        old=None
        if old is None
        else tuple(None if column is None else _strings(*column) for column in old),
        replaced=None if replaced is None else _replaced(rows, *replaced),
    )


def _replaced(
    rows: int, known: bytearray, ends: bytearray, columns: bytearray, values: tuple[Any, ...]
) -> pa.ListArray:
    entries = _strings(*values)
    return pa.ListArray.from_arrays(
        _fixed(pa.int32(), rows + 1, ends),
        pa.StructArray.from_arrays(
            [_fixed(pa.int16(), len(entries), columns), entries],
            fields=list(REPLACED.value_type),
        ),
        type=REPLACED,
        mask=pc.invert(_fixed(pa.uint8(), rows, known).cast(pa.bool_())),
    )


def _fixed(kind: pa.DataType, rows: int, data: bytearray) -> Any:
    size = rows * kind.bit_width // 8
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(memoryview(data)[:size])])


def _strings(
    rows: int, nulls: int, valid: bytearray | None, offsets: bytearray, data: bytearray, used: int
) -> pa.StringArray:
    return pa.Array.from_buffers(
        pa.string(),
        rows,
        [
            None if valid is None else pa.py_buffer(memoryview(valid)[: (rows + 7) // 8]),
            pa.py_buffer(memoryview(offsets)[: 4 * (rows + 1)]),
            pa.py_buffer(memoryview(data)[:used]),
        ],
        nulls,
    )


def transactions(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    """Rows of `TRANSACTIONS`: (first seq, position, commit µs, xid, origin)."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(TRANSACTIONS)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, TRANSACTIONS, strict=True)],
        schema=TRANSACTIONS,
    )
