"""Changes on their way to a target, from the journal or from the desk, and where each stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from cdc.changes import TRANSACTIONS, TRUNCATE, ChangeSet, TableChanges
from tailrace.pipeline.selection import sliced
from tailrace.state.exceptions.model import ExceptionId, Held


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the source's log: `position` of the transaction, `ordinal` in it, commit time."""

    position: str
    ordinal: int
    committed_us: int


class Origin(Protocol):
    """Whose `seq` the changes have. `is_new`: they arrive for the first time."""

    is_new: bool

    @property
    def transactions(self) -> pa.RecordBatch:
        """As those of a change set."""

    def id(self, seq: int) -> ExceptionId: ...
    def place(self, seq: int) -> Place: ...
    def before(self, seq: int) -> Held | None:
        """What the desk held of it; None for a change that arrives for the first time."""


class FromJournal:
    is_new = True

    def __init__(self, offset: int, changes: ChangeSet) -> None:
        self._offset = offset
        self._changes = changes

    @property
    def transactions(self) -> pa.RecordBatch:
        return self._changes.transactions

    def id(self, seq: int) -> ExceptionId:
        return ExceptionId(self._offset, seq)

    def place(self, seq: int) -> Place:
        transactions = self._changes.transactions
        if not transactions.num_rows:
            return Place("", seq, 0)
        index = max(0, int(self._changes.transaction_of(np.array([seq]))[0]))
        found = {
            name: transactions.column(name)[index].as_py()
            for name in ("position", "first_seq", "commit_us")
        }
        return Place(found["position"], seq - found["first_seq"], found["commit_us"])

    def before(self, seq: int) -> Held | None:
        return None


class FromDesk:
    """Held changes, numbered from 0 on."""

    is_new = False

    def __init__(self, held: Sequence[Held]) -> None:
        self._held = held

    @property
    def transactions(self) -> pa.RecordBatch:
        """Each by itself."""
        return pa.RecordBatch.from_pylist(
            [
                {
                    "first_seq": seq,
                    "position": held.position,
                    "commit_us": held.committed_us,
                    "xid": None,
                    "origin": None,
                }
                for seq, held in enumerate(self._held)
            ],
            schema=TRANSACTIONS,
        )

    def id(self, seq: int) -> ExceptionId:
        return self._held[seq].id

    def place(self, seq: int) -> Place:
        held = self._held[seq]
        return Place(held.position, held.ordinal, held.committed_us)

    def before(self, seq: int) -> Held | None:
        return self._held[seq]


def strips(tables: Sequence[TableChanges]) -> Iterator[Sequence[TableChanges]]:
    """The changes of a set cut at its TRUNCATEs, each of which stands alone; in order of `seq`."""
    cuts = sorted(int(seq) for table in tables for seq in _truncates(table))
    if not cuts:
        yield tables
        return
    after = -1
    for cut in cuts:
        for first, last in ((after, cut - 1), (cut - 1, cut)):
            if part := between(tables, first, last):
                yield part
        after = cut
    if part := between(tables, after, np.iinfo(np.int64).max):
        yield part


def is_truncate(strip: Sequence[TableChanges]) -> bool:
    return len(strip) == 1 and strip[0].rows == 1 and strip[0].op[0].as_py() == TRUNCATE


def _truncates(table: TableChanges) -> np.ndarray:
    found: np.ndarray = table.seq.to_numpy()[table.op.to_numpy() == TRUNCATE]
    return found


def between(tables: Sequence[TableChanges], after: int, upto: int) -> list[TableChanges]:
    """The changes whose `seq` is larger than `after` and at most `upto`."""
    found = []
    for table in tables:
        seq = table.seq.to_numpy()
        first, last = np.searchsorted(seq, (after, upto), side="right")
        if last > first:
            found.append(sliced(table, int(first), int(last - first)))
    return found
