"""Change sets: consecutive changes of a source, in columns.

A change set is what capture produces, the journal stores and delivery reads. It holds whole
transactions; a transaction too large for one set spans several, and only the last of these is
`complete`. Nothing may be committed at a target, nor acknowledged to a source, at a set that is
not complete.

Shapes: every array of a `TableChanges` has one element a change, in the order of the log. `seq`
counts changes over all tables of the set, so the tables' changes can be put back in one order.
Values are what the source printed (PostgreSQL's text format) as Arrow strings, or the Arrow types
of a binary log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from cdc.schema import TableSchema

CREATE, UPDATE, DELETE, TRUNCATE, READ = (ord(op) for op in "cudtr")
"""Operations, with Debezium's letters; READ is a row of a snapshot."""

ROWS_MAX = 32_768
"""Rows of a change set: large enough that per-set costs vanish, small enough that delivery of a
huge transaction starts early and memory stays bounded."""
BYTES_MAX = 8 << 20
"""The same bound in bytes, for wide rows."""

OLD_NONE, OLD_KEY, OLD_ROW = 0, 1, 2
"""What the log said of the row before the change: nothing (its key is the new one), key, or all."""

REPLACED = pa.list_(
    pa.struct([pa.field("column", pa.int16(), nullable=False), pa.field("value", pa.string())])
)
"""Of a change: values that were in the place of those after. A column's index, or for one whose
value before was *not sent* that index's complement (~)."""

TRANSACTIONS = pa.schema(
    [
        pa.field("first_seq", pa.int32(), nullable=False),  # seq of its first change in this set
        pa.field("position", pa.string(), nullable=False),  # its identity in the source's log
        pa.field("commit_us", pa.int64(), nullable=False),  # commit time, µs since 1970 UTC
        pa.field("xid", pa.int64()),
        pa.field("origin", pa.string()),  # the system whose Tailrace wrote it, else NULL
    ]
)


@dataclass(frozen=True, slots=True)
class TableChanges:
    """The changes of one table in one set.

    op        uint8, one of CREATE, UPDATE, DELETE, TRUNCATE, READ
    seq       int32, ascending
    new       per column the value after; NULL also where the change has no row after (d, t) and
              where the value was not sent
    unsent    column index → boolean array, true where the value after was *not sent* (PostgreSQL's
              unchanged TOAST); a column absent here was always sent
    old_kind  uint8, one of OLD_*; None when OLD_NONE throughout
    old       per column the value before; None for a column of which the log carried nothing.
              Only the columns of the key are meaningful where old_kind is OLD_KEY.
    replaced  of type REPLACED, NULL where the log says no more than that; elsewhere the row before
              is the row after, but for the key that stands in `old` and for the values here
              (of columns of text); None when NULL throughout. `cdc.before` puts it together.
    """

    schema: TableSchema
    op: pa.UInt8Array
    seq: pa.Int32Array
    new: tuple[pa.Array, ...]
    unsent: Mapping[int, pa.BooleanArray] = field(default_factory=dict)
    old_kind: pa.UInt8Array | None = None
    old: tuple[pa.Array | None, ...] | None = None
    replaced: pa.ListArray | None = None

    @property
    def rows(self) -> int:
        return len(self.op)

    def picked(self, pick: Callable[[pa.Array], pa.Array]) -> TableChanges:
        """The same with each array as `pick` makes it: some of the changes."""
        old = self.old
        return TableChanges(
            schema=self.schema,
            op=pick(self.op),
            seq=pick(self.seq),
            new=tuple(map(pick, self.new)),
            unsent={index: pick(flags) for index, flags in self.unsent.items()},
            old_kind=None if self.old_kind is None else pick(self.old_kind),
            old=None if old is None else tuple(one if one is None else pick(one) for one in old),
            replaced=None if self.replaced is None else pick(self.replaced),
        )


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Consecutive changes of one source.

    `position` is where the source's log may be resumed once this set is durable; meaningless while
    not `complete`. `part` counts the sets since the last complete one (0 for most). A table stands
    twice in `tables` when its schema changed inside the set. A snapshot's rows form one
    transaction per table, which begins with a TRUNCATE of that table.
    """

    tables: tuple[TableChanges, ...]
    transactions: pa.RecordBatch
    position: str
    complete: bool = True
    part: int = 0

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    def transaction_of(self, seq: np.ndarray) -> np.ndarray:
        """Index into `transactions` for each `seq`."""
        first = self.transactions.column("first_seq").to_numpy()
        return np.searchsorted(first, seq, side="right") - 1
