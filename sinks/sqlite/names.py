"""Names of tables in a SQLite file, which has no schemas.

A table of schema `public`, where entities are by default, goes by its own name; one of another
schema as `schema.table`, which is one name with a dot in it: ``select * from "shop.item"``.
"""

from __future__ import annotations

from cdc.schema import TableName
from tailrace.errors import TargetRefused

DEFAULT_SCHEMA = "public"


def quoted(name: str) -> str:
    """Errors: TargetRefused for a name the file cannot hold."""
    if not name or "\0" in name:
        raise TargetRefused(f"{name[:80]!r} cannot be a name in SQLite", fix="use another name")
    return '"' + name.replace('"', '""') + '"'


def plain(table: TableName) -> str:
    """Errors: TargetRefused where it would be the name of another table, or of SQLite's own."""
    name = table.name if table.schema == DEFAULT_SCHEMA else f"{table.schema}.{table.name}"
    dots = table.name if table.schema == DEFAULT_SCHEMA else table.schema
    if "." in dots or name.lower().startswith("sqlite_"):
        raise TargetRefused(
            f"target table {table} cannot be told from others in a SQLite file",
            where={"table": str(table)},
            fix="name another with `into`, without a dot and not beginning with sqlite_",
        )
    return name
