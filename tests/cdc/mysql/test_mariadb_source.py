"""A MariaDB source as capture uses it, as a user with two rights and SELECT, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from cdc.changes import ChangeSet
from cdc.mysql import stream as streams
from cdc.mysql.preflight import _retention, inspect
from cdc.mysql.session import connect
from cdc.mysql.settings import BinlogSource, MariadbSource, arguments
from cdc.mysql.source import TABLES, BinlogDatabase
from cdc.mysql.stream import BinlogStream
from cdc.mysql.withheld import leaves_out
from sinks.mysql.settings import MariadbTarget
from tailrace.errors import ContinuityError, PreflightError, SourceUnavailable
from tailrace.service.localmaria import LocalMariadb
from tests.cdc.mysql.binlogs import purge
from tests.conftest import open_directory
from tests.line import DEADLINE_S
from tests.maria import Maria, both, needs, version_of

State = dict[tuple[str | None, ...], tuple[str | None, ...]]


@dataclass(frozen=True)
class Reader:
    maria: Maria
    user: str

    def settings(self, *tables: str, server_id: int | None = None) -> BinlogSource:
        return BinlogSource(
            type=self.maria.kind,
            url=f"mariadb://{self.user}:p%40ss@127.0.0.1:{self.maria.server.port}/",
            tables=tables or (f"{self.maria.name}.*",),
            server_id=server_id,
        )

    def open(self, *tables: str) -> closing[BinlogDatabase]:
        return closing(BinlogDatabase(self.settings(*tables), self.user))


@pytest.fixture
def reader(maria: Maria) -> Iterator[Reader]:
    with maria.reader("p@ss") as user:
        yield Reader(maria, user)


def apply(state: State, found: ChangeSet) -> None:
    """What a target would do with the set."""
    ordered = []
    for table in found.tables:
        new = list(zip(*(column.to_pylist() for column in table.new), strict=True))
        keys = table.schema.key_indexes
        for i, (seq, op) in enumerate(
            zip(table.seq.to_pylist(), table.op.to_pylist(), strict=True)
        ):
            key = tuple(new[i][k] for k in keys)
            if table.old_kind is not None and table.old_kind[i].as_py():
                assert table.old is not None
                key = tuple(table.old[k][i].as_py() for k in keys)  # type: ignore[index]
            unsent = {k for k, flags in table.unsent.items() if flags[i].as_py()}
            ordered.append((seq, chr(op), key, tuple(new[i][k] for k in keys), new[i], unsent))
    for _, op, old, key, row, unsent in sorted(ordered, key=lambda one: one[0]):
        if op == "t":
            state.clear()
            continue
        held = state.pop(old, ())
        if op != "d":
            state[key] = tuple(held[k] if k in unsent else value for k, value in enumerate(row))


def until(stream: BinlogStream, done: Callable[[], bool], state: State) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        for found in stream.changes(0.1):
            apply(state, found)
        assert time.monotonic() < deadline


def snapshot(source: BinlogDatabase, state: State) -> tuple[str, dict[str, str]]:
    with closing(source.snapshot({})) as opened:
        sets = [found for found, _ in opened.changes()]
        for found in sets:
            apply(state, found)
        assert sets[-1].complete
        return opened.position, dict(opened.facts)


EVERYTHING = (
    "id int unsigned auto_increment primary key, d decimal(12,2), f float, g double, y year,"
    " da date, dt datetime(3), ts timestamp(6) null, t time(2), v varchar(300), c char(5),"
    " l varchar(20) character set latin1, b varbinary(10), n binary(4), x text, o blob,"
    " e enum('a','ö','it''s') character set latin1, s set('x','ü'), i bit(10),"
    " j json, u bigint unsigned, z int(9) zerofill, zd decimal(9,3) zerofill"
)
ROWS = (
    "(1.50, 1.1, 0.1, 2024, '2024-02-29', '2024-12-31 23:59:59.123', '2024-01-01 00:00:00.5',"
    " '-838:59:58.99', 'häß\\\\N', 'ab  ', 'äöü€', x'00ff', x'01', 'tab\\t', x'de5c', 'ö', 'x,ü',"
    " 513, '{\"a\": 1}', 18446744073709551615, 7, 1.5)",
    "(-0.01, -3.4e38, 1e300, 0, '0000-00-00', '0000-00-00', '0000-00-00', '00:00:00', '', '', '',"
    " '', '', '', '', \"it's\", '', 0, 'null', 0, 0, 0)",
    "(null, 1e-40, -0e0, 2155, null, null, null, null, null, null, null, null, null, null, null,"
    " null, null, null, null, null, null, null)",
    "(999, 16777216, 1e16, 1901, '9999-12-31', '1000-01-01', '2038-01-19 03:14:07.999999',"
    " '838:59:59', '🐘', 'é', 'ÿ', x'5c78', x'ffffffff', '\\\\', '', 'a', 'x', 1023, '[]', 1,"
    " 4294967295, 999999.999)",
)
COLUMNS = "(d, f, g, y, da, dt, ts, t, v, c, l, b, n, x, o, e, s, i, j, u, z, zd)"


@both
def test_snapshot_and_stream_print_alike(reader: Reader) -> None:
    printed_alike(reader, EVERYTHING, COLUMNS, ROWS)


SHAPES = (
    "ST_GeomFromText('POINT(1 2)', 3857), ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')",
    "null, ST_GeomFromText('LINESTRING(0 0,-1.5 1e300)')",
)
GENERATED = (
    "id int auto_increment primary key, g geometry, h geometry, l varchar(9) character set latin1,"
    " a int, p int generated always as (a + 1) stored, v varchar(9) generated always as"
    " (concat('ä', a)) virtual, i int invisible"
)


@both
def test_geometries_and_generated_columns_print_alike(reader: Reader) -> None:
    rows = [f"({shapes}, 'ä', {n}, {n})" for n, shapes in enumerate(SHAPES)]
    printed_alike(reader, GENERATED, "(g, h, l, a, i)", rows)


LOOKALIKES = (
    "id uuid primary key, b binary(16), i4 inet4, i6 inet6, b4 binary(4),"
    " c varchar(300) compressed, l varchar(20) compressed character set latin1,"
    " u varchar(20) compressed character set ucs2, t mediumtext compressed,"
    " v varbinary(40) compressed, o blob compressed,"
    " e enum('compressed', '/*M!100301 COMPRESSED*/')"
)


def test_types_of_mariadb_alone_print_alike(reader: Reader) -> None:
    needs(reader.maria.server, (10, 10), "UUID and INET4")
    rows = [
        "('fd46f5b0-7a6b-11ee-b962-0242ac120002', x'fd00', '1.2.3.4', '2001:db8::1', x'01',"
        " repeat('häß', 90), 'Müller', '中文', repeat('ü', 60000), x'00',"
        " repeat(x'00ff', 2000), 1)",
        "('00000000-0000-0000-0000-000000000000', x'00', '0.0.0.0', '::', x'', '', '', '', '', '',"
        " '', 2)",
        "('12345678-1234-4234-8234-123456780000', null, null, '::ffff:9.8.7.6', null, null, null,"
        " null, null, null, null, null)",
    ]
    printed_alike(reader, LOOKALIKES, "", rows)


def printed_alike(reader: Reader, columns: str, named: str, rows: Sequence[str]) -> None:
    """Schema and every value: the same rows, once copied, once logged."""
    maria = reader.maria
    mode = "set session sql_mode = '', time_zone = '+00:00'"
    maria.execute(
        f"create table t ({columns})",
        mode,
        *(f"insert into t {named} values {row}" for row in rows),
    )
    copied: State = {}
    with reader.open() as source:
        with closing(source.snapshot({})) as opened:
            (found, progress), *more = opened.changes()
            assert not more
            apply(copied, found)
            position = opened.position
        assert progress.rows == len(rows)
        logged: State = {}
        with closing(source.stream(position)) as stream:
            maria.execute(
                "truncate table t", mode, *(f"insert into t {named} values {row}" for row in rows)
            )
            sets: list[ChangeSet] = []
            deadline = time.monotonic() + DEADLINE_S
            while len(logged) < len(rows):
                for changes in stream.changes(0.1):
                    sets.append(changes)
                    apply(logged, changes)
                assert time.monotonic() < deadline
    assert sets[-1].tables[0].schema == found.tables[0].schema
    assert logged == copied


@both
def test_they_join_without_a_gap(reader: Reader) -> None:
    """Rows change all the time while the snapshot begins and is read."""
    maria = reader.maria
    maria.execute(
        "create table t (id int primary key, v varchar(40))",
        f"insert into t select n, n from {maria.numbers(1, 20000)}",
    )
    stopping = threading.Event()

    def change() -> None:
        connection = maria.server.connect(maria.name)
        with closing(connection), connection.cursor() as cursor:
            n = 0
            while not stopping.is_set():
                n += 1
                cursor.execute("update t set v = %s where id = %s", (f"u{n}", n % 20000 + 1))
                cursor.execute("delete from t where id = %s", (n * 7 % 20000 + 1,))
                cursor.execute("replace into t values (%s, %s)", (20000 + n, "new"))

    worker = threading.Thread(target=change)
    worker.start()
    state: State = {}
    try:
        with reader.open() as source:
            position, facts = snapshot(source, state)
            time.sleep(0.3)
            stopping.set()
            worker.join()
            maria.execute("insert into t values (-1, 'end')")
            with closing(source.stream(position)) as stream:
                until(stream, lambda: ("-1",) in state, state)
                after = stream.position
            source.verify(facts, after)
    finally:
        stopping.set()
        worker.join()
    wanted = {(str(key),): (str(key), value) for key, value in maria.execute("select * from t")}
    assert state == wanted


def test_an_encrypted_log_with_the_statements_beside_the_rows() -> None:
    """A replica is sent the events in the clear; the snapshot looks into the log as well."""
    with open_directory() as directory:
        keys = directory / "keys"
        keys.write_text("1;" + "0123456789abcdef" * 4 + "\n")
        settings = {
            "plugin_load_add": "file_key_management",
            "file_key_management_filename": str(keys),
            "encrypt_binlog": "ON",
            "binlog_annotate_row_events": "ON",
        }
        with LocalMariadb.start(directory / "maria", settings=settings) as server:
            server.execute("create database shop")
            maria = Maria(server, "shop")
            maria.execute("create table t (id int primary key, v text)")
            (name, *_) = maria.execute("show master status")[0]
            kinds = {row[2] for row in maria.execute(f"show binlog events in '{name}'")}
            assert "Start_encryption" in kinds
            state: State = {}
            with maria.reader("p@ss") as user, Reader(maria, user).open() as source:
                position, facts = snapshot(source, state)
                maria.execute(
                    "insert into t values (1, 'a')",
                    "flush binary logs",
                    *("xa start 'x'", "insert into t values (2, 'b')", "xa end 'x'"),
                    *("xa prepare 'x'", "xa commit 'x'"),
                )
                with closing(source.stream(position)) as stream:
                    until(stream, lambda: ("2",) in state, state)
                    source.verify(facts, stream.position)
                again: State = {}
                snapshot(source, again)
            (name, *_) = maria.execute("show master status")[0]
            kinds = {row[2] for row in maria.execute(f"show binlog events in '{name}'")}
            assert "Annotate_rows" in kinds
            assert b"insert into t" not in (server.data / name).read_bytes()
    assert state == again == {("1",): ("1", "a"), ("2",): ("2", "b")}


@both
def test_a_large_event_and_a_large_transaction(reader: Reader) -> None:
    maria = reader.maria
    maria.execute("create table t (id int primary key, v longtext)")
    state: State = {}
    with reader.open() as source:
        position, _ = snapshot(source, state)
        maria.execute("set global max_allowed_packet = 1073741824")
        maria.execute("insert into t values (1, repeat('ä', 20000000))")
        maria.execute(f"insert into t select n, n from {maria.numbers(2, 100000)}")
        with closing(source.stream(position)) as stream:
            until(stream, lambda: ("100000",) in state, state)
    assert len(state) == 100_000
    assert state[("1",)][1] == "ä" * 20_000_000


@both
def test_a_snapshot_of_wide_rows_comes_in_small_sets(reader: Reader) -> None:
    maria = reader.maria
    maria.execute(
        "create table t (id int primary key, v longtext)",
        f"insert into t select n, repeat('x', 1000000) from {maria.numbers(1, 100)}",
        "create table u (id int primary key)",
        f"insert into u select n from {maria.numbers(1, 40000)}",
    )
    with reader.open() as source, closing(source.snapshot({})) as opened:
        rows: dict[str, list[int]] = {"t": [], "u": []}
        for found, progress in opened.changes():
            rows[progress.table.rpartition(".")[2]].append(found.rows)
    assert sum(rows["t"]) == 101
    assert max(rows["t"][1:]) <= 8
    assert sum(rows["u"]) == 40_001
    assert max(rows["u"]) == 16_384


@both
def test_what_nobody_captures_does_not_keep_its_reader(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that is to stop, or to store where it is, waits for no end of a busy log."""
    monkeypatch.setattr(streams, "SLICE_S", 0.0)
    maria = reader.maria
    maria.execute(
        "create table t (id int primary key)", "create table other (id int primary key, v longtext)"
    )
    with reader.open(f"{maria.name}.t") as source:
        position, _ = snapshot(source, {})
        maria.execute(
            *(f"insert into other values ({n}, repeat('x', 3000000))" for n in range(3)),
            "insert into t values (1)",
        )
        state: State = {}
        positions = []
        with closing(source.stream(position)) as stream:
            until(stream, lambda: bool(positions.append(stream.position)) or bool(state), state)
    assert set(state) == {("1",)}
    assert len(set(positions)) >= 3


