"""What the log said of row changes: operation, row before, transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import cdc.changes as log
from cdc.before import RowsBefore, rows_before
from cdc.schema import TableName
from sinks.batches import taken_rows
from transforms.rows import CLEAR, DELETE, PATCH, Logged, RowChanges

Ints = npt.NDArray[np.int64]
Letters = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Facts:
    """Of changes that were made of one `Logged`, one element each.

    letters      what became of the row, with Debezium's letters (`cdc.changes`)
    transaction  index into `transactions`
    before       the rows before, where the log tells any; None for entities, whose rows are not
                 the source's
    replayed     they do not come in their place
    """

    letters: Letters
    transaction: npt.NDArray[np.int32]
    transactions: pa.RecordBatch
    table: TableName
    before: RowsBefore | None
    replayed: bool = False


def runs(change: RowChanges) -> Iterator[tuple[RowChanges, Facts]]:
    """The changes in order, cut where they were made of other changes of the log."""
    seq = change.seq.to_numpy()
    for logged in change.logged:
        numbers = logged.changes.seq.to_numpy() + logged.base
        at = np.searchsorted(numbers, seq)
        mine = (at < len(numbers)) & (numbers[np.minimum(at, len(numbers) - 1)] == seq)
        if mine.all():
            yield change, _facts(change, logged, at)
        elif mine.any():
            rows = np.flatnonzero(mine)
            yield taken_rows(change, rows), _facts(taken_rows(change, rows), logged, at[rows])


def is_copy(change: RowChanges) -> bool:
    """Whether its rows are the source's own, and not an entity's."""
    return all(column.field_class is None for column in change.table.columns)


def _facts(change: RowChanges, logged: Logged, at: Ints) -> Facts:
    changes = logged.changes
    letters = _letters(change.op.to_numpy(), changes.op.to_numpy()[at])
    transactions = logged.transactions
    assert transactions is not None, "delivery says of which transactions changes are"
    if transactions.num_rows:
        first = transactions.column("first_seq").to_numpy()
        index = np.searchsorted(first, changes.seq.to_numpy()[at], side="right") - 1
        index = np.maximum(index, 0).astype(np.int32)
    else:
        index = np.zeros(change.rows, np.int32)
    before = rows_before(changes) if is_copy(change) else None
    if before is not None and len(at) != changes.rows:
        before = before.picked(at)
    table = changes.schema.table
    return Facts(letters, index, transactions, table, before, logged.replayed)


def _letters(did: Letters, logged: Letters) -> Letters:
    """A row that a soft delete marks is updated; one that leaves a mapping's `where` deleted."""
    puts = np.isin(logged, (log.CREATE, log.READ))
    letters = np.where(puts, logged, log.UPDATE).astype(np.uint8)
    letters[did == PATCH] = log.UPDATE
    letters[did == DELETE] = log.DELETE
    letters[did == CLEAR] = log.TRUNCATE
    return letters
