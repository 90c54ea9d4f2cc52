"""What people see of identities at a target, and what they decide, whatever the database."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sinks.composites import CompositeWriter
from sinks.protocol import CONFLICTS_COUNTED_MAX
from sinks.recognising import PAIR, Recogniser
from tailrace.errors import TargetRefused
from transforms.composite import Composite

TABLE, CONFLICTS, APART, ACTIONS = (
    f"tailrace.identity{name}" for name in ("", "_conflict", "_apart", "_action")
)


COUNT_CONFLICTS = (
    f"select count(*) from (select 1 as one from {CONFLICTS} where entity = %s"
    f" limit {CONFLICTS_COUNTED_MAX}) found"
)
"""Parameter: the entity."""


@dataclass(frozen=True, slots=True)
class Identified:
    """A record and its identity. `since`: ISO 8601 in UTC; `by`: rule, new or person."""

    entity: str
    id: str
    source: str
    source_key: str
    since: str
    by: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two records that `rule` joins and that are two: with their identities."""

    entity: str
    source: str
    source_key: str
    id: str
    other_source: str
    other_key: str
    other_id: str
    rule: str
    since: str


class Session(Protocol):
    """A connection, and what the database calls some things. Parameters are `%s`."""

    @property
    def by(self) -> str:
        """The column."""

    @property
    def since(self) -> str:
        """SQL of the column as text, with room for what stands before its name."""

    def query(self, sql: str, *values: object) -> Sequence[tuple[Any, ...]]: ...
    def execute(self, sql: str, *values: object) -> None: ...


class Writer(CompositeWriter, Protocol):
    @property
    def recogniser(self) -> Recogniser: ...

    def touch_identities(self) -> None:
        """What the rest is about: the identities that the recogniser has noted."""


