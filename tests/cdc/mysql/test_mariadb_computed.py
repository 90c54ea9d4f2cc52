"""Computed columns, which MariaDB logs of inserted rows only from 11.5 on; and other things of
events that depend on its version."""

from __future__ import annotations

from contextlib import closing

import pytest

from cdc.before import rows_before
from cdc.mysql.catalog import read_charsets, read_tables
from cdc.mysql.decode import BinlogDecoder
from cdc.mysql.positions import MysqlPosition
from cdc.mysql.preflight import inspect
from cdc.mysql.session import connect
from cdc.mysql.source import BinlogDatabase
from cdc.mysql.withheld import FACT, LEFT_OUT, leaves_out
from cdc.patterns import Patterns
from cdc.schema import TableName, TableSchema
from tailrace.errors import ContinuityError
from tests.cdc.mysql.binlogs import charsets, split
from tests.cdc.mysql.test_mariadb_defaults import followed
from tests.cdc.mysql.test_mariadb_source import Reader, State, apply, reader, snapshot
from tests.maria import Maria, both, needs

__all__ = ["reader"]

COMPUTED = (
    "create table t (id int primary key, a int, p int as (a + 1) stored, n int,"
    " v varchar(9) as (concat('x', a)) virtual)"
)


@pytest.mark.parametrize(
    ("version", "left_out"),
    [
        ("10.5.23-MariaDB-0+deb11u1-log", False),
        ("5.5.5-10.11.6-MariaDB-1", False),
        ("11.4.5-MariaDB-log", False),
        ("11.8.9-MariaDB-0+deb13u1 from Debian-log", True),
        ("12.1.2-MariaDB", True),
        ("9.7.0", False),
        ("26.10.0-debian", False),
    ],
)
def test_the_versions(version: str, left_out: bool) -> None:
    assert leaves_out(version) is left_out


def read(source: BinlogDatabase, position: str) -> tuple[State, set[TableSchema]]:
    """What the log since then makes of the table up to row 9, and its schema there."""
    state: State = {}
    schemas = set()
    with closing(source.stream(position)) as stream:
        while ("9",) not in state:
            for found in stream.changes(0.1):
                schemas |= {table.schema for table in found.tables}
                apply(state, found)
    return state, schemas


@both
@pytest.mark.parametrize("image", ["full", "noblob"])
def test_snapshot_and_stream_have_the_same_columns(image: str, reader: Reader) -> None:
    """And no value of them grows old."""
    maria = reader.maria
    maria.execute(COMPUTED, "insert into t (id, a, n) values (1, 1, 1), (2, 2, 2)")
    copied: State = {}
    with reader.open() as source:
        position, _ = snapshot(source, copied)
        with closing(connect(reader.settings().url)) as connection:
            findings, (table,) = inspect(connection, reader.settings())
        maria.execute(
            f"set session binlog_row_image = {image}",
            "update t set a = 7 where id = 1",
            "update t set n = 8",
            "delete from t where id = 2",
            "insert into t (id, a, n) values (9, 1, 1)",
        )
        state, schemas = read(source, position)
    assert schemas == {table.schema}
    left_out = leaves_out(maria.version)
    names = ["id", "a", "n"] if left_out else ["id", "a", "p", "n", "v"]
    assert [column.name for column in table.schema.columns] == names
    assert table.withheld == (("p", "v") if left_out else ())
    assert any("computed columns" in one.what for one in findings) is left_out
    assert {len(row) for row in copied.values()} == {len(names)}
    shown = ", ".join(f"cast({name} as char)" for name in names)
    rows = maria.execute(f"select {shown} from t order by id")
    assert state == {row[:1]: row for row in rows}


def test_what_was_left_out_stays_so(reader: Reader) -> None:
    """Where an older server is promoted."""
    maria = reader.maria
    maria.execute(COMPUTED)
    with reader.open() as source:
        position, facts = snapshot(source, {})
        facts[FACT] = LEFT_OUT
        source.verify(facts, position)
        maria.execute("insert into t (id, a) values (1, 1)", "update t set a = 2")
        maria.execute("insert into t (id, a) values (9, 1)")
        state, _ = read(source, position)
        with closing(source.stream(position)) as stream:
            assert stream.facts[FACT] == LEFT_OUT
    assert state == {("1",): ("1", "2", None), ("9",): ("9", "1", None)}


def test_what_was_captured_is_not_let_grow_old(reader: Reader) -> None:
    """Where a newer server is promoted, or the server became one."""
    maria = reader.maria
    maria.execute(COMPUTED, "create table plain (id int primary key)")
    with reader.open() as source:
        position, facts = snapshot(source, {})
        facts.pop(FACT, None)
        if not leaves_out(maria.version):
            source.verify(facts, position)
            return
        with pytest.raises(ContinuityError, match=r"p, v of .*\.t were captured and are computed"):
            source.verify(facts, position)
        maria.execute("drop table t")
        source.verify(facts, position)
        with closing(source.stream(position)) as stream:
            assert stream.facts[FACT] == LEFT_OUT, "so that one that is added stops nothing"


