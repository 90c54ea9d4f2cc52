"""Databases that nobody here wrote, replicated and compared in full."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from tests.line import Line, content, wait_until

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def load(url: str, sql: str) -> list[str]:
    """Run a dump; give the tables it made."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set check_function_bodies = off")
        connection.execute(sql.encode())
        connection.execute("create table public.mark (mark text primary key)")
        rows = connection.execute(
            "select quote_ident(relname) from pg_class where relkind = 'r'"
            " and relnamespace = 'public'::regnamespace"
        ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    "name", ["northwind/northwind.sql", "chinook/Chinook_PostgreSql.sql"], ids=lambda n: n[:9]
)
def test_a_whole_database(name: str, tmp_path: Path, database18, second_database18) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not beside this checkout")
    text = path.read_text(encoding="utf-8-sig")
    text = re.sub(r"(?im)^\s*(drop database|create database|\\c).*$", "", text)
    tables = load(database18.url, text)
    assert len(tables) > 8
    line = Line(
        tmp_path / "project",
        database18.url,
        second_database18.url,
        tables="public.*",
        rules='- {tables: [public.*], into: "{schema}.{table}"}',
    )
    with line:
        wait_until(lambda: line.state("capture") in ("streaming", "failed"), "the snapshot")
        line.arrives("public.mark")
        for table in tables:
            assert content(line.source, table) == content(line.target, table), table
        change_everything(line.source, tables)
        line.arrives("public.mark")
        for table in tables:
            assert content(line.source, table) == content(line.target, table), table


def change_everything(url: str, tables: list[str]) -> None:
    """Touch each row of each table, and delete a few that nothing refers to."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in tables:
            columns = connection.execute(
                "select quote_ident(attname) from pg_attribute where attrelid = %s::regclass"
                " and attnum > 0 and not attisdropped order by attnum desc limit 1",
                (table,),
            ).fetchone()
            assert columns is not None
            connection.execute(f"update {table} set {columns[0]} = {columns[0]}".encode())
            try:
                connection.execute(
                    f"delete from {table} where ctid in (select ctid from {table} limit 3)".encode()
                )
            except psycopg.errors.ForeignKeyViolation:
                continue
