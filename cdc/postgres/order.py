"""The order in which tables are copied, by foreign keys."""

from __future__ import annotations

from collections.abc import Iterable

from cdc.order import Needs, in_order
from cdc.postgres.catalog import CatalogTable


def parents_first(tables: Iterable[CatalogTable], needs: Needs) -> list[CatalogTable]:
    """Those that others refer to come first, and those that they `need` otherwise; then by name."""
    by_name = {table.name: table for table in tables}
    every = {
        name: {*(key.references for key in table.foreign_keys), *needs.get(name, ())}
        for name, table in by_name.items()
    }
    return [by_name[name] for name in in_order(by_name, every)]
