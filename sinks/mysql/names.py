"""Quoting: names into SQL text, where the server can hold them."""

from __future__ import annotations

from collections.abc import Iterable

from cdc.mysql import names
from cdc.schema import TableName
from tailrace.errors import TargetRefused

IDENTIFIER_MAX = 64
"""Characters (https://mariadb.com/kb/en/identifier-names/)."""


def quoted(name: str) -> str:
    """Errors: TargetRefused for a name the server cannot hold."""
    if (
        not name
        or len(name) > IDENTIFIER_MAX
        or name.endswith(" ")
        or any(character == "\0" or ord(character) > 0xFFFF for character in name)
    ):
        raise TargetRefused(
            f"{name[:80]!r} cannot be a name in MariaDB or MySQL",
            fix=f"use 1 to {IDENTIFIER_MAX} characters, the last of them no space",
        )
    return names.quoted(name)


def quoted_table(table: TableName) -> str:
    return f"{quoted(table.schema)}.{quoted(table.name)}"


def quoted_list(columns: Iterable[str], prefix: str = "") -> str:
    return ", ".join(prefix + quoted(name) for name in columns)
