"""A compiled mapping: what to read, what to compute in DuckDB, where the results go.

SQL here is over a table of texts whose columns are named after their position in the source
table: c0, c1, …; those of lookups stand behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc.schema import TableSchema
from transforms.contract import Rule
from transforms.errors import Loc
from transforms.model import OnDelete
from transforms.rows import TargetTable

if TYPE_CHECKING:
    from transforms.lookups.program import LookupProgram


@dataclass(frozen=True, slots=True)
class Codes:
    """A value map. `listed` pairs codes with SQL of the mapped texts; None is NULL.

    `null` and `other` are the SQL for NULL and for codes not listed; None: a row with one fails.
    """

    listed: tuple[tuple[str, str], ...]
    null: str | None
    other: str | None


@dataclass(frozen=True, slots=True)
class Output:
    """One field of the entity.

    index     its position among the target's columns
    sql       the text it gets (of a value map: the code)
    reads     positions of the source columns it depends on; none: a constant
    column    the source column that is passed through untouched
    number    SQL of the number that `sql` prints
    name, loc for errors: its name, and where it stands in the mapping
    """

    index: int
    name: str
    loc: Loc
    sql: str
    reads: tuple[int, ...]
    column: int | None = None
    required: bool = False
    codes: Codes | None = None
    number: str | None = None


@dataclass(frozen=True)
class Program:
    """One of a mapping's rows, compiled for one version of its source table.

    name      of the mapping; with `rows`, followed by theirs: ``orders/items``
    target    what it writes: the columns it delivers, and no others
    entity    the whole table, as it is made where it is absent
    keys      the entity's key, in key order
    fields    the other fields this mapping delivers
    where     a condition that only the rows of this mapping meet; None: all do
    mine      the part of it that reads identity columns only, so that it can be asked of a row
              that is gone; None: nothing
    rest      whether `where` asks more than that
    soft      position of the target's column that marks deleted rows
    identity  positions of the columns of the replica identity
    contract  what the entity's contract demands of its values
    lookups   what is joined to each row
    parents   the entities that it refers to, whole, as they are made where they are absent
    admits    see `TargetTable`
    """

    name: str
    schema: TableSchema
    target: TargetTable
    entity: TargetTable
    keys: tuple[Output, ...]
    fields: tuple[Output, ...]
    where: str | None
    where_reads: tuple[int, ...]
    mine: str | None
    rest: bool
    on_delete: OnDelete
    soft: int | None
    identity: tuple[int, ...]
    contract: tuple[Rule, ...] = ()
    lookups: tuple[LookupProgram, ...] = ()
    parents: tuple[TargetTable, ...] = ()
    admits: str = ""

    @property
    def source(self) -> str:
        return str(self.schema.table)

    def column(self, at: int) -> str:
        """The name of the column at this position: of the source table, or of a lookup."""
        if at < len(self.schema.columns):
            return self.schema.columns[at].name
        return next(name for one in self.lookups if (name := one.column(at)) is not None)

    @property
    def reads_lookups(self) -> bool:
        """Whether `where` does."""
        return any(at >= len(self.schema.columns) for at in self.where_reads)