class People(ABC):
    """Of one target. Errors: TargetUnavailable, TargetRefused."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Session | None]:
        """None where nothing was recognised yet."""

    @abstractmethod
    def deciding(self, composite: Composite) -> AbstractContextManager[tuple[Session, Writer]]:
        """A transaction in which the entity is locked. Errors: `not_yet`."""

    def records(self, entity: str, ids: Sequence[str], limit: int) -> list[Identified]:
        """By identity; of only these `ids`, where some are given."""
        with self.reading() as session:
            if session is None:
                return []
            of = f" and canonical_id in ({', '.join(['%s'] * len(ids))})" if ids else ""
            rows = session.query(
                f"{_records(session)} where entity = %s{of} order by canonical_id, source"
                f" limit {int(limit)}",
                entity,
                *ids,
            )
        return [Identified(*row) for row in rows]

    def conflicts(self, entity: str, limit: int) -> list[Conflict]:
        with self.reading() as session:
            if session is None:
                return []
            rows = session.query(
                "select c.entity, c.source, c.source_key, x.canonical_id, c.other_source,"
                f" c.other_key, y.canonical_id, c.rule, {session.since.format('c.')}"
                f" from {CONFLICTS} c join {TABLE} x on x.entity = c.entity"
                " and x.source = c.source and x.source_key = c.source_key"
                f" join {TABLE} y on y.entity = c.entity"
                " and y.source = c.other_source and y.source_key = c.other_key"
                f" where c.entity = %s order by 2, 3, 5, 6 limit {int(limit)}",
                entity,
            )
        return [Conflict(*row) for row in rows]

    def merge(
        self, composite: Composite, one: str, into: str, who: str, reason: str
    ) -> list[Identified]:
        """Make identity `one` a part of `into`; returns the records of it.

        Errors: TargetRefused where an identity is not there, or both have a record of one source.
        """
        with self.deciding(composite) as opened:
            decision = _Decision(composite, *opened)
            moved = decision.merge(one, into)
            return decision.done("merge", one, into, moved, who, reason)

    def split(
        self, composite: Composite, source: str, key: str, who: str, reason: str
    ) -> list[Identified]:
        """Take a record out of its identity, for ever: rules do not join them again. Returns it.

        Errors: TargetRefused where it is not there, or alone, or what the entity stands by.
        """
        with self.deciding(composite) as opened:
            decision = _Decision(composite, *opened)
            before, after, moved = decision.split(source, key)
            return decision.done("split", before, after, moved, who, reason)


def not_yet(entity: str) -> TargetRefused:
    return TargetRefused(
        "nothing was recognised there yet",
        where={"entity": entity},
        fix="let its pipelines deliver first",
    )


def outdated(entity: str) -> TargetRefused:
    return TargetRefused(
        "the files say other rules than the target was computed by",
        where={"entity": entity},
        fix="restart its pipelines, let one deliver a change, and decide then",
    )


class _Decision:
    """In one transaction, under the entity's lock: what is decided, what follows of it for matches
    and for the entity's rows, and its audit."""

    def __init__(self, composite: Composite, session: Session, writer: Writer) -> None:
        self._composite = composite
        self._session = session
        self._writer = writer
        self._recogniser = writer.recogniser
        self._recogniser.begin()

    def merge(self, one: str, into: str) -> list[Identified]:
        moved, kept = (self._records(each) for each in (one, into))
        if one == into:
            raise TargetRefused("an identity cannot be merged with itself", where={"id": one})
        shared = {record.source for record in moved} & {record.source for record in kept}
        live = self._recogniser.live([_name(record) for record in (*moved, *kept)])
        for source in sorted(shared):
            both = [record for record in (*moved, *kept) if record.source == source]
            gone = [each for each in both if _name(each) not in live]
            if not gone:
                raise TargetRefused(
                    f"both identities have a record of {source}, and one source cannot say two"
                    " things of one entity",
                    where={"entity": self._composite.entity, "from": one, "into": into},
                    fix=f"merge the two records in {source} first: delete one of them there",
                )
            self._recogniser.leave([_name(gone[-1])])
            moved = [each for each in moved if each != gone[-1]]
        for record in moved:
            self._unset(record, kept)
        self._session.execute(
            f"update {TABLE} set canonical_id = %s, since = now(), {self._session.by} = 'person'"
            " where entity = %s and canonical_id = %s",
            into,
            self._composite.entity,
            one,
        )
        return moved

    def split(self, source: str, key: str) -> tuple[str, str, list[Identified]]:
        """The identity before and after, and the record."""
        where: dict[str, object] = {"entity": self._composite.entity, "source": source}
        found = self._find(source, key)
        if found is None:
            raise TargetRefused("there is no record with this key", where=where)
        others = [each for each in self._records(found.id) if each.source != source]
        if not others:
            raise TargetRefused("the record is alone in its identity", where=where)
        if source == self._composite.rows:
            raise TargetRefused(
                f"{source} makes the entity, and its record keeps the id",
                where=where,
                fix="split the records of other sources from it: "
                + ", ".join(sorted(each.source for each in others)),
            )
        self._recogniser.leave([(source, key)])
        self._recogniser.touch_record(source, key)
        self._recogniser.name()
        now = self._find(source, key)
        if now is None:
            raise TargetRefused(
                "its source does not have the record any more", where=where, fix="leave it"
            )
        self._set_apart(found, others)
        self._session.execute(
            f"update {TABLE} set {self._session.by} = 'person'"
            " where entity = %s and source = %s and source_key = %s",
            self._composite.entity,
            source,
            key,
        )
        return found.id, now.id, [found]

    def done(
        self, action: str, before: str, after: str, moved: list[Identified], who: str, reason: str
    ) -> list[Identified]:
        """Compute what follows; returns the records as they are now."""
        self._recogniser.note([before, after])
        for record in {_name(each) for each in (*moved, *self._records(after))}:
            self._recogniser.touch_record(*record)
        self._recogniser.recognise()
        self._writer.touch_identities()
        self._writer.put()
        self._writer.remove()
        self._writer.compare()
        said = [{"source": each.source, "source_key": each.source_key} for each in moved]
        self._session.execute(
            f"insert into {ACTIONS} (who, entity, action, from_id, into_id, records, reason)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            *(who, self._composite.entity, action, before, after, json.dumps(said), reason),
        )
        found = [self._find(*_name(record)) for record in moved]
        return [each for each in found if each is not None]

    def _records(self, id: str) -> list[Identified]:
        """Errors: TargetRefused where there is none."""
        rows = self._session.query(
            f"{_records(self._session)} where entity = %s and canonical_id = %s order by source",
            self._composite.entity,
            id,
        )
        if not rows:
            raise TargetRefused(
                "there is no such identity",
                where={"entity": self._composite.entity, "id": id},
                fix="tailrace identity list shows them",
            )
        return [Identified(*row) for row in rows]

    def _find(self, source: str, key: str) -> Identified | None:
        rows = self._session.query(
            f"{_records(self._session)} where entity = %s and source = %s and source_key = %s",
            self._composite.entity,
            source,
            key,
        )
        return Identified(*rows[0]) if rows else None

    def _set_apart(self, one: Identified, others: Sequence[Identified]) -> None:
        self._unset(one, others)
        for other in others:
            self._session.execute(
                f"insert into {APART} (entity, {', '.join(PAIR)}) values (%s, %s, %s, %s, %s)",
                *(self._composite.entity, *_pair(one, other)),
            )

    def _unset(self, one: Identified, others: Sequence[Identified]) -> None:
        given = " and ".join(f"{name} = %s" for name in ("entity", *PAIR))
        for other in others:
            self._session.execute(
                f"delete from {APART} where {given}", self._composite.entity, *_pair(one, other)
            )


def _name(record: Identified) -> tuple[str, str]:
    return record.source, record.source_key


def _pair(one: Identified, other: Identified) -> tuple[str, ...]:
    """In the order in which pairs stand."""
    first, second = sorted([_name(one), _name(other)])
    return (*first, *second)


def _records(session: Session) -> str:
    since = session.since.format("")
    columns = f"entity, canonical_id, source, source_key, {since}, {session.by}"
    return f"select {columns} from {TABLE}"
