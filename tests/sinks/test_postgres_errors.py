"""What PostgreSQL refuses, in our words: where it is, never the value."""

from __future__ import annotations

import psycopg
import pytest

import sinks.postgres.sink as module
from cdc.schema import TableName
from sinks.conformance import JOURNAL, TABLE, apply, changes, clear, opened, upsert
from sinks.postgres.session import without_value
from sinks.postgres.sink import PostgresSink
from sinks.protocol import Checkpoint
from tailrace.errors import TargetRefused, TargetUnavailable
from tests.sinks.harness import PostgresHarness
from transforms.rows import TargetColumn, TargetTable

SECRET = "s3cret"

BAD = [
    ("integer", SECRET, "22P02"),
    ("smallint", "7000042", "22003"),
    ("numeric(4,2)", "7000042", "22003"),
    ("date", "7000042-13-45", "22008"),
    ("timestamp", SECRET, "22007"),
    ("varchar(3)", SECRET, "22001"),
    ("shop.mood", SECRET, "22P02"),
    ("shop.short", SECRET, "23514"),
    ("jsonb", f'{{"a": {SECRET}}}', "22P02"),
    ("integer[]", f"{{1,{SECRET}}}", "22P02"),
    ("bit(4)", "7000042", "22P02"),
    ("uuid", SECRET, "22P02"),
]


