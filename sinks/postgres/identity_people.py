"""What people see of identities at a PostgreSQL target, and what they decide."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from sinks.composite_sql import ENTITIES
from sinks.postgres.apply import TableWriter
from sinks.postgres.composite import CompositeWriter
from sinks.postgres.identity import Recogniser
from sinks.postgres.identity_sql import APART, CONFLICTS, TABLE
from sinks.postgres.names import quoted_table
from sinks.postgres.session import Connection, connect, translated
from sinks.postgres.settings import PostgresTarget
from tailrace.errors import TargetRefused
from transforms.composite import Composite

_SINCE = """to_char({}since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""


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


def read(target: PostgresTarget, entity: str, ids: Sequence[str], limit: int) -> list[Identified]:
    """By identity; of only these `ids`, where some are given. Errors: TargetUnavailable."""
    of = " and canonical_id = any(%s)" if ids else ""
    sql = (
        f"select entity, canonical_id, source, source_key, {_SINCE.format('')}, by from {TABLE}"
        f" where entity = %s{of} order by canonical_id, source limit {int(limit)}"
    )
    rows = _read(target, sql, (entity, list(ids)) if ids else (entity,))
    return [Identified(*row) for row in rows]  # type: ignore[arg-type]


def read_conflicts(target: PostgresTarget, entity: str, limit: int) -> list[Conflict]:
    sql = (
        "select c.entity, c.source, c.source_key, x.canonical_id, c.other_source, c.other_key,"
        f" y.canonical_id, c.rule, {_SINCE.format('c.')} from {CONFLICTS} c"
        f" join {TABLE} x on (x.entity, x.source, x.source_key)"
        " = (c.entity, c.source, c.source_key)"
        f" join {TABLE} y on (y.entity, y.source, y.source_key)"
        " = (c.entity, c.other_source, c.other_key)"
        f" where c.entity = %s order by 2, 3, 5, 6 limit {int(limit)}"
    )
    return [Conflict(*row) for row in _read(target, sql, (entity,))]  # type: ignore[arg-type]


def _read(target: PostgresTarget, sql: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
    with closing(connect(target.url, "identity")) as connection, translated("reading"):
        if not _is_there(connection):
            return []
        return connection.execute(sql.encode(), values).fetchall()


def merge(
    target: PostgresTarget, composite: Composite, one: str, into: str, who: str, reason: str
) -> list[Identified]:
    """Make identity `one` a part of `into`; returns the records of it.

    Errors: TargetRefused where an identity is not there, or both have a record of one source.
    """

    def act(connection: Connection, recogniser: Recogniser) -> tuple[str, str, list[Identified]]:
        moved, kept = (_records(connection, composite, each) for each in (one, into))
        if one == into:
            raise TargetRefused("an identity cannot be merged with itself", where={"id": one})
        shared = {record.source for record in moved} & {record.source for record in kept}
        live = _live(connection, recogniser, [*moved, *kept])
        for source in sorted(shared):
            both = [record for record in (*moved, *kept) if record.source == source]
            if all((record.source, record.source_key) in live for record in both):
                raise TargetRefused(
                    f"both identities have a record of {source}, and one source cannot say two"
                    " things of one entity",
                    where={"entity": composite.entity, "from": one, "into": into},
                    fix=f"merge the two records in {source} first: delete one of them there",
                )
            gone = [each for each in both if (each.source, each.source_key) not in live]
            _forget(connection, recogniser, gone[-1:])
            moved = [each for each in moved if each not in gone[-1:]]
        _unset(connection, composite, moved, kept)
        connection.execute(
            f"update {TABLE} set canonical_id = %s, since = now(), by = 'person'"
            " where entity = %s and canonical_id = %s".encode(),
            (into, composite.entity, one),
        )
        recogniser.note([one, into])
        return one, into, moved

    return _acted(target, composite, "merge", act, who, reason)


def split(
    target: PostgresTarget, composite: Composite, source: str, key: str, who: str, reason: str
) -> list[Identified]:
    """Take a record out of its identity, for ever: rules do not join them again. Returns it.

    Errors: TargetRefused where it is not there, or alone, or what the entity stands by.
    """

    def act(connection: Connection, recogniser: Recogniser) -> tuple[str, str, list[Identified]]:
        where: dict[str, object] = {"entity": composite.entity, "source": source}
        found = connection.execute(
            f"select canonical_id from {TABLE}"
            " where (entity, source, source_key) = (%s, %s, %s)".encode(),
            (composite.entity, source, key),
        ).fetchone()
        if found is None:
            raise TargetRefused("there is no record with this key", where=where)
        records = _records(connection, composite, str(found[0]))
        mine = [each for each in records if each.source == source]
        others = [each for each in records if each.source != source]
        if not others:
            raise TargetRefused("the record is alone in its identity", where=where)
        if source == composite.rows:
            raise TargetRefused(
                f"{source} makes the entity, and its record keeps the id",
                where=where,
                fix="split the records of other sources from it: "
                + ", ".join(sorted(each.source for each in others)),
            )
        _forget(connection, recogniser, mine)
        recogniser.touch_record(source, key)
        recogniser.execute(recogniser.sql.begin)
        _set_apart(connection, composite, mine[0], others)
        now = connection.execute(
            f"update {TABLE} set by = 'person'"
            " where (entity, source, source_key) = (%s, %s, %s) returning canonical_id".encode(),
            (composite.entity, source, key),
        ).fetchone()
        if now is None:
            raise TargetRefused(
                "its source does not have the record any more", where=where, fix="leave it"
            )
        recogniser.note([str(found[0]), str(now[0])])
        return str(found[0]), str(now[0]), mine

    return _acted(target, composite, "split", act, who, reason)


Act = Callable[[Connection, Recogniser], tuple[str, str, list[Identified]]]


def _acted(
    target: PostgresTarget, composite: Composite, action: str, act: Act, who: str, reason: str
) -> list[Identified]:
    """In one transaction, under the entity's lock: what `act` does, what follows of it for matches
    and for the entity's rows, and its audit."""
    with _locked(target, composite) as (connection, recogniser, writer):
        before, after, records = act(connection, recogniser)
        for record in (*records, *_records(connection, composite, after)):
            recogniser.touch_record(record.source, record.source_key)
        recogniser.recognise()
        writer.touch_identities(recogniser)
        writer.put()
        writer.remove()
        writer.compare()
        said = [{"source": each.source, "source_key": each.source_key} for each in records]
        connection.execute(
            "insert into tailrace.identity_action"
            " (who, entity, action, from_id, into_id, records, reason)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            (who, composite.entity, action, before, after, json.dumps(said), reason),
        )
        ids = [
            _identified(connection, composite, (record.source, record.source_key))
            for record in records
        ]
    return ids


@contextmanager
def _locked(
    target: PostgresTarget, composite: Composite
) -> Iterator[tuple[Connection, Recogniser, CompositeWriter]]:
    with (
        closing(connect(target.url, "identity")) as connection,
        translated("deciding on an identity", entity=composite.entity),
    ):
        if (
            not _is_there(connection)
            or not connection.execute(
                f"select 1 from {quoted_table(ENTITIES)} where entity = %s".encode(),
                (composite.entity,),
            ).fetchone()
        ):
            raise TargetRefused(
                "nothing was recognised there yet",
                where={"entity": composite.entity},
                fix="let its pipelines deliver first",
            )
        with connection.transaction():
            writer = CompositeWriter(
                connection, composite, TableWriter(connection, composite.whole, 0)
            )
            writer.lock()
            if writer.outdated:
                raise TargetRefused(
                    "the files say other rules than the target was computed by",
                    where={"entity": composite.entity},
                    fix="restart its pipelines, let one deliver a change, and decide then",
                )
            recogniser = Recogniser(connection, composite)
            recogniser.begin()
            yield connection, recogniser, writer


def _is_there(connection: Connection) -> bool:
    found = connection.execute("select to_regclass(%s) is not null", (TABLE,)).fetchone()
    return found == (True,)


def _records(connection: Connection, composite: Composite, id: str) -> list[Identified]:
    """Errors: TargetRefused where there is none."""
    rows = connection.execute(
        f"select entity, canonical_id, source, source_key, {_SINCE.format('')}, by from {TABLE}"
        " where entity = %s and canonical_id = %s order by source".encode(),
        (composite.entity, id),
    ).fetchall()
    if not rows:
        raise TargetRefused(
            "there is no such identity",
            where={"entity": composite.entity, "id": id},
            fix="tailrace identity list shows them",
        )
    return [Identified(*row) for row in rows]  # type: ignore[arg-type]


def _identified(
    connection: Connection, composite: Composite, record: tuple[str, str]
) -> Identified:
    row = connection.execute(
        f"select entity, canonical_id, source, source_key, {_SINCE.format('')}, by from {TABLE}"
        " where (entity, source, source_key) = (%s, %s, %s)".encode(),
        (composite.entity, *record),
    ).fetchone()
    assert row is not None
    return Identified(*row)  # type: ignore[arg-type]


def _live(
    connection: Connection, recogniser: Recogniser, records: Sequence[Identified]
) -> set[tuple[str, str]]:
    rows = connection.execute(
        f"select source, source_key from {recogniser.sql.live} l"
        " where source = any(%s) and source_key = any(%s)".encode(),
        ([each.source for each in records], [each.source_key for each in records]),
    )
    return {(str(source), str(key)) for source, key in rows}


def _forget(connection: Connection, recogniser: Recogniser, records: Sequence[Identified]) -> None:
    values = ([each.source for each in records], [each.source_key for each in records])
    connection.execute(recogniser.sql.leave.encode(), values)


def _pairs(
    composite: Composite, ones: Sequence[Identified], others: Sequence[Identified]
) -> list[tuple[str, ...]]:
    """In the order in which pairs stand."""
    found: list[tuple[str, ...]] = []
    for one in ones:
        for other in others:
            pair = sorted([(one.source, one.source_key), (other.source, other.source_key)])
            found.append((composite.entity, *pair[0], *pair[1]))
    return found


_PAIR = "(entity, source, source_key, other_source, other_key)"


def _set_apart(
    connection: Connection, composite: Composite, one: Identified, others: Sequence[Identified]
) -> None:
    for pair in _pairs(composite, [one], others):
        connection.execute(
            f"insert into {APART} {_PAIR} values (%s, %s, %s, %s, %s)"
            " on conflict do nothing".encode(),
            pair,
        )


def _unset(
    connection: Connection,
    composite: Composite,
    ones: Sequence[Identified],
    others: Sequence[Identified],
) -> None:
    for pair in _pairs(composite, ones, others):
        connection.execute(
            f"delete from {APART} where {_PAIR} = (%s, %s, %s, %s, %s)".encode(), pair
        )
