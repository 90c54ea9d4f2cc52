"""The source as capture uses it, as a role with LOGIN, REPLICATION and SELECT and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

import cdc.changes as change
from cdc.changes import ChangeSet
from cdc.postgres.lsn import parse_lsn
from cdc.postgres.session import connect, connect_replication
from cdc.postgres.slot import create_slot
from cdc.postgres.snapshot import SnapshotReader
from tailrace.errors import ConfigError, PreflightError, SourceUnavailable
from tests.cdc.reader import (
    NAME,
    TABLES,
    Reader,
    catalog,
    read_through,
    reading,
    taken,
    until,
    verify,
)
from tests.conftest import Database

PUBLICATION = (
    "create publication dba for table sales.customer, sales.item"
    " with (publish_via_partition_root = true)"
)
Row = tuple[str | None, ...]


@pytest.fixture
def reader(database: Database) -> Iterator[Reader]:
    database.execute(TABLES + PUBLICATION)
    with reading(database) as found:
        yield found


def rows(sets: list[ChangeSet], table: str) -> list[tuple[str, Row]]:
    """(operation, values after) of every change of `table`, in order."""
    found = []
    for changes in sets:
        for part in changes.tables:
            if str(part.schema.table) == table:
                values = zip(*(column.to_pylist() for column in part.new), strict=True)
                found += list(zip(map(chr, part.op.to_pylist()), values, strict=True))
    return found


def replayed(sets: list[ChangeSet], table: str) -> set[Row]:
    """The table's rows after all changes."""
    state: dict[Row, Row] = {}
    for changes in sets:
        for part in changes.tables:
            if str(part.schema.table) != table:
                continue
            key = part.schema.key_indexes
            new = list(zip(*(column.to_pylist() for column in part.new), strict=True))
            old = part.old and [c.to_pylist() if c else [None] * part.rows for c in part.old]
            for i, op in enumerate(part.op.to_pylist()):
                if op == change.TRUNCATE:
                    state.clear()
                    continue
                known = old is not None and part.old_kind is not None and part.old_kind[i].as_py()
                before = tuple((old if known else list(zip(*new, strict=True)))[k][i] for k in key)
                state.pop(before, None)
                if op != change.DELETE:
                    state[tuple(new[i][k] for k in key)] = new[i]
    return set(state.values())


def test_a_snapshot_and_the_stream_after_it_join_without_a_gap(reader: Reader) -> None:
    """Rows change all the time while the slot is made and the rows are copied."""
    stopping = threading.Event()

    def change_rows() -> None:
        with psycopg.connect(reader.database.url, autocommit=True) as connection:
            n = 100
            while not stopping.is_set():
                n += 1
                connection.execute("insert into sales.customer values (%s, 'new')", (n,))
                connection.execute("update sales.customer set name = %s where id = 1", (str(n),))
                connection.execute("delete from sales.customer where id = %s", (n - 20,))

    worker = threading.Thread(target=change_rows)
    worker.start()
    try:
        with reader.open() as source:
            first = taken(source)
            until(lambda: _written_since(reader.database, first.position) > 20_000)
            stopping.set()
            worker.join()
            sets, _ = read_through(source, first.position, reader.database)
    finally:
        stopping.set()
        worker.join()
    assert {op for op, _ in rows(sets, "sales.customer")} == set("cud")
    everything = [changes for changes, _ in first.sets] + sets
    wanted = reader.database.execute("select id::text, name from sales.customer")
    assert replayed(everything, "sales.customer") == set(wanted)


def _written_since(database: Database, position: str) -> int:
    ((size,),) = database.execute(f"select (pg_current_wal_lsn() - '{position}')::bigint")
    return int(size)


def test_each_tables_snapshot_is_one_transaction_that_begins_with_a_truncate(
    reader: Reader,
) -> None:
    with reader.open() as source:
        first = taken(source)
    sets = [changes for changes, _ in first.sets]
    assert rows(sets, "sales.customer") == [
        ("t", (None, None)), ("r", ("1", "one")), ("r", ("2", "two")),
    ]  # fmt: skip
    assert rows(sets, "sales.item")[1:] == [
        ("r", ("a", "DE", "1.50")), ("r", ("a", "EN", "1.50")),
    ]  # fmt: skip
    assert all(changes.complete for changes in sets)
    assert {changes.position for changes in sets} == {first.position}
    assert [(p.table, p.rows) for _, p in first.sets] == [("sales.customer", 2), ("sales.item", 2)]


