"""The durable log between capture and delivery: one writer, any number of readers.

Offsets grow and are never reused, also not after the incomplete tail was cut. A reader may see
the parts of a transaction before its last part is there, so that delivery of a huge transaction
overlaps its capture; it must not commit at a target before the complete one, and must roll back
when the part it reads next does not continue what it holds (the tail was cut in between).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from cdc.changes import ChangeSet


@dataclass(frozen=True, slots=True)
class Entry:
    """One change set at its journal offset. `stored_us`: when it became durable, µs since 1970."""

    offset: int
    changes: ChangeSet
    stored_us: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Extent:
    """First and last offset held (0, 0: empty), bytes on disk, time of the oldest entry in µs."""

    first: int
    last: int
    bytes: int
    oldest_us: int


class JournalWriter(Protocol):
    @property
    def id(self) -> str:
        """Names this journal for ever; a checkpoint of another journal means nothing here."""

    @property
    def position(self) -> str | None:
        """Where the source is to be resumed: all before it is durable here. None: nothing yet."""

    def get(self, key: str) -> str | None:
        """A fact stored beside the entries (source identity, snapshot state)."""

    def facts(self) -> dict[str, str]:
        """All of them."""

    def append(
        self,
        sets: Iterable[ChangeSet] = (),
        *,
        position: str | None = None,
        facts: dict[str, str] | None = None,
    ) -> int:
        """Store sets, a position without changes, and facts, in one durable step.

        Returns the last offset. When it returns the caller may acknowledge the source up to
        `position`. A set of part 0 that follows an incomplete one replaces the incomplete
        transaction. Errors: JournalFull (nothing was stored), JournalError.
        """

    def prune(self, *, checkpoints: Iterable[int], keep_s: float, keep_bytes: int) -> int:
        """Drop entries every reader has applied and that are older or larger than is kept.

        Returns entries dropped. Never past the smallest of `checkpoints`; without any, nothing.
        One call does a bounded amount of work and may leave some for the next.
        """

    def clear(self) -> None:
        """Drop every entry and position (a first snapshot that starts over). Offsets go on.

        A reader at any earlier offset continues with the first entry that follows.
        """

    def extent(self) -> Extent: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class JournalReader(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def position(self) -> str | None: ...

    def get(self, key: str) -> str | None: ...
    def facts(self) -> dict[str, str]: ...

    def read(self, after: int, *, bytes_max: int) -> Sequence[Entry]:
        """The entries following offset `after`, in order, stopping beyond `bytes_max`.

        At least one when there is one. Errors: JournalError when entries after `after` were
        pruned (named), or the journal ends before `after`; JournalCorrupt.
        """

    def wait(self, timeout_s: float) -> bool:
        """Block until the writer has stored something since the last call, or the time is up."""

    def extent(self) -> Extent: ...
    def close(self) -> None: ...
