"""PostgreSQL into a SQLite or DuckDB file, as an operator runs it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import Database
from tests.line import Line, do, wait_until

KINDS = ("sqlite", "duckdb")


def ask(target: str, sql: str) -> list[tuple[Any, ...]]:
    """What the file holds; nothing where it is not there yet, or somebody has it open."""
    kind, _, path = target.partition(":")
    if not Path(path).exists():
        return []
    if kind == "sqlite":
        with closing(sqlite3.connect(path)) as connection, suppress(sqlite3.OperationalError):
            return connection.execute(sql).fetchall()
        return []
    with (
        suppress(duckdb.IOException, duckdb.CatalogException),
        duckdb.connect(path, read_only=True) as opened,
    ):
        return opened.execute(sql).fetchall()
    return []


def name(target: str, table: str) -> str:
    return f'"shop.{table}"' if target.startswith("sqlite") else f"shop.{table}"


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}:{tmp_path / 'hub.file'}"


@pytest.fixture
def source(database18: Database) -> str:
    database18.execute("create schema shop")
    return database18.url


TEXTS = (
    *("n", "large", "free", "i8", "r", "d", "b", "day", "ts", "tz", "t"),
    *("j", "u", "y", "a", "c", "iv"),
)
VALUES = """create table shop.value (id int primary key, n numeric(12,2), large numeric(30,4),
    free numeric, i8 bigint, r real, d double precision, b boolean, day date,
    ts timestamp, tz timestamptz, t time, j jsonb, u uuid, y bytea, a int[], c char(5),
    iv interval)"""
ROWS = (
    "(1, 1.50, 12345678901234567890123456.1234, 1.10, 9223372036854775807, 0.1, 0.1, true,"
    " '2024-02-29', '2024-02-29 23:59:59.123456', '2024-02-29 23:59:59+02', '24:00',"
    " '{\"a\": 1.10}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\\x00ff', '{1,NULL}', 'ab',"
    " '1 year 2 days')",
    "(2, -0.01, -0.0001, 'NaN', -9223372036854775808, 'Infinity', '-Infinity', false,"
    " '0044-03-15 BC', 'infinity', '-infinity', '00:00', 'null', null, '', '{}', '', null)",
    "(3, 9999999999.99, null, 'Infinity', null, 'NaN', 'NaN', null, 'infinity',"
    " '0044-03-15 10:00:00 BC', '0044-03-15 10:00:00+00 BC', '23:59:59.999999', '[]', null, null,"
    " null, null, null)",
)


def test_values_arrive_exactly(source: str, target: str, tmp_path: Path) -> None:
    do(source, VALUES)
    with Line(tmp_path / "project", source, target) as line:
        line.streams()
        do(source, f"insert into shop.value values {', '.join(ROWS)}")
        count = f"select count(*) from {name(target, 'value')}"
        wait_until(lambda: ask(target, count) == [(3,)], "the rows")
    if target.startswith("sqlite"):
        one, two, three = ask(target, f"select * from {name(target, 'value')} order by id")
        assert one == (
            *(1, 1.5, "12345678901234567890123456.1234", "1.10", 2**63 - 1, 0.1, 0.1, 1),
            *("2024-02-29", "2024-02-29 23:59:59.123456", "2024-02-29 21:59:59+00:00", "24:00:00"),
            *('{"a": 1.10}', "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", b"\x00\xff", "{1,NULL}"),
            *("ab", "1 year 2 days"),
        )
        assert two == (
            *(2, -0.01, "-0.0001", "NaN", -(2**63), float("inf"), float("-inf"), 0),
            *("0044-03-15 BC", "infinity", "-infinity", "00:00:00", "null", None, b"", "{}"),
            *("", None),
        )
        assert three[1:] == (
            *(9999999999.99, None, "Infinity", None, "NaN", "NaN", None, "infinity"),
            *("0044-03-15 10:00:00 BC", "0044-03-15 10:00:00+00:00 BC", "23:59:59.999999", "[]"),
            *(None, None, None, None, None),
        )
    else:
        texts = ", ".join(f"{column}::varchar" for column in TEXTS)
        found = ask(target, f"select {texts} from shop.value order by id")
        assert found == [
            (
                *("1.50", "12345678901234567890123456.1234", "1.10", str(2**63 - 1), "0.1", "0.1"),
                *("true", "2024-02-29", "2024-02-29 23:59:59.123456"),
                *("2024-02-29 21:59:59+00", "24:00:00", '{"a": 1.10}'),
                *("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", r"\x00\xFF", "{1,NULL}", "ab"),
                "1 year 2 days",
            ),
            (
                *("-0.01", "-0.0001", "NaN", str(-(2**63)), "inf", "-inf", "false"),
                *("0044-03-15 (BC)", "infinity", "-infinity", "00:00:00", "null", None, "", "{}"),
                *("", None),
            ),
            (
                *("9999999999.99", None, "Infinity", None, "nan", "nan", None, "infinity"),
                *("0044-03-15 (BC) 10:00:00", "0044-03-15 (BC) 10:00:00+00", "23:59:59.999999"),
                *("[]", None, None, None, None, None),
            ),
        ]


def test_the_quickstart_of_the_manual(source: str, tmp_path: Path) -> None:
    """As it stands there, from a project directory with nothing else in it."""
    text = (Path(__file__).parents[2] / "docs" / "embedded.md").read_text()
    do(source, "create schema sales", "create table sales.orders (id int primary key)")
    do(source, "insert into sales.orders select generate_series(1, 3)")
    line = Line(tmp_path / "acme", source, "sqlite:x", environment={"ERP_URL": source})
    (line.directory / "tailrace.yml").write_text(text.split("```yaml\n")[1].split("```")[0])
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "target hub: ok" in checked.stdout
    with line:
        query = 'select count(*) from "sales.orders"'
        wait_until(lambda: ask(f"sqlite:{line.directory}/hub.db", query) == [(3,)], "the rows")


def test_kills_lose_and_double_nothing(source: str, target: str, tmp_path: Path) -> None:
    """A trigger's count would be of the file's own; here each row counts its own updates."""
    kills = 2
    do(
        source,
        "create table shop.counter (id int primary key, n int not null)",
        "insert into shop.counter select i, 0 from generate_series(1, 200) i",
        "create table shop.log (id bigint generated always as identity primary key, t text)",
    )
    with Line(tmp_path / "project", source, target) as line:
        line.streams()
        for number in range(kills):
            do(
                source,
                "update shop.counter set n = n + 1",
                "insert into shop.log (t) select 'x' from generate_series(1, 500)",
                "delete from shop.log where id % 7 = 0",
            )
            wait_until(lambda: line.report("deliver")["pid"], "delivery")
            time.sleep(0.05 * number)  # another moment each time
            pid = line.report("deliver")["pid"]
            line.kill("deliver")
            wait_until(
                lambda pid=pid: line.report("deliver")["pid"] not in (0, pid),  # type: ignore[misc]
                "another delivery",
            )
        last = f"select count(*), max(id) from {name(target, 'log')}"
        expected = do(source, "select count(*), max(id) from shop.log")
        wait_until(lambda: ask(target, last) == expected, "all to arrive")
        counted = f"select count(*), min(n), max(n) from {name(target, 'counter')}"
        wait_until(lambda: ask(target, counted) == [(200, kills, kills)], "the counters")


def test_who_holds_the_file_is_waited_for(source: str, target: str, tmp_path: Path) -> None:
    do(source, "create table shop.mark (mark text primary key)")
    kind, _, path = target.partition(":")
    with Line(tmp_path / "project", source, target) as line:
        line.streams()
        do(source, "insert into shop.mark values ('before')")
        query = f"select mark from {name(target, 'mark')} order by 1"
        wait_until(lambda: ask(target, query) == [("before",)], "it to arrive")
        if kind == "sqlite":
            holder: Any = sqlite3.connect(path, isolation_level=None)
            holder.execute("begin immediate")
        else:
            holder = _opened(path)
        do(source, "insert into shop.mark values ('during')")
        wait_until(lambda: line.state("deliver") == "retrying", "delivery to say that it waits")
        error = line.report("deliver")["error"]
        assert "another program" in str(error) or "locked" in str(error)
        holder.close()
        wait_until(lambda: ask(target, query) == [("before",), ("during",)], "it to arrive")


def _opened(path: str) -> duckdb.DuckDBPyConnection:
    found: list[duckdb.DuckDBPyConnection] = []

    def opens() -> bool:
        with suppress(duckdb.IOException):
            found.append(duckdb.connect(path))
        return bool(found)

    wait_until(opens, "the file to be free between transactions")
    return found[0]
