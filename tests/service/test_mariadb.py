"""`tailrace run` with a MariaDB or MySQL source and a PostgreSQL target."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.mysql.catalog import CatalogTable, read_charsets, read_tables
from cdc.mysql.names import quoted_table
from cdc.mysql.session import connect, query
from cdc.mysql.snapshot import columns_of, shown
from cdc.patterns import Patterns
from tailrace.service.localmaria import LocalMariadb
from tests.cdc.mysql.test_mariadb_xa import end, prepare
from tests.conftest import open_directory
from tests.line import Line, wait_until
from tests.long import long
from tests.maria import Maria, both, both_in_length, chinook, needs


class MariaLine(Line):
    def __init__(self, directory: Path, maria: Maria, user: str, target: str, **more: Any) -> None:
        self.maria = maria
        url = f"{maria.kind}://{user}@127.0.0.1:{maria.server.port}/"
        tables = f'"{maria.name}.*"'
        rules = f'- {{tables: [{tables}], into: "{{schema}}.{{table}}"}}'
        super().__init__(directory, url, target, tables=tables, rules=rules, **more)

    def write_mark(self, table: str, mark: str) -> None:
        self.maria.execute(f"insert into mark values ('{mark}')")

    def drained(self) -> None:
        self.arrives(f"{self.maria.name}.mark")

    def compare(self) -> int:
        """Every row of every table, as text. Returns how many rows there were."""
        connection = connect(self.source)
        pattern = Patterns.parse([f"{self.maria.name}.*"])
        tables, refused = read_tables(connection, pattern, read_charsets(connection))
        assert not refused
        compared = 0
        for table in tables:
            theirs = self._theirs(connection, table)
            assert self._ours(table) == theirs, table.name
            compared += len(theirs)
        connection.close()
        return compared

    def _theirs(self, connection: Any, table: CatalogTable) -> list[tuple[str | None, ...]]:
        wanted = ", ".join(map(shown, table.map.columns))
        rows = query(connection, f"select {wanted} from {quoted_table(table.name)}")
        columns = columns_of(table, rows)
        printed = list(zip(*(column.to_pylist() for column in columns), strict=True))
        # The target's own input and output, so that 1e+16 and 10000000000000000 are one number.
        types = ", ".join(f"%s::{column.type}::text" for column in table.schema.columns)
        with psycopg.connect(self.target, options="-c TimeZone=UTC") as target:
            return sorted(
                (target.execute(f"select {types}", row).fetchone() for row in printed), key=str
            )

    def _ours(self, table: CatalogTable) -> list[tuple[str | None, ...]]:
        wanted = ", ".join(f'"{column.name}"::text' for column in table.schema.columns)
        name = f'"{table.name.schema}"."{table.name.name}"'
        with psycopg.connect(self.target, options="-c TimeZone=UTC") as target:
            return sorted(target.execute(f"select {wanted} from {name}").fetchall(), key=str)


@pytest.fixture
def user(maria: Maria) -> Iterator[str]:
    maria.execute("create table mark (mark varchar(40) primary key)")
    with maria.reader() as name:
        yield name


def items(maria: Maria) -> tuple[str, ...]:
    return (
        "create table item (id int primary key, name varchar(40), amount decimal(12,2), f float,"
        " g double, changed timestamp(6) null, t time, b blob, e enum('a','ö'), active bit(1))",
        "insert into item select n, concat('item ', n), n / 3, n / 7, n / 9,"
        " '2024-01-01 00:00:00.5' + interval n hour, '-01:02:03', unhex(hex(n)), 'ö', 1"
        f" from {maria.numbers(1, 3000)}",
    )


@both
def test_snapshot_stream_and_restart(tmp_path: Path, maria: Maria, user: str, database18) -> None:
    maria.execute(*items(maria))
    line = MariaLine(tmp_path / "project", maria, user, database18.url)
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout
    with line:
        line.streams()
        line.drained()
        assert line.compare() == 3001
        maria.execute(
            "update item set name = 'x', e = 'a' where id <= 100",
            "update item set id = id + 100000 where id between 200 and 300",
            "delete from item where id between 400 and 500",
            "begin",
            "insert into item (id) values (999999)",
            "rollback",
        )
        line.drained()
        line.compare()
        wait_until(lambda: line.get("/readyz")[0] == 200, "readiness")
    maria.execute("update item set amount = -amount", "flush binary logs")
    with line:
        line.drained()
        line.compare()
        maria.execute("truncate table item", "insert into item (id, name) values (1, 'after')")
        line.drained()
        assert line.compare() == 5
        removed = line.command("remove", "erp", "--yes")
        assert removed.returncode == 1, "refused while capture runs"
    removed = line.command("remove", "erp", "--yes", "--journal")
    assert removed.returncode == 0, removed.stderr
    assert "nothing of ours is left" in removed.stdout


@both
def test_kills_lose_and_double_nothing(tmp_path: Path, maria: Maria, user: str, database18) -> None:
    maria.execute(*items(maria), "create table log (id int auto_increment primary key, item int)")
    line = MariaLine(tmp_path / "project", maria, user, database18.url)
    with line:
        line.streams()
        for n in range(12):
            role = ("capture", "deliver")[n % 2]
            maria.execute(
                f"insert into log (item) select id from item limit {100 + n}",
                f"update item set amount = amount + {n} where id % 3 = {n % 3}",
                f"insert into item (id) values ({700_000 + n})",
            )
            wait_until(lambda role=role: line.kill(role), f"a {role} to kill")
            maria.execute("delete from item order by id limit 3")
        line.drained()
        line.compare()
        assert line.process.poll() is None


@both
def test_two_phase_commits_arrive_once_across_kills(
    tmp_path: Path, maria: Maria, user: str, database18
) -> None:
    """Each is prepared, capture killed, and committed or rolled back two rounds later."""
    maria.execute(*items(maria), "create table log (id int primary key, item int)")
    line = MariaLine(tmp_path / "project", maria, user, database18.url)
    with line:
        line.streams()
        for n in range(8):
            prepare(
                maria,
                f"x{n}",
                f"insert into log select n + {1000 * n}, n from {maria.numbers(1, 50 + n)}",
                f"update item set amount = amount + {n} where id between {9 * n} and {9 * n + 5}",
            )
            maria.execute(f"insert into item (id) values ({700_000 + n})")
            wait_until(lambda: line.kill("capture"), "a capture to kill")
            if n >= 2:
                end(maria, "rollback" if n % 3 == 0 else "commit", f"x{n - 2}")
        line.drained()
        line.compare()
        wait_until(lambda: ";xa=" in str(line.report("capture")), "a position that is held back")
        end(maria, "commit", "x6", "x7")
        line.drained()
        line.compare()
        wait_until(lambda: ";xa=" not in str(line.report("capture")), "nothing to be held")
        assert line.process.poll() is None


@both
def test_a_preview_shows_rows_beside_what_becomes_of_them(
    tmp_path: Path, maria: Maria, user: str, database18
) -> None:
    maria.execute(*items(maria), "create table bare (id int primary key)")
    line = MariaLine(tmp_path / "project", maria, user, database18.url)
    assert line.command("discover", "erp", "-o", "json").returncode == 0
    config = line.directory / "tailrace.yml"
    head = config.read_text().partition("    replicate:")[0]
    config.write_text(head + "    mappings: [erp_item, erp_bare]\n")
    mapping = line.directory / "mappings" / "erp_item.yml"
    text = mapping.read_text()
    mapping.write_text(
        re.sub(r"(?m)^  name: .*$", "  name: \"upper(name) || ' ' || t\"", text, count=1)
    )
    shown = line.command("preview", "erp_item", "--sample", "20")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "name=item 7" in shown.stdout
    assert "name=ITEM 7 -01:02:03" in shown.stdout
    assert "20 rows: 20 mapped, 0 filtered, 0 failed" in shown.stdout
    empty = line.command("preview", "erp_bare")
    assert (empty.returncode, empty.stdout) == (0, f"{maria.name}.bare is empty\n")
    maria.execute("drop table bare")
    gone = line.command("preview", "erp_bare")
    assert gone.returncode == 2
    assert "has no table" in gone.stderr


@pytest.mark.parametrize(
    ("maria", "image"),
    [
        ("mariadb", "MINIMAL"),
        ("mysql", "NOBLOB"),
        long("mariadb", "NOBLOB"),
        long("mysql", "MINIMAL"),
    ],
    indirect=["maria"],
)
def test_rows_that_leave_values_out(
    image: str, tmp_path: Path, maria: Maria, user: str, database18
) -> None:
    """What is left out stays as it is at the target; a NULL that is set is NULL there."""
    maria.execute(*items(maria))
    maria.execute(f"set global binlog_row_image = {image}")
    try:
        line = MariaLine(tmp_path / "project", maria, user, database18.url)
        checked = line.command("check")
        assert checked.returncode == 0, checked.stdout
        assert f"binlog_row_image is {image}" in checked.stdout
        with line:
            line.streams()
            line.drained()
            values = "'new', 1.5, 2.5, 3.5, null, '01:00:00', x'00', 'a', 0"
            maria.execute(
                "update item set name = null where id <= 10",
                "update item set amount = amount + 1 where id between 5 and 20",
                "update item set id = id + 100000 where id between 15 and 30",
                "update item set id = id + 100000, b = null, g = null where id between 31 and 40",
                "update item set b = x'ff' where id between 100015 and 100035",
                "delete from item where id between 100 and 120",
                f"insert into item values (200000, {values})",
                f"replace into item values (1, {values})",
                f"insert into item values (2, {values}) on duplicate key update t = null",
                "begin",
                "update item set name = 'first' where id between 50 and 60",
                "update item set changed = null where id between 55 and 65",
                "update item set id = id + 300000 where id between 58 and 62",
                "delete from item where id = 50",
                f"insert into item values (50, {values})",
                "update item set name = 'last' where id = 50",
                "commit",
            )
            line.drained()
            assert line.compare() > 2900
    finally:
        maria.execute("set global binlog_row_image = FULL")


def test_types_of_mariadb_alone(tmp_path: Path, maria: Maria, user: str, database18) -> None:
    needs(maria.server, (10, 10), "UUID and INET4")
    row = (
        "'2001:db8::{0}', '10.0.0.{0}', x'{0}0', 'text {0}',"
        " ST_GeomFromText('LINESTRING(0 0,{0} -1.5)', 4326), {0})"
    )
    maria.execute(
        "create table own (id uuid primary key, six inet6, four inet4, b binary(16),"
        " c varchar(300) compressed, g geometry, n int, v int generated always as (n * 2) virtual)",
        "insert into own (id, six, four, b, c, g, n) values (uuid(), " + row.format(1),
        "insert into own (id, six, four, b, c, g, n)"
        " values ('00000000-0000-0000-0000-000000000007', " + row.format(2),
    )
    line = MariaLine(tmp_path / "project", maria, user, database18.url)
    with line:
        line.streams()
        maria.execute(
            "insert into own (id, six, four, b, c, g, n) values (uuid(), " + row.format(3),
            "update own set n = 77, c = repeat('c', 300) where id like '%7'",
            "update own set id = uuid() where n = 1",
        )
        line.drained()
        assert line.compare() > 3
    with psycopg.connect(line.target) as target:
        table = f'"{maria.name}".own'
        query = (
            f"select pg_typeof(id)::text, pg_typeof(six)::text, pg_typeof(four)::text from {table}"
        )
        assert target.execute(query.encode()).fetchone() == ("uuid", "inet", "inet")
        query = f"select v, g from {table} where id::text like '%7'"
        assert target.execute(query.encode()).fetchone() == (
            154,
            "0102000020E61000000200000000000000000000000000000000000000"
            "0000000000000040000000000000F8BF",
        )


@both_in_length
def test_chinook(tmp_path: Path, maria: Maria, user: str, database18) -> None:
    maria.execute(*chinook())
    line = MariaLine(tmp_path / "project", maria, user, database18.url)
    with line:
        line.streams()
        line.drained()
        assert line.compare() > 15_000
        maria.execute(
            "update Track set UnitPrice = UnitPrice + 1, Composer = nullif(Composer, 'AC/DC')",
            "delete from PlaylistTrack where PlaylistId = 1",
            "update Customer set FirstName = upper(FirstName)",
            "insert into Genre values (900, 'Änderungen')",
        )
        line.drained()
        line.compare()


@both_in_length
def test_discovered_mappings_make_entities(
    tmp_path: Path, maria: Maria, user: str, database18
) -> None:
    maria.execute(*items(maria))
    line = MariaLine(tmp_path / "project", maria, user, database18.url)
    found = line.command("discover", "erp", "-o", "json")
    assert found.returncode == 0, found.stderr
    config = line.directory / "tailrace.yml"
    head = config.read_text().partition("    replicate:")[0]
    config.write_text(head + "    mappings: [erp_item, erp_mark]\n")
    mapping = line.directory / "mappings" / "erp_item.yml"
    text = mapping.read_text()
    mapping.write_text(
        re.sub(r"(?m)^  name: .*$", "  name: \"upper(name) || ' (' || e || ')'\"", text, count=1)
    )
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with line:
        line.streams()
        maria.execute(
            "update item set name = 'müller' where id = 7", "delete from item where id = 8"
        )
        line.arrives("public.mark")
        with psycopg.connect(line.target) as target:
            rows = target.execute(
                "select id, name, amount from public.item where id < 10 order by id"
            ).fetchall()
    assert [row[0] for row in rows] == [1, 2, 3, 4, 5, 6, 7, 9]
    assert rows[6][1] == "MÜLLER (ö)"
    assert str(rows[6][2]) == "2.33"


@pytest.mark.parametrize(
    ("maria", "policy", "kind"),
    [
        ("mariadb", "null", "date"),
        ("mysql", "text", "text"),
        long("mariadb", "text", "text"),
        long("mysql", "null", "date"),
    ],
    indirect=["maria"],
)
def test_zero_dates(
    policy: str, kind: str, tmp_path: Path, maria: Maria, user: str, database18
) -> None:
    zero = "set sql_mode = ''"
    maria.execute(
        *(zero, "create table legacy (id int primary key, d date not null)"),
        "insert into legacy values (1, '0000-00-00'), (2, '2024-02-29')",
    )
    line = MariaLine(
        tmp_path / "project", maria, user, database18.url, more=f"zero_dates: {policy}"
    )
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout
    with line:
        line.drained()
        maria.execute(
            *(zero, "insert into legacy values (3, '2024-00-00')"),
            "update legacy set d = '0000-00-00' where id = 2",
        )
        line.drained()
    with psycopg.connect(line.target) as target:
        table = f'"{maria.name}".legacy'
        found = target.execute(f"select d::text, pg_typeof(d)::text from {table} order by id")
        rows = found.fetchall()
    values = [None] * 3 if policy == "null" else ["0000-00-00", "0000-00-00", "2024-00-00"]
    assert rows == [(value, kind) for value in values]


@pytest.fixture
def replicated(maria: Maria, user: str) -> Iterator[Maria]:
    """The same database, with three thousand items, at a replica of its server."""
    maria.execute(*items(maria))
    settings = {"server_id": "77", "log_slave_updates": "ON"}
    with (
        open_directory() as directory,
        LocalMariadb.start(directory / "replica", settings=settings) as replica,
    ):
        found = Maria(replica, maria.name)
        copy_of(maria, found, user, items(maria))
        yield found


def promote(old: Maria, new: Maria) -> None:
    """Once it has all of the old primary's log."""
    caught_up(old, new)
    new.server.execute("stop slave")


