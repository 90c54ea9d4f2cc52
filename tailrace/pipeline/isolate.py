"""Finds the rows that a target refuses among those that it takes.

Pieces are written in the source's order. One that is refused is halved, or cut where the target
said which row it was, or, where it is small, written again without that row; one that is taken
makes the next twice as large. So a row is refused only after all that came before it, and a few bad
rows among many cost a few writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from sinks.batches import joined, sliced
from sinks.protocol import Sink, Written
from tailrace.errors import RowRefused
from transforms.rows import RowChanges, TargetTable


class Aside(Protocol):
    """Where rows go that are not written."""

    def without_waiting(self, rows: Sequence[RowChanges]) -> Sequence[RowChanges]:
        """`rows` but for those that wait behind one that was refused."""

    def passed(self, changes: int) -> None: ...
    def refuse(self, seq: int, refused: RowRefused) -> None:
        """Nothing of the change `seq` is written."""


_FEW = 128
"""Rows that are written again whole, but for the one that the target named: that costs less than
to write those before it and those after it apart."""


def isolated(
    sink: Sink, rows: Sequence[RowChanges], refused: RowRefused, aside: Aside
) -> Iterator[dict[str, Written]]:
    """Write what the target takes of `rows`, which it `refused` together; yield the counts."""
    seqs = seqs_of(rows)
    at, stop, step = 0, len(seqs), len(seqs)
    error: RowRefused | None = refused
    known = -1  # the row that was refused after all before it, which are written next
    while at < len(seqs):
        if error is None:
            piece = aside.without_waiting(between(rows, seqs[at], seqs[stop - 1]))
            try:
                if piece:
                    yield sink.write(piece)
            except RowRefused as again:
                error = again
            else:
                aside.passed(len(seqs_of(piece)))
                at, step = stop, step * 2
                error = refused if at == known else None
                stop = min(at + step, len(seqs))
                continue
        bad = at if at == known else _index(seqs, at, stop, error)
        if stop - at <= _FEW and error.seq == seqs[bad]:
            aside.refuse(int(seqs[bad]), error)
            error, known = None, -1
            continue
        if bad == at:
            aside.refuse(int(seqs[at]), error)
            at, step, known = at + 1, max(_FEW, step // 2), -1
        else:
            step = bad - at
            known, refused = (bad, error) if error.seq == seqs[bad] else (-1, error)
        error = None
        stop = min(at + step, len(seqs))


def seqs_of(rows: Sequence[RowChanges]) -> np.ndarray:
    """The changes that `rows` are of, ascending."""
    return np.unique(np.concatenate([np.empty(0, np.int64), *(one.seq.to_numpy() for one in rows)]))


def _index(seqs: np.ndarray, at: int, stop: int, refused: RowRefused) -> int:
    """Where the refused row is, or the middle of the piece where the target did not say."""
    if refused.seq is not None:
        found = int(np.searchsorted(seqs, refused.seq))
        if at <= found < stop and seqs[found] == refused.seq:
            return found
    return (at + stop) // 2 if stop - at > 1 else at


def together(rows: Sequence[RowChanges]) -> list[RowChanges]:
    """The same with one item a table, of which pieces are cheap."""
    by_table: dict[TargetTable, list[RowChanges]] = {}
    for change in rows:
        by_table.setdefault(change.table, []).append(change)
    return [joined(group) for group in by_table.values()]


def between(rows: Sequence[RowChanges], first: int, last: int) -> list[RowChanges]:
    """The rows whose `seq` is `first` … `last`."""
    found = []
    for change in rows:
        seq = change.seq.to_numpy()
        begin, end = np.searchsorted(seq, first), np.searchsorted(seq, last, side="right")
        if end > begin:
            found.append(sliced(change, int(begin), int(end - begin)))
    return found
