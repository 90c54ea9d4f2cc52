"""Two databases that are replicated into each other: what came from one is not sent back."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from cdc.mysql.settings import arguments
from tests.line import DEADLINE_S, Line, kind_of, wait_until
from tests.long import long
from tests.maria import Maria

TABLE = "create table {}.item (id integer primary key, name varchar(40))"


class BothWays(Line):
    """Two sources, which are also the two targets. Tables are in schema `schema` on either side."""

    def __init__(self, directory: Path, one: str, other: str, schema: str) -> None:
        super().__init__(directory, one, other)
        self.schema = schema
        ends = "".join(
            f'  {name}: {{type: {kind_of(url)}, url: "{url}", tables: ["{schema}.*"]}}\n'
            for name, url in (("one", one), ("other", other))
        )
        targets = "".join(
            f'  to_{name}: {{type: {kind_of(url)}, url: "{url}"}}\n'
            for name, url in (("one", one), ("other", other))
        )
        rules = f'[{{tables: ["{schema}.*"], existing: keep}}]'
        (directory / "tailrace.yml").write_text(
            f"version: 1\nproject: both{os.getpid()}\nsources:\n{ends}targets:\n{targets}"
            "pipelines:\n"
            f"  forth: {{source: one, target: to_other, replicate: {rules}}}\n"
            f"  back: {{source: other, target: to_one, replicate: {rules}}}\n"
        )

    def streaming(self) -> bool:
        return all(self.state("capture", name) == "streaming" for name in ("one", "other"))


def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    if url.startswith("postgres"):
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []
    with closing(pymysql.connect(**arguments(url), autocommit=True)) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


def count_writes(url: str, schema: str) -> None:
    """Have a trigger log every row that is written into the table."""
    if url.startswith("postgres"):
        execute(
            url,
            "create schema counted; create table counted.log (id int);"
            "create function counted.log() returns trigger language plpgsql as"
            " $$ begin insert into counted.log values (new.id); return null; end $$;"
            f"create trigger log after insert or update on {schema}.item"
            " for each row execute function counted.log()",
        )
        return
    execute(
        url,
        f"create database counted_{schema}",
        f"create table counted_{schema}.log (id int) engine = InnoDB",
        *(
            f"create trigger {schema}.log_{event} after {event} on {schema}.item for each row"
            f" insert into counted_{schema}.log values (new.id)"
            for event in ("insert", "update")
        ),
    )


def counted(url: str, schema: str) -> dict[int, int]:
    log = "counted.log" if url.startswith("postgres") else f"counted_{schema}.log"
    return dict(execute(url, f"select id, count(*) from {log} group by id"))


@pytest.mark.parametrize(
    ("maria", "kind"),
    [
        ("mariadb", "mariadb"),
        ("mysql", "postgres"),
        long("mariadb", "postgres"),
        long("mysql", "mariadb"),
    ],
    indirect=["maria"],
)
def test_what_came_from_a_database_is_not_sent_back(
    kind: str, tmp_path: Path, maria: Maria, database18, second_maria
) -> None:
    """Each row is written once where it was made and once where it goes; an echo would be a third.

    And an echo that comes late would undo what was changed meanwhile.
    """
    schema = maria.name
    one = maria.server.url()
    if kind == "postgres":
        other = database18.url
        execute(other, f"create schema {schema}")
    else:
        other = f"mariadb://root@127.0.0.1:{second_maria.port}/"
        execute(other, f"create database {schema}")
    for url in (one, other):
        execute(url, TABLE.format(schema))
        count_writes(url, schema)
    line = BothWays(tmp_path / "project", one, other, schema)
    with line:
        wait_until(line.streaming, "both captures")
        for n in range(1, 41):
            execute(one, f"insert into {schema}.item values ({n}, 'one')")
            execute(other, f"insert into {schema}.item values ({1000 + n}, 'other')")
        execute(one, f"update {schema}.item set name = 'changed' where id <= 20")
        for url in (one, other):
            wait_until(
                lambda url=url: len(execute(url, f"select 1 from {schema}.item")) == 80,
                f"all rows; {line.log[-2000:]}",
            )
        ends = {one: 5001, other: 6001}
        for url, number in ends.items():
            execute(url, f"insert into {schema}.item values ({number}, 'end')")
        for url in ends:
            wait_until(
                lambda url=url: (
                    len(execute(url, f"select 1 from {schema}.item where id > 5000")) == 2
                ),
                "the ends",
            )
        # What would be an echo of the ends has had its turn when one more row went both ways.
        for url, number in ends.items():
            execute(url, f"insert into {schema}.item values ({number + 1}, 'more')")
        for url in ends:
            wait_until(
                lambda url=url: (
                    len(execute(url, f"select 1 from {schema}.item where id > 5000")) == 4
                ),
                "what came after",
            )
        line.process.send_signal(signal.SIGTERM)
        line.process.wait(DEADLINE_S)
    rows = [sorted(execute(url, f"select id, name from {schema}.item")) for url in (one, other)]
    assert rows[0] == rows[1]
    for url in (one, other):
        found = counted(url, schema)
        assert all(times <= (2 if number <= 20 else 1) for number, times in found.items()), found
    if kind == "mariadb":
        execute(other, f"drop database {schema}", f"drop database counted_{schema}")
    execute(one, f"drop database counted_{schema}", "drop database tailrace")
