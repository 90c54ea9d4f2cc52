"""Servers whose log names no columns, held against one whose log does, and against the tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from cdc.changes import ChangeSet
from cdc.mysql.history import History
from cdc.mysql.positions import Position
from cdc.mysql.preflight import inspect
from cdc.mysql.session import connect
from cdc.mysql.settings import MariadbSource
from cdc.mysql.source import BinlogDatabase
from cdc.mysql.statements import split
from cdc.schema import TableName, TableSchema
from sinks.mysql.checkpoint import _CREATE_TABLES
from tailrace.errors import ContinuityError, DecodeError, PreflightError, SourceUnavailable
from tailrace.service.localmaria import LocalMariadb, binary
from tests.cdc.mysql.test_mariadb_values import CASES
from tests.conftest import open_directory
from tests.line import DEADLINE_S
from tests.maria import Maria, needs, version_of


@pytest.fixture(scope="module")
def silent_server() -> Iterator[LocalMariadb]:
    """One with MariaDB's default: no metadata."""
    if binary() is None:
        pytest.skip("MariaDB is not installed (apt install mariadb-server)")
    settings = {"binlog_row_metadata": "NO_LOG"}
    with (
        open_directory() as directory,
        LocalMariadb.start(directory / "maria", settings=settings) as server,
    ):
        yield server


@pytest.fixture
def silent(silent_server: LocalMariadb, maria: Maria) -> Iterator[Maria]:
    """A database of the same name as `maria`'s, there."""
    silent_server.execute(f"create database {maria.name}")
    yield Maria(silent_server, maria.name)
    silent_server.execute("set global binlog_row_metadata = NO_LOG", f"drop database {maria.name}")


@dataclass
class Reading:
    """Capture without a journal: what one would have stored, and reads of it."""

    maria: Maria
    facts: dict[str, str] = field(default_factory=dict)
    position: str = ""
    sets: list[ChangeSet] = field(default_factory=list)

    def open(self) -> closing[BinlogDatabase]:
        settings = MariadbSource(
            type="mariadb",
            url=f"mariadb://root@127.0.0.1:{self.maria.server.port}/",
            tables=(f"{self.maria.name}.*",),
        )
        return closing(BinlogDatabase(settings, "reading"))

    def begin(self) -> None:
        with self.open() as source, closing(source.snapshot({})) as snapshot:
            self.sets += [found for found, _ in snapshot.changes()]
            self.facts, self.position = dict(snapshot.facts), snapshot.position

    def read(self, keep: bool = True) -> list[ChangeSet]:
        """All that has been logged since; `keep` it, as a journal would."""
        ((end,),) = self.maria.server.execute("select @@gtid_binlog_pos")
        found: list[ChangeSet] = []
        with self.open() as source:
            source.verify(self.facts, self.position)
            with closing(source.stream(self.position)) as stream:
                deadline = time.monotonic() + DEADLINE_S
                while stream.position != end:
                    found += stream.changes(0.1)
                    assert time.monotonic() < deadline
                if keep:
                    self.sets += found
                    self.facts.update(stream.facts)
                    self.position = stream.position
        return found


def changes(sets: list[ChangeSet]) -> list[tuple[TableSchema, str, list[object], list[object]]]:
    """Schema, operation, values before and after, in the order of the log."""
    found = []
    for one in sets:
        listed = []
        for table in one.tables:
            for i, seq in enumerate(table.seq.to_pylist()):
                new = [column[i].as_py() for column in table.new]
                old = [None if c is None else c[i].as_py() for c in table.old or ()]
                operation = chr(table.op[i].as_py())
                listed.append((seq, (table.schema, operation, new, old)))
        found += [change for _, change in sorted(listed, key=lambda pair: pair[0])]
    return found