@both
def test_a_resume_begins_behind_what_is_held(reader: Reader) -> None:
    maria = reader.maria
    maria.execute("create table t (id int primary key)")
    state: State = {}
    with reader.open() as source:
        position, _ = snapshot(source, state)
        maria.execute("insert into t values (1)")
        with closing(source.stream(position)) as stream:
            until(stream, lambda: ("1",) in state, state)
            position = stream.position
        maria.execute("flush binary logs", "insert into t values (2)")
        seen: State = {}
        with closing(source.stream(position)) as stream:
            until(stream, lambda: ("2",) in seen, seen)
    assert set(seen) == {("2",)}


@both
def test_a_purged_log_is_a_gap(reader: Reader) -> None:
    maria = reader.maria
    maria.execute("create table t (id int primary key)")
    with reader.open() as source:
        position, _ = snapshot(source, {})
        maria.execute("insert into t values (1)", "flush binary logs")
        words = "binary log" if maria.kind == "mysql" else "master"
        (name, *_) = maria.execute(f"show {words} status")[0]
        maria.execute("insert into t values (2)")
        purge(maria.server, name)
        with closing(source.stream(position)) as stream, pytest.raises(ContinuityError) as raised:
            until(stream, lambda: False, {})
    assert set(str(raised.value.where["position"]).split(",")) == set(position.split(","))
    assert "purged" in raised.value.what
    assert raised.value.fix


