"""What a MySQL server may be set to, and say, where it is a target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sinks.mysql.sink as module
import sinks.mysql.wire as wire
from cdc.schema import TableName
from sinks.conformance import CASES, JOURNAL, TABLE, Harness, apply, changes, delete, opened, upsert
from sinks.mysql.products import MARIADB, MYSQL, verified
from sinks.mysql.session import connect, query
from sinks.mysql.sink import MariadbSink
from tailrace.errors import TargetRefused, TargetUnavailable
from tests.localmysql import LocalMysql, mysql_server
from tests.sinks.maria_harness import MariadbHarness, only_mysql
from transforms.rows import TargetColumn, TargetTable

AWKWARD = {
    "tls_version": "",
    "sql_require_primary_key": "ON",
    "sql_generate_invisible_primary_key": "ON",
    "sql_mode": "ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,ALLOW_INVALID_DATES",
    "max_execution_time": "1",
    "transaction_isolation": "SERIALIZABLE",
    "character_set_server": "latin1",
    "default_time_zone": "+07:00",
    "innodb_data_file_path": "ibdata1:12M:autoextend:max:24M",  # for tables without their own file
}
"""A DBA's choices: the session has its own."""


@pytest.fixture(scope="module")
def awkward() -> Iterator[LocalMysql]:
    with mysql_server(AWKWARD) as server:
        server.execute(
            "set global sql_safe_updates = 1",
            "set global sql_select_limit = 1",
            "set global foreign_key_checks = 0",
            "set global unique_checks = 0",
        )
        yield server


class _Awkward(MariadbHarness):
    def execute(self, *sql: str) -> list[tuple[Any, ...]]:
        """What the tests ask is not cut short."""
        unlimited = "set max_execution_time = 0, sql_select_limit = 18446744073709551615"
        return super().execute(unlimited, *sql)


@pytest.fixture
def awkward_harness(awkward: LocalMysql) -> Iterator[MariadbHarness]:
    harness = _Awkward(awkward, MYSQL)
    yield harness
    harness.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_settings_of_the_server_change_nothing(
    case: Callable[[Harness], None],
    awkward_harness: MariadbHarness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", 0)
    case(awkward_harness)


def test_a_full_disk_refuses_no_row(awkward_harness: MariadbHarness) -> None:
    """A MariaDB without room in its tablespace dies."""
    before = awkward_harness.execute("select @@global.innodb_file_per_table")[0][0]
    awkward_harness.execute("set global innodb_file_per_table = 0")
    sink = opened(awkward_harness)
    awkward_harness.execute(f"set global innodb_file_per_table = {before}")
    for fresh in (True, False):
        given = [upsert(str(n), "x" * 100_000, "1") for n in range(250)]
        with pytest.raises(TargetUnavailable) as raised:
            sink.write([changes(TABLE, *given, fresh=fresh)])
        assert raised.value.where["errno"] == 1114
        sink.rollback()
        sink.prepare([TABLE])
    apply(sink, 1, changes(TABLE, *(upsert(str(n), "x", "1") for n in range(250))))
    assert len(awkward_harness.rows(TABLE)) == 250


def test_a_password_goes_without_tls(awkward: LocalMysql) -> None:
    """Its server has none: the password is encrypted by itself, for a key that the server sends."""
    awkward.execute("drop user if exists secured", "create user secured identified by 'p@ss'")
    connection = connect(awkward.url("secured", "p@ss"), "line", MYSQL)
    assert query(connection, "show status like 'Ssl_version'") == [("Ssl_version", "")]
    connection.close()
    awkward.execute("drop user secured")


def test_a_password_goes_through_tls(mysql: LocalMysql) -> None:
    mysql.execute("drop user if exists secured", "create user secured identified by 'p@ss'")
    connection = connect(mysql.url("secured", "p@ss"), "line", MYSQL)
    assert query(connection, "show status like 'Ssl_version'")[0][1].startswith("TLS")
    connection.close()
    mysql.execute("drop user secured")


def test_the_other_server_is_refused(maria_harness: MariadbHarness) -> None:
    """Both are refused as the other, with what to write."""
    wrong = MARIADB if maria_harness.product is MYSQL else MYSQL
    sink = MariadbSink(maria_harness.url, "line", product=wrong)
    with pytest.raises(TargetRefused, match=f"declared as {wrong.name}") as raised:
        sink.open(JOURNAL)
    assert f"`type: {maria_harness.product.type}`" in (raised.value.fix or "")
    assert not maria_harness.execute(
        "select 1 from information_schema.schemata where schema_name = 'tailrace'"
    )


@pytest.mark.parametrize(
    ("version", "product", "told"),
    [
        ("8.0.22", MYSQL, None),
        ("8.0.36-28", MYSQL, None),
        ("8.4.3-log", MYSQL, None),
        ("9.7.4-2", MYSQL, None),
        ("8.0.21", MYSQL, "from 8.0.22 on"),
        ("5.7.44-log", MYSQL, "from 8.0.22 on"),
        ("8.0.11-TiDB-v7.5.1", MYSQL, "from 8.0.22 on"),
        ("10.11.6-MariaDB-1", MYSQL, "type: mariadb"),
        ("5.5.5-10.6.12-MariaDB", MARIADB, None),
        ("10.5.0-MariaDB", MARIADB, None),
        ("11.8.2-MariaDB-log", MARIADB, None),
        ("10.4.34-MariaDB", MARIADB, "from 10.5 on"),
        ("8.0.36", MARIADB, "type: mysql"),
    ],
)
def test_versions(version: str, product: object, told: str | None) -> None:
    if told is None:
        verified(version, product)  # type: ignore[arg-type]
        return
    with pytest.raises(TargetRefused) as raised:
        verified(version, product)  # type: ignore[arg-type]
    assert told in str(raised.value)


def test_the_system_is_named_as_marks_name_it(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness)
    if maria_harness.product is MYSQL:
        ((name,),) = maria_harness.execute("select @@server_uuid")
        assert sink.system == f"mysql/{name}"
    else:
        ((host, port),) = maria_harness.execute("select @@hostname, @@port")
        assert sink.system == f"mariadb/{host}:{port}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("completion_type", "'CHAIN'"), ("completion_type", "'RELEASE'"), ("autocommit", "0")],
)
def test_transactions_begin_and_end_where_they_are_told(
    name: str, value: str, maria_harness: MariadbHarness
) -> None:
    with maria_harness.setting(name, value):
        sink = opened(maria_harness)
    for offset in (1, 2):
        apply(sink, offset, changes(TABLE, upsert(str(offset), "a", "1")))
    sink.write([changes(TABLE, upsert("3", "a", "1"))])
    sink.rollback()
    sink.prepare([TABLE])
    apply(sink, 3, changes(TABLE, upsert("4", "a", "1")))
    assert {row[0] for row in maria_harness.rows(TABLE)} == {"1", "2", "4"}