MADE = (
    "set sql_mode = ''",
    "create table t (id int unsigned primary key, a varchar(20), b char(5) character set latin1,"
    " e enum('x','ö') character set latin1, n binary(16), d decimal(8,2))",
    "create table u (k varchar(9), n int, primary key (n, k)) default character set latin1",
    "insert into t values (1, 'ä', 'ß', 'ö', 'n', 1.5)",
)
ALTERED = (
    "insert into t values (4000000000, 'before', 'ü', 'x', x'ff', -1)",
    "insert into u values ('é', -1)",
    "alter table t add column s smallint unsigned not null default 65535 after id, drop d",
    "insert into t values (2, 60000, 'between', 'b', 'ö', 'n')",
    "alter table t change a z varchar(300) character set utf16 first, modify e enum('ö','x','q')",
    "insert into t values ('🐘', 3, 1, 'b', 'q', null)",
    "update t set z = 'changed', e = 'x'",
    "set statement max_statement_time = 5 for alter table t rename column s to s2, add y year",
    "/*!50101 alter table t add column v bigint as (s2 & 7) persistent */",
    "update t set y = 2024 where id = 3",
    "alter table u drop primary key, add primary key (k), convert to character set utf8mb4",
    "update u set k = concat(k, 'ñ')",
    "delete from u",
    "alter table t add index (s2), comment 'x', engine = InnoDB",
    "create table other (id int primary key, a geometry)",
    "alter table other add column nonsense point",
    "alter table t modify id int unsigned after z, add w bigint unsigned",
    "update t set w = 18446744073709551615 where id = 3",
    "truncate table u",
    "insert into u values ('after', 7)",
    "delete from t where id = 2",
)


@pytest.mark.parametrize(
    ("metadata", "late"), [("NO_LOG", True), ("MINIMAL", True), ("NO_LOG", False)]
)
def test_changes_around_alters(metadata: str, late: bool, maria: Maria, silent: Maria) -> None:
    """Read after all of it was logged, or by and by, each time with a start of its own."""
    silent.server.execute(f"set global binlog_row_metadata = {metadata}")
    readings = Reading(maria), Reading(silent)
    for reading in readings:
        reading.maria.execute(*MADE)
        reading.begin()
        if late:
            reading.maria.execute(*ALTERED)
            reading.read()
            continue
        for n in range(0, len(ALTERED), 3):
            reading.maria.execute(*ALTERED[n : n + 3])
            # As if capture had died before it stored anything, and again.
            assert changes(reading.read(keep=False)) == changes(reading.read())
    named, unnamed = (changes(reading.sets) for reading in readings)
    assert unnamed == named
    assert len(named) > 15


@pytest.mark.parametrize("metadata", ["NO_LOG", "MINIMAL"])
def test_every_type(metadata: str, silent: Maria) -> None:
    silent.server.execute(f"set global binlog_row_metadata = {metadata}")
    mode = "set session sql_mode = 'NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'"
    cases = [case for case in CASES if case.since <= version_of(silent.server)]
    silent.execute(
        *(
            f"create table t{n} (id int auto_increment primary key, v {case.type})"
            for n, case in enumerate(cases)
        )
    )
    reading = Reading(silent)
    reading.begin()
    for n, case in enumerate(cases):
        rows = ", ".join(f"({value})" for value in (*case.values, "null"))
        silent.execute(mode, f"insert into t{n} (v) values {rows}")
    found: dict[str, list[str | None]] = {}
    schemas = {}
    for one in reading.read():
        for table in one.tables:
            found.setdefault(table.schema.table.name, []).extend(table.new[1].to_pylist())
            schemas[table.schema.table.name] = table.schema
    for n, case in enumerate(cases):
        wanted = silent.execute(mode, f"select {case.shown.format('v')} from t{n} order by id")
        assert schemas[f"t{n}"].columns[1].type == case.pg_type
        assert found[f"t{n}"] == [text for (text,) in wanted], case.type
    copied = {table.schema.table.name: table.schema for s in reading.sets for table in s.tables}
    assert copied == schemas


LEARNT = (
    ("add u uuid default uuid(), add n inet6 after id", "(n) values ('::ffff:1.2.3.4')"),
    ("modify b inet6, add f inet4 first", "(f, b) values ('1.2.3.4', '1::8')"),
    (
        "rename column b to c, add b binary(16), add d binary(4)",
        "(b, c, d) values ('x', '::', 'y')",
    ),
    ("change u v binary(16), add u inet4 after c", "(v, u) values (x'00ff', '0.0.0.0')"),
    ("drop c, add c uuid, add g point, add h geometry", "(c, g) values (uuid(), point(1, 2))"),
    (
        "add z varchar(20) compressed, add y text compressed character set latin1",
        "(z, y, h) values (repeat('ä', 9), repeat('ö', 200), ST_GeomFromText('POINT(3 4)', 3857))",
    ),
    ("modify z varchar(20), modify t blob compressed", "(z, t) values ('ä', repeat(x'ff', 300))"),
    ("convert to character set utf16", "(z, y, t) values ('ä', repeat('🐘', 99), x'00')"),
)