def point_at(line: MariaLine, server: Maria) -> None:
    """Write its address into the line's configuration."""
    old, new = (f"127.0.0.1:{maria.server.port}" for maria in (line.maria, server))
    line.maria, line.source = server, line.source.replace(old, new)
    config = line.directory / "tailrace.yml"
    config.write_text(config.read_text().replace(old, new))


def test_a_promoted_replica_is_followed(
    tmp_path: Path, maria: Maria, replicated: Maria, user: str, database18
) -> None:
    """The position is a GTID's, which another server of the same history understands."""
    line = MariaLine(tmp_path / "project", maria, user, database18.url)
    with line:
        line.drained()
        maria.execute("update item set name = 'before' where id <= 10")
        line.drained()
    maria.execute("update item set name = 'meanwhile' where id between 5 and 500")
    promote(maria, replicated)
    replicated.execute(
        "insert into item (id, name) values (88888, 'promoted')",
        "delete from item where id between 20 and 30",
    )
    point_at(line, replicated)
    with line:
        line.drained()
        assert line.compare() > 2900
    assert "snapshot" not in line.log.rpartition('"serving"')[2]
    # The old primary, which others still write, no longer has our history.
    maria.execute("insert into item (id) values (99999)")
    point_at(line, maria)
    with line:
        wait_until(lambda: line.state("capture") == "failed", "capture to refuse it")
        assert "ends before our position" in line.report("capture")["error"]["what"]


