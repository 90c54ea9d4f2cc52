"""`tailrace run` with a MariaDB or MySQL target."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from cdc.mysql.settings import arguments
from tailrace.service.localmaria import LocalMariadb
from tests.line import Line, wait_until
from tests.long import long
from tests.maria import Maria, both, chinook
from tests.pipeline.test_databases import change_everything, load

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
Rows = list[tuple[Any, ...]]


def plain(value: Any) -> Any:
    """One value for what both databases call by different names."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, dt.time):
        return dt.timedelta(
            hours=value.hour,
            minutes=value.minute,
            seconds=value.second,
            microseconds=value.microsecond,
        )
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return value


def of_postgres(url: str, table: str) -> Rows:
    with psycopg.connect(url, options="-c TimeZone=UTC") as connection:
        rows = connection.execute(f"select * from {table}".encode()).fetchall()
    return sorted((tuple(map(plain, row)) for row in rows), key=repr)


def of_mariadb(url: str, table: str, json_columns: frozenset[int] = frozenset()) -> Rows:
    with closing(pymysql.connect(**arguments(url), init_command="set time_zone='+00:00'")) as found:
        cursor = found.cursor()
        cursor.execute(f"select * from {table}")
        rows = [
            tuple(
                plain(json.loads(value) if i in json_columns and value else value)
                for i, value in enumerate(row)
            )
            for row in cursor.fetchall()
        ]
    return sorted(rows, key=repr)


@dataclass(frozen=True)
class Copy:
    """Where database `name` is to be made. `url`: for the user that writes."""

    server: LocalMariadb
    name: str
    url: str

    def execute(self, *statements: str) -> Rows:
        return self.server.execute(*statements)

    def types(self, table: str) -> dict[str, str]:
        return dict(
            self.execute(
                "select column_name, column_type from information_schema.columns"
                f" where table_schema = '{self.name}' and table_name = '{table}'"
            )
        )


@pytest.fixture
def into(request: pytest.FixtureRequest, maria: Maria) -> Iterator[Copy]:
    """For a user that may do what `check --sql` says, and no more; at the server of `maria`, or one
    of the product that a test is parametrised with."""
    server = maria.server
    if kind := getattr(request, "param", None):
        server = request.getfixturevalue("mysql" if kind == "mysql" else "maria_server")
    user, copy = f"writer_{maria.name}", f"copy_{maria.name}"
    server.execute(
        f"create user {user} identified by 'p@ss'",
        "create database if not exists tailrace",
        f"create database {copy} default character set latin1",
        f"grant all on tailrace.* to {user}",
        f"grant select, insert, update, delete, create on {copy}.* to {user}",
    )
    yield Copy(server, copy, server.url(user, "p@ss"))
    server.execute(f"drop user {user}", f"drop database {copy}", "drop database tailrace")


pairs = pytest.mark.parametrize(
    ("maria", "into"),
    [
        ("mariadb", "mysql"),
        ("mysql", "mariadb"),
        long("mariadb", "mariadb"),
        long("mysql", "mysql"),
    ],
    indirect=True,
)
"""Source and target."""


class IntoMaria(Line):
    def __init__(self, directory: Path, source: str, copy: Copy, maria: Maria, **more: Any) -> None:
        self.maria = maria
        self.copy = copy.name
        tables = "public.*" if source.startswith("postgres") else f'"{maria.name}.*"'
        rules = f'- {{tables: [{tables}], into: "{self.copy}.{{table}}"}}'
        super().__init__(directory, source, copy.url, tables=tables, rules=rules, **more)

    def drained(self) -> None:
        """The snapshot, too: its tables come one by one, and the mark's is not the last."""
        self.streams()
        self.arrives(f"{self.copy}.mark")

    def write_mark(self, table: str, mark: str) -> None:
        if self.source.startswith("postgres"):
            super().write_mark("public.mark", mark)
        else:
            self.maria.execute(f"insert into mark values ('{mark}')")


KINDS = """
create table public.kinds (
    id bigint primary key, small smallint, flag boolean, price numeric(12,4), free numeric,
    single real, twice double precision, code char(5), name varchar(40), note text, raw bytea,
    day date, at timestamp, at_3 timestamp(3), at_zone timestamptz, daytime time, bits bit(12),
    doc jsonb, ident uuid, span interval, list integer[], net inet)
"""
KIND_ROWS = """
insert into public.kinds
select n, (n % 30000)::smallint, n % 2 = 0, n / 7.0, n * 1.0000001, n / 3.0, n / 9.0, 'ab',
       'name ' || n, repeat('ä\\''"' || chr(9) || chr(10), n % 9), decode(md5(n::text), 'hex'),
       '2024-01-01'::date + n, '2024-01-01'::timestamp + n * interval '1 hour 0.123456 s',
       '2024-01-01'::timestamp + n * interval '1 hour 0.123 s',
       '2024-01-01'::timestamptz + n * interval '1 minute', '00:00'::time + n * interval '1 second',
       n::int::bit(12), jsonb_build_object('n', n), md5(n::text)::uuid,
       n * interval '1 hour', array[n, n + 1], '10.0.0.1'::inet + n
from generate_series({first}, {last}) n
"""