@pytest.mark.parametrize("metadata", ["FULL", "MINIMAL", "NO_LOG"])
def test_types_that_statements_tell(metadata: str, silent: Maria) -> None:
    """Not even a log with names says which column is a UUID, and one without hides more."""
    needs(silent.server, (10, 10), "UUID and INET4")
    silent.server.execute(f"set global binlog_row_metadata = {metadata}")
    silent.execute("create table t (id int auto_increment primary key, b binary(16), t tinytext)")
    reading, copied = Reading(silent), []
    reading.begin()
    for alter, insert in LEARNT:
        silent.execute(f"alter table t {alter}", f"insert into t {insert}")
        now = Reading(silent)
        now.begin()
        copied.append(changes(now.sets)[-1])
    logged = changes(reading.read())
    assert len(logged) == len(LEARNT)
    for (schema, _, row, _), (wanted_schema, _, wanted, _) in zip(logged, copied, strict=True):
        assert schema == wanted_schema
        assert row == wanted


UNLOGGED = (
    ("add x int", "has 4 columns, our history of it 3"),
    ("drop b", "has 2 columns, our history of it 3"),
    ("modify a bigint", "type LONGLONG in the log, LONG in our history"),
    ("modify b varchar(21)", "length 84 in the log, 80 in our history"),
    ("modify b varchar(20) not null", "NULL excluded in the log, allowed in our history"),
    ("modify b varchar(40) character set ucs2", "character set ucs2 in the log, utf8mb4 in our"),
    ("modify a int unsigned", "sign unsigned in the log, signed in our history"),
)


@pytest.mark.parametrize(("alter", "what"), UNLOGGED)
def test_a_table_that_is_not_our_historys(alter: str, what: str, silent: Maria) -> None:
    """Altered behind the log's back."""
    silent.server.execute("set global binlog_row_metadata = MINIMAL")
    silent.execute("create table t (id int primary key, a int, b varchar(20))")
    reading = Reading(silent)
    reading.begin()
    silent.execute(
        "set sql_log_bin = 0", f"alter table t {alter}", "set sql_log_bin = 1",
        "insert into t (id, a) values (1, 1)" if "not null" not in alter
        else "insert into t values (1, 1, '')",
    )  # fmt: skip
    with pytest.raises(DecodeError) as raised:
        reading.read()
    assert what in raised.value.what
    assert {"table", "file", "position", "gtid"} <= set(raised.value.where)
    assert "start over" in str(raised.value.fix)


def test_a_column_that_only_the_log_has(silent: Maria) -> None:
    """MariaDB adds one for a UNIQUE index on a whole TEXT."""
    silent.execute("create table t (id int primary key, a text)")
    reading = Reading(silent)
    reading.begin()
    silent.execute("alter table t add unique (a)", "insert into t values (1, 'a')")
    with pytest.raises(DecodeError, match="has 3 columns, our history of it 2"):
        reading.read()


def test_a_statement_that_is_not_understood(silent: Maria) -> None:
    silent.execute(*MADE, "create table other (id int primary key)", "alter table t drop n")
    reading = Reading(silent)
    reading.begin()
    unclear = "alter table t add column p point comment "
    silent.execute(
        f"{unclear} '{'long ' * 200}', character set default", "insert into u values ('a', 1)"
    )
    with pytest.raises(DecodeError) as raised:
        reading.read()
    error = raised.value
    assert f"changed {silent.name}.t" in error.what
    assert str(error.where["statement"]).startswith(unclear)
    assert len(str(error.where["statement"])) <= 500
    # Where the log names columns from then on, other tables go on, and rows are read as they are.
    silent.server.execute("set global binlog_row_metadata = FULL")
    silent.execute("alter table t drop column p", "insert into t (id) values (77)")
    reading.read()
    assert [change[2][0] for change in changes(reading.sets)[-2:]] == ["a", "77"]  # type: ignore[index]
    # The history of it is lost all the same, and says by what.
    silent.server.execute("set global binlog_row_metadata = NO_LOG")
    silent.execute("insert into t (id) values (78)")
    with pytest.raises(DecodeError, match="not understood") as raised:
        reading.read()
    assert "point" in str(raised.value.where["statement"])


