"""Quoting: names into SQL text."""

from __future__ import annotations

from collections.abc import Iterable

from cdc.schema import TableName
from tailrace.errors import TargetRefused

IDENTIFIER_BYTES_MAX = 63


def quoted(name: str) -> str:
    """Errors: TargetRefused for a name PostgreSQL would cut off or cannot hold."""
    if not name or "\0" in name or len(name.encode()) > IDENTIFIER_BYTES_MAX:
        raise TargetRefused(
            f"{name[:80]!r} cannot be a name in PostgreSQL",
            fix=f"use 1 to {IDENTIFIER_BYTES_MAX} bytes",
        )
    return '"' + name.replace('"', '""') + '"'


def quoted_table(table: TableName) -> str:
    return f"{quoted(table.schema)}.{quoted(table.name)}"


def quoted_list(names: Iterable[str], prefix: str = "") -> str:
    return ", ".join(prefix + quoted(name) for name in names)


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"