def test_a_large_table_comes_in_parts_of_bounded_size(reader: Reader) -> None:
    reader.database.execute(
        "insert into sales.customer select n, repeat('x', 100) from generate_series(3, 90000) n"
    )
    with reader.open("sales.customer") as source:
        first = taken(source)
    sizes = [changes.rows for changes, _ in first.sets]
    assert len(sizes) > 2
    assert max(sizes) < 50_000
    assert [changes.complete for changes, _ in first.sets] == [False] * (len(sizes) - 1) + [True]
    assert [changes.part for changes, _ in first.sets] == list(range(len(sizes)))
    progress = [p.rows for _, p in first.sets]
    assert (progress[-1], progress) == (90_000, sorted(progress))
    assert all(p.rows <= p.rows_estimated for _, p in first.sets)


def test_parents_are_copied_before_children_and_partitions_as_their_root(
    database: Database,
) -> None:
    database.execute(
        "create schema sales;"
        "create table sales.a_line (id int primary key);"
        "create table sales.z_order (id int primary key);"
        "alter table sales.a_line add foreign key (id) references sales.z_order;"
        "create table sales.m (id int, day date, primary key (day, id)) partition by range (day);"
        "create table sales.m_1 partition of sales.m for values from ('2020-01-01') to"
        " ('2021-01-01');"
        "insert into sales.z_order values (1); insert into sales.a_line values (1);"
        "insert into sales.m values (1, '2020-02-02');"
        "create publication dba for table sales.a_line, sales.z_order, sales.m"
        " with (publish_via_partition_root = true)"
    )
    with reading(database) as reader, reader.open() as source:
        first = taken(source)
        copied = [p.table for _, p in first.sets]
        assert copied.index("sales.z_order") < copied.index("sales.a_line")
        assert sorted(copied) == ["sales.a_line", "sales.m", "sales.z_order"]
        database.execute("update sales.m set id = 7")
        sets, _ = read_through(source, first.position, database)
    assert rows(sets, "sales.m") == [("u", ("7", "2020-02-02"))]
    (part,) = [part for changes in sets for part in changes.tables]
    assert part.schema.key == ("day", "id")


def test_children_that_inherit_are_tables_of_their_own(database: Database) -> None:
    database.execute(
        "create schema sales;"
        "create table sales.parent (id int primary key);"
        "create table sales.child (primary key (id)) inherits (sales.parent);"
        "insert into sales.parent values (1); insert into sales.child values (2);"
        "create publication dba for table sales.parent"
    )
    with reading(database) as reader, reader.open() as source:
        first = taken(source)
        sets = [changes for changes, _ in first.sets]
        assert rows(sets, "sales.parent")[1:] == [("r", ("1",))]
        assert rows(sets, "sales.child")[1:] == [("r", ("2",))]


def test_a_publications_columns_and_rows_hold_for_the_snapshot_too(database: Database) -> None:
    if database.server.execute("show server_version_num")[0][0] < "150000":
        pytest.skip("PostgreSQL 14 publishes whole tables")
    database.execute(
        TABLES + "create publication dba for table sales.customer (id), sales.item"
        " where (language = 'DE')"
    )
    with reading(database) as reader, reader.open() as source:
        first = taken(source)
        sets = [changes for changes, _ in first.sets]
        assert rows(sets, "sales.customer")[1:] == [("r", ("1",)), ("r", ("2",))]
        assert rows(sets, "sales.item")[1:] == [("r", ("a", "DE", "1.50"))]
        database.execute("update sales.item set price = 2")
        later, _ = read_through(source, first.position, database)
    assert rows(later, "sales.item") == [("u", ("a", "DE", "2.00"))]


def test_an_attempt_that_died_is_replaced_whenever_it_died(reader: Reader) -> None:
    with reader.open() as source:
        with closing(source.snapshot({})):
            pass  # dead before its facts were stored
        assert _slots(reader.database) == []
        with closing(source.snapshot({})) as snapshot:
            facts = dict(snapshot.facts)  # stored, and dead then
        assert _slots(reader.database) == []
        with closing(source.snapshot(facts)) as snapshot:
            facts = dict(snapshot.facts)
            next(snapshot.changes())  # dead in the middle
        assert _slots(reader.database) == [(NAME,)]
        first = taken(source, facts)
        reader.database.execute("delete from sales.customer")
        sets, _ = read_through(source, first.position, reader.database)
    assert rows(sets, "sales.customer") == [("d", (None, None))] * 2


def _slots(database: Database) -> list[tuple[object, ...]]:
    # A temporary slot goes once the server has noticed that its connection is closed.
    return database.execute(
        "select slot_name::text from pg_replication_slots"
        f" where database = '{database.name}' and not temporary"
    )


def test_a_slot_that_no_journal_knows_is_not_touched(reader: Reader) -> None:
    reader.database.execute(f"select pg_create_logical_replication_slot('{NAME}', 'pgoutput')")
    with reader.open() as source, pytest.raises(PreflightError, match="did not make it"):
        source.snapshot({})
    assert _slots(reader.database) == [(NAME,)]


