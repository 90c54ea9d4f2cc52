"""What parsed messages say besides their rows' values. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cdc.kafka.shapes import table_of
from cdc.schema import TableName

Ints = npt.NDArray[np.int64]


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


_IN_PARTS = frozenset({"postgresql", "yugabytedb"})
"""Connectors that name a transaction by its number and, behind a colon, where each change stands in
the log. Elsewhere colons are of the name: SQL Server's is ``00000025:00000d08:0025``."""


def transaction_names(parsed: pa.Table) -> list[str]:
    """The transaction of each row, as far as it is named."""
    source = struct(parsed, "source")
    ids = pc.struct_field(struct(parsed, "transaction"), [0]).to_pylist()
    gtids, xids = source.field("gtid").to_pylist(), source.field("txId").to_pylist()
    connectors = source.field("connector").to_pylist()
    return [
        gtid or _named(id_, connector) or ("" if xid is None else str(xid))
        for id_, gtid, xid, connector in zip(ids, gtids, xids, connectors, strict=True)
    ]


def _named(transaction: str | None, connector: str | None) -> str | None:
    if transaction and connector in _IN_PARTS:
        return transaction.partition(":")[0]
    return transaction


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
