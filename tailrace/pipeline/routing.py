"""What delivery asks of the mappings of its pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from cdc.changes import TableChanges
from cdc.schema import TableName, TableSchema
from transforms.rows import RowChanges, TargetTable


class Router(Protocol):
    """Changes of source tables to changes of target tables."""

    @property
    def shared_tables(self) -> Sequence[TargetTable]:
        """Of entities that other sources feed, too."""

    def target_tables(self, schema: TableSchema) -> Sequence[TargetTable]: ...
    def receivers(self, schema: TableSchema) -> Sequence[TableName]:
        """The target table of each rule and mapping that counts a change as received."""

    def route(
        self, changes: TableChanges, seq_base: int, transactions: pa.RecordBatch
    ) -> Sequence[RowChanges]: ...
    def take_counts(self) -> dict[tuple[str, str], dict[str, int]]:
        """(source table, target table) → rows received and filtered since the last call."""
