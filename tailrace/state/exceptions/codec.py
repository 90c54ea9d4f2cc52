"""Single changes to bytes and back: an Arrow stream of one row, whole and exact.

Fields: ``op``, ``seq``, ``kind`` (of the old row, where there is one), ``n<i>`` a value after,
``u<i>`` whether it was not sent, ``o<i>`` a value before, ``replaced`` as in `TableChanges`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cdc.changes import OLD_NONE, TableChanges
from cdc.schema import TableSchema


def pack(changes: TableChanges, rows: Sequence[int]) -> list[bytes]:
    """The changes with these indexes, each by itself."""
    columns: dict[str, pa.Array] = {"op": changes.op, "seq": changes.seq}
    if changes.old_kind is not None:
        columns["kind"] = changes.old_kind
    columns |= {f"n{i}": array for i, array in enumerate(changes.new)}
    columns |= {f"u{i}": flags for i, flags in changes.unsent.items()}
    columns |= {f"o{i}": array for i, array in enumerate(changes.old or ()) if array is not None}
    if changes.replaced is not None:
        columns["replaced"] = changes.replaced
    batch = pa.RecordBatch.from_pydict(columns)
    return [_bytes(batch.take(pa.array([row], pa.int64()))) for row in rows]


def _bytes(batch: pa.RecordBatch) -> bytes:
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(out.getvalue())


def unpack(rows: Sequence[bytes], schema: TableSchema) -> TableChanges:
    """Changes of one version of a table together, their `seq` counted from 0."""
    batches = [_batch(row) for row in rows]
    columns = range(len(schema.columns))
    unsent = {i: _flags(batches, f"u{i}") for i in columns if _any(batches, f"u{i}")}
    has_old = _any(batches, "kind")
    return TableChanges(
        schema=schema,
        op=_joined(batches, "op"),
        seq=pa.array(np.arange(len(batches), dtype=np.int32)),
        new=tuple(_joined(batches, f"n{i}") for i in columns),
        unsent=unsent,
        old_kind=_joined(batches, "kind", pa.scalar(OLD_NONE, pa.uint8())) if has_old else None,
        old=tuple(_joined(batches, f"o{i}") if _any(batches, f"o{i}") else None for i in columns)
        if has_old
        else None,
        replaced=_joined(batches, "replaced") if _any(batches, "replaced") else None,
    )


def _batch(row: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(row) as stream:
        return stream.read_next_batch()


def _any(batches: Sequence[pa.RecordBatch], name: str) -> bool:
    return any(name in batch.schema.names for batch in batches)


def _joined(
    batches: Sequence[pa.RecordBatch], name: str, absent: pa.Scalar | None = None
) -> pa.Array:
    type_ = next(batch.column(name).type for batch in batches if name in batch.schema.names)
    missing = pa.nulls(1, type_) if absent is None else pa.repeat(absent, 1)
    return pa.concat_arrays(
        [batch.column(name) if name in batch.schema.names else missing for batch in batches]
    )


def _flags(batches: Sequence[pa.RecordBatch], name: str) -> pa.BooleanArray:
    return _joined(batches, name, pa.scalar(False))
