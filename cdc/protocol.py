"""What every source adapter promises, and the only thing capture knows of a source.

The order of use: `verify` (is the log still joined to what the journal holds?), then, for a new
journal, `snapshot`; then `stream` from the journal's position. Positions are opaque text here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from cdc.changes import ChangeSet

START_OVER = "start over with a new snapshot: tailrace remove SOURCE --journal, then tailrace run"
"""What an operator does where the log no longer joins what the journal holds."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """What a source says of itself.

    `lag_bytes`: log written but not yet acknowledged by us. `held_bytes`: log the source keeps
    for us. `room_bytes`: how much more it will keep before it gives us up; None: no limit known.
    """

    position: str
    lag_bytes: int
    held_bytes: int
    room_bytes: int | None


@dataclass(frozen=True, slots=True)
class SnapshotProgress:
    """Rows copied so far and the estimate of how many there are, for one table."""

    table: str
    rows: int
    rows_estimated: int


class Snapshot(Protocol):
    """Existing rows, consistent with `position`, one transaction per table."""

    @property
    def position(self) -> str: ...

    @property
    def facts(self) -> Mapping[str, str]:
        """To be stored beside the entries, for `verify` at later starts."""

    def changes(self) -> Iterator[tuple[ChangeSet, SnapshotProgress]]: ...
    def close(self) -> None: ...


class Stream(Protocol):
    """The log from a position on."""

    @property
    def position(self) -> str:
        """Once every set yielded so far is durable, the log may be resumed from here."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What has changed of the facts that are stored beside the entries, since the stream began.

        It is true of everything yielded so far, and belongs into the step that stores it, or that
        stores `position`. A stream that begins before a fact's moment must not be misled by it.
        """

    @property
    def at_rest(self) -> bool:
        """Whether everything received has been yielded."""

    def changes(self, timeout_s: float) -> Iterator[ChangeSet]:
        """Wait for something to arrive, then yield all of it as change sets.

        Ends when nothing more is there for now, or after `timeout_s` without anything.
        Errors: SourceUnavailable, DecodeError.
        """

    def reply_wanted(self) -> bool:
        """Whether the source asks for an `acknowledge` now."""

    def acknowledge(self, position: str) -> None:
        """Tell the source that all before `position` is durable here."""

    def close(self) -> None: ...


class Source(Protocol):
    """One source of a project. Not thread-safe."""

    def verify(self, facts: Mapping[str, str], position: str) -> None:
        """Errors: ContinuityError, with the gap named; SourceUnavailable."""

    def snapshot(self, previous: Mapping[str, str]) -> Snapshot:
        """Create what capture needs at the source and open a snapshot at its beginning.

        `previous` are the facts of an attempt that did not finish, whose remains are replaced.
        """

    def stream(self, position: str) -> Stream: ...

    def heartbeat(self) -> None:
        """Write one mark into the log, so that our position moves past what others write."""

    def state(self) -> SourceState: ...
    def give_up(self) -> None:
        """Stop making the source keep its log for us; what is lost by it, `verify` will name."""

    def close(self) -> None: ...
