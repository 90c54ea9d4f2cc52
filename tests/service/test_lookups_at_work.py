"""Lookups as an operator meets them: a snapshot, changes, a missing line, restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.projects import write
from tests.line import Line, do

TABLES = """
create schema shop;
create table shop.mark (mark text primary key);
create table shop.customer (id int primary key, terms int);
create table shop.terms (nr int primary key, days int);
insert into shop.terms select g, g * 10 from generate_series(1, 3) g;
insert into shop.customer select g, g % 3 + 1 from generate_series(1, 30) g;
"""
MAPPED = "[{tables: [shop.mark], into: '{schema}.{table}'}]\n    mappings: [customer]"
ENTITY = """
entity: customer
key: [id]
fields:
  id: {type: integer, required: true}
  days: {type: integer}
"""
MAPPING = """
mapping: customer
entity: customer
table: shop.customer
key: {id: id}
fields: {days: t.days}
lookups:
  t: {table: shop.terms, on: t.nr = terms}
"""


@pytest.fixture
def line(tmp_path: Path, database18, second_database18) -> Line:
    database18.execute(TABLES)
    line = Line(tmp_path / "project", database18.url, second_database18.url, rules=MAPPED)
    write(line.directory, {"entities/customer.yml": ENTITY, "mappings/customer.yml": MAPPING})
    return line


def days(line: Line, id: int) -> list[int | None]:
    return [row[0] for row in do(line.target, f"select days from customer where id = {id}")]


def test_rows_find_the_line_of_their_own_time(line: Line) -> None:
    assert line.command("check").returncode == 0
    with line:
        line.streams()
        line.arrives()
        assert do(line.target, "select count(*), sum(days) from customer") == [(30, 600)]
        do(line.source, "update shop.terms set days = 77 where nr = 1")
        do(
            line.source,
            "begin; insert into shop.customer values (100, 9), (101, 1);"
            " insert into shop.terms values (9, 90); commit",
        )
        line.arrives()
        assert (days(line, 100), days(line, 101)) == ([90], [77])
        assert days(line, 3) == [10]  # written before
        pid = line.report("deliver")["pid"]
        line.kill("deliver")
        do(line.source, "insert into shop.customer values (102, 1), (103, 9)")
        line.arrives()
        assert line.report("deliver")["pid"] != pid
        assert (days(line, 102), days(line, 103)) == ([77], [90])
        do(line.source, "insert into shop.customer values (104, 4)")
        line.arrives()
        assert days(line, 104) == []
        (one,) = line.desk()["exceptions"]
        assert (one["cause"]["at"], one["cause"]["reason"]) == ("customer", "missing")
        do(line.source, "insert into shop.terms values (4, 40)")
        line.arrives()
        replayed = line.command("exceptions", "replay", "--cause", "mapping:customer:t:missing")
        assert replayed.returncode == 0, replayed.stderr
        assert days(line, 104) == [40]
        preview = line.command("preview", "customer")
        assert preview.returncode == 0, preview.stderr
        assert line.stop() == 0


def test_a_lookup_that_was_declared_later_finds_what_the_journal_still_has(line: Line) -> None:
    mapping = line.directory / "mappings" / "customer.yml"
    mapping.write_text(MAPPING.split("lookups:")[0].replace("t.days", "terms"))
    with line:
        line.streams()
        line.arrives()
    mapping.write_text(MAPPING)
    do(line.source, "insert into shop.customer values (100, 3)")
    with line:
        line.streams()
        line.arrives()
        assert days(line, 100) == [30]
    copy = line.directory / ".tailrace" / "lookups" / "line.json"
    assert copy.stat().st_mode & 0o77 == 0
