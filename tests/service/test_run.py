"""`tailrace run` as an operator meets it: faults, recovery, stopping, what it says of itself."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.line import DEADLINE_S, Line, content, do, is_gone, wait_until

TABLES = """
create schema shop;
create table shop.mark (mark text primary key);
create table shop.item (id int primary key, name text, amount numeric(12,2));
insert into shop.item select g, 'item ' || g, g from generate_series(1, 500) g;
"""


@pytest.fixture
def line(tmp_path: Path, database18, second_database18) -> Line:
    database18.execute(TABLES)
    return Line(tmp_path / "project", database18.url, second_database18.url)


def same(line: Line, table: str = "shop.item") -> None:
    assert content(line.source, table) == content(line.target, table)


def test_snapshot_then_stream_then_a_clean_stop(line: Line) -> None:
    with line:
        line.streams()
        line.arrives()
        do(
            line.source,
            "update shop.item set name = 'x' where id <= 10",
            "update shop.item set id = id + 1000 where id between 20 and 30",
            "delete from shop.item where id > 400 and id < 500",
            "insert into shop.item values (5000, null, 'NaN')",
            "begin; update shop.item set name = 'never'; rollback",
        )
        line.arrives()
        same(line)
        wait_until(lambda: line.get("/readyz")[0] == 200, "readiness")
        assert line.get("/livez")[0] == 200
        status, metrics = line.get("/metrics")
        assert status == 200
        assert 'tailrace_captured_rows_total{operation="r",source="erp",table="shop.item"} 500' in (
            metrics
        )
        shown = line.command("status", "-o", "json")
        assert shown.returncode == 0, shown.stdout
        pids = [line.report(role)["pid"] for role in ("capture", "deliver")]
        assert line.stop() == 0
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_a_truncate_arrives(line: Line) -> None:
    with line:
        line.streams()
        do(line.source, "truncate shop.item", "insert into shop.item values (1, 'after', 1)")
        line.arrives()
        assert content(line.target, "shop.item") == ["(1,after,1.00)"]


def test_a_restart_goes_on_where_it_was(line: Line) -> None:
    with line:
        line.streams()
        line.arrives()
    do(line.source, "update shop.item set name = 'while away'")
    with line:
        line.arrives()
        same(line)


def test_a_target_that_is_down_pauses_delivery_only(
    tmp_path: Path, database18, second_database18
) -> None:
    database18.execute(TABLES)
    line = Line(tmp_path / "project", database18.url, second_database18.url)
    name = second_database18.name
    with line:
        line.streams()
        line.arrives()
        server = second_database18.server
        server.execute(f"alter database {name} allow_connections false")
        server.execute(
            f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{name}'"
        )
        do(line.source, "update shop.item set name = 'meanwhile'")
        wait_until(lambda: line.state("deliver") == "retrying", "delivery to notice")
        assert line.get("/readyz")[0] == 503
        before = line.report("capture")["facts"]["rows_captured"]
        do(line.source, "update shop.item set name = 'captured all the same'")
        wait_until(
            lambda: line.report("capture")["facts"]["rows_captured"] >= before + 500,
            "capture to go on",
        )
        server.execute(f"alter database {name} allow_connections true")
        line.arrives()
        same(line)


def test_a_value_that_does_not_fit_waits_and_nothing_is_lost(line: Line) -> None:
    with line:
        line.streams()
        line.arrives()
        do(line.target, "alter table shop.item add check (amount < 1000)")
        do(
            line.source,
            "insert into shop.item values (9001, 'fine', 1)",
            "insert into shop.item values (9002, 'secret', 4000)",
            "insert into shop.item values (9003, 'after', 1)",
        )
        line.arrives()
        with psycopg.connect(line.target) as target:
            ids = target.execute("select id from shop.item where id > 9000 order by id").fetchall()
        assert ids == [(9001,), (9003,)]
        wait_until(lambda: line.report("deliver")["facts"].get("parked") == 1, "a report of it")
        listed = line.command("exceptions", "list")
        assert "target:shop.item:item_amount_check:23514" in listed.stdout
        assert "secret" not in line.log + listed.stdout
        assert line.stop() == 0
    do(line.target, "alter table shop.item drop constraint item_amount_check")
    asked = line.command(
        "exceptions", "replay", "--cause", "target:shop.item:item_amount_check:23514"
    )
    assert asked.returncode == 0
    assert "the next delivery does it" in asked.stdout
    with line:
        line.arrives()
        same(line)


def test_a_dropped_slot_is_a_gap_and_stops_capture(line: Line) -> None:
    with line:
        line.streams()
        line.arrives()
    do(line.source, f"select pg_drop_replication_slot('{line.slot}')")
    with line:
        wait_until(lambda: line.state("capture") == "failed", "capture to stop")
        error = line.report("capture")["error"]
        assert error["kind"] == "ContinuityError"
        assert error["fix"]


def test_two_runs_of_one_project_are_refused(line: Line) -> None:
    with line:
        line.streams()
        second = line.command("run", "--listen", "127.0.0.1:0")
        assert second.returncode == 1
        assert "another `tailrace run`" in second.stderr
        line.arrives()


def test_workers_end_with_their_supervisor(line: Line) -> None:
    with line:
        line.streams()
        line.arrives()
        pids = [line.report(role)["pid"] for role in ("capture", "deliver")]
        line.process.send_signal(signal.SIGKILL)
        line.process.wait(DEADLINE_S)
        wait_until(lambda: all(map(is_gone, pids)), "the workers to end")


def test_remove_leaves_nothing_at_the_source(line: Line) -> None:
    with line:
        line.streams()
        running = line.command("remove", "erp", "--yes")
        assert running.returncode == 1, "refused while capture runs"
    removed = line.command("remove", "erp", "--yes")
    assert removed.returncode == 0, removed.stderr
    with psycopg.connect(line.source) as connection:
        found = connection.execute(
            "select (select count(*) from pg_publication),"
            " (select count(*) from pg_replication_slots where slot_name = %s)",
            (line.slot,),
        ).fetchone()
    assert found == (0, 0)


def test_deliver_once_drains_and_exits(line: Line) -> None:
    capture = line.start("capture", "erp")
    try:
        line.streams()
        wait_until(
            lambda: line.report("capture")["facts"].get("journal_last"), "entries in the journal"
        )
        assert line.command("deliver", "line", "--once").returncode == 0
        same(line)
    finally:
        capture.terminate()
        capture.wait(DEADLINE_S)


def test_uncompiled_modules_do_the_same(tmp_path: Path, database18, second_database18) -> None:
    database18.execute(TABLES)
    line = Line(
        tmp_path / "project",
        database18.url,
        second_database18.url,
        environment={"TAILRACE_PURE": "1"},
    )
    with line:
        line.streams()
        do(line.source, "update shop.item set name = 'pure'")
        line.arrives()
        same(line)


def test_a_huge_transaction_is_one_at_the_target(line: Line) -> None:
    """It spans several change sets; no reader sees a part of it."""
    with line:
        line.streams()
        line.arrives()
        counts = set()
        do(
            line.source,
            "insert into shop.item select g, 'big', 1 from generate_series(1000, 150999) g",
        )
        with psycopg.connect(line.target, autocommit=True) as connection:

            def seen() -> bool:
                row = connection.execute("select count(*) from shop.item where id >= 1000")
                counts.add(row.fetchone()[0])  # type: ignore[index]
                return max(counts) == 150_000

            wait_until(seen, "the transaction")
        assert counts <= {0, 150_000}
        line.arrives()
        same(line)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system is mounted as root only")
def test_a_full_disk_stops_capture_without_acknowledging(line: Line) -> None:
    state = line.directory / ".tailrace"
    state.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", state], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode().strip()}")
    try:
        with line:
            line.streams()
            line.arrives()
            do(
                line.source,
                "insert into shop.item select g, repeat(md5(g::text), 9), 1"
                " from generate_series(1000, 60000) g",
            )
            done = position(line)
            wait_until(lambda: line.state("capture") == "retrying", "capture to notice")
            assert line.report("capture")["error"]["kind"] == "JournalFull"
            assert confirmed(line) < done
            wait_until(lambda: line.get("/readyz")[0] == 503, "readiness to end")
            subprocess.run(["mount", "-o", "remount,size=256m", state], check=True)
            line.arrives()
            same(line)
            wait_until(lambda: confirmed(line) >= done, "the acknowledgement")
            assert line.stop() == 0
    finally:
        subprocess.run(["umount", "-l", state], check=True)


def position(line: Line) -> int:
    return _lsn(line, "pg_current_wal_lsn() - '0/0'")


def confirmed(line: Line) -> int:
    """What the source was told is durable."""
    return _lsn(
        line,
        "(select confirmed_flush_lsn - '0/0' from pg_replication_slots"
        f" where slot_name = '{line.slot}')",
    )


def _lsn(line: Line, expression: str) -> int:
    with psycopg.connect(line.source) as connection:
        row = connection.execute(f"select {expression}".encode()).fetchone()
        assert row is not None
        return int(row[0])


def test_the_older_of_two_deliveries_ends_as_fenced(line: Line) -> None:
    capture = line.start("capture", "erp")
    older = line.start("deliver", "line")
    newer = None
    try:
        line.streams()
        line.arrives()
        newer = line.start("deliver", "line")
        # Until it has taken over, the older one may still write: that is no fault.
        wait_until(lambda: line.log.count('"delivering"') == 2, "the newer one to take over")
        line.arrives()
        assert older.wait(DEADLINE_S) == 1
        assert "another process has taken this pipeline over" in line.log
        line.arrives()
        same(line)
    finally:
        for process in (older, newer, capture):
            if process is not None:
                process.terminate()
                process.wait(DEADLINE_S)
