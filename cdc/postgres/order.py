"""The order in which tables are copied: those that others refer to come first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from graphlib import CycleError, TopologicalSorter

from cdc.postgres.catalog import CatalogTable
from cdc.schema import TableName


def parents_first(
    tables: Iterable[CatalogTable], before: Collection[TableName] = ()
) -> list[CatalogTable]:
    """By foreign keys, then by name. In a circle of foreign keys the first by name begins.

    Those named in `before`, and what they refer to, come before all others.
    """
    by_name = {table.name: table for table in sorted(tables, key=lambda table: table.name)}
    needs = {
        name: {key.references for key in table.foreign_keys if key.references in by_name} - {name}
        for name, table in by_name.items()
    }
    while True:
        try:
            sorter: TopologicalSorter[TableName] = TopologicalSorter(needs)
            ordered = list(sorter.static_order())
        except CycleError as error:
            first = min(error.args[1])
            needs[first] -= set(error.args[1])
            continue
        ahead: set[TableName] = set()
        for name in reversed(ordered):
            if name in before or name in ahead:
                ahead |= {name, *needs[name]}
        return [by_name[name] for name in sorted(ordered, key=lambda name: name not in ahead)]
