"""Whether the log still joins what the journal holds. A gap is named, never jumped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from cdc.postgres.catalog import CatalogTable
from cdc.postgres.lsn import format_lsn, parse_lsn
from cdc.postgres.publication import Publication, read_publication
from cdc.postgres.session import Connection, translated
from cdc.postgres.slot import PLUGIN, Slot, read_slot
from cdc.protocol import START_OVER
from cdc.sizes import format_bytes
from tailrace.errors import ContinuityError, SourceUnavailable

IDENTITY = "postgres.identity"
"""Journal fact: an `Identity`."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which log a journal's position belongs to: stored beside the journal, compared at each start.

    `tables` are those captured, by name, with their object identifiers. `members` are those of
    them that are published one by one (not with their schema, nor with all tables), with the
    object identifier of each membership.
    """

    system: str
    timeline: int
    database: str
    slot: str
    publication: str
    publication_oid: int
    tables: dict[str, int]
    members: dict[str, int]

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Identity:
        raw: dict[str, Any] = json.loads(text)
        return cls(**raw)


@dataclass(frozen=True, slots=True)
class Server:
    """`current`: the log's end now."""

    system: str
    timeline: int
    database: str
    current: int


def read_server(connection: Connection) -> Server:
    """Errors: SourceUnavailable, also where the server is a standby."""
    with translated("reading the server's identity"):
        row = connection.execute(
            "select system_identifier::text, current_database(), pg_is_in_recovery()"
            " from pg_control_system()"
        ).fetchone()
        assert row is not None
        if row[2]:
            raise SourceUnavailable("the server is a standby, which is in recovery")
        log = connection.execute(
            "select l::text, left(pg_walfile_name(l), 8) from pg_current_wal_lsn() l"
        ).fetchone()
    assert log is not None
    return Server(row[0], int(log[1], 16), row[1], parse_lsn(log[0]))


def read_identity(
    connection: Connection, slot: str, publication: Publication, tables: Iterable[CatalogTable]
) -> Identity:
    """To be stored when the slot is made, to capture `tables`."""
    server = read_server(connection)
    return Identity(
        system=server.system,
        timeline=server.timeline,
        database=server.database,
        slot=slot,
        publication=publication.name,
        publication_oid=publication.oid,
        tables={str(table.name): table.oid for table in tables},
        members={
            str(table.name): publication.members[table.name]
            for table in tables
            if table.name in publication.members
        },
    )


def check_continuity(connection: Connection, stored: Identity, position: str | None) -> None:
    """Return only if streaming from `position` misses nothing. None: nothing was read yet.

    Errors: ContinuityError; SourceUnavailable, when another process holds the slot.
    """
    server = read_server(connection)
    reached = None if position is None else parse_lsn(position)
    _check_server(server, stored, reached)
    slot = read_slot(connection, stored.slot)
    _check_slot(slot, server, stored, reached)
    check_published(connection, stored)
    if slot is not None and slot.active_pid is not None:
        raise SourceUnavailable(
            "another connection uses the slot",
            where={"slot": slot.name, "pid": slot.active_pid},
            fix="stop the other process; a broken connection is noticed after wal_sender_timeout",
        )


def check_published(connection: Connection, stored: Identity) -> None:
    """Return only if the publication still sends all that is captured.

    Errors: ContinuityError, SourceUnavailable.
    """
    _check_tables(connection, _check_publication(connection, stored), stored)


def _check_server(server: Server, stored: Identity, reached: int | None) -> None:
    if server.system != stored.system:
        raise _broken(
            "the url leads to another server", expected=stored.system, found=server.system
        )
    if server.database != stored.database:
        raise _broken(
            "the url leads to another database", expected=stored.database, found=server.database
        )
    if server.timeline != stored.timeline:
        raise _broken(
            "the server is on another timeline: it was restored, or a standby was promoted",
            expected=stored.timeline,
            found=server.timeline,
            position=reached and format_lsn(reached),
        )
    if reached is not None and server.current < reached:
        raise _gap(
            "the server's log ends before our position: it was restored from an older copy",
            server.current,
            reached,
        )


def _check_slot(slot: Slot | None, server: Server, stored: Identity, reached: int | None) -> None:
    if slot is None:
        raise _gap("the slot is gone", reached, server.current, slot=stored.slot)
    if slot.plugin != PLUGIN or slot.database != stored.database or slot.temporary:
        raise _broken(
            "the slot is of another kind than the one we made",
            slot=slot.name,
            plugin=slot.plugin,
            database=slot.database,
        )
    if slot.two_phase:
        raise _broken("the slot was altered to send prepared transactions", slot=slot.name)
    if slot.lost is not None:
        raise _gap(
            "the server has given the slot up",
            reached,
            server.current,
            slot=slot.name,
            reason=slot.lost,
        )
    if reached is not None and slot.confirmed is not None and slot.confirmed > reached:
        raise _gap(
            "the slot is ahead of us: it was made anew, or advanced or read by someone else",
            reached,
            slot.confirmed,
            slot=slot.name,
        )


def _check_publication(connection: Connection, stored: Identity) -> Publication:
    """A publication decides at each change whether it is sent: what was committed while it was
    not there never comes."""
    name = stored.publication
    found = read_publication(connection, name)
    if found is None:
        raise _broken("the publication is gone", publication=name)
    if found.oid != stored.publication_oid:
        raise _broken(
            "the publication was made anew; changes in between are lost", publication=name
        )
    if found.lacking:
        raise _broken(
            "the publication was altered; changes since may be lost",
            publication=name,
            lacks=", ".join(found.lacking),
        )
    return found


_NOW = """
select n.nspname || '.' || c.relname, c.oid
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname || '.' || c.relname = any(%s) and c.relkind in ('r', 'p')
"""


def _check_tables(connection: Connection, found: Publication, stored: Identity) -> None:
    """The same for each table. One that was dropped altogether has no more changes to lose."""
    members = {str(table): oid for table, oid in found.members.items()}
    with translated("looking at the captured tables"):
        now = connection.execute(_NOW, (list(stored.tables),)).fetchall()
    for table, oid in now:
        if oid != stored.tables[table]:
            raise _broken("a table was dropped and made anew", table=table)
        if members.get(table) != stored.members.get(table):
            left = "left and rejoined" if table in members else "left"
            raise _broken(
                f"a table has {left} the publication; its changes since are lost",
                publication=found.name,
                table=table,
            )


def _gap(what: str, since: int | None, until: int, **where: object) -> ContinuityError:
    span: dict[str, object] = {"to": format_lsn(until)}
    if since is not None:
        span = {"from": format_lsn(since), **span, "gap": format_bytes(abs(until - since))}
    return _broken(what, **span, **where)


def _broken(what: str, **where: object) -> ContinuityError:
    return ContinuityError(what, where=where, fix=START_OVER)
