"""What every target adapter promises, and the only thing delivery knows of a target.

One target transaction takes any number of `write` calls and ends with `commit`, which stores the
checkpoint in the same transaction. What is durable when is part of the types: `write` returns
`Written`, which promises nothing; only `commit` returns `Durable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from cdc.schema import TableName
from transforms.references import Reference
from transforms.rows import RowChanges, TargetTable


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a target has durably applied a journal.

    `journal` identifies the journal; `offset` is that of the last applied entry (0: none);
    `position` is the source position it ends at.
    """

    journal: str
    offset: int
    position: str


@dataclass(frozen=True, slots=True)
class Receipts:
    """Exceptions of the pipeline, by id: those that a transaction parks, and those it releases.

    The target keeps ids, no values. What it has a receipt for is parked, whatever else says so.
    """

    parked: tuple[str, ...] = ()
    released: tuple[str, ...] = ()


NO_RECEIPTS = Receipts()


@dataclass(frozen=True, slots=True)
class Durable:
    """The target has committed everything up to this checkpoint."""

    checkpoint: Checkpoint


@dataclass(slots=True)
class Written:
    """Rows by what became of them, for one target table, inside a transaction still open.

    `coalesced` were overtaken by a later change of the same key in the same write; `unchanged` had
    nothing in them that concerns the target.
    """

    upserted: int = 0
    deleted: int = 0
    cleared: int = 0
    coalesced: int = 0
    unchanged: int = 0


@runtime_checkable
class FindsKeys(Protocol):
    """A sink that knows what it holds: mappings may refer to other entities there."""

    def find(self, reference: Reference, keys: Sequence[str]) -> Mapping[str, str]:
        """Of `keys`, as a source's mapping makes them, those that are there in the open
        transaction (beginning one), and the keys that they have as entities.

        Errors: Fenced, TargetUnavailable, TargetRefused.
        """

    def demands(self, table: TableName) -> Sequence[Reference]:
        """What the target itself demands of a prepared table, by foreign keys of one column.

        Errors: as `find`.
        """


@dataclass(frozen=True, slots=True)
class Line:
    """A pipeline that is to write a target, as it is known before it does.

    tables       those that it writes; one may stand there several times
    checkpoint   our file for the checkpoint of a target that can hold none
    """

    pipeline: str
    source: str
    tables: tuple[TargetTable, ...]
    checkpoint: Path


class Sink(Protocol):
    """A connection to one target on behalf of one pipeline. Not thread-safe."""

    @property
    def undoes(self) -> bool:
        """Whether `rollback` takes back what was written. Where not, it remembers what the target
        took, so that a change that is written again in the same transaction does nothing; and it
        is given transactions only once the journal has all of them, and no snapshot's clear."""

    @property
    def system(self) -> str:
        """Identifies the target's system, in the words of a source's transaction origin."""

    def open(self, journal: str) -> Checkpoint:
        """Connect, take the pipeline over from any other process, and return its checkpoint.

        Errors: TargetUnavailable; CheckpointMismatch when the target's checkpoint belongs to
        another journal.
        """

    def prepare(self, tables: Sequence[TargetTable]) -> None:
        """Create the tables that are absent and verify the others, before rows are written.

        Of an entity with several sources all tables (`Composite.tables`) come before those that
        hold a part of their columns.

        Errors: TargetRefused when a table lacks a column or its key, or holds rows not ours
        (see `TargetTable.existing`).
        """

    def write(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        """Apply changes in the open transaction (beginning one), in bounded memory.

        `changes` may hold several tables, and a table several times; `seq` orders all of them.
        Returns counts by target table. Nothing is durable.

        Errors: Fenced; TargetRefused, with table, key columns and what the target said;
        TargetUnavailable. After an error only `rollback` or `close` may follow, but for RowRefused:
        then nothing of `changes` is applied, and the transaction goes on as before the call.
        """

    def receipts(self) -> frozenset[str]:
        """Ids of the exceptions that are parked, of this pipeline and its journal.

        Errors: TargetUnavailable.
        """

    def commit(self, checkpoint: Checkpoint, receipts: Receipts = NO_RECEIPTS) -> Durable:
        """Store the checkpoint, add and remove receipts, and commit.

        Errors: Fenced; CheckpointMismatch, when the target's is past this one; TargetUnavailable,
        when the commit did not happen or its answer was lost. Which of these, `open` tells: it
        waits until the target is done with what it was sent, and returns what is durable.
        """

    def discrepancies(self) -> Mapping[str, int]:
        """Of each entity with several sources that was prepared, how many discrepancies there are.

        Not while a transaction is open. Errors: TargetUnavailable.
        """

    def rollback(self) -> None:
        """Give up the open transaction, if any."""

    def close(self) -> None:
        """Close the connection. Idempotent."""


CONFLICTS_COUNTED_MAX = 10_000
"""It is asked again and again, and more is none that a person looks through."""


@runtime_checkable
class Recognising(Protocol):
    """A sink at which records of sources may be recognised (`identity`)."""

    def conflicts(self) -> Mapping[str, int]:
        """Of each entity with identity that was prepared, how many matches wait for a person;
        of more than `CONFLICTS_COUNTED_MAX` so many.

        Not while a transaction is open. Errors: TargetUnavailable.
        """
