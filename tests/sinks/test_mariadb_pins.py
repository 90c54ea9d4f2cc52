"""What a server may be set to while our sessions are as we need them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any, TypeAlias

import pymysql
import pytest

from cdc.mysql import session
from sinks.conformance import TABLE, apply, changes, delete, opened, upsert
from sinks.mysql.products import MARIADB
from sinks.mysql.session import SQL_MODE, connect, query
from tailrace.errors import TargetRefused
from tests.sinks.maria_harness import MariadbHarness

Session: TypeAlias = "pymysql.Connection[Any]"

BOTH = {
    "time_zone": ("'+07:00'", "+00:00"),
    "completion_type": ("'CHAIN'", "NO_CHAIN"),
    "foreign_key_checks": ("0", 1),
    "unique_checks": ("0", 1),
    "sql_notes": ("0", 1),
    "sql_mode": ("'ANSI,NO_BACKSLASH_ESCAPES'", sorted(SQL_MODE.split(","))),
    "sql_safe_updates": ("1", 0),
    "sql_big_selects": ("0", 1),
    "sql_select_limit": ("1", 18446744073709551615),
    "sql_auto_is_null": ("1", 0),
    "lc_messages": ("'de_DE'", "en_US"),
    "wait_timeout": ("5", 31536000),
    "net_read_timeout": ("5", 600),
    "net_write_timeout": ("5", 600),
    "innodb_lock_wait_timeout": ("1", 50),
    "lock_wait_timeout": ("1", 50),
}
MARIADB_ALONE = {
    "max_statement_time": ("1", 0),
    "idle_transaction_timeout": ("1", 0),
    "idle_write_transaction_timeout": ("1", 0),
    "tx_isolation": ("'SERIALIZABLE'", "READ-COMMITTED"),
    "check_constraint_checks": ("0", 1),
}
MYSQL_ALONE = {
    "max_execution_time": ("1000", 0),
    "transaction_isolation": ("'SERIALIZABLE'", "READ-COMMITTED"),
}


def test_a_session_has_its_own_settings(maria_harness: MariadbHarness) -> None:
    alone = MARIADB_ALONE if maria_harness.product is MARIADB else MYSQL_ALONE
    wanted = {**BOTH, **alone}
    with ExitStack() as settings:
        for name, (value, _) in wanted.items():
            settings.enter_context(maria_harness.setting(name, value))
        connection = connect(maria_harness.url, "line", maria_harness.product)
    with closing(connection):
        names = ", ".join(f"@@session.{name}" for name in wanted)
        (values,) = query(connection, f"select {names}")
    found = dict(zip(wanted, values, strict=True))
    found["sql_mode"] = sorted(found["sql_mode"].split(","))
    assert found == {name: own for name, (_, own) in wanted.items()}


def to_target(harness: MariadbHarness) -> Session:
    return connect(harness.url, "line", harness.product)


def to_source(harness: MariadbHarness) -> Session:
    return session.connect(harness.url)


@pytest.mark.parametrize("opening", [to_target, to_source])
def test_nothing_that_may_be_cut_short_comes_before_its_time_is_unlimited(
    opening: Callable[[MariadbHarness], Session], maria_harness: MariadbHarness
) -> None:
    """These servers limit what reads, never a SET."""
    of_mariadb = maria_harness.product is MARIADB
    limit = "max_statement_time" if of_mariadb else "max_execution_time"
    with (
        maria_harness.setting("log_output", "'TABLE'"),
        maria_harness.setting("general_log", 1),
        closing(opening(maria_harness)) as connection,
    ):
        logged = maria_harness.execute(
            "select convert(argument using utf8mb4) from mysql.general_log where command_type ="
            f" 'Query' and thread_id = {connection.thread_id()} order by event_time"
        )
    statements = [str(text).lower() for (text,) in logged]
    first = next(n for n, text in enumerate(statements) if limit in text)
    assert all(text.startswith("set ") for text in statements[: first + 1])


@pytest.mark.parametrize("rows", [3, 40])
def test_settings_of_the_server_change_nothing(rows: int, maria_harness: MariadbHarness) -> None:
    """With an index on what is AUTO_INCREMENT, and an error that names its column."""
    maria_harness.execute(
        "create database shop",
        "create table shop.item (id int auto_increment primary key, code longtext,"
        " amount decimal(12, 2) check (amount < 100))",
    )
    with ExitStack() as settings:
        for name in ("sql_mode", "sql_safe_updates", "sql_auto_is_null", "lc_messages"):
            settings.enter_context(maria_harness.setting(name, BOTH[name][0]))
        settings.enter_context(maria_harness.setting("max_join_size", 1))
        sink = opened(maria_harness)
    given = [upsert(str(n), "a\\'", "1") for n in range(rows)]
    apply(sink, 1, changes(TABLE, *given, fresh=True))
    apply(sink, 2, changes(TABLE, *given, *(upsert(str(n + rows), "b", "1") for n in range(rows))))
    apply(sink, 3, changes(TABLE, *(delete(str(n), None, None) for n in range(rows))))
    assert maria_harness.rows(TABLE) == {(str(n + rows), "b", "1.00") for n in range(rows)}
    for bad, column in (("words", "amount"), ("100", None)):
        given[2] = upsert("2", "a", bad)
        with pytest.raises(TargetRefused) as raised:
            sink.write([changes(TABLE, *given)])
        assert raised.value.seq == 2  # type: ignore[attr-defined]
        assert raised.value.where.get("column") == column
        sink.rollback()
        sink.prepare([TABLE])
