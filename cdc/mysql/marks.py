"""Marks of our own transactions in a server's log: which system's changes they carry.

A target's checkpoint is a row that each of our transactions changes first, and that says where the
changes come from. So a server that is a source, too, shows which of its transactions not to send
back. It needs no right of ours: rows of a table that is not captured stand in the log like others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cdc.arrays import table_changes
from cdc.changes import DELETE
from cdc.mysql import tablemap as tm
from cdc.mysql.agreement import named
from cdc.mysql.tablemap import MapColumn, TableMap
from cdc.patterns import OWN_SCHEMA
from cdc.schema import TableName
from tailrace.errors import DecodeError

CHECKPOINTS = TableName(OWN_SCHEMA, "checkpoint")
COLUMN = "origin"

SYSTEM = "mariadb.system"
"""The fact that says which server the journal is of, by the name that marks have for it."""


_UTF8 = 4
_KNOWN = (
    MapColumn("pipeline", tm.VARCHAR, 64 * _UTF8, 0, nullable=False),
    MapColumn("epoch", tm.LONGLONG, 0, 0, nullable=False),
    MapColumn("journal", tm.VARCHAR, 200 * _UTF8, 0, nullable=False),
    MapColumn("journal_offset", tm.LONGLONG, 0, 0, nullable=False),
    MapColumn("position", tm.BLOB, 2, 0, nullable=False),
    MapColumn(COLUMN, tm.VARCHAR, 200 * _UTF8, 0, nullable=True),
    MapColumn("marks", tm.LONGLONG, 0, 0, nullable=False),
    MapColumn("holder", tm.VARCHAR, 40 * _UTF8, 0, nullable=False),
    MapColumn("updated_at", tm.TIMESTAMP2, 6, 0, nullable=False),
)
"""As the sink makes the table, in utf8mb4."""


def known_checkpoints(told: TableMap, charset_of: Mapping[int, str]) -> TableMap:
    """The table with its columns' names, where the log does not name them. Errors: DecodeError."""
    utf8 = next((number for number, name in charset_of.items() if name == "utf8mb4"), 0)
    columns = tuple(replace(one, charset=utf8) for one in _KNOWN)
    return named(told, TableMap(CHECKPOINTS, columns, (0,), described=True), charset_of)


class Marks:
    """Reads rows of the checkpoint. `table` is their `_rows.RowTable`."""

    def __init__(self, table: Any) -> None:
        self._table = table
        names = [column.name for column in table.schema_of.columns]
        self._column = names.index(COLUMN) if COLUMN in names else None

    @property
    def schema_of(self) -> Any:
        return self._table.schema_of

    @property
    def wide(self) -> int:
        return int(self._table.wide)

    def origin(self, data: bytearray, op: int, before: bytes, after: bytes) -> str | None:
        """What the last of the rows says; None where it says nothing."""
        if self._column is None:
            return None
        if op != DELETE and not after[self._column >> 3] >> (self._column & 7) & 1:
            raise DecodeError(
                f"a change of {CHECKPOINTS} that leaves out where it comes from",
                fix="SET GLOBAL binlog_row_image = FULL;",
            )
        self._table.read(data, 0, len(data), op, 0, before, after)
        changes = table_changes(*self._table.take())
        found = changes.new[self._column][-1].as_py()
        return None if found is None else str(found)