def test_what_is_prepared_is_followed_to_a_promoted_replica(
    tmp_path: Path, maria: Maria, replicated: Maria, user: str, database18
) -> None:
    """Prepared at one server, committed at the other, which is asked for the rows again."""
    line = MariaLine(tmp_path / "project", maria, user, database18.url)
    with line:
        line.drained()
        for xid in ("kept", "gone"):
            prepare(maria, xid, f"insert into item (id, name) values ({ord(xid[0])}000, '{xid}')")
        line.drained()
        wait_until(lambda: ";xa=" in str(line.report("capture")), "a position held back")
    promote(maria, replicated)
    end(replicated, "commit", "kept")
    end(replicated, "rollback", "gone")
    point_at(line, replicated)
    with line:
        line.drained()
        assert line.compare() > 3000
    end(maria, "rollback", "kept", "gone")


def copy_of(primary: Maria, replica: Maria, user: str, made: tuple[str, ...]) -> None:
    """Make what `made` has made at `primary`, and begin replicating it from here on."""
    ((position,),) = primary.execute("select @@gtid_binlog_pos")
    replica.server.execute(
        "set sql_log_bin = 0",
        f"create database {primary.name}",
        f"use {primary.name}",
        "create table mark (mark varchar(40) primary key)",
        *made,
        f"create user {user}",
        f"grant replication slave, binlog monitor on *.* to {user}",
        f"grant select on {primary.name}.* to {user}",
        f"set global gtid_slave_pos = '{position}'",
        f"change master to master_host = '127.0.0.1', master_port = {primary.server.port},"
        " master_user = 'root', master_use_gtid = slave_pos",
        "start slave",
    )
    caught_up(primary, replica)


def caught_up(primary: Maria, replica: Maria) -> None:
    ((position,),) = primary.execute("select @@gtid_binlog_pos")
    ((reached,),) = replica.server.execute(f"select master_gtid_wait('{position}', 60)")
    assert reached == 0


@both
def test_a_truncate_is_not_taken_for_the_beginning_of_a_snapshot(
    tmp_path: Path, maria: Maria, user: str, database18
) -> None:
    """`existing: keep` leaves out the clear that a snapshot begins with, and no other."""
    maria.execute(*items(maria))
    line = MariaLine(tmp_path / "project", maria, user, database18.url)
    config = line.directory / "tailrace.yml"
    config.write_text(config.read_text().replace('{table}"}', '{table}", existing: keep}'))
    with line:
        line.drained()
        maria.execute("truncate table item")
        wait_until(lambda: line.state("deliver") == "failed", "delivery to refuse it")
        assert "a TRUNCATE would also remove rows" in line.report("deliver")["error"]["what"]
    with psycopg.connect(line.target) as target:
        query = f'select count(*) from "{maria.name}".item'
        assert target.execute(query.encode()).fetchone() == (3000,)
