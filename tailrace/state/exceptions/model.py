"""What the exceptions desk keeps of a source change that could not be applied.

The unit is one change of a source table, before any mapping, named by where it stands in the
journal. It is held by its *source keys*: the row's key before and after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailrace.errors import TailraceError

Key = tuple[str | None, ...]
"""A row's key as text, one element a key column."""

State = Literal["parked", "waiting", "replayed", "discarded"]
"""parked     could not be applied; a person mends and replays it, or discards it
waiting    waits behind an earlier change of the same key, which is parked
replayed   was applied after all; its values are gone from here
discarded  was given up, by a person or because a TRUNCATE overtook it; its values are gone
"""


@dataclass(frozen=True, slots=True, order=True)
class ExceptionId:
    """Journal offset of the change set, and the change's place in it: the order of the source."""

    offset: int
    seq: int

    def __str__(self) -> str:
        return f"{self.offset}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> ExceptionId:
        """Errors: ValueError."""
        offset, _, seq = text.partition("-")
        return cls(int(offset), int(seq))


FOREIGN_KEYS = ("23503", "1452")
"""What PostgreSQL, and MariaDB and MySQL, say of a row whose parent is not there."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a change is parked; holds no values.

    kind     ``mapping``, ``target``, ``reference``: what it refers to has not come; or ``shape``:
             the change is of a table that is another now
    at       the mapping, the target table, or of a shape the source table
    reason   one stable word: of a mapping's fault, or the target's error number; of a shape whether
             it does not fit the mapping or the target
    field    field, column or constraint, where one is known
    problem  one sentence, and `fix` what to do
    """

    kind: str
    at: str
    reason: str
    field: str
    problem: str
    fix: str

    @property
    def of_parent(self) -> bool:
        """Whether it goes by itself when another row is there, by a reference or a foreign key."""
        foreign = self.kind == "target" and self.reason in FOREIGN_KEYS
        return self.kind == "reference" or foreign

    def __str__(self) -> str:
        """What exceptions are grouped by."""
        return ":".join(part for part in (self.kind, self.at, self.field, self.reason) if part)


@dataclass(frozen=True, slots=True)
class Ref:
    """A held change without its values. `targets`: the tables it was to be written to. `orphan`:
    it waits for a row that it refers to, and is tried again by itself."""

    id: ExceptionId
    table: str
    keys: tuple[Key, ...]
    targets: tuple[str, ...]
    state: State
    orphan: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A held change with its values.

    `row` is the change as `codec.pack` writes it, `edited` the same after a person changed it.
    `position` and `ordinal`: where in the source's log; `committed_us` when, µs since 1970.
    `mapping_version`: of the mappings that were tried. `attempts` counts the tries.
    """

    ref: Ref
    operation: str
    schema: str
    row: bytes
    edited: bytes | None
    position: str
    ordinal: int
    committed_us: int
    cause: Cause | None
    mapping_version: str
    attempts: int

    @property
    def id(self) -> ExceptionId:
        return self.ref.id

    @property
    def current(self) -> bytes:
        return self.row if self.edited is None else self.edited


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for, until delivery has done it."""

    id: ExceptionId
    action: Literal["replay", "discard"]
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change that is no longer held."""

    state: Literal["replayed", "discarded"]
    who: str
    reason: str


def lost(count: int, first: str, path: object) -> TailraceError:
    from tailrace.errors import ExceptionsLost

    return ExceptionsLost(
        f"the target knows of {count} exception(s) whose contents are not here",
        where={"first": first, "file": path},
        fix="restore the file. Or give these changes up: delete their rows in tailrace.exception at"
        " the target, then copy the rows concerned anew",
    )