def test_a_journal_without_a_history(silent: Maria) -> None:
    silent.execute(*MADE)
    reading = Reading(silent)
    reading.begin()
    reading.facts = {k: v for k, v in reading.facts.items() if not k.startswith("mariadb.history")}
    silent.execute("alter table t drop b", "insert into t (id) values (7)")
    with pytest.raises(PreflightError, match="no history of them"):
        reading.read()


def test_a_table_altered_while_the_snapshot_begins(silent: Maria) -> None:
    silent.execute(*MADE)
    reading = Reading(silent)
    reading.begin()
    silent.execute("alter table t drop b")
    ((later,),) = silent.execute("select @@gtid_binlog_pos")
    old = reading.facts
    reading.facts = {
        key: value.replace(f'"read": "{reading.position}"', f'"read": "{later}"')
        for key, value in old.items()
    }
    assert reading.facts != old
    with pytest.raises(ContinuityError, match="while its first snapshot began"):
        reading.read()
    with reading.open() as source:
        source.snapshot({}).close()
        source._before = []  # what the catalog said before it began
        with pytest.raises(SourceUnavailable, match="altered while the snapshot began"):
            source._read(source._connection)


@pytest.mark.parametrize(
    "statement",
    [
        "/*!50101 drop table t */",
        "/*M!100000 drop table t */",
        "set statement max_statement_time = 5 for drop table t",
        "set statement lc_time_names = 'en_US' for rename table t to z",
        "drop /* a comment */ table t",
        "create or replace table t (id int)",
    ],
)
def test_what_ends_a_table_in_other_words(statement: str, silent: Maria) -> None:
    silent.execute(*MADE)
    reading = Reading(silent)
    reading.begin()
    silent.execute(statement)
    with pytest.raises(ContinuityError, match="dropped, renamed or made anew"):
        reading.read()


def test_what_set_statement_is_for() -> None:
    statement = "SET STATEMENT a = ' for ', `for ` = 1 FOR\ndrop table t"
    assert split(statement) == ("drop", "drop table t")


def test_words_that_end_no_table(silent: Maria) -> None:
    silent.execute(*MADE)
    reading = Reading(silent)
    reading.begin()
    silent.execute(
        "alter table t add x int comment 'drop partition, rename it'",
        "alter table t add y int /* rename to z */",
        "create table if not exists t (q int)",
        "create table l like t",
        "create table s (id int primary key) select id from t",
        "drop table l",
        "drop index if exists nix on t",
        "insert into t (id) values (5)",
    )
    assert len(changes(reading.read())) == 1


def test_an_alter_logged_as_its_start_and_its_end(silent: Maria) -> None:
    """What another session commits in between has the columns from before."""
    needs(silent.server, (10, 8), "it")
    silent.execute(*MADE)
    reading = Reading(silent)
    reading.begin()
    silent.server.execute("set global binlog_alter_two_phase = 1")
    with closing(silent.server.connect(silent.name)) as writer:
        cursor = writer.cursor()
        cursor.execute("begin")
        cursor.execute("insert into t (id, a) values (8, 'before')")
        alter = "alter table t add column x int first, algorithm = inplace, lock = none"
        thread = threading.Thread(target=silent.execute, args=(alter,))
        thread.start()
        waiting = "select 1 from information_schema.processlist where state like '%metadata lock%'"
        while not silent.execute(waiting):
            time.sleep(0.05)
        cursor.execute("commit")
        thread.join()
    silent.execute("insert into t (x, id) values (1, 9)")
    silent.server.execute("set global binlog_alter_two_phase = 0")
    found = changes(reading.read())
    assert [change[2][:2] for change in found] == [["8", "before"], ["1", "9"]]  # type: ignore[index]


