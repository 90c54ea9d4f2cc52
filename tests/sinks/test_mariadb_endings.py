"""Transactions that the target ends by itself, and waits that must end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import sinks.mysql.session as session
from sinks.composite_conformance import customer
from sinks.conformance import JOURNAL, TABLE, apply, changes, opened, upsert
from sinks.mysql.products import MYSQL
from sinks.rowtext import PIECE_ROWS
from tailrace.errors import TargetUnavailable
from tests.line import wait_until
from tests.sinks.maria_harness import MariadbHarness, only_mariadb


@contextmanager
def application(harness: MariadbHarness) -> Iterator[Any]:
    """A session of somebody else's in database `shop`, in a transaction."""
    connection = harness.server.connect("shop")
    with connection.cursor() as cursor:
        cursor.execute("start transaction")
        yield cursor
    connection.close()


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[list[Exception]]:
    """Work goes on in a thread; its error, if any, is told at the end."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield failed
    thread.join(200)
    assert not thread.is_alive()


@pytest.mark.parametrize("held", [5, 3 * PIECE_ROWS - 1])
def test_nothing_of_a_bulk_outlives_its_transaction(
    held: int, maria_harness: MariadbHarness
) -> None:
    """In a deadlock the server rolls us back, who are the lighter, and goes on to execute the piece
    that has arrived behind the one that waited."""
    is_mysql = maria_harness.product is MYSQL
    with maria_harness.setting("max_allowed_packet", 1 << 18):  # or MySQL gets all at once
        sink = opened(maria_harness)
    apply(sink, 1, changes(TABLE, upsert("-1", "a", "1")))
    given = changes(TABLE, *(upsert(str(n), "b", "1") for n in range(4 * PIECE_ROWS)), fresh=True)
    with application(maria_harness) as theirs:
        theirs.execute(f"insert into item values ({held}, 'theirs', 0)")
        limit = "cte_max_recursion_depth" if is_mysql else "max_recursive_iterations"
        theirs.execute(f"set {limit} = 40000")
        theirs.execute(
            "insert into item with recursive seq (n) as (select 100 union all select n + 1 from seq"
            " where n < 40000) select -n, 'theirs', 0 from seq"
        )
        with beside(lambda: sink.write([given])) as failed:
            wait_until(maria_harness.has_waiting_transaction, "our wait for their row")
            theirs.execute("insert into item values (0, 'theirs', 0)")
        theirs.execute("rollback")
    assert [type(error) for error in failed] == [TargetUnavailable]
    assert isinstance(failed[0], TargetUnavailable)
    assert failed[0].where["errno"] == 1213
    sink.rollback()
    assert maria_harness.rows(TABLE) == {("-1", "a", "1.00")}
    assert maria_harness.execute("select journal_offset from tailrace.checkpoint") == [(1,)]
    sink.prepare([TABLE])
    apply(sink, 2, given)
    assert len(maria_harness.rows(TABLE)) == 4 * PIECE_ROWS + 1


def test_a_deadlock_among_rows_that_are_sent_together(maria_harness: MariadbHarness) -> None:
    """Behind one that was guessed to be there: there is nothing left that could be undone."""
    sink = opened(maria_harness)
    apply(sink, 1, changes(TABLE, *(upsert(str(n), "a", "1") for n in range(3))))
    given = changes(TABLE, *(upsert(key, "b", "1") for key in ("9", "0", "1", "2")))
    with application(maria_harness) as theirs:
        theirs.execute("update item set code = 'theirs' where id = 1")
        many = ", ".join(f"({-n}, 'theirs', 0)" for n in range(1, 2000))
        theirs.execute(f"insert into item values {many}")
        with beside(lambda: sink.write([given])) as failed:
            wait_until(maria_harness.has_waiting_transaction, "our wait for their row")
            theirs.execute("update item set code = 'theirs' where id = 0")
        theirs.execute("rollback")
    assert [type(error) for error in failed] == [TargetUnavailable]
    assert isinstance(failed[0], TargetUnavailable)
    assert failed[0].where["errno"] == 1213
    sink.rollback()
    sink.prepare([TABLE])
    apply(sink, 2, given)
    assert {row[1] for row in maria_harness.rows(TABLE)} == {"b"}


@only_mariadb
def test_a_connection_that_ended_is_told_when_an_entity_is_prepared(
    maria_harness: MariadbHarness,
) -> None:
    sink = maria_harness.sink()
    sink.open(JOURNAL)
    maria_harness.execute(f"kill connection {sink._connected.thread_id()}")
    with pytest.raises(TargetUnavailable):
        sink.prepare(customer().tables)


def test_a_wait_behind_an_alter_ends(
    maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers wait for a table's definition for a year, or a day."""
    shorter = session.PINS.replace(", lock_wait_timeout = 50", ", lock_wait_timeout = 1")
    monkeypatch.setattr(session, "PINS", shorter)
    sink = opened(maria_harness)
    given = changes(TABLE, *(upsert(str(n), "b", "1") for n in range(40)))
    with (
        application(maria_harness) as theirs,
        application(maria_harness) as altering,
    ):
        theirs.execute("select * from item")
        with beside(lambda: altering.execute("alter table item add more int")):
            wait_until(lambda: somebody_waits_for_a_table(maria_harness), "the ALTER to wait")
            with beside(lambda: sink.write([given])) as failed:
                pass
            assert [type(error) for error in failed] == [TargetUnavailable]
            theirs.execute("rollback")
    sink.rollback()
    sink.prepare([TABLE])
    apply(sink, 1, given)
    assert len(maria_harness.rows(TABLE)) == 40


@pytest.mark.parametrize("rows", [3, 40])
def test_a_wait_behind_a_locked_table_ends(
    rows: int, maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = session.PINS.replace(", lock_wait_timeout = 50", ", lock_wait_timeout = 1")
    monkeypatch.setattr(session, "PINS", shorter)
    sink = opened(maria_harness)
    given = changes(TABLE, *(upsert(str(n), "b", "1") for n in range(rows)))
    with application(maria_harness) as theirs:
        theirs.execute("lock tables item write")
        with pytest.raises(TargetUnavailable) as raised:
            sink.write([given])
        assert raised.value.where["errno"] == 1205
        theirs.execute("unlock tables")
    sink.rollback()
    sink.prepare([TABLE])
    apply(sink, 1, given)
    assert len(maria_harness.rows(TABLE)) == rows


def somebody_waits_for_a_table(harness: MariadbHarness) -> bool:
    return bool(
        harness.execute(
            "select 1 from information_schema.processlist where state like '%metadata lock%'"
        )
    )


@only_mariadb
def test_a_tmpdir_that_takes_nothing_refuses_no_row(maria_harness: MariadbHarness) -> None:
    """Rows are staged in it. Full or gone, it says so by numbers of the operating system's kind."""
    sink = opened(maria_harness)
    given = changes(TABLE, *(upsert(str(n), "b", "1") for n in range(40)))
    tmpdir = Path(maria_harness.execute("select @@tmpdir")[0][0])
    away = tmpdir.rename(tmpdir.with_name("away"))
    try:
        with pytest.raises(TargetUnavailable) as raised:
            sink.write([given])
    finally:
        away.rename(tmpdir)
    assert raised.value.where["errno"] == 1
    sink.rollback()
    sink.prepare([TABLE])
    apply(sink, 1, given)
    assert len(maria_harness.rows(TABLE)) == 40