def test_our_own_publication_is_made_where_our_role_owns_the_tables(database: Database) -> None:
    database.execute(TABLES)
    with reading(database) as reader:
        with (
            reader.open(publication=None) as source,
            pytest.raises(PreflightError, match="cannot make the publication"),
        ):
            source.snapshot({})
        assert database.execute("select 1 from pg_publication") == []
        database.execute(
            f"alter table sales.customer owner to {reader.role};"
            f"alter table sales.item owner to {reader.role};"
            f"grant create on database {database.name} to {reader.role}"
        )
        with reader.open(publication=None) as source:
            first = taken(source)
            again = taken(source, first.facts)
            verify(source, again.facts, again.position)
        assert database.execute("select pubname from pg_publication") == [(NAME,)]
        database.execute("reassign owned by " + reader.role + " to postgres")


def test_a_heartbeat_and_the_state_tell_how_much_log_is_held(reader: Reader) -> None:
    with reader.open() as source:
        first = taken(source)
        before = source.state()
        reader.database.execute("insert into sales.customer select 9, repeat('x', 100)")
        source.heartbeat()
        after = source.state()
        assert after.lag_bytes > before.lag_bytes
        assert after.held_bytes >= after.lag_bytes
        assert parse_lsn(after.position) - after.lag_bytes == parse_lsn(first.position)
        _, position = read_through(source, first.position, reader.database)
        assert source.state().lag_bytes < after.lag_bytes
        source.give_up()
        assert _slots(reader.database) == []
    assert parse_lsn(position) > parse_lsn(first.position)


def test_what_the_publication_has_and_the_patterns_have_not_is_left_out(reader: Reader) -> None:
    with reader.open("sales.customer") as source:
        first = taken(source)
        reader.database.execute("delete from sales.item; delete from sales.customer where id = 1")
        sets, _ = read_through(source, first.position, reader.database)
    assert {str(p.schema.table) for changes in sets for p in changes.tables} == {"sales.customer"}


def test_a_table_that_is_altered_between_slot_and_copy_begins_again(reader: Reader) -> None:
    """A rewrite leaves the table empty for our snapshot, and nothing in the log."""
    url = reader.url
    with closing(connect(url)) as observer, closing(connect_replication(url)) as replication:
        new = create_slot(replication, "rewritten", observer)
        with closing(SnapshotReader(url, new.snapshot)) as snapshot:
            replication.close()
            tables = catalog(reader.database.url)
            assert b"".join(snapshot.rows(tables["customer"])) == b"1\tone\n2\ttwo\n"
            reader.database.execute("vacuum full sales.customer")
            assert b"".join(snapshot.rows(tables["customer"])) == b"1\tone\n2\ttwo\n"
            reader.database.execute("alter table sales.customer alter id type bigint")
            with pytest.raises(SourceUnavailable, match="must begin again"):
                list(snapshot.rows(tables["customer"]))


def test_a_copied_table_can_be_altered_while_others_are_copied(reader: Reader) -> None:
    with reader.open() as source, closing(source.snapshot({})) as snapshot:
        sets = snapshot.changes()
        next(sets)
        reader.database.execute(
            "set lock_timeout = '5s'; alter table sales.customer add column later int"
        )
        assert len(list(sets)) == 1


def test_making_a_slot_says_for_whom_it_waits(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cdc.postgres.slot.WAITING_SAID_S", 0.1)
    with (
        psycopg.connect(reader.database.url) as open_one,
        reader.open() as source,
    ):
        open_one.execute("update sales.customer set name = 'x'")
        pid = open_one.info.backend_pid
        worker = threading.Thread(
            target=lambda: until(lambda: bool(caplog.records)) or open_one.commit()
        )
        with caplog.at_level("WARNING"):
            worker.start()
            with closing(source.snapshot({})):
                worker.join()
    waited = [record for record in caplog.records if "waits for open" in record.message]
    assert waited
    assert waited[-1].open == [f"pid {pid}"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"port": "1"}, "Connection refused"),
        ({"user": "nobody_known"}, "does not exist"),
        ({"dbname": "nowhere"}, "does not exist"),
    ],
)
def test_a_connection_that_fails_is_told_without_the_password(
    database18: Database, change: dict[str, str], where: str
) -> None:
    given = psycopg.conninfo.make_conninfo(database18.url, password="geheim", **change)
    with pytest.raises(SourceUnavailable, match=where) as failed:
        connect(given)
    assert "geheim" not in str(failed.value)


def test_a_password_with_an_at_sign_is_not_shown() -> None:
    with pytest.raises(ConfigError) as failed:
        connect("postgresql://u:ge@heim@127.0.0.1/x")
    assert "heim" not in str(failed.value)
