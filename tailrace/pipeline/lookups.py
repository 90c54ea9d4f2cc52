"""Keeps the looked up tables at the place in the journal that is being delivered.

    journal ─▶ a transaction's changes of looked up tables ─▶ then its other changes, mapped

A change is mapped with the looked up tables as its source transaction left them. That state is a
function of the journal and nothing else, so a replay gives the same rows. A copy on disk spares
reading the journal from its beginning on; it is never ahead of the target's checkpoint, and the
journal is kept from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from cdc.changes import ChangeSet, TableChanges
from cdc.schema import TableName
from tailrace.errors import JournalError, LookupsLost
from tailrace.journal.protocol import JournalReader
from tailrace.pipeline.arrivals import between
from tailrace.state.lookups import StoredTable, load, save
from transforms.lookups.tables import LookupTable, LookupTables
from transforms.router import Router

log = logging.getLogger("tailrace.deliver")

SAVE_S = 5.0
"""How often the copy is written where the tables change: each is a whole file."""
IDLE_SAVE_S = 60.0
"""The same where only the place has changed, which keeps the journal from being pruned."""
READ_BYTES = 8 << 20


class Lookups:
    """Of one pipeline. Not thread-safe."""

    def __init__(self, path: Path, journal: JournalReader, router: Router) -> None:
        tables = router.lookups
        assert tables is not None
        self._path = path
        self._journal = journal
        self._router = router
        self._tables: LookupTables = tables
        self._offset: int | None = None  # to which the tables are settled
        self._saved = 0
        self._saved_s = 0.0
        self._unsaved = False

    def open(self, offset: int) -> None:
        """Bring the tables to the target's checkpoint. Errors: LookupsLost, TransformError."""
        self._tables.take_back()
        if self._offset is None or self._offset > offset:
            self._load(offset)
        elif self._offset < offset:  # a commit whose answer was lost
            self._catch_up(dict.fromkeys(self._names, self._offset), offset)
        self._tables.settle()
        if self._saved < offset:
            self._save(offset)
        self._offset = offset

    def _load(self, offset: int) -> None:
        """From the copy, then from the journal what the copy lacks."""
        since = dict.fromkeys(self._names, 0)
        for table in self._tables:
            table.clear()
        for stored in load(self._path, self._journal.id):
            name = stored.schema.table
            if name in self._tables and stored.offset <= offset:
                self._tables[name].put_all(stored.schema, list(map(tuple, stored.rows)))
                since[name] = stored.offset
        self._saved = min(since.values())
        self._catch_up(since, offset)

    @property
    def _names(self) -> list[TableName]:
        return [table.name for table in self._tables]

    def _catch_up(self, since: dict[TableName, int], upto: int) -> None:
        at = min(since.values())
        while at < upto:
            try:
                entries = self._journal.read(at, bytes_max=READ_BYTES)
            except JournalError as error:
                raise self._lost(min(since, key=lambda name: since[name]), at, upto) from error
            if not entries:
                break
            for entry in entries:
                if entry.offset > upto:
                    break
                for changes in entry.changes.tables:
                    name = changes.schema.table
                    if since.get(name, upto) < entry.offset:
                        self._tables[name].apply(changes)
            at = entries[-1].offset

    def _lost(self, table: TableName, at: int, upto: int) -> LookupsLost:
        return LookupsLost(
            f"what {table} held when the target's checkpoint was made is not known any more",
            where={"file": self._path, "journal_from": at, "checkpoint": upto},
            fix="restore the file from a backup, with the journal's; a lookup that was declared"
            " after its rows were pruned from the journal, or a target that was restored from an"
            " older backup, takes a new snapshot",
        )

    def rewind(self) -> None:
        """The open transaction was given up."""
        self._tables.take_back()

    def pieces(
        self, changes: ChangeSet, tables: Sequence[TableChanges]
    ) -> Iterator[Sequence[TableChanges]]:
        """`tables`, of `changes`, cut where a looked up table changes, each piece to be routed
        before the next is asked for."""
        theirs = [one for one in changes.tables if one.schema.table in self._tables]
        if not theirs:
            yield tables
            return
        starts = self._starts(changes, theirs)
        if not any(self._router.looks_up(one.schema.table) for one in tables):
            starts = starts[:0]
        edges = [-1, *(int(seq) - 1 for seq in starts if seq > 0), np.iinfo(np.int64).max]
        for after, upto in pairwise(edges):
            for one in between(theirs, after, upto):
                self._tables.apply(one)
            if piece := between(tables, after, upto):
                yield piece

    def _starts(self, changes: ChangeSet, theirs: Sequence[TableChanges]) -> np.ndarray:
        """`seq` at which each transaction begins that changes a looked up table."""
        if not changes.transactions.num_rows:
            return np.empty(0, np.int64)
        seqs = np.concatenate([one.seq.to_numpy() for one in theirs])
        index = np.unique(np.maximum(changes.transaction_of(seqs), 0))
        found: np.ndarray = changes.transactions.column("first_seq").to_numpy()[index]
        return found

    @property
    def needs_from(self) -> int:
        """The journal entry up to which the copy on disk knows the tables."""
        return self._saved

    def committed(self, offset: int) -> None:
        """The target has committed up to here."""
        self._unsaved |= self._tables.changed
        self._tables.settle()
        self._offset = offset
        wait_s = SAVE_S if self._unsaved else IDLE_SAVE_S
        if time.monotonic() - self._saved_s > wait_s:
            self._save(offset)

    def _save(self, offset: int) -> None:
        tables = [_stored(table, offset) for table in self._tables]
        try:
            save(self._path, self._journal.id, [one for one in tables if one is not None])
        except OSError as error:
            log.warning(
                "the copy of looked up tables cannot be written; the journal is kept meanwhile",
                extra={"file": str(self._path), "errno": error.errno},
            )
        else:
            self._saved, self._unsaved = offset, False
        self._saved_s = time.monotonic()

    def close(self) -> None:
        """Errors never: what is not written is read from the journal."""
        self._tables.take_back()
        offset = self._offset
        if offset is None or offset <= self._saved:
            return
        if all(one.offset <= offset for one in load(self._path, self._journal.id)):
            self._save(offset)  # else it is the copy of a process that has taken over from us


def _stored(table: LookupTable, offset: int) -> StoredTable | None:
    if table.schema is None:
        return None
    return StoredTable(table.schema, offset, list(table.lines))
