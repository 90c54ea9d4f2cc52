"""Marks of our own transactions in a server's log: which system's changes they carry.

A target's checkpoint is a row that each of our transactions changes first, and that says where the
changes come from. So a server that is a source, too, shows which of its transactions not to send
back. It needs no right of ours: rows of a table that is not captured stand in the log like others.
"""

from __future__ import annotations

from typing import Any

from cdc.arrays import table_changes
from cdc.changes import DELETE
from cdc.patterns import OWN_SCHEMA
from cdc.schema import TableName
from tailrace.errors import DecodeError

CHECKPOINTS = TableName(OWN_SCHEMA, "checkpoint")
COLUMN = "origin"

SYSTEM = "mariadb.system"
"""The fact that says which server the journal is of, by the name that marks have for it."""


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
