"""Each way in which a log can cease to join our position, provoked on a real server."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cdc.postgres.continuity import IDENTITY
from cdc.postgres.lsn import parse_lsn
from cdc.postgres.preflight import inspect
from tailrace.errors import ContinuityError, SourceUnavailable
from tailrace.service.localpg import LocalPostgres
from tests.cdc.reader import (
    NAME,
    TABLES,
    Reader,
    Taken,
    read_through,
    reading,
    taken,
    until,
    verify,
)
from tests.conftest import Database

PUBLICATION = "create publication dba for table sales.customer, sales.item"


@pytest.fixture
def reader(database: Database) -> Iterator[Reader]:
    database.execute(TABLES + PUBLICATION)
    with reading(database) as found:
        yield found


@pytest.fixture
def first(reader: Reader) -> Taken:
    with reader.open() as source:
        return taken(source)


def refused(reader: Reader, first: Taken, position: str | None = None) -> ContinuityError:
    with reader.open() as source, pytest.raises(ContinuityError) as found:
        verify(source, first.facts, position or first.position)
    assert found.value.fix
    return found.value


def test_what_joins_is_accepted_again_and_again(reader: Reader, first: Taken) -> None:
    position = first.position
    for name in ("three", "four"):
        reader.database.execute(f"update sales.customer set name = '{name}' where id = 1")
        with reader.open() as source:
            verify(source, first.facts, position)
            _, position = read_through(source, position, reader.database)
    with reader.open() as source:
        verify(source, first.facts, position)


def test_a_dropped_slot_is_told_with_the_gap(reader: Reader, first: Taken) -> None:
    reader.database.execute("update sales.customer set name = 'lost'")
    reader.database.execute(f"select pg_drop_replication_slot('{NAME}')")
    error = refused(reader, first)
    assert error.what == "the slot is gone"
    assert error.where["from"] == first.position
    assert parse_lsn(str(error.where["to"])) > parse_lsn(first.position)


def test_a_slot_made_anew_is_told_with_the_gap(reader: Reader, first: Taken) -> None:
    reader.database.execute(f"select pg_drop_replication_slot('{NAME}')")
    reader.database.execute("update sales.customer set name = 'lost'")
    reader.database.execute(f"select pg_create_logical_replication_slot('{NAME}', 'pgoutput')")
    error = refused(reader, first)
    assert "made anew" in error.what
    assert error.where["from"] == first.position
    assert re.fullmatch(r"[\d.]+ (bytes|kB|MB)", str(error.where["gap"]))


def test_a_slot_advanced_by_hand_is_told_with_the_gap(reader: Reader, first: Taken) -> None:
    reader.database.execute("update sales.customer set name = 'lost'")
    ((end,),) = reader.database.execute(
        f"select end_lsn::text from pg_replication_slot_advance('{NAME}', pg_current_wal_lsn())"
    )
    error = refused(reader, first)
    assert "advanced" in error.what
    assert (error.where["from"], error.where["to"]) == (first.position, end)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("select pg_create_physical_replication_slot('{slot}')", "of another kind"),
        (
            "select pg_create_logical_replication_slot('{slot}', 'test_decoding')",
            "of another kind",
        ),
        (
            "select pg_create_logical_replication_slot('{slot}', 'pgoutput', false, true)",
            "prepared transactions",
        ),
    ],
    ids=["physical", "other plugin", "two phases"],
)
def test_a_slot_of_another_kind_is_refused(
    reader: Reader, first: Taken, sql: str, what: str
) -> None:
    if "test_decoding" in sql and not _has_plugin(reader.database, "test_decoding"):
        pytest.skip("this server has no second output plugin")
    reader.database.execute(f"select pg_drop_replication_slot('{NAME}')")
    reader.database.execute(sql.format(slot=NAME))
    assert what in refused(reader, first).what


def _has_plugin(database: Database, name: str) -> bool:
    ((found,),) = database.execute("select setting from pg_config() where name = 'PKGLIBDIR'")
    return (Path(found) / f"{name}.so").exists()


def test_a_slot_in_another_database_of_the_server_is_refused(reader: Reader, first: Taken) -> None:
    reader.database.execute(f"select pg_drop_replication_slot('{NAME}')")
    server = reader.database.server
    server.execute(f"select pg_create_logical_replication_slot('{NAME}', 'pgoutput')")
    try:
        assert "of another kind" in refused(reader, first).what
    finally:
        server.execute(f"select pg_drop_replication_slot('{NAME}')")


def test_a_slot_that_another_connection_uses_is_waited_for(reader: Reader, first: Taken) -> None:
    with reader.open() as using, reader.open() as source:
        verify(using, first.facts, first.position)
        with closing(using.stream(first.position)):
            until(lambda: _active(reader.database))
            with pytest.raises(SourceUnavailable, match="another connection uses") as found:
                source.verify(first.facts, first.position)
    assert isinstance(found.value.where["pid"], int)


def _active(database: Database) -> bool:
    return database.execute(
        f"select active from pg_replication_slots where slot_name = '{NAME}'"
    ) == [(True,)]


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("drop publication dba", "publication is gone"),
        (f"drop publication dba; {PUBLICATION}", "publication was made anew"),
        ("alter publication dba set (publish = 'insert')", "publication was altered"),
        ("alter publication dba drop table sales.item", "a table has left the"),
        (
            "alter publication dba drop table sales.item;"
            "alter publication dba add table sales.item",
            "left and rejoined",
        ),
        (
            "drop table sales.item; create table sales.item (id int primary key);"
            "alter publication dba add table sales.item",
            "made anew",
        ),
    ],
    ids=["gone", "made anew", "altered", "left", "rejoined", "table made anew"],
)
def test_a_publication_that_may_have_missed_changes_is_refused(
    reader: Reader, first: Taken, sql: str, what: str
) -> None:
    reader.database.execute(sql)
    assert what in refused(reader, first).what


def test_a_table_that_leaves_the_publication_is_noticed_while_we_stream(
    reader: Reader, first: Taken
) -> None:
    with reader.open() as source:
        verify(source, first.facts, first.position)
        assert source.state().held_bytes >= 0
        reader.database.execute("alter publication dba drop table sales.item")
        with pytest.raises(ContinuityError, match="has left the publication"):
            source.state()


def test_a_table_that_was_dropped_loses_nothing_more(reader: Reader, first: Taken) -> None:
    reader.database.execute("drop table sales.item")
    with reader.open() as source:
        verify(source, first.facts, first.position)


def test_another_server_and_another_database_are_refused(
    pg18: LocalPostgres, pg15: LocalPostgres, database18: Database
) -> None:
    database18.execute(TABLES + PUBLICATION)
    with reading(database18) as reader:
        with reader.open() as source:
            first = taken(source)
        elsewhere = [
            (Database(pg18, "postgres"), "database"),
            (Database(pg15, "postgres"), "server"),
        ]
        for database, kind in elsewhere:
            with (
                Reader(database, "postgres").open() as source,
                pytest.raises(ContinuityError, match=f"leads to another {kind}"),
            ):
                verify(source, first.facts, first.position)


def test_a_journal_of_another_slot_than_the_project_names_is_refused(
    reader: Reader, first: Taken
) -> None:
    with reader.open(slot="other") as source, pytest.raises(ContinuityError, match="another slot"):
        source.verify(first.facts, first.position)
    with reader.open() as source, pytest.raises(ContinuityError, match="does not say"):
        source.verify({}, first.position)


def test_a_dropped_and_a_renamed_table_stop_the_stream(reader: Reader, first: Taken) -> None:
    reader.database.execute("alter table sales.customer rename to client")
    reader.database.execute("update sales.client set name = 'renamed'")
    with reader.open() as source:
        verify(source, first.facts, first.position)
        with pytest.raises(ContinuityError, match="renamed"):
            read_through(source, first.position, reader.database)


def test_the_identity_reads_back(first: Taken) -> None:
    from cdc.postgres.continuity import Identity

    assert Identity.from_json(first.facts[IDENTITY]).to_json() == first.facts[IDENTITY]


@pytest.fixture(params=["18", "15"], ids=["pg18", "pg15"])
def spare(request: pytest.FixtureRequest, server_path: Path) -> Iterator[LocalPostgres]:
    """A server of its own, for what a test does to a whole server."""
    settings = {"max_slot_wal_keep_size": "16MB", "fsync": "off"}
    with LocalPostgres.start(
        server_path / "pg", version=request.param, settings=settings
    ) as server:
        server.execute(TABLES + PUBLICATION)
        yield server


def test_a_slot_that_the_server_gave_up_is_told_with_the_gap(spare: LocalPostgres) -> None:
    with reading(Database(spare, "postgres")) as reader:
        with reader.open() as source:
            first = taken(source)
        for _ in range(4):  # each log segment has 16 MB
            spare.execute("select pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()")
        spare.execute("checkpoint")
        error = refused(reader, first)
        assert error.what == "the server has given the slot up"
        assert error.where["reason"] == "wal_removed"
        assert error.where["from"] == first.position
        found = [finding.what for finding in inspect(reader.settings(publication="dba"), NAME)]
        assert any("given our slot up" in what for what in found)


def test_a_server_restored_from_an_older_copy_is_refused(spare: LocalPostgres) -> None:
    with reading(Database(spare, "postgres")) as reader:
        with reader.open() as source:
            first = taken(source)
        spare.stop()
        copy = spare.directory / "copy"
        _copy(spare.data, copy)
        spare.restart()
        spare.execute("update sales.customer set name = 'later' || id")
        with reader.open() as source:
            verify(source, first.facts, first.position)
            _, position = read_through(source, first.position, Database(spare, "postgres"))
        spare.stop()
        shutil.rmtree(spare.data)
        copy.rename(spare.data)
        spare.restart()
        error = refused(reader, first, position)
        assert "restored from an older copy" in error.what
        assert error.where["to"] == position


def test_a_standby_is_waited_for_and_its_new_timeline_refused(spare: LocalPostgres) -> None:
    with reading(Database(spare, "postgres")) as reader:
        with reader.open() as source:
            first = taken(source)
        spare.stop()
        (spare.data / "standby.signal").touch()
        spare.restart()
        with reader.open() as source, pytest.raises(SourceUnavailable, match="standby"):
            source.verify(first.facts, first.position)
        (finding,) = inspect(reader.settings(), NAME)
        assert "standby" in finding.what
        spare.execute("select pg_promote()")
        error = refused(reader, first)
        assert "another timeline" in error.what
        assert (error.where["expected"], error.where["found"]) == (1, 2)


def _copy(source: Path, target: Path) -> None:
    """With owners, as PostgreSQL insists."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