SAME = "id, small, flag, price, free, twice, name, note, raw, day, at, at_3, at_zone, daytime"
THEIRS = (
    f"(select {SAME}, doc, ident, single::float8, rtrim(code), bits::bit(12)::int, span::text,"
    " list::text, host(net) from public.kinds) x"
)
OURS = (
    f"(select {SAME}, doc, ident, cast(single as double), code, cast(bits as unsigned), span,"
    " `list`, net from {}.kinds) x"
)
DOC = frozenset({14})


def compare_kinds(line: IntoMaria) -> int:
    theirs = of_postgres(line.source, THEIRS)
    ours = of_mariadb(line.target, OURS.format(line.copy), DOC)
    assert sorted(ours, key=lambda row: row[0]) == sorted(theirs, key=lambda row: row[0])
    return len(ours)


@both
def test_kinds_of_postgres(tmp_path: Path, maria: Maria, into: Copy, database18) -> None:
    with psycopg.connect(database18.url, autocommit=True) as source:
        source.execute(KINDS)
        source.execute("create table public.mark (mark text primary key)")
        source.execute(KIND_ROWS.format(first=1, last=500))
        source.execute("insert into public.kinds (id) values (-1)")
        line = IntoMaria(tmp_path / "project", database18.url, into, maria)
        checked = line.command("check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        with line:
            line.drained()
            assert compare_kinds(line) == 501
            source.execute(KIND_ROWS.format(first=501, last=900))
            source.execute("update public.kinds set name = name || '!', flag = not flag")
            source.execute("update public.kinds set id = id + 10000 where id between 1 and 50")
            source.execute("delete from public.kinds where id between 100 and 200")
            line.drained()
            assert compare_kinds(line) == 501 + 400 - 101
            for n in range(3):  # a few rows, which are applied one by one
                source.execute(
                    f"update public.kinds set note = 'few', raw = null where id = {300 + n}"
                )
            source.execute("delete from public.kinds where id = -1")
            line.drained()
            assert compare_kinds(line) == 799
        types = into.types("kinds")
    assert types["price"] == "decimal(12,4)"
    assert types["at_3"] == "datetime(3)"
    assert types["raw"] == "longblob"
    assert types["bits"] == "bit(12)"


@both
def test_chinook_from_postgres(tmp_path: Path, maria: Maria, into: Copy, database18) -> None:
    path = DATA / "chinook" / "Chinook_PostgreSql.sql"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout")
    text = path.read_text(encoding="utf-8-sig")
    tables = load(
        database18.url, re.sub(r"(?im)^\s*(drop database|create database|\\c).*$", "", text)
    )
    line = IntoMaria(tmp_path / "project", database18.url, into, maria)

    def compare() -> int:
        compared = 0
        for table in tables:
            theirs = of_postgres(line.source, f"public.{table}")
            assert of_mariadb(line.target, f"{line.copy}.{table}") == theirs, table
            compared += len(theirs)
        return compared

    with line:
        line.drained()
        assert compare() > 15_000
        change_everything(line.source, tables)
        line.drained()
        compare()


def dumped(server: LocalMariadb, schema: str) -> dict[str, Rows]:
    """Every row of every table, as the server prints it."""
    connection = server.connect(conv={}, init_command="set time_zone='+00:00'")
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(
            "select table_name from information_schema.tables"
            f" where table_schema = '{schema}' order by 1"
        )
        found = {}
        for (table,) in cursor.fetchall():
            cursor.execute(f"select * from `{schema}`.`{table}`")
            found[table] = sorted(cursor.fetchall(), key=repr)
    return found


def compare_copies(maria: Maria, copy: Copy) -> int:
    theirs, ours = dumped(maria.server, maria.name), dumped(copy.server, copy.name)
    assert set(theirs) == set(ours)
    for table, rows in theirs.items():
        assert ours[table] == rows, table
    return sum(map(len, theirs.values()))


@pytest.fixture
def reader(maria: Maria) -> Iterator[str]:
    maria.execute("create table mark (mark varchar(40) primary key)")
    with maria.reader() as name:
        yield maria.server.url(name)


@pairs
def test_chinook_from_mariadb(tmp_path: Path, maria: Maria, into: Copy, reader: str) -> None:
    maria.execute(*chinook())
    line = IntoMaria(tmp_path / "project", reader, into, maria)
    with line:
        line.drained()
        assert compare_copies(maria, into) > 15_000
        maria.execute(
            "update Track set UnitPrice = UnitPrice + 1, Composer = nullif(Composer, 'AC/DC')",
            "delete from PlaylistTrack where PlaylistId = 1",
            "update Customer set FirstName = upper(FirstName)",
            "insert into Genre values (900, 'Änderungen')",
        )
        line.drained()
        compare_copies(maria, into)


ITEMS = """
create table item (
    id int unsigned primary key, name varchar(40) character set latin1, big bigint unsigned,
    amount decimal(30,10), f float, g double, changed timestamp(6) null, made timestamp not null,
    t time(2), y year, b tinyblob, v varbinary(20), fixed binary(8), e enum('a','ö'),
    s set('x','y','z'), active bit(9), short char(7), long_text mediumtext, tiny tinyint unsigned)
"""
ITEM_ROWS = """
insert into item
select n, concat('ítem ', n), 18446744073709551615 - n, n / 3, n / 7, n / 9,
       '2024-01-01 00:00:00.5' + interval n hour, '2024-01-01 00:00:00' + interval n minute,
       '-101:02:03.25', 1901 + n % 200, unhex(hex(n)), x'00ff', x'0001', 'ö', 'x,z', n % 512,
       'ab', repeat('\\t\\n\\\\\\'ä', n % 5), n % 256
from {numbers}
"""


@pairs
def test_types_of_mariadb(tmp_path: Path, maria: Maria, into: Copy, reader: str) -> None:
    maria.execute(ITEMS, ITEM_ROWS.format(numbers=maria.numbers(1, 3000)))
    line = IntoMaria(tmp_path / "project", reader, into, maria)
    with line:
        line.drained()
        assert compare_copies(maria, into) == 3001
        maria.execute(
            "update item set name = 'x', e = 'a', t = '838:59:59' where id <= 100",
            "update item set id = id + 100000 where id between 200 and 300",
            "delete from item where id between 400 and 500",
            ITEM_ROWS.format(numbers=maria.numbers(5000, 9000)),
            "insert into item (id, made) values (0, '2038-01-19 03:14:07')",
        )
        line.drained()
        compare_copies(maria, into)
        maria.execute("truncate table item", "insert into item (id, made) values (1, now())")
        line.drained()
        assert compare_copies(maria, into) == 4
    types = into.types("item")
    assert types["big"].replace("(20)", "") == "bigint unsigned"
    assert types["t"] == "time(2)"
    assert types["changed"] == "timestamp(6)"
    assert types["name"] == "varchar(40)"
    assert types["fixed"] == "binary(8)"


@pairs
def test_kills_lose_and_double_nothing(
    tmp_path: Path, maria: Maria, into: Copy, reader: str
) -> None:
    """Every write at the target is counted by a trigger there: a key twice would be a double."""
    maria.execute(
        "create table log (id int auto_increment primary key, item int, note varchar(20))",
        "create table item (id int primary key, amount decimal(12,2))",
        f"insert into item select n, n from {maria.numbers(1, 3000)}",
    )
    line = IntoMaria(tmp_path / "project", reader, into, maria)
    counted = f"counted_{maria.name}"
    with line:
        line.drained()
        into.execute(
            f"create database {counted}",
            f"create table {counted}.applied (id int, index (id)) engine = InnoDB",
            f"create trigger {line.copy}.count_log after insert on {line.copy}.log"
            f" for each row insert into {counted}.applied values (new.id)",
        )
        for n in range(12):
            role = ("capture", "deliver")[n % 2]
            maria.execute(
                f"insert into log (item) select id from item limit {100 + 300 * (n % 3)}",
                f"update item set amount = amount + {n} where id % 3 = {n % 3}",
                f"insert into item (id) values ({700_000 + n})",
            )
            wait_until(lambda role=role: line.kill(role), f"a {role} to kill")
            maria.execute("delete from item order by id limit 3", "delete from log limit 1")
        line.drained()
        compare_copies(maria, into)
        assert line.process.poll() is None
    applied = into.execute(f"select count(*), count(distinct id) from {counted}.applied")[0]
    into.execute(f"drop database {counted}")
    assert applied[0] == applied[1]
    assert applied[0] >= 12 * 100


@both
def test_the_script_gives_what_check_asks_for(tmp_path: Path, maria: Maria, reader: str) -> None:
    """Its lines are comments for psql; a DBA runs them with the server's own client."""
    user = f"scripted_{maria.name}"
    into = Copy(maria.server, f"copy_{maria.name}", maria.server.url(user, "x"))
    line = IntoMaria(tmp_path / "project", reader, into, maria)
    made = line.command("check", "--sql")
    assert made.returncode == 0, made.stderr
    part = made.stdout.partition("-- Target hub")[2]
    statements = [
        text.removeprefix("-- ").partition("  --")[0].rstrip(";").replace("'…'", "'x'")
        for text in part.splitlines()
        if text.startswith(("-- CREATE", "-- GRANT"))
    ]
    assert len(statements) == 5
    maria.execute(*statements)
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout
    with line:
        line.drained()
    assert compare_copies(maria, into) == 1
    (back,) = re.findall(r"-- the way back: (.*);$", part, re.MULTILINE)
    maria.execute(*back.split("; "), f"drop database {line.copy}")
