"""The change set under construction."""

from __future__ import annotations

from typing import Any

from cdc.arrays import table_changes, transactions
from cdc.changes import TRUNCATE, ChangeSet
from cdc.mysql.transaction import OpenTransaction
from cdc.mysql.withheld import Withheld, without
from cdc.mysql.zerodates import ZeroDates


class Building:
    """Whole transactions, or a part of one. `rows_max`, `bytes_max`: as of a `BinlogDecoder`."""

    def __init__(
        self, withheld: Withheld, zero_dates: ZeroDates, rows_max: int, bytes_max: int
    ) -> None:
        self._withheld = withheld
        self._zero_dates = zero_dates
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._used: list[tuple[Any, frozenset[str]]] = []  # with the columns to leave out
        self._listed: list[tuple[int, str, int, int | None, str | None]] = []
        self._last: OpenTransaction | None = None  # listed
        self._part = 0
        self._bytes = 0
        self.rows = 0

    @property
    def full(self) -> bool:
        return self.rows >= self._rows_max or self._bytes >= self._bytes_max

    def read(
        self,
        transaction: OpenTransaction,
        table: Any,
        op: int,
        data: bytearray,
        before: bytes,
        after: bytes,
    ) -> None:
        """Add the rows of an event; arguments as of `_rows.RowTable.read`."""
        self._begin(transaction, table)
        self.rows += table.read(data, 0, len(data), op, self.rows, before, after)
        self._bytes += len(data)

    def clear(self, transaction: OpenTransaction, table: Any) -> None:
        """Add a TRUNCATE."""
        self._begin(transaction, table)
        table.clear_at(TRUNCATE, self.rows)
        self.rows += 1

    def _begin(self, transaction: OpenTransaction, table: Any) -> None:
        if self._last is not transaction:
            self._last = transaction
            self._listed.append((self.rows, *transaction.listed))
            transaction.started = True
        if not table.count:
            self._used.append((table, self._withheld.names(table.schema_of)))

    def take(self, position: str, *, complete: bool) -> ChangeSet | None:
        """The set, or None where it has neither rows nor an end to tell. A new one begins.

        `complete`: whether it ends at a transaction's end.
        """
        if not self.rows and not (self._part and complete):
            return None
        taken = ChangeSet(
            tables=tuple(
                self._zero_dates.changes(without(table_changes(*table.take()), names))
                for table, names in self._used
            ),
            transactions=transactions(self._listed),
            position=position,
            complete=complete,
            part=self._part,
        )
        self._part = 0 if complete else self._part + 1
        self._used, self._listed, self._last = [], [], None
        self.rows = self._bytes = 0
        return taken
