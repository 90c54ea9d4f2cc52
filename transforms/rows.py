"""What transforms hand to sinks: row changes of target tables, in columns.

`TargetTable` says where rows go and what identifies them; `RowChanges` holds them. A sink needs
to know nothing of sources or mappings beyond this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from cdc.schema import TableName
from transforms.classes import FieldClass, MaskStyle

if TYPE_CHECKING:  # most commands look at no row and need none of these
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from cdc.changes import TableChanges
    from transforms.composite import Composite
    from transforms.references import Reference

UPSERT, PATCH, DELETE, CLEAR = (ord(op) for op in "updt")
"""What a row change does at the target.

UPSERT  puts the row with this key in this state
PATCH   sets the sent columns of the row with this key, if there is one (soft deletes)
DELETE  removes the row with this key, if there is one
CLEAR   removes every row
"""


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """`type` is in PostgreSQL's spelling (the canonical one); a sink translates it, or takes
    `native` (see `cdc.schema.Column`) where that is its own dialect; of a PostgreSQL's type that
    goes as its base type ``postgres:`` and its name.

    `field_class` and `mask` are those of the entity's field; None: it is a column of no entity.
    `protected` says how its values were protected: ``mask last4``, ``tokenise 5f3a9c01``; empty:
    they are clear.
    """

    name: str
    type: str
    nullable: bool = True
    native: str = ""
    field_class: FieldClass | None = None
    mask: MaskStyle = "first"
    protected: str = ""


@dataclass(frozen=True)
class TargetTable:
    """A table Tailrace writes. `key` are names of `columns`, in key order.

    `existing`: what to do when the table holds rows before our first write: ``refuse`` or ``keep``.
    `unique`: columns whose values together no two rows share; NULL is like no other.
    `composite`: of an entity that several sources feed, to which this table belongs.
    `refs`: columns, by position, whose values are keys of other entities.
    `admits` changes with the mapping's key, `where` and `on_delete`: which rows are there; empty
    where one mapping alone does not say so, or what it does not admit any more may stay.
    """

    table: TableName
    columns: tuple[TargetColumn, ...]
    key: tuple[str, ...]
    existing: Literal["refuse", "keep"] = "refuse"
    unique: tuple[tuple[str, ...], ...] = ()
    composite: Composite | None = field(default=None, compare=False, repr=False)
    refs: tuple[tuple[int, Reference], ...] = ()
    admits: str = field(default="", compare=False, repr=False)

    @property
    def key_indexes(self) -> tuple[int, ...]:
        names = [column.name for column in self.columns]
        return tuple(names.index(name) for name in self.key)


@dataclass(frozen=True, slots=True)
class Logged:
    """What the log said, for targets that pass on more than rows: operations, rows before,
    transactions.

    `changes`, whose `seq` is counted from `base` on; `transactions` are those of their change set.
    `replayed`: they come from the exceptions desk, and not in their place.
    """

    changes: TableChanges
    base: int
    transactions: pa.RecordBatch | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Places:
    """Where changes come from, one element each: the same however often they are delivered.

    entry, number   the journal entry's offset and the place in it; of a change that was parked,
                    those it had when it came
    position        of the source's transaction; `committed_us`: its commit, µs since 1970 UTC
    """

    entry: npt.NDArray[np.int64]
    number: npt.NDArray[np.int64]
    position: Sequence[str]
    committed_us: npt.NDArray[np.int64]


class Origins(Protocol):
    """Of all changes that are written at once."""

    def of(self, seq: npt.NDArray[np.int64]) -> Places: ...


@dataclass(frozen=True, slots=True)
class Before:
    """Rows before their changes, beside those after. `known`: of which rows the log has them;
    `values`: one array for each column that it has, by column index."""

    known: pa.BooleanArray
    values: Mapping[int, pa.Array]


@dataclass(frozen=True, slots=True)
class RowChanges:
    """Changes of one target table, in source order.

    op       uint8: UPSERT, PATCH, DELETE or CLEAR
    seq      int64, ascending; orders the rows of all tables of one batch among each other
    values   one array a column of `table`: text the target parses itself, or an Arrow type.
             For DELETE only the key columns are read.
    unsent   column index → boolean, true where the value is *not sent*: keep the target's
    old_key  one array a key column: the key the row had before, NULL in the first of them where
             it did not change; None when no key changed
    fresh    true when every op is an UPSERT of a row that the source says is new (insert or
             snapshot), so that a plain COPY may be tried first
    source   the source table, for error messages and counts
    logged   the source changes these were made of, found by `seq`; several where row changes were
             joined; none where nobody delivers them
    origins  where each came from, by `seq`; None where nobody delivers them
    created  true where the source says that the row is new; None where nobody asked for it
    entered  true where the log has the row before, and `table.admits` it only now; None as above
    before   what the log says of the rows before; None where it is silent, or nobody asked
    """

    table: TargetTable
    op: pa.UInt8Array
    seq: pa.Int64Array
    values: tuple[pa.Array, ...]
    unsent: Mapping[int, pa.BooleanArray] = field(default_factory=dict)
    old_key: tuple[pa.Array, ...] | None = None
    fresh: bool = False
    source: str = ""
    logged: tuple[Logged, ...] = field(default=(), compare=False, repr=False)
    origins: Origins | None = field(default=None, compare=False, repr=False)
    created: pa.BooleanArray | None = None
    entered: pa.BooleanArray | None = None
    before: Before | None = None

    @property
    def rows(self) -> int:
        return len(self.op)