@pytest.mark.parametrize("rows", [1, 40])
def test_warnings_that_the_server_does_not_keep_are_refused(
    rows: int, maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That digits were cut off is no more than a note: unseen, it would be a silent change."""
    monkeypatch.setattr(wire, "_extended", lambda greeting: 0)
    with maria_harness.setting("max_error_count", 0):
        sink = opened(maria_harness)
    for fresh in (True, False):
        given = [upsert(str(n), "a", "1.2345") for n in range(rows)]
        with pytest.raises(TargetRefused) as raised:
            sink.write([changes(TABLE, *given, fresh=fresh)])
        assert "max_error_count" in (raised.value.fix or "")
        sink.rollback()
        sink.prepare([TABLE])
    assert maria_harness.rows(TABLE) == set()


@only_mysql
def test_a_check_is_named(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness)
    maria_harness.execute("alter table shop.item add constraint small check (amount < 10)")
    with pytest.raises(TargetRefused, match="a check is against it") as raised:
        sink.write([changes(TABLE, upsert("1", "a", "12"))])
    assert raised.value.where["constraint"] == "small"
    assert raised.value.where["errno"] == 3819


WORD = TargetTable(
    TableName("shop", "word"),
    (TargetColumn("word", "text", nullable=False), TargetColumn("n", "integer")),
    ("word",),
)


@pytest.mark.parametrize("singly_max", [0, 100])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_key_that_its_column_cannot_hold_is_no_other(
    singly_max: int, fresh: bool, maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The servers put a question mark in place of what Latin 1 lacks."""
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", singly_max)
    maria_harness.execute(
        "create database shop",
        "create table shop.word (word varchar(40) character set latin1 primary key, n int)",
    )
    sink = opened(maria_harness, WORD)
    apply(sink, 1, changes(WORD, upsert("?", "1"), upsert("é", "2"), upsert("Z", "3")))
    with pytest.raises(TargetRefused, match=r"none of the column's type|cannot hold"):
        sink.write([changes(WORD, upsert("日", "4"), fresh=fresh)])
    sink.rollback()
    sink.prepare([WORD])
    apply(sink, 2, changes(WORD, delete("日", None), upsert("é", "5"), delete("z", None)))
    assert maria_harness.rows(WORD) == {("?", "1"), ("é", "5"), ("Z", "3")}


DOCUMENT = TargetTable(
    TableName("shop", "document"),
    (TargetColumn("id", "integer", nullable=False), TargetColumn("doc", "jsonb")),
    ("id",),
)


@only_mysql
@pytest.mark.parametrize("singly_max", [0, 100])
def test_json_arrives_to_the_letter(
    singly_max: int, maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", singly_max)
    texts = [
        '{"b": 1.10, "a": 12345678901234567890123}',
        "[" * 500 + "]" * 500,
        '"\\u00e9 é \\\\ \'"',
        "1e400",
    ]
    sink = opened(maria_harness, DOCUMENT)
    for offset, fresh in ((1, True), (2, False)):
        given = [upsert(str(n), text) for n, text in enumerate(texts)]
        apply(sink, offset, changes(DOCUMENT, *given, fresh=fresh))
        assert maria_harness.rows(DOCUMENT) == {(str(n), text) for n, text in enumerate(texts)}


@only_mysql
def test_defaults_that_are_expressions_fill_a_column(maria_harness: MariadbHarness) -> None:
    """MySQL says DEFAULT_GENERATED of them, which is not a generated column."""
    sink = opened(maria_harness)
    sink.close()
    maria_harness.execute(
        "alter table shop.item add made varchar(36) not null default (concat('a', 'b')),"
        " modify code longtext default (concat('a', 'b'))"
    )
    sink.open(JOURNAL)
    sink.prepare([TABLE])
    apply(sink, 1, changes(TABLE, upsert("1", "x", "1")))
    assert maria_harness.execute("select made, code from shop.item") == [("ab", "x")]


@only_mysql
def test_an_index_on_an_expression_is_no_key(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness)
    sink.close()
    maria_harness.execute(
        "alter table shop.item drop primary key, add unique key odd (id, (amount + 1))"
    )
    sink.open(JOURNAL)
    with pytest.raises(TargetRefused, match="no unique index"):
        sink.prepare([TABLE])
