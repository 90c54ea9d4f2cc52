"""Transactions, table shapes and bad input of a MariaDB log."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cdc.mysql import layout
from cdc.mysql.decode import BinlogDecoder
from cdc.mysql.positions import Position
from cdc.mysql.withheld import leaves_out
from tailrace.errors import ContinuityError, DecodeError, PreflightError, TailraceError
from tests.cdc.mysql.binlogs import charsets, decoded, sent, split, without_checksum
from tests.maria import Maria, both


def operations(found: Any) -> list[tuple[str, str, list[str | None]]]:
    """(operation, table, values after) in the order of the log."""
    listed = []
    for number, changes in enumerate(found):
        for table in changes.tables:
            values = list(zip(*(column.to_pylist() for column in table.new), strict=True))
            listed += [
                (number, seq, chr(op), table.schema.table.name, list(row))
                for seq, op, row in zip(
                    table.seq.to_pylist(), table.op.to_pylist(), values, strict=True
                )
            ]
    return [(op, table, row) for _, _, op, table, row in sorted(listed, key=lambda row: row[:2])]


def test_changes_of_several_tables_in_order(maria: Maria) -> None:
    maria.execute(
        "create table a (id int primary key, v text)",
        "create table b (id int primary key, v text)",
        "begin",
        "insert into a values (1, 'one'), (2, 'two')",
        "insert into b values (1, 'b')",
        "update a set v = 'x' where id = 1",
        "update b set v = 'y'",
        "savepoint s",
        "delete from a",
        "rollback to s",
        "delete from a where id = 2",
        "commit",
        "begin",
        "insert into a values (9, 'never')",
        "rollback",
        "truncate table a",
    )
    (found,) = maria.changes()
    assert operations([found]) == [
        ("c", "a", ["1", "one"]),
        ("c", "a", ["2", "two"]),
        ("c", "b", ["1", "b"]),
        ("u", "a", ["1", "x"]),
        ("u", "b", ["1", "y"]),
        ("d", "a", [None, None]),
        ("t", "a", [None, None]),
    ]
    assert found.complete
    assert found.transactions.num_rows == 2
    assert found.position == found.transactions.column("position")[-1].as_py()


def test_settings_before_a_statement(maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key)",
        "insert into t values (1)",
        "set statement max_statement_time = 100 for truncate table t",
    )
    (found,) = maria.changes()
    assert [op for op, _, _ in operations([found])] == ["c", "t"]


@both
def test_savepoints(maria: Maria) -> None:
    """Rows before, inside and after, one within another; what is rolled back is in no row."""
    maria.execute(
        "create table t (id int primary key, v text)",
        "create table u (id int primary key)",
        "begin",
        "insert into t values (1, 'before')",
        "savepoint one",
        "insert into t values (2, 'gone')",
        "update t set v = 'gone' where id = 1",
        "insert into u values (1)",
        "rollback to one",
        "insert into t values (3, 'between')",
        "savepoint two",
        "insert into t values (4, 'kept')",
        "savepoint three",
        "delete from t",
        "rollback to savepoint three",
        "release savepoint two",
        "insert into t values (5, 'after')",
        "commit",
        "begin",
        "savepoint all_of_it",
        "insert into t values (6, 'gone')",
        "rollback to all_of_it",
        "commit",
        "insert into u values (9)",
    )
    (found,) = maria.changes()
    assert [(op, table, row[0]) for op, table, row in operations([found])] == [
        ("c", "t", "1"),
        ("c", "t", "3"),
        ("c", "t", "4"),
        ("c", "t", "5"),
        ("c", "u", "9"),
    ]
    assert found.transactions.num_rows == 2


def test_a_key_change_carries_the_old_key(maria: Maria) -> None:
    maria.execute(
        "create table t (a int, v text, b varchar(9), primary key (b, a))",
        "insert into t values (1, 'v', 'b')",
        "update t set v = 'w'",
        "update t set a = 2",
        "delete from t",
    )
    (found,) = maria.changes()
    (table,) = found.tables
    assert table.schema.key == ("b", "a")
    assert table.old_kind is not None
    assert table.old_kind.to_pylist() == [0, 0, 1, 1]
    assert table.old is not None
    assert table.old[0].to_pylist() == [None, None, "1", "2"]
    assert table.old[1] is None
    assert table.old[2].to_pylist() == [None, None, "b", "b"]


@both
@pytest.mark.parametrize("image", ["minimal", "noblob"])
def test_what_an_image_leaves_out_is_not_sent(image: str, maria: Maria) -> None:
    maria.execute("create table t (id int primary key, n int, v text)")
    maria.execute(
        "insert into t values (1, 1, 'long')",
        f"set session binlog_row_image = {image}",
        "update t set n = 2",
        "update t set id = 3",
        "delete from t",
    )
    (found,) = maria.changes(shape_of=maria.shapes().get)
    (table,) = found.tables
    minimal = image == "minimal"
    assert table.new[0].to_pylist() == ["1", "1", "3", None]
    assert table.new[1].to_pylist() == ["1", "2", None if minimal else "2", None]
    unsent = {i: flags.to_pylist() for i, flags in table.unsent.items()}
    assert unsent[2] == [False, True, True, False]
    assert unsent.get(1) == ([False, False, True, False] if minimal else None)


@both
@pytest.mark.parametrize("image", ["minimal", "noblob"])
def test_an_insert_that_leaves_out_what_is_not_known_is_refused(image: str, maria: Maria) -> None:
    maria.execute(
        "create table t (id int auto_increment primary key, ts timestamp default '2024-01-01',"
        " p geometry)",
        f"set session binlog_row_image = {image}",
        "insert into t (ts, p) values ('2024-05-06', null)",
        "insert into t (p) values (null)" if image == "minimal" else "insert into t () values ()",
    )
    if image == "noblob":  # a geometry is NULL then, and all else is there
        (found,) = maria.changes(shape_of=maria.shapes().get)
        assert found.tables[0].new[2].to_pylist() == [None, None]
        return
    with pytest.raises(DecodeError, match="insert without all its columns") as raised:
        maria.changes(shape_of=maria.shapes().get)
    assert raised.value.where["columns"] == "ts"
    assert "binlog_row_image" in str(raised.value.fix)


@both
@pytest.mark.parametrize("kind", ["virtual", "stored"])
def test_a_computed_column_that_an_image_leaves_out(kind: str, maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key, a int, n int,"
        f" c int generated always as (a + 1) {kind})",
        "insert into t (id, a, n) values (1, 1, 1)",
        "set session binlog_row_image = minimal",
        "update t set a = 5",
    )
    left_out = leaves_out(maria.version)
    if kind == "virtual" and maria.kind == "mariadb" and not left_out:  # MySQL sends it
        with pytest.raises(DecodeError, match="without columns that are computed") as raised:
            maria.changes(shape_of=maria.shapes().get)
        assert raised.value.where["columns"] == "c"
        return
    (found,) = maria.changes(shape_of=maria.shapes().get)
    (table,) = found.tables
    if left_out:
        assert [column.name for column in table.schema.columns] == ["id", "a", "n"]
    else:
        assert table.new[3].to_pylist() == ["2", "6"]
    assert {i: flags.to_pylist() for i, flags in table.unsent.items()} == {2: [False, True]}


@both
def test_what_a_trigger_or_a_clause_sets_is_sent(maria: Maria) -> None:
    """So that what an image leaves out is indeed unchanged."""
    maria.execute(
        "create table t (id int primary key, a int, b int, c int, ts timestamp null default null"
        " on update current_timestamp)",
        "create trigger before_update before update on t for each row set new.b = new.a + 1",
        "insert into t values (1, 1, 1, 1, '2000-01-01')",
        "set session binlog_row_image = minimal",
        "update t set a = 5",
        "insert into t values (1, 7, 7, 7, '2000-01-01') on duplicate key update a = 9",
        "replace into t values (1, 8, 8, 8, '2000-01-01')",
        "update t, (select 1 as one) as o set a = 11 where one = 1",
    )
    (found,) = maria.changes(shape_of=maria.shapes().get)
    (table,) = found.tables
    rows: dict[str | None, list[str | None]] = {}
    for at in range(table.rows):
        if chr(table.op[at].as_py()) == "d":
            rows.clear()
            continue
        new = [column[at].as_py() for column in table.new]
        for i, flags in table.unsent.items():
            if flags[at].as_py():
                new[i] = rows[new[0]][i]
        rows[new[0]] = new
    ((a, b, c),) = maria.execute("select a, b, c from t")
    assert rows["1"][1:4] == [str(a), str(b), str(c)]
    assert rows["1"][4] is not None
    assert not str(rows["1"][4]).startswith("2000")


def test_a_shape_that_changes_between_transactions(maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key, v text)",
        "insert into t values (1, 'before')",
        "alter table t add column n int first",
        "insert into t values (7, 2, 'after')",
    )
    (found,) = maria.changes()
    assert [len(table.schema.columns) for table in found.tables] == [2, 3]
    assert operations([found]) == [("c", "t", ["1", "before"]), ("c", "t", ["7", "2", "after"])]


def test_a_large_transaction_comes_in_parts(maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key, v text)",
        "insert into t select seq, seq from seq_1_to_5000",
    )
    found = maria.changes(rows_max=1000)
    assert len(found) > 3
    assert [changes.part for changes in found] == list(range(len(found)))
    assert [changes.complete for changes in found] == [False] * (len(found) - 1) + [True]
    assert [row[0] for _, _, row in operations(found)] == [str(n) for n in range(1, 5001)]


def test_numbers_that_do_not_ascend_are_refused(maria: Maria) -> None:
    """As two servers make them that replicate each other in one domain."""
    maria.execute(
        "create table t (id int primary key)",
        "insert into t values (1)",
        "set session server_id = 2, gtid_seq_no = 3",
        "insert into t values (2)",
    )
    with pytest.raises(ContinuityError, match="a higher or the same number") as raised:
        maria.changes()
    assert str(raised.value.where["gtid"]) == "0-2-3"
    assert "gtid_strict_mode" in (raised.value.fix or "")


def test_it_goes_on_behind_what_the_journal_holds(maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key)", *(f"insert into t values ({n})" for n in range(5))
    )
    log = maria.log()
    decoder = BinlogDecoder(lambda table: table.schema == maria.name, charsets(maria.server))
    for event in split(log):
        decoder.feed(event)
    whole = decoder.take()
    assert whole is not None
    positions = whole.transactions.column("position").to_pylist()
    again = BinlogDecoder(
        lambda table: table.schema == maria.name,
        charsets(maria.server),
        position=Position(positions[2]),
    )
    for event in sent(split(log), positions[2]):
        again.feed(event)
    rest = again.take()
    assert rest is not None
    assert rest.transactions.column("position").to_pylist() == positions[3:]


def test_compressed_events(maria: Maria) -> None:
    try:
        maria.execute("set global log_bin_compress = on, global log_bin_compress_min_len = 10")
        maria.execute(
            "create table t (id int primary key, v text)",
            "insert into t values (1, repeat('x', 5000)), (2, repeat('y', 5000))",
            "update t set v = repeat('z', 6000) where id = 1",
            "delete from t where id = 2",
            "truncate table t /* a comment long enough to be compressed, surely, with its head */",
        )
    finally:
        maria.execute("set global log_bin_compress = off")
    (found,) = maria.changes()
    assert [op for op, _, _ in operations([found])] == ["c", "c", "u", "d", "t"]
    assert found.tables[0].new[1].to_pylist()[2] == "z" * 6000


def test_tables_without_transactions(maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key, v text) engine = myisam",
        "insert into t values (1, 'a'), (2, 'b')",
        "update t set v = 'c' where id = 2",
    )
    (found,) = maria.changes()
    assert [op for op, _, _ in operations([found])] == ["c", "c", "u"]
    assert found.complete
    assert found.transactions.num_rows == 2


def test_statements_around_rows(maria: Maria) -> None:
    """Tables made from queries, copies of both engines in one transaction, DDL and maintenance."""
    maria.execute(
        "create table t (id int primary key, v text)",
        "insert into t values (1, 'a'), (2, 'b')",
        "create table copy (primary key (id)) select * from t",
        "create table plain (id int primary key) engine = myisam",
        "begin",
        "savepoint one",
        "insert into plain values (1)",
        "insert into t values (3, 'c')",
        "commit",
        "analyze table t",
        "optimize table t",
        "flush tables",
        "create temporary table gone (id int primary key)",
        "insert into gone values (1)",
        "insert into t select id + 10, 'd' from gone",
        "drop temporary table gone",
        "alter table t rename column v to w, add index named (w(3))",
        "alter table t rename index named to other, drop column w",
        "insert into copy values (9, 'c')",
        "create view seen as select * from t",
        "drop view seen",
        "insert into t values (20)",
    )
    (found,) = maria.changes()
    assert found.complete
    rows = [(op, table, row[0]) for op, table, row in operations([found])]
    assert rows == [
        ("c", "t", "1"), ("c", "t", "2"),
        ("c", "copy", "1"), ("c", "copy", "2"),
        ("c", "plain", "1"), ("c", "t", "3"), ("c", "t", "11"), ("c", "copy", "9"),
        ("c", "t", "20"),
    ]  # fmt: skip


def test_several_domains(maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key)",
        "insert into t values (1)",
        "set session gtid_domain_id = 7",
        "insert into t values (2)",
    )
    (found,) = maria.changes()
    domains = [part.split("-")[0] for part in found.position.split(",")]
    assert domains == ["0", "7"]


REFUSED = {
    "a statement": (
        [
            "create table t (id int primary key)",
            "set session binlog_format = statement",
            "insert into t values (1)",
        ],
        DecodeError,
        "logged as a statement",
    ),
    "a statement that a trigger carries on": (
        [
            "create table t (id int primary key)",
            "create table other (id int primary key)",
            "create trigger copied after insert on other for each row"
            " insert into t values (new.id)",
            "set session binlog_format = statement",
            "insert into other values (1)",
        ],
        DecodeError,
        "logged as a statement",
    ),
    "a statement through a view": (
        [
            "create table t (id int primary key)",
            "create view v as select * from t",
            "set session binlog_format = statement",
            "insert into v values (1)",
        ],
        DecodeError,
        "logged as a statement",
    ),
    "no key": (
        ["create table t (id int)", "insert into t values (1)"],
        PreflightError,
        "no primary key",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, maria: Maria) -> None:
    statements, kind, message = REFUSED[name]
    maria.execute(*statements)
    with pytest.raises(kind, match=message) as raised:
        maria.changes()
    assert raised.value.where["position"] > 0
    assert str(raised.value.where["gtid"]).count("-") == 2


@pytest.mark.parametrize(
    "statement",
    [
        "drop table t",
        "create or replace table t (id int primary key)",
        "rename table other to x, t to y",
        "alter table t rename to y",
        "alter table t truncate partition p",
        "alter table t drop partition p",
        "set statement max_statement_time = 100, lc_time_names = concat('en_', 'US') for /* it */"
        " alter table t drop partition p",
        "drop table other, t",
        "drop table if exists t",
        "drop tables other, t",
        "rename tables other to x, t to y",
        "alter table t exchange partition p with table single",
        "alter table parts exchange partition p with table t",
        "alter ignore table t add unique key (id)",
        "alter/**/table t drop partition p",
    ],
)
def test_rows_that_go_with_their_table_stop_capture(statement: str, maria: Maria) -> None:
    maria.execute(
        "create table other (id int primary key)",
        "create table t (id int primary key) partition by range (id)"
        " (partition p values less than (10), partition q values less than (20))",
        "insert into t values (1), (11)",
        "create table single (id int primary key)",
    )
    if "parts" in statement:
        maria.execute(
            "create table parts (id int primary key) partition by range (id)"
            " (partition p values less than (100))",
            "alter table t remove partitioning",
        )
        maria.log()
    taken = {(maria.name, "t")}
    maria.execute(statement)
    decoder = BinlogDecoder(
        lambda table: (table.schema, table.name) in taken, charsets(maria.server)
    )
    log = list(split(maria.log()))
    with pytest.raises(ContinuityError, match="dropped, renamed or made anew") as raised:
        [decoder.feed(event) for event in log]
    assert raised.value.where["table"] == f"{maria.name}.t"
    assert raised.value.fix


@pytest.mark.parametrize(
    "statement", ["drop database {}", "DROP SCHEMA IF EXISTS `{}`", "create or replace database {}"]
)
def test_a_database_that_goes_with_its_tables_stops_capture(statement: str, maria: Maria) -> None:
    other = f"x{maria.name}"
    maria.execute(f"create database {other}", f"create table {other}.t (id int primary key)")
    maria.log()
    maria.execute(statement.format(other), f"drop database if exists {other}")
    log = list(split(maria.log()))

    def feed(schema: str) -> None:
        decoder = BinlogDecoder(
            lambda table: table.schema == schema,
            charsets(maria.server),
            in_schema=lambda name: name == schema,
        )
        for event in log:
            decoder.feed(event)

    with pytest.raises(ContinuityError, match="a database with captured tables") as raised:
        feed(other)
    assert raised.value.where["database"] == other
    feed("another")


def test_other_tables_go_as_they_like(maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key)",
        "create table other (id int primary key) partition by range (id)"
        " (partition t values less than (10), partition q values less than (20))",
        "alter table other drop partition t",
        "rename table other to another",
        "create or replace table another (t int primary key)",
        "drop table another",
        "insert into t values (1)",
    )
    decoder = BinlogDecoder(lambda table: table.name == "t", charsets(maria.server))
    for event in split(maria.log()):
        decoder.feed(event)
    taken = decoder.take()
    assert taken is not None
    assert operations([taken]) == [("c", "t", ["1"])]


def test_without_metadata_it_is_refused(maria: Maria) -> None:
    maria.execute("create table t (id int primary key)")
    try:
        maria.execute("set global binlog_row_metadata = NO_LOG", "insert into t values (1)")
    finally:
        maria.execute("set global binlog_row_metadata = FULL")
    with pytest.raises(PreflightError, match="does not name the columns") as raised:
        maria.changes()
    assert "binlog_row_metadata" in str(raised.value.fix)


def test_a_damaged_log_is_noticed(maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key, v text)", "insert into t values (1, 'abcdef')"
    )
    log = bytearray(maria.log())
    log[log.index(b"abcdef")] ^= 1
    with pytest.raises(DecodeError, match="checksum"):
        decoded(bytes(log), charsets(maria.server), maria.name)


def test_garbage_raises_only_our_errors(maria: Maria) -> None:
    """Real events with bytes changed, cut off and repeated, behind valid heads."""
    maria.execute(
        "create table t (id int primary key, d decimal(20,5), t time(3), s varchar(99),"
        " l varchar(9)"
        " character set latin1, e enum('a','b'), z set('a','b'), b blob, dt datetime(6),"
        " ts timestamp, x bit(9), u varchar(9) character set ucs2, f float, g double,"
        " y year, a date)",
        "insert into t values (1, -1.5, '-01:02:03.4', 'text', 'ä', 'b', 'a,b', 'blob', now(6),"
        " now(), 5, 'ab', 1.5, 2.5, 2024, '2024-01-01')",
        "update t set id = 2, s = 'other'",
        "delete from t",
        "truncate table t",
    )
    numbers = charsets(maria.server)
    events = list(split(maria.log()))
    plain = [bytes(events[0]), *(without_checksum(event) for event in events[1:])]
    chance = random.Random(0)
    refused = 0
    for _ in range(3000):
        decoder = BinlogDecoder(lambda table: True, numbers)
        try:
            for number, event in enumerate(plain):
                if number == 0:
                    continue  # its checksums are on; without it they are off
                body = bytearray(event[19:])
                for _ in range(chance.choice([0, 0, 0, 1, 1, 3])):
                    if not body:
                        break
                    at = chance.randrange(len(body))
                    how = chance.randrange(3)
                    if how == 0:
                        body[at] = chance.randrange(256)
                    elif how == 1:
                        del body[at:]
                    else:
                        body[at:at] = chance.randbytes(chance.randrange(9))
                head = bytearray(event[:19])
                head[9:13] = (19 + len(body)).to_bytes(4, "little")
                decoder.feed(memoryview(bytes(head + body)))
            decoder.take()
        except TailraceError:
            refused += 1
    assert refused > 1000


@pytest.mark.skipif("TAILRACE_VARIANT_RUN" in os.environ, reason="started by this test")
@pytest.mark.skipif(not layout.COMPILED, reason="nothing is compiled, so all tests ran uncompiled")
def test_the_uncompiled_variant_passes_the_same_tests() -> None:
    check = "from cdc.mysql.layout import COMPILED; assert not COMPILED"
    environment = {**os.environ, "TAILRACE_PURE": "1", "TAILRACE_VARIANT_RUN": "1"}
    subprocess.run([sys.executable, "-c", check], env=environment, check=True)
    here = Path(__file__)
    files = (here, here.with_name("test_mariadb_values.py"))
    # What MySQL alone has of types is JSON.
    wanted = "not garbage and (not mysql or json)"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *files, "-k", wanted],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
