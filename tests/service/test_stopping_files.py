"""SIGTERM while a file's engine is in a statement that would take hours."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from tests.conftest import Database
from tests.line import Line, do, wait_until

SLOW = {
    "sqlite": (
        'create table "shop.mark" (mark text not null primary key)',
        "create table spent (n)",
        """create trigger slow after insert on "shop.mark" begin
            insert into spent with recursive n(i) as (select 1 union all select i + 1 from n
            where i < 1e12) select count(*) from n; end""",
    ),
    "duckdb": (
        "create schema shop",
        "create table shop.mark (mark varchar primary key)",
        "create table spent (n bigint)",
        """create trigger slow after insert on shop.mark referencing new table as rows
            for each statement insert into spent select count(*) from rows, range(1000000) a,
            range(1000000) b where hash(a.range + b.range) % 7 = 0""",
    ),
}
"""A row takes hours to be written."""


@pytest.mark.parametrize("kind", SLOW)
def test_a_statement_that_runs_does_not_keep_the_process(
    kind: str, database18: Database, tmp_path: Path
) -> None:
    """The supervisor has no need to kill; what was not written comes with the next start."""
    do(database18.url, "create schema shop", "create table shop.mark (mark text primary key)")
    path = tmp_path / "hub.file"
    _do(kind, path, *SLOW[kind])
    with Line(tmp_path / "project", database18.url, f"{kind}:{path}") as line:
        line.streams()
        line.write_mark("shop.mark", "one")
        turn = path.with_name("hub.file.tailrace-turn")
        wait_until(lambda: _is_held(turn), "delivery to write")
        assert line.stop() == 0
        assert "killing it" not in line.log
    _do(kind, path, "drop trigger slow" + (" on shop.mark" if kind == "duckdb" else ""))
    with line:
        name = '"shop.mark"' if kind == "sqlite" else "shop.mark"
        wait_until(lambda: _do(kind, path, f"select mark from {name}") == [("one",)], "the row")


def _do(kind: str, path: Path, *statements: str) -> list[tuple[object, ...]]:
    """Nothing while another process has the file open."""
    found: list[tuple[object, ...]] = []
    try:
        opened = sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path))
    except duckdb.IOException:
        return []
    with closing(opened) as connection:
        for statement in statements:
            found = connection.execute(statement).fetchall()
    return found


def _is_held(path: Path) -> bool:
    """For longer than anything else takes that delivery does here."""
    since = time.monotonic()
    while time.monotonic() - since < 2:
        try:
            with path.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
        except FileNotFoundError:
            return False
        except BlockingIOError:
            time.sleep(0.05)
    return True
