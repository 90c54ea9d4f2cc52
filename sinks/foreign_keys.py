"""What foreign keys at a target ask of the order of writing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cdc.schema import TableName
from transforms.references import Reference


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`acts`: a delete of a parent reaches into the child's rows (ON DELETE CASCADE, SET NULL)."""

    child: TableName
    parent: TableName
    acts: bool


@dataclass(frozen=True, slots=True)
class References:
    """`parents_first`: our tables, a table after those it refers to; in a cycle as they came.

    `cascading`: those of which a delete reaches into other rows, also of tables that are not ours.
    `inert`: those of which a row may be deleted and put elsewhere instead of moved: nothing acts on
    that, nor will.
    """

    parents_first: tuple[TableName, ...] = ()
    cascading: frozenset[TableName] = frozenset()
    inert: frozenset[TableName] = frozenset()

    @classmethod
    def of(
        cls, tables: Iterable[TableName], keys: Iterable[ForeignKey], *, hidden: bool = False
    ) -> References:
        """Among `tables`, and to and from them.

        `hidden`: tables of others may refer to ours and act in ways that we are not shown.
        """
        parents: dict[TableName, set[TableName]] = {table: set() for table in tables}
        cascading: set[TableName] = set()
        for key in keys:
            if key.parent not in parents:
                if hidden and key.child in parents:
                    # Through this table of others a delete in any of ours may come back to us.
                    cascading.update(parents)
                continue
            if key.acts:
                cascading.add(key.parent)
            if key.child in parents and key.child != key.parent:
                parents[key.child].add(key.parent)
        return cls(tuple(_sorted(parents)), frozenset(cascading))

    def rank(self, table: TableName) -> int:
        return self.parents_first.index(table)


def foreign_key(
    child: TableName, column: str, parent: TableName, key: str, type_: str = ""
) -> Reference:
    """A target's own foreign key of one column, as a reference."""
    return Reference(str(child), column, f"row of {parent}", parent, key, type_)


def _sorted(parents: dict[TableName, set[TableName]]) -> list[TableName]:
    placed: list[TableName] = []
    waiting = list(parents)
    while waiting:
        ready = [table for table in waiting if parents[table] <= set(placed)] or waiting[:1]
        placed += ready
        waiting = [table for table in waiting if table not in ready]
    return placed