def test_a_log_that_ends_before_our_position_is_refused(reader: Reader) -> None:
    reader.maria.execute("create table t (id int primary key)")
    with reader.open() as source:
        position, facts = snapshot(source, {})
        domain, server, sequence = position.split(",")[0].split("-")
        ahead = f"{domain}-{server}-{int(sequence) + 100}"
        with pytest.raises(ContinuityError, match="ends before our position") as raised:
            source.verify(facts, ahead)
    assert raised.value.where["missing"] == ahead
    assert TABLES in facts


@both
def test_tables_made_later_are_not_captured(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    maria = reader.maria
    maria.execute("create table t (id int primary key)")
    state: State = {}
    with reader.open() as source:
        position, facts = snapshot(source, state)
        maria.execute(
            "create table later (id int primary key)",
            "create view looked_at as select * from t",
            "insert into later values (5)",
            "insert into t values (1)",
        )
        with closing(source.stream(position)) as stream:
            until(stream, lambda: ("1",) in state, state)
            after = stream.position
        with caplog.at_level("WARNING"):
            source.verify(facts, after)
    assert set(state) == {("1",)}
    assert caplog.records[-1].__dict__["tables"] == [f"{maria.name}.later"]


def test_a_column_that_nothing_tells_from_another(reader: Reader) -> None:
    """An INET6 looks like BINARY(16) in the log."""
    maria = reader.maria
    maria.execute("create table t (id int primary key, b binary(16))")
    with reader.open() as source:
        position, facts = snapshot(source, {})
    unclear = "alter table t modify b inet6, convert to character set default"
    maria.execute("insert into t values (1, repeat('x', 16))", unclear)
    maria.execute("insert into t values (2, '::1')")
    of_old = {name: fact for name, fact in facts.items() if "history" not in name}
    for known, last in ((facts, "1"), (of_old, "")):
        state: State = {}
        with reader.open() as source:
            source.verify(known, position)
            with (
                closing(source.stream(position)) as stream,
                pytest.raises(ContinuityError, match="does not tell") as raised,
            ):
                until(stream, lambda: False, state)
            ready = stream._decoder.take()
        assert raised.value.where["column"] == "b"
        assert (ready is not None) == bool(last)
        assert ("statement" in raised.value.where) == bool(last)


@both
def test_a_connection_that_is_cut_is_unavailable(reader: Reader) -> None:
    maria = reader.maria
    maria.execute("create table t (id int primary key)")
    with reader.open() as source:
        position, _ = snapshot(source, {})
        with closing(source.stream(position)) as stream:
            deadline = time.monotonic() + DEADLINE_S
            while not (
                found := maria.execute(
                    "select id from information_schema.processlist"
                    " where command like 'Binlog Dump%'"
                )
            ):
                assert time.monotonic() < deadline
            maria.execute(*(f"kill {number}" for (number,) in found))
            with pytest.raises(SourceUnavailable):
                until(stream, lambda: False, {})


def test_the_preflight_names_what_is_missing(reader: Reader) -> None:
    maria = reader.maria
    maria.execute(
        "create table keyless (id int)",
        "create table other (id int primary key, v varchar(9) character set swe7)",
        "create table computed (id int primary key, v int generated always as (id + 1) virtual)",
        "create table h (id int primary key) with system versioning",
        "create table parent (id int primary key)",
        "create table child (id int primary key, p int,"
        " foreign key (p) references parent (id) on delete cascade)",
        f"revoke binlog monitor on *.* from {reader.user}",
        "set global binlog_row_image = minimal",
    )
    try:
        connection = connect(reader.settings().url)
        with closing(connection):
            findings, tables = inspect(connection, reader.settings())
        with reader.open() as source, pytest.raises(PreflightError, match=r"and \d more") as raised:
            source.snapshot({})
    finally:
        maria.execute("set global binlog_row_image = full")
    where = {finding.where for finding in findings}
    names = ("keyless", "other", "computed", "h", "child")
    withheld = leaves_out(maria.version)
    assert where == {
        "gtid_strict_mode",
        "binlog_row_image",
        "grants",
        *(f"{maria.name}.{name}" for name in names),
    }
    assert [table.name.name for table in tables] == ["child", "computed", "parent"]
    warnings = [finding.what for finding in findings if finding.severity == "warning"]
    assert f"and {len(findings) - len(warnings) - 1} more" in str(raised.value)
    said = ("CASCADE", "computed columns", "stops capture")
    found = sorted(next(words for words in said if words in what) for what in warnings)
    assert found == ["CASCADE", *(["computed columns"] * withheld), *(["stops capture"] * 2)]
    assert all(finding.fix for finding in findings)


@pytest.mark.parametrize(
    ("tables", "message"),
    [(("no_dot",), "not a table pattern"), (("!shop.*",), "every pattern excludes tables")],
)
def test_patterns_that_name_nothing(tables: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MariadbSource(type="mariadb", url="mariadb://h/", tables=tables)


def test_urls() -> None:
    found = arguments("mariadb://me:p%40%2F@[::1]:3307/shop?ssl_ca=/ca.pem&connect_timeout=3")
    assert found == {
        "host": "::1",
        "port": 3307,
        "user": "me",
        "password": "p@/",
        "database": "shop",
        "ssl_ca": "/ca.pem",
        "ssl_verify_cert": True,
        "ssl_verify_identity": False,
        "connect_timeout": 3,
    }
    for timeout in ("0", "-1", "31536001", "ten", "١"):
        with pytest.raises(ValueError, match="connect_timeout is seconds"):
            arguments(f"mariadb://h/?connect_timeout={timeout}")
    with pytest.raises(ValidationError, match="connect_timeout is seconds, from 1 to") as told:
        MariadbSource(type="mariadb", url="mariadb://u:p@h/?connect_timeout=0", tables=("a.*",))
    assert "u:p@h" not in str(told.value)
    for bad, what in (
        ("nonsense=1", "none of ssl_ca, ssl_cert, ssl_key, ssl_verify_identity, connect_timeout"),
        ("connect_timeout=1&connect_timeout=2", "twice"),
        ("connect_timeout=", "connect_timeout is seconds"),
        ("ssl_ca=", "ssl_ca is the path"),
        ("ssl_ca=%00", "ssl_ca is the path"),
        ("ssl_key=/key.pem", "ssl_key needs ssl_cert"),
        ("ssl_verify_identity=true", "ssl_verify_identity needs ssl_ca"),
        ("ssl_ca=/ca.pem&ssl_verify_identity=yes", "true or false"),
    ):
        with pytest.raises(ValidationError, match=what) as told:
            MariadbTarget(type="mariadb", url=f"mariadb://u:p@h/?{bad}")
        assert "u:p@h" not in str(told.value)
    with pytest.raises(ValidationError, match="from 1 to 65535"):
        MariadbTarget(type="mariadb", url="mariadb://h:0/")
    for bad in ("postgres://x", "mariadb://", "mariadb://h/?ssl_ca", "mariadb://h/db#x"):
        with pytest.raises(ValueError, match=r"URL|bad query") as raised:
            arguments(bad)
        assert "mariadb://" not in str(raised.value)


def test_wrong_passwords_do_not_show(maria_server: LocalMariadb) -> None:
    with pytest.raises(SourceUnavailable) as raised:
        connect(f"mariadb://nobody:secret@127.0.0.1:{maria_server.port}/")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(("kept", "rows", "needed"), [(7200, 0, 24), (172_800, 10**10, 111.1)])
def test_a_log_that_is_kept_too_shortly_is_a_warning(
    kept: int, rows: int, needed: float, reader: Reader
) -> None:
    maria = reader.maria
    name, unit = "binlog_expire_logs_seconds", 1
    if version_of(maria.server) < (10, 6):
        name, unit = "expire_logs_days", 86_400
        if kept < unit:
            pytest.skip("this MariaDB counts days")
    ((before,),) = maria.execute(f"select @@global.{name}")
    with closing(connect(reader.settings().url)) as connection:
        maria.execute(f"set global {name} = {kept // unit}")
        try:
            (finding,) = _retention(connection, rows)
            assert finding.severity == "warning"
            assert f"for {kept / 3600:.1f} hours" in finding.what
            assert f"may take {needed}" in finding.what
            maria.execute(finding.fix.partition(";")[0])
            assert list(_retention(connection, rows)) == []
            maria.execute(f"set global {name} = 0")
            assert list(_retention(connection, rows)) == []
        finally:
            maria.execute(f"set global {name} = {before}")