def test_one_that_is_added_is_left_out_like_the_others(reader: Reader) -> None:
    maria = reader.maria
    maria.execute("create table t (id int primary key, a int)")
    with reader.open() as source:
        position, facts = snapshot(source, {})
        source.verify({**facts, FACT: LEFT_OUT}, position)
        maria.execute("insert into t values (1, 1)", "alter table t add v int as (a + 1) virtual")
        maria.execute("update t set a = 5", "insert into t (id, a) values (9, 1)")
        state, schemas = read(source, position)
    assert state == {("1",): ("1", "5"), ("9",): ("9", "1")}
    assert len(schemas) == 1


def test_a_column_that_the_server_made_for_itself_is_none(maria: Maria) -> None:
    """By which a UNIQUE index by hash is kept; one of a user may be called so."""
    maria.execute("create table t (id int primary key, x text unique, DB_ROW_HASH_7 int)")
    shapes = maria.shapes()
    maria.execute("insert into t values (1, 'a', 2)", "update t set x = 'b'")
    (found,) = maria.changes(shape_of=shapes.get)
    (table,) = found.tables
    assert [column.name for column in table.schema.columns] == ["id", "x", "DB_ROW_HASH_7"]
    assert table.new[1].to_pylist() == ["a", "b"]
    assert table.unsent == {}


def test_todays_tables_are_not_asked_for_where_the_log_says_all(maria: Maria) -> None:
    """They may not be what they were, and cost the server a look into its catalog."""
    maria.execute(
        "create table t (id int primary key, x varchar(9))", "insert into t values (1, 'a')"
    )
    asked: list[TableName] = []
    (found,) = maria.changes(left_out=False, shape_of=asked.append)
    assert [table.rows for table in found.tables] == [1]
    assert asked == []


def test_today_only_one_table_is_asked_for(maria: Maria) -> None:
    maria.execute("create table t (id int primary key)", "create table other (id int primary key)")
    with closing(connect(f"mariadb://root@127.0.0.1:{maria.server.port}/")) as connection:
        patterns = Patterns.parse([f"{maria.name}.*"])
        known = read_charsets(connection)
        found, _ = read_tables(connection, patterns, known, only=TableName(maria.name, "t"))
        assert [table.name.name for table in found] == ["t"]
        found, _ = read_tables(connection, patterns, known, only=TableName("mysql", "user"))
        assert found == []


@both
def test_each_event_is_known_by_its_place(maria: Maria) -> None:
    """From 11.4 on MariaDB does not say where those inside a transaction end."""
    maria.execute(
        "create table t (id int primary key, v text)",
        "begin",
        "insert into t values (1, repeat('x', 9000)), (2, 'y')",
        "update t set v = 'z'",
        "commit",
        "alter table t add w int",
        "insert into t (id) values (3)",
    )
    position = MysqlPosition() if maria.kind == "mysql" else None
    decoder = BinlogDecoder(lambda _: False, charsets(maria.server), position=position)
    at = 4
    *events, _ = split(maria.log())  # the last sends on to the next file
    for event in events:
        decoder.feed(event)
        at += len(event)
        assert decoder.coordinates[1] == at


def test_an_image_without_what_did_not_change(maria: Maria) -> None:
    """FULL_NODUP: the row before is whole, the row after is what became new."""
    needs(maria.server, (11, 4), "this image")
    maria.execute(
        "create table t (id int primary key, a int, n int default 3)",
        "set session binlog_row_image = full_nodup",
        "insert into t (id, a) values (1, 1)",
        "update t set a = 5",
    )
    (found,) = maria.changes(shape_of=maria.shapes().get)
    (table,) = found.tables
    assert table.new[0].to_pylist() == ["1", "1"]
    assert table.new[1].to_pylist() == ["1", "5"]
    assert table.new[2].to_pylist() == ["3", "3"]
    assert table.unsent == {}


@both
@pytest.mark.parametrize("image", ["full", "noblob"])
def test_rows_before_go_without_them(image: str, maria: Maria) -> None:
    maria.execute(
        COMPUTED,
        f"set session binlog_row_image = {image}",
        "insert into t (id, a, n) values (1, 1, 1)",
        "update t set a = 2",
        "update t set n = 5",
        "update t set id = 3",
        "delete from t",
    )
    (found,) = maria.changes(shape_of=maria.shapes().get, left_out=True)
    (table,) = found.tables
    assert [column.name for column in table.schema.columns] == ["id", "a", "n"]
    before = rows_before(table)
    assert before is not None
    assert before.known.tolist() == [False, True, True, True, True]
    assert not before.unsent
    rows = list(zip(*(column.to_pylist() for column in before.values), strict=True))
    assert rows[1:] == [("1", "1", "1"), ("1", "2", "1"), ("1", "2", "5"), ("3", "2", "5")]


def test_a_row_inserted_under_a_minimal_image_lacks_them(reader: Reader) -> None:
    maria = reader.maria
    needs(maria.server, (11, 5), "changed rows without computed columns in its log")
    maria.execute("set global binlog_row_image = MINIMAL", COMPUTED)
    try:
        state, whole = followed(reader, "insert into t (id, a) values (1, 1)", "update t set n = 3")
    finally:
        maria.execute("set global binlog_row_image = FULL")
    assert state == whole == {("1",): ("1", "1", "3"), ("-1",): ("-1", None, None)}
