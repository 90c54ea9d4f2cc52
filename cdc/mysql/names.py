"""Names into SQL text."""

from __future__ import annotations

from cdc.schema import TableName


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def quoted_table(name: TableName) -> str:
    return f"{quoted(name.schema)}.{quoted(name.name)}"
