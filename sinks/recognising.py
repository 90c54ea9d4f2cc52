"""Recognises the records of an entity that a batch touched, whatever the database.

After the side tables are written and under the entity's lock: each record that is new has an
identity of its own, matches are looked for, and groups that belong together become one identity
(`sinks.clusters`). What matches and may not be joined stays in `tailrace.identity_conflict`, which
is all that a person has to look at.

    touched   records that this batch changed, there or gone
    scope     these, and those that matched one of them without being joined to it
    group     all that are connected with them, by matches or by one identity
    ids       identities whose entity is computed anew
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from sinks.clusters import Record, joined
from sinks.rowtext import as_text
from transforms.composite import Composite
from transforms.matching import MatchRule
from transforms.rows import CLEAR, DELETE, UPSERT, RowChanges

MATCHES_MAX = 10
"""Matches of a record that are looked at, a rule and other source. More than one is too many to
join anyway; the rest would only lengthen the list of conflicts, by the square of what share a
value that identifies nobody."""

HERE, THERE = ("source", "source_key"), ("other_source", "other_key")
PAIR = (*HERE, *THERE)
"""Of the tables of pairs; the source that comes first by name stands first."""
MARK = "\x01"
"""Before a key on its way to another: a text of the source cannot begin with it and be printed."""


def rules_of(composite: Composite, source: str) -> list[MatchRule]:
    """Those of which the source delivers all fields."""
    fields = set(composite.side(source).fields)
    return [rule for rule in composite.match if rule.reads <= fields]


class Recogniser(ABC):
    """One entity over one connection. Errors are the server's."""

    def __init__(self, composite: Composite) -> None:
        self.composite = composite
        sources = [side.source for side in composite.sides]
        by_rank = sorted(sources, key=lambda source: (source != composite.rows, source))
        self.ranks = {source: at for at, source in enumerate(by_rank)}

    def touch(self, keys: Sequence[pa.Array] | None, changes: Sequence[RowChanges]) -> None:
        """Recognise what `changes` of a side table touched: these keys, or with None all of its
        source's; where there are no changes, all records. The keys are staged by then."""
        tables = {change.table.table for change in changes}
        source = "".join(side.source for side in self.composite.sides if side.table in tables)
        self.begin()
        if not changes:
            self.touch_all()
        elif keys is None:
            self.touch_cleared(source)
        else:
            self.touch_staged(source)
        self.recognise(source, moves(changes))

    def recognise(self, source: str = "", moved: Mapping[str, str] | None = None) -> None:
        """Give the touched records their identities; note those whose entity may be another.
        `moved`: of keys of `source`, {after: before}."""
        self.note_touched()
        if moved:
            self.move(source, moved)
        self.name()
        had = self.widen()
        if had:
            self.forget()
        if self.match() or had:
            self._join()
        self.note_touched()

    def _join(self) -> None:
        self.gather()
        records = self.records()
        renamed = joined(records, self.matches(), self.apart(), self.ranks)
        if renamed:
            if gone := leaving(records, renamed):
                self.leave([(record.source, record.key) for record in gone])
            self.rename(renamed)
            self.note([*renamed, *renamed.values()])
        self.settle()

    @abstractmethod
    def begin(self) -> None:
        """Nothing is touched."""

    @abstractmethod
    def touch_staged(self, source: str) -> None:
        """The keys in the staging table."""

    @abstractmethod
    def touch_all(self) -> None:
        """Of every source."""

    @abstractmethod
    def touch_cleared(self, source: str) -> None:
        """All of one. Those that are to come back within this transaction, as in a snapshot, keep
        their place until its end."""

    @abstractmethod
    def touch_record(self, source: str, key: str) -> None: ...

    @abstractmethod
    def note_touched(self) -> None:
        """Note the identities that touched records have."""

    @abstractmethod
    def note(self, ids: Sequence[str]) -> None:
        """Identities whose entity is computed anew."""

    @abstractmethod
    def note_all(self) -> None:
        """Those of all rows that the entity has."""

    @abstractmethod
    def stage_ids(self) -> int:
        """Have what was noted in the staging table, which is empty; how many."""

    @abstractmethod
    def move(self, source: str, moved: Mapping[str, str]) -> None:
        """Records keep their identity, and what a person said of them, under their new key."""

    @abstractmethod
    def name(self) -> None:
        """An identity for each touched record that has none, always the same: a digest of the
        record, numbered only where another is called so."""

    @abstractmethod
    def widen(self) -> bool:
        """Put touched records and those in conflict with them in scope; whether there may be such
        conflicts."""

    @abstractmethod
    def forget(self) -> None:
        """Conflicts of touched records, which are looked for anew."""

    @abstractmethod
    def match(self) -> bool:
        """Note conflicts: records in scope with those that a rule joins to them, that have another
        identity and were not set apart. Whether there are any."""

    @abstractmethod
    def gather(self) -> None:
        """Put in the group what is connected with the scope."""

    @abstractmethod
    def records(self) -> list[Record]:
        """The group."""

    @abstractmethod
    def matches(self) -> list[tuple[str, str]]:
        """Pairs of identities of the group, by conflicts."""

    @abstractmethod
    def apart(self) -> list[tuple[str, str]]:
        """By what people set apart."""

    @abstractmethod
    def leave(self, records: Iterable[tuple[str, str]]) -> None:
        """(source, key) of records that are gone, and have no identity from now on."""

    @abstractmethod
    def rename(self, renamed: Mapping[str, str]) -> None:
        """Identities that become another one: {before: after}."""

    @abstractmethod
    def settle(self) -> None:
        """Conflicts of the group whose records are one now are none."""

    @abstractmethod
    def live(self, records: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these few (source, key) that the sources have now."""


def leaving(records: Sequence[Record], renamed: Mapping[str, str]) -> list[Record]:
    """Those that an identity has no place for once it holds what it is `renamed` to hold: all but
    one of a source, which is the one that is there."""
    seen: set[tuple[str, str]] = set()
    gone = []
    into = set(renamed.values())
    ordered = sorted(
        records, key=lambda one: (not one.live, one.identity not in into, one.source, one.key)
    )
    for record in ordered:
        place = (renamed.get(record.identity, record.identity), record.source)
        if place in seen:
            gone.append(record)
        seen.add(place)
    return gone


def moves(changes: Sequence[RowChanges]) -> dict[str, str]:
    """What records were called before these changes and what they are after: {after: before}."""
    if all(change.old_key is None for change in changes):
        return {}
    events: list[tuple[int, int, str, str | None]] = []
    for change in changes:
        op = change.op.to_numpy()
        keys = as_text(change.values[change.table.key_indexes[0]]).to_pylist()
        before = [None] * change.rows
        if change.old_key is not None:
            before = as_text(change.old_key[0]).to_pylist()
        seq = change.seq.to_pylist()
        moved = np.array([key is not None for key in before]) & (op == UPSERT)
        for at in np.flatnonzero(moved | np.isin(op, (DELETE, CLEAR))).tolist():
            events.append((seq[at], int(op[at]), keys[at], before[at] if moved[at] else None))
    found: dict[str, str] = {}
    for _, op_, key, old in sorted(events, key=lambda event: event[0]):
        if op_ == CLEAR:
            found.clear()
        elif old is None:
            found.pop(key, None)
        else:
            found[key] = found.pop(old, old)
    return {after: before for after, before in found.items() if after != before}
