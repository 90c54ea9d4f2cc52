"""Parsed rows of one table to its changes, in columns. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdc.changes import OLD_KEY, OLD_NONE, TableChanges
from cdc.kafka.connect import Field
from cdc.kafka.envelope import Flags, undecodable
from cdc.kafka.messages import Ints, member, struct
from cdc.kafka.shapes import Shape
from cdc.schema import TableName, TableSchema
from tailrace.errors import DecodeError
from tailrace.kafka.records import Fetched


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table and shape. `at`: indexes among all records that were fetched together, of
    which `fetched` begins at `first`. `absent`: index of a column → rows whose message lacks it."""

    table: TableName
    envelope: Shape
    key: tuple[str, ...]
    parsed: pa.Table
    op: list[str]
    at: Ints
    fetched: Fetched
    first: int
    absent: Mapping[int, Flags]

    def wrong(self, row: int, what: str, fix: str) -> DecodeError:
        return undecodable(self.fetched, int(self.at[row]) - self.first, what, fix)


def table_changes(rows: Rows, seq: Ints, unavailable: str) -> TableChanges:
    schema = TableSchema(rows.table, tuple(one.column for one in rows.envelope.fields), rows.key)
    after, before = (struct(rows.parsed, name) for name in ("after", "before"))
    new: list[pa.Array] = []
    unsent: dict[int, pa.BooleanArray] = {}
    deletes = np.array([op == "d" for op in rows.op])
    old: list[pa.Array | None] = []
    for index, field in enumerate(rows.envelope.fields):
        values = member(after, index)
        flags = field.is_unsent(values, unavailable)
        if index in rows.absent:
            lacks = pa.array(rows.absent[index])
            flags = lacks if flags is None else pc.or_(flags, lacks)
        is_key = field.column.name in rows.key
        if flags is not None and pc.any(flags).as_py():
            if is_key:
                raise _no_key(rows, field, flags)
            unsent[index] = flags
            values = pc.if_else(flags, pa.scalar(None, values.type), values)
        new.append(_converted(rows, field, values))
        is_old = is_key and deletes.any()
        old.append(
            _old(rows, field, member(before, index), deletes, unavailable) if is_old else None
        )
    return TableChanges(
        schema=schema,
        op=pa.array([ord(op) for op in rows.op], pa.uint8()),
        seq=pa.array(seq, pa.int32()),
        new=tuple(new),
        unsent=unsent,
        old_kind=pa.array(np.where(deletes, OLD_KEY, OLD_NONE), pa.uint8())
        if deletes.any()
        else None,
        old=tuple(old) if deletes.any() else None,
    )


def _old(rows: Rows, field: Field, values: pa.Array, deletes: Flags, unavailable: str) -> pa.Array:
    """A column of the key, of the rows that are deleted. Errors: DecodeError."""
    unsent = field.is_unsent(values, unavailable)
    absent = values.is_null() if unsent is None else pc.or_(values.is_null(), unsent)
    absent = pc.and_(absent, pa.array(deletes))
    if pc.any(absent).as_py():
        raise _no_key(rows, field, absent)
    values = pc.if_else(pa.array(deletes), values, pa.scalar(None, values.type))
    return _converted(rows, field, values)


def _no_key(rows: Rows, field: Field, flags: pa.BooleanArray) -> DecodeError:
    what = f"a row has no value of {field.column.name}, which is in the key of {rows.table}"
    return rows.wrong(
        pc.index(flags, True).as_py(),
        what,
        "have the source log whole rows (REPLICA IDENTITY FULL), or choose a key that it logs",
    )


def _converted(rows: Rows, field: Field, values: pa.Array) -> pa.Array:
    """Errors: DecodeError."""
    try:
        return field.convert(values)
    except (ValueError, OverflowError):
        wrong = next((n for n in range(len(values)) if not _converts(field, values.slice(n, 1))), 0)
        what = f"a value of {field.column.name} in {rows.table} is no {field.column.type}"
        raise rows.wrong(wrong, what, "have the row sent again as its schema says") from None


def _converts(field: Field, value: pa.Array) -> bool:
    try:
        field.convert(value)
    except (ValueError, OverflowError):
        return False
    return True