def test_names_that_are_the_same_in_any_case() -> None:
    settings = {"binlog_row_metadata": "NO_LOG", "lower_case_table_names": "1"}
    with (
        open_directory() as directory,
        LocalMariadb.start(directory / "maria", settings=settings) as server,
    ):
        server.execute("create database Shop")
        maria = Maria(server, "shop")
        maria.execute("create table Item (id int primary key, a int, b int)")
        reading = Reading(maria)
        reading.begin()
        maria.execute(
            "alter table SHOP.iTEM modify a int after b", "insert into item values (1, 2, 3)"
        )
        ((schema, _, new, _),) = changes(reading.read())  # type: ignore[misc]
        assert [column.name for column in schema.columns] == ["id", "b", "a"]
        assert new == ["1", "2", "3"]
        maria.execute("truncate table ITEM", "insert into Item values (1, 2, 3)", "drop table ITEM")
        with pytest.raises(ContinuityError, match="dropped"):
            reading.read()


def test_our_own_marks(silent: Maria) -> None:
    """Whose changes a transaction carries is read without the columns' names, too."""
    silent.execute(*MADE)
    server = silent.server
    server.execute("create database if not exists tailrace", *_CREATE_TABLES)
    reading = Reading(silent)
    reading.begin()
    server.execute(
        "insert into tailrace.checkpoint (pipeline, epoch, journal, journal_offset, position,"
        " holder) values ('p', 1, 'j', 1, '', 'h')"
    )
    silent.execute(
        "begin",
        "update tailrace.checkpoint set marks = marks + 1, origin = 'postgres/7'",
        "insert into u values ('a', 1)",
        "commit",
        "insert into u values ('b', 1)",
    )
    (found,) = reading.read()
    assert found.transactions.column("origin").to_pylist() == ["postgres/7", None]
    server.execute("drop database tailrace")


def test_a_history_is_cut_where_the_log_is_resumed(silent: Maria) -> None:
    silent.execute(*MADE)
    reading = Reading(silent)
    reading.begin()
    positions = [reading.position]
    for n in range(3):
        silent.execute(f"alter table t add x{n} int")
        ((position,),) = silent.execute("select @@gtid_binlog_pos")
        positions.append(position)
    reading.read()
    name = TableName(silent.name, "t")
    for n, position in enumerate(positions):
        history = History.of(reading.facts, [name], Position(position).includes)
        version = history.version(name)
        assert version is not None
        assert version.shape is not None
        assert len(version.shape.map.columns) == 6 + n


HASHED = (
    ("x text unique", "a"),
    ("y blob, w int, unique (y, w)", "b"),
    ("v int, unique (v) using hash", "c"),
)


def test_a_unique_index_by_hash_needs_names(silent: Maria) -> None:
    """The server keeps it by a column that the catalog does not show and the log has."""
    for columns, name in HASHED:
        silent.execute(f"create table {name} (id int primary key, {columns})")
    silent.execute("create table plain (id int primary key, v int, unique (v) using btree)")
    settings = MariadbSource(type="mariadb", url=silent.server.url(), tables=(f"{silent.name}.*",))
    with closing(connect(settings.url)) as connection:
        findings, _ = inspect(connection, settings)
    errors = [finding for finding in findings if finding.severity == "error"]
    assert {finding.where for finding in errors} == {f"{silent.name}.{n}" for _, n in HASHED}
    reading = Reading(silent)
    with pytest.raises(PreflightError, match="UNIQUE index by hash"):
        reading.begin()
    silent.execute(errors[0].fix.partition(";")[0])
    reading.begin()
    silent.execute("insert into a values (1, 'x')", "insert into b values (2, 'y', 3)")
    for row in ("insert into c values (4, 5)", "update a set x = 'z'", "delete from b"):
        silent.execute(row)
    found = reading.read()
    assert [one.rows for one in found] == [5]
    # What is given out is the catalog's, and reads are not led astray by columns made later.
    copied = {table.schema for one in reading.sets[:-1] for table in one.tables}
    assert {table.schema for one in found for table in one.tables} <= copied
    silent.execute("alter table a add z int", "insert into a values (9, 'x', 1)")
    ((_, _, row, _),) = changes(reading.read())
    assert row == ["9", "x", "1"]
