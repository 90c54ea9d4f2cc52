"""Taking back what is ours, as the role that made it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from cdc.postgres.removal import remove
from cdc.postgres.session import connect
from cdc.postgres.stream import ReplicationStream
from tailrace.errors import PreflightError, SourceUnavailable
from tests.cdc.reader import NAME, TABLES, Reader, reading, taken, until
from tests.conftest import Database


@pytest.fixture
def reader(database: Database) -> Iterator[Reader]:
    database.execute(TABLES + "create publication dba for table sales.customer, sales.item")
    with reading(database) as found:
        yield found


def test_a_slot_in_use_is_dropped_and_its_user_is_ended(reader: Reader) -> None:
    with reader.open() as source:
        first = taken(source)
        with closing(source.stream(first.position)) as stream, closing(connect(reader.url)) as ours:
            until(lambda: _is_active(reader.database))
            done = remove(ours, NAME, "dba", is_ours=False)
            with pytest.raises(SourceUnavailable):
                _read_on(stream)
    assert done.dropped == (f"slot {NAME}",)
    assert done.kept == ('publication dba, made by postgres: DROP PUBLICATION "dba";',)
    assert done.left == ()
    assert reader.database.execute(done.proof) == []


def _read_on(stream: ReplicationStream) -> None:
    while True:
        list(stream.changes(5.0))


def _is_active(database: Database) -> bool:
    query = f"select active from pg_replication_slots where slot_name = '{NAME}'"
    return database.execute(query) == [(True,)]


def test_the_proof_finds_what_is_left(reader: Reader) -> None:
    with closing(connect(reader.url)) as ours:
        done = remove(ours, NAME, NAME, is_ours=True)
    assert (done.dropped, done.kept, done.left) == ((), (), ())
    reader.database.execute(f"create publication {NAME}")
    reader.database.execute(f"select pg_create_logical_replication_slot('{NAME}', 'pgoutput')")
    assert reader.database.execute(done.proof) == [("slot", NAME), ("publication", NAME)]


def test_a_publication_of_our_name_that_another_role_made_stays(reader: Reader) -> None:
    reader.database.execute(f"create publication {NAME}")
    with closing(connect(reader.url)) as ours:
        done = remove(ours, NAME, NAME, is_ours=True)
    assert len(done.kept) == 1
    assert reader.database.execute(f"select 1 from pg_publication where pubname = '{NAME}'")


def test_a_slot_in_another_database_is_not_ours(reader: Reader) -> None:
    server = reader.database.server
    server.execute(f"select pg_create_logical_replication_slot('{NAME}', 'pgoutput')")
    try:
        with closing(connect(reader.url)) as ours, pytest.raises(PreflightError, match="not ours"):
            remove(ours, NAME, NAME, is_ours=True)
    finally:
        server.execute(f"select pg_drop_replication_slot('{NAME}')")
