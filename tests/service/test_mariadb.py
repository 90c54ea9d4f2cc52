"""`tailrace run` with a MariaDB source and a PostgreSQL target."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.mysql.catalog import CatalogTable, read_charsets, read_tables
from cdc.mysql.session import connect, query
from cdc.mysql.snapshot import _columns, quoted_table, shown
from cdc.patterns import Patterns
from tests.line import Line, wait_until
from tests.maria import Maria, chinook


class MariaLine(Line):
    def __init__(self, directory: Path, maria: Maria, user: str, target: str, **more: Any) -> None:
        self.maria = maria
        url = f"mariadb://{user}@127.0.0.1:{maria.server.port}/"
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
        columns = _columns(table, rows, opening=False)
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


ITEMS = (
    "create table item (id int primary key, name varchar(40), amount decimal(12,2), f float,"
    " g double, changed timestamp(6) null, t time, b blob, e enum('a','ö'), active bit(1))",
    "insert into item select seq, concat('item ', seq), seq / 3, seq / 7, seq / 9,"
    " '2024-01-01 00:00:00.5' + interval seq hour, '-01:02:03', unhex(hex(seq)), 'ö', 1"
    " from seq_1_to_3000",
)


def test_snapshot_stream_and_restart(tmp_path: Path, maria: Maria, user: str, database18) -> None:
    maria.execute(*ITEMS)
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


def killed(line: MariaLine, role: str) -> bool:
    pid = line.report(role)["pid"]
    if not pid:
        return False
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def test_kills_lose_and_double_nothing(tmp_path: Path, maria: Maria, user: str, database18) -> None:
    maria.execute(*ITEMS, "create table log (id int auto_increment primary key, item int)")
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
            wait_until(lambda role=role: killed(line, role), f"a {role} to kill")
            maria.execute("delete from item order by id limit 3")
        line.drained()
        line.compare()
        assert line.process.poll() is None


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


def test_discovered_mappings_make_entities(
    tmp_path: Path, maria: Maria, user: str, database18
) -> None:
    maria.execute(*ITEMS)
    line = MariaLine(tmp_path / "project", maria, user, database18.url)
    found = line.command("discover", "erp", "-o", "json")
    assert found.returncode == 0, found.stderr
    config = line.directory / "tailrace.yml"
    head = config.read_text().partition("    replicate:")[0]
    config.write_text(head + "    mappings: [erp_item, erp_mark]\n")
    mapping = line.directory / "mappings" / "erp_item.yml"
    text = mapping.read_text()
    mapping.write_text(
        re.sub(r"(?m)^  name: .*$", "  name: \"upper(name) || ' (' || e || ')'\"", text)
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
