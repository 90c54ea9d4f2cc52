"""A source as its least-rights role sees it: LOGIN, REPLICATION and SELECT, nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from cdc.changes import ChangeSet
from cdc.patterns import Patterns
from cdc.postgres.catalog import CatalogTable, read_tables
from cdc.postgres.lsn import parse_lsn
from cdc.postgres.session import connect
from cdc.postgres.settings import PostgresSource
from cdc.postgres.source import Postgres
from cdc.protocol import SnapshotProgress
from tailrace.errors import SourceUnavailable
from tests.conftest import Database
from tests.line import DEADLINE_S

NAME = "tailrace_test_erp"
"""The default name of slot and publication."""

TABLES = """
create schema sales;
create table sales.customer (id int primary key, name text not null);
create table sales.item (article text, language char(2), price numeric(12,2),
    primary key (article, language));
insert into sales.customer values (1, 'one'), (2, 'two');
insert into sales.item values ('a', 'DE', 1.50), ('a', 'EN', 1.50);
"""


@dataclass(frozen=True)
class Reader:
    database: Database
    role: str

    @property
    def url(self) -> str:
        return self.database.server.url(self.database.name, self.role)

    def settings(self, *tables: str, **more: Any) -> PostgresSource:
        return PostgresSource(type="postgres", url=self.url, tables=tables or ("sales.*",), **more)

    def open(self, *tables: str, **more: Any) -> closing[Postgres]:
        more.setdefault("publication", "dba")
        return closing(Postgres(self.settings(*tables, **more), NAME))


@contextmanager
def reading(database: Database, *, schemas: tuple[str, ...] = ("sales",)) -> Iterator[Reader]:
    role = f"reader_{database.name}"
    database.execute(f"create role {role} login replication")
    for schema in schemas:
        database.execute(
            f"grant usage on schema {schema} to {role};"
            f"grant select on all tables in schema {schema} to {role}"
        )
    try:
        yield Reader(database, role)
    finally:
        database.execute(
            "select pg_terminate_backend(active_pid, 10000) from pg_replication_slots"
            f" where slot_name = '{NAME}' and active"
        )
        database.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
            f" where slot_name = '{NAME}'"
        )
        database.execute(f"drop owned by {role}; drop role {role}")


def taken(source: Postgres, previous: Mapping[str, str] | None = None) -> Taken:
    """A whole first snapshot."""
    with closing(source.snapshot(previous or {})) as snapshot:
        return Taken(dict(snapshot.facts), snapshot.position, list(snapshot.changes()))


@dataclass(frozen=True)
class Taken:
    facts: dict[str, str]
    position: str
    sets: list[tuple[ChangeSet, SnapshotProgress]]


def until(done: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def read_through(
    source: Postgres, position: str, database: Database
) -> tuple[list[ChangeSet], str]:
    """Stream everything that is committed now, acknowledge it, and give the new position."""
    ((end,),) = database.execute("select pg_current_wal_flush_lsn()::text")
    sets: list[ChangeSet] = []
    with closing(source.stream(position)) as stream:
        until_s = time.monotonic() + DEADLINE_S
        while parse_lsn(stream.position) < parse_lsn(end):
            assert time.monotonic() < until_s, "the stream does not get there"
            sets += stream.changes(1.0)
        reached = stream.position
        stream.acknowledge(reached)
        until(lambda: _confirmed(database) >= parse_lsn(reached))
    return sets, reached


def _confirmed(database: Database) -> int:
    ((lsn,),) = database.execute(
        f"select confirmed_flush_lsn::text from pg_replication_slots where slot_name = '{NAME}'"
    )
    return parse_lsn(lsn)


def verify(source: Postgres, facts: Mapping[str, str], position: str) -> None:
    """As capture does: a connection that is still closing is waited for."""
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            return source.verify(facts, position)
        except SourceUnavailable:
            assert time.monotonic() < end
            time.sleep(0.05)


def catalog(url: str, *patterns: str, publication: str | None = None) -> dict[str, CatalogTable]:
    with closing(connect(url)) as connection:
        tables = read_tables(connection, Patterns.parse(patterns or ("sales.*",)), publication)
    return {table.name.name: table for table in tables}
