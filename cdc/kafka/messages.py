"""What parsed messages say besides their rows' values. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cdc.kafka.envelope import Envelope
from cdc.kafka.shapes import table_of
from cdc.schema import TableName

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def struct(parsed: pa.Table, name: str) -> pa.StructArray:
    column = parsed.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def member(row: pa.StructArray, index: int) -> pa.Array:
    """A field of the rows, NULL where there is no row."""
    return pc.struct_field(row, [index])


def commit_times(parsed: pa.Table) -> Ints:
    """Commit times at the source, µs since 1970."""
    source = struct(parsed, "source")
    micros = source.field("ts_us")
    millis = pc.multiply(source.field("ts_ms"), 1000)
    found: Ints = pc.coalesce(micros, millis).fill_null(0).to_numpy().astype(np.int64)
    return found


def transaction_names(parsed: pa.Table) -> list[str]:
    """The transaction of each row, as far as it is named."""
    source = struct(parsed, "source")
    ids = pc.struct_field(struct(parsed, "transaction"), [0]).to_pylist()
    gtids, xids = source.field("gtid").to_pylist(), source.field("txId").to_pylist()
    return [
        one.partition(":")[0] if one and not gtid else gtid or ("" if xid is None else str(xid))
        for one, gtid, xid in zip(ids, gtids, xids, strict=True)
    ]


def tables_of(parsed: pa.Table) -> list[TableName]:
    source = struct(parsed, "source")
    names = ("schema", "db", "table", "collection")
    parts = [source.field(name).to_pylist() for name in names]
    known: dict[tuple[Any, ...], TableName] = {}
    found = []
    for one in zip(*parts, strict=True):
        if one not in known:
            known[one] = table_of(dict(zip(names, one, strict=True)))
        found.append(known[one])
    return found


def absent_columns(
    envelope: Envelope, payloads: Sequence[bytes], parsed: pa.Table
) -> dict[int, Flags]:
    """Declared columns that messages of updates have no field for: those are not sent."""
    found: dict[int, Flags] = {}
    if envelope.declared is None:
        return found
    after = struct(parsed, "after")
    updates = pc.and_(after.is_valid(), pc.equal(parsed.column("op").chunk(0), "u"))
    for index, field in enumerate(envelope.fields):
        rows = pc.and_(updates, member(after, index).is_null()).fill_null(False)
        says = f"{json.dumps(field.column.name, ensure_ascii=False)}:null".encode()
        for row in np.flatnonzero(rows.to_numpy(zero_copy_only=False)).tolist():
            if says in payloads[row]:
                continue
            if field.column.name not in json.loads(payloads[row])["after"]:
                found.setdefault(index, np.zeros(len(payloads), bool))[row] = True
    return found
