"""`tailrace run` with a source whose log does not name columns."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.line import DEADLINE_S, wait_until
from tests.maria import Maria, both, both_in_length, chinook
from tests.service.test_mariadb import MariaLine, user

__all__ = ["user"]


@pytest.fixture
def unnamed(maria: Maria) -> Iterator[Maria]:
    """The database, while its server logs what it would by default."""
    default = "MINIMAL" if maria.kind == "mysql" else "NO_LOG"
    maria.execute(f"set global binlog_row_metadata = {default}")
    yield maria
    maria.execute("set global binlog_row_metadata = FULL")


@both_in_length
def test_chinook(tmp_path: Path, unnamed: Maria, user: str, database18) -> None:
    unnamed.execute(*chinook())
    line = MariaLine(tmp_path / "project", unnamed, user, database18.url)
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout
    assert "DDL that it does not understand will stop capture" in checked.stdout
    with line:
        line.drained()
        assert line.compare() > 15_000
        unnamed.execute(
            "alter table Track modify Milliseconds integer not null first",
            "update Track set UnitPrice = UnitPrice + 1, Composer = nullif(Composer, 'AC/DC')",
            "alter table Customer modify FirstName varchar(40) not null after Email",
            "update Customer set FirstName = upper(FirstName)",
            "delete from PlaylistTrack where PlaylistId = 1",
            "insert into Genre values (900, 'Änderungen')",
        )
        line.drained()
        line.compare()
        assert line.process.poll() is None


LARGE = 40_000
"""Rows of more than one set."""
KILLS = (
    ("capture.read", 1),
    ("capture.journaled", 1),
    ("capture.before_ack", 1),
    ("capture.read", 2),
    ("capture.journaled", 2),
)


@both
def test_kills_around_alters(tmp_path: Path, unnamed: Maria, user: str, database18) -> None:
    """Columns of one type change places, which nothing but the history tells apart."""
    unnamed.execute(
        "create table item (id int primary key, a int, b int, c int, d int)",
        "insert into item values (0, 1, 2, 3, 4)",
    )
    line = MariaLine(tmp_path / "project", unnamed, user, database18.url)
    with line:
        line.drained()
    number = 0

    def change() -> None:
        """Rows before, between and behind two ALTERs that move a column; no row is written twice,
        so that one that is misread stays so."""
        nonlocal number
        for alter in (
            f"alter table item modify {'abcd'[number % 4]} int after id",
            f"alter table item modify {'dabc'[number % 3]} int first",
        ):
            number += 1
            unnamed.execute(
                f"insert into item (id, a, b, c, d) values ({10 * number}, 1, 2, 3, 4)",
                alter,
                f"insert into item (id, a, b, c, d) values ({10 * number + 1}, 1, 2, 3, 4)",
            )

    for failpoint, nth in KILLS:
        change()
        process = line.start("capture", "erp", failpoint=f"{failpoint}={nth}")
        deadline = time.monotonic() + DEADLINE_S
        while process.poll() is None:
            change()
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
            assert time.monotonic() < deadline, failpoint
        assert process.returncode == -signal.SIGKILL
    # A set of a transaction that is not whole is stored, and with it what was altered before; the
    # journal's position is still in front of that.
    change()
    unnamed.execute(
        "insert into item (id, a, b, c, d)"
        f" select 1000000 + n, 1, 2, 3, 4 from {unnamed.numbers(1, LARGE)}"
    )
    process = line.start("capture", "erp", failpoint="capture.journaled=1")
    assert process.wait(DEADLINE_S) == -signal.SIGKILL
    change()
    with line:
        line.drained()
        assert line.compare() == 1 + 2 * number + LARGE + 2
        assert line.process.poll() is None


@both
def test_a_statement_that_is_not_understood(
    tmp_path: Path, unnamed: Maria, user: str, database18
) -> None:
    unnamed.execute("create table item (id int primary key, a int)")
    line = MariaLine(tmp_path / "project", unnamed, user, database18.url)
    with line:
        line.drained()
        more = "vector(2)" if unnamed.kind == "mysql" else "point, character set default"
        unnamed.execute(f"alter table item add column place {more}")
        wait_until(lambda: line.state("capture") == "failed", "capture to stop")
        error = line.report("capture")["error"]
    assert error["where"]["statement"].startswith("alter table item add column place")
    assert "binlog_row_metadata = FULL" in error["fix"]