@pytest.mark.parametrize("singly_max", [0, 16], ids=["sets", "in_order"])
@pytest.mark.parametrize(("kind", "value", "sqlstate"), BAD, ids=[kind for kind, *_ in BAD])
def test_a_bad_value_is_located_and_not_shown(
    kind: str,
    value: str,
    sqlstate: str,
    singly_max: int,
    harness18: PostgresHarness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", singly_max)
    harness18.execute("create schema shop")
    harness18.execute("create type shop.mood as enum ('good', 'bad')")
    harness18.execute("create domain shop.short as text check (length(value) < 4)")
    table = TargetTable(
        TableName("shop", "odd"),
        (TargetColumn("id", "integer", nullable=False), TargetColumn("v", kind)),
        ("id",),
    )
    sink = opened(harness18, table)
    given = [upsert("1", None), upsert("2", value), upsert("3", value)]
    with pytest.raises(TargetRefused) as raised:
        sink.write([changes(table, *given, first=10)])
    error = raised.value
    assert error.seq == 11  # type: ignore[attr-defined]
    assert error.where["sqlstate"] == sqlstate
    assert error.where["table"] == "shop.odd"
    assert error.where["key_columns"] == "id"
    assert SECRET not in str(error)
    assert "7000042" not in str(error)


def test_what_a_trigger_says_is_not_shown(harness18: PostgresHarness) -> None:
    sink = opened(harness18)
    harness18.execute(
        "create function shop.no() returns trigger language plpgsql as"
        " $$ begin raise exception 'not %', new.code using errcode = '23514'; end $$"
    )
    harness18.execute(
        "create trigger no before insert on shop.item for each row execute function shop.no()"
    )
    with pytest.raises(TargetRefused, match="a trigger or function raised") as raised:
        sink.write([changes(TABLE, upsert("1", SECRET, "1"))])
    assert SECRET not in str(raised.value)


def test_a_lost_connection_is_no_refusal(harness18: PostgresHarness) -> None:
    sink = opened(harness18)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    sink.write([changes(TABLE, upsert("2", "b", "2"))])
    harness18.execute("select pg_terminate_backend(backend_pid, 5000) from tailrace.checkpoint")
    with pytest.raises(TargetUnavailable):
        sink.write([changes(TABLE, upsert("3", "c", "3"))])
    assert sink.open(JOURNAL).offset == 1
    sink.prepare([TABLE])
    apply(sink, 2, changes(TABLE, upsert("4", "d", "4")))
    assert {row[0] for row in harness18.rows(TABLE)} == {"1", "4"}


def test_a_database_that_may_not_be_written_is_waited_for(
    harness18: PostgresHarness,
) -> None:
    sink = opened(harness18)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    name = harness18.url.rpartition("/")[2]
    sink.close()
    harness18.execute(f"alter database {name} set default_transaction_read_only = on")
    with pytest.raises(TargetUnavailable):
        sink.open(JOURNAL)
    with psycopg.connect(harness18.url, autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = off")
        connection.execute(f"alter database {name} reset default_transaction_read_only".encode())
    assert sink.open(JOURNAL).offset == 1


@pytest.fixture
def weak(harness18: PostgresHarness):
    """A role that owns nothing and may create nothing: a DBA made our schema for it."""
    opened(harness18)
    role = "weak_" + harness18.url.rpartition("/")[2]
    harness18.execute(f"create role {role} login")
    harness18.execute(f"grant usage on schema tailrace, shop to {role}")
    harness18.execute(f"grant select, insert, update on all tables in schema tailrace to {role}")
    harness18.execute(f"grant select, insert, update, delete on shop.item to {role}")
    sink = PostgresSink(harness18.url.replace("postgres@", f"{role}@"), "other line")
    sink.open(JOURNAL)
    sink.prepare([TABLE])
    yield sink
    sink.close()
    harness18.execute(f"drop owned by {role}")
    harness18.execute(f"drop role {role}")


def test_a_role_with_few_rights_writes(weak: PostgresSink, harness18: PostgresHarness) -> None:
    """Also without the right to truncate."""
    apply(weak, 1, changes(TABLE, *(upsert(str(n), "a", "1") for n in range(40))))
    apply(weak, 2, changes(TABLE, clear(), upsert("1", "b", "1")))
    assert harness18.rows(TABLE) == {("1", "b", "1.00")}


def test_settings_in_the_url_are_kept(harness18: PostgresHarness) -> None:
    sink = PostgresSink(harness18.url + "?options=-c%20work_mem%3D12345", "line")
    sink.open(JOURNAL)
    row = sink._connected.execute("select current_setting('work_mem'), current_setting('timezone')")
    assert row.fetchone() == ("12345kB", "UTC")
    sink.close()


@pytest.mark.parametrize("happened", [True, False])
def test_a_lost_answer_is_no_loss(
    happened: bool,
    harness18: PostgresHarness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection ends before or after the server has done what COMMIT asked."""
    sink = opened(harness18)
    sink.write([changes(TABLE, upsert("1", "a", "1"))])
    place = "deliver.commit_sent" if happened else "deliver.before_commit"

    def cut(name: str) -> None:
        if name != place:
            return
        if happened:
            with psycopg.connect(harness18.url, autocommit=True) as other:
                while not other.execute("select 1 from shop.item").fetchone():
                    pass
        harness18.execute("select pg_terminate_backend(backend_pid, 5000) from tailrace.checkpoint")
        sink._connected.pgconn.finish() if happened else None

    monkeypatch.setattr(module, "failpoint", cut)
    with pytest.raises(TargetUnavailable):
        sink.commit(Checkpoint(JOURNAL, 3, "0/3"))
    assert sink.open(JOURNAL).offset == (3 if happened else 0)
    assert bool(harness18.rows(TABLE)) == happened


def test_a_constraint_checked_at_commit_is_a_refusal(harness18: PostgresHarness) -> None:
    sink = opened(harness18)
    harness18.execute(
        "alter table shop.item add parent int references shop.item deferrable initially deferred"
    )
    harness18.execute("alter table shop.item alter parent set default 99")
    sink.write([changes(TABLE, upsert("1", "a", "1"))])
    with pytest.raises(TargetRefused) as raised:
        sink.commit(Checkpoint(JOURNAL, 1, "0/1"))
    assert raised.value.where["constraint"] == "item_parent_fkey"
    sink.rollback()
    assert harness18.rows(TABLE) == set()
    harness18.execute("alter table shop.item alter parent drop default")
    sink.prepare([TABLE])
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    assert harness18.rows(TABLE) == {("1", "a", "1.00")}


@pytest.mark.parametrize("rows", [5, 200])
def test_a_deadlock_is_tried_again(harness18: PostgresHarness, rows: int) -> None:
    """The server ends one of the two; when that is us, the batch is no refusal."""
    sink = opened(harness18)
    harness18.execute("alter role current_user set deadlock_timeout = '50ms'")
    sink.close()
    sink.open(JOURNAL)
    sink.prepare([TABLE])
    apply(sink, 1, changes(TABLE, *(upsert(str(n), "a", "1") for n in range(rows))))
    with psycopg.connect(harness18.url) as other:
        other.execute("set deadlock_timeout = '60s'")
        other.execute("update shop.item set code = 'x' where id = 3")
        sink.write([changes(TABLE, upsert("1", "b", "1"))])
        pid = other.info.backend_pid
        other.pgconn.send_query(b"update shop.item set code = 'x' where id = 1")
        while not harness18.execute(
            f"select 1 from pg_stat_activity where pid = {pid} and wait_event_type = 'Lock'"
        ):
            pass
        with pytest.raises(TargetUnavailable):
            sink.write([changes(TABLE, *(upsert(str(n), "b", "1") for n in range(rows)))])
        sink.rollback()
        other.pgconn.get_result()
        other.pgconn.get_result()
        other.rollback()
    harness18.execute("alter role current_user reset deadlock_timeout")
    sink.prepare([TABLE])
    apply(sink, 2, changes(TABLE, *(upsert(str(n), "b", "1") for n in range(rows))))
    assert {row[1] for row in harness18.rows(TABLE)} == {"b"}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ('invalid input syntax for type integer: "s3cret"', "invalid input syntax for type int"),
        ('value "s3cret" is out of range for type smallint', "is out of range for type smallint"),
        ("ungültige Eingabesyntax für Typ integer: »s3cret«", "ungültige Eingabesyntax"),
        ("syntaxe en entrée invalide pour le type date : « s3cret »", "syntaxe en entrée"),
        ("「s3cret」は型integerの範囲外です", "value not shown"),
        ("value too long for type character varying(3)", "character varying(3)"),
    ],
)
def test_a_value_is_not_shown_in_any_language(message: str, shown: str) -> None:
    assert shown in without_value(message)
    assert "s3cret" not in without_value(message)
