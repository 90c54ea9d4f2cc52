"""A compiled lookup: how a row finds its line in a small table, and which columns it gets of it.

Its columns stand behind those of the source table: ``c0 … c8`` are the row's, ``c9 …`` the
lookup's.
"""

from __future__ import annotations

from dataclasses import dataclass

from cdc.schema import TableName, TableSchema
from transforms.fallback import Fallback
from transforms.program import Output


@dataclass(frozen=True)
class LookupProgram:
    """
    alias    its name in expressions
    codes    what is looked up, of the row; `Output.reads` are positions of the source table
    keys     what that equals, of the table's own lines; positions are those of `schema`
    first    position of the first of its columns, as the mapping counts them
    columns  which of them the mapping reads, as positions in `schema`
    """

    alias: str
    schema: TableSchema
    codes: tuple[Output, ...]
    keys: tuple[Output, ...]
    first: int
    columns: tuple[int, ...]
    missing: Fallback

    @property
    def table(self) -> TableName:
        return self.schema.table

    @property
    def reads(self) -> frozenset[int]:
        """Columns of the source table that decide which line it is."""
        return frozenset(at for code in self.codes for at in code.reads)

    def column(self, at: int) -> str | None:
        """The name of the mapping's column `at`, if it is one of these."""
        if 0 <= at - self.first < len(self.schema.columns):
            return f"{self.alias}.{self.schema.columns[at - self.first].name}"
        return None
