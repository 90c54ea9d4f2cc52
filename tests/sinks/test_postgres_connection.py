"""Statements that wait: they arrive in order, at once, and none is lost or taken for another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg
import pytest

import sinks.postgres.connection as module
import sinks.postgres.sink
from cdc.schema import TableName
from sinks.conformance import TABLE, apply, changes, opened, upsert
from sinks.postgres.connection import Session
from sinks.postgres.session import connect
from sinks.protocol import Written
from tailrace.errors import RowRefused
from tests.sinks.harness import PostgresHarness
from transforms.rows import RowChanges, TargetColumn, TargetTable

INSERT = b"insert into shop.note values ($1, $2)"


@pytest.fixture
def session(harness18: PostgresHarness) -> Iterator[Session]:
    harness18.execute("create schema shop")
    harness18.execute("create table shop.note (id integer primary key, text text)")
    with connect(harness18.url, "line") as session:
        yield session


def notes(session: Session) -> list[tuple[object, ...]]:
    return session.execute("select id, text from shop.note order by id").fetchall()


def test_what_waits_comes_before_what_is_asked(session: Session) -> None:
    session.soon(INSERT, ("1", "one"))
    assert notes(session) == [(1, "one")]
    session.soon(INSERT, ("2", None))
    with session.transaction():
        assert notes(session) == [(1, "one"), (2, None)]


def test_the_refused_one_is_named_and_nothing_after_it_is_done(session: Session) -> None:
    session.soon(b"begin")
    session.soon(b"savepoint before")
    for number in ("1", "2", "2", "3"):
        session.soon(INSERT, (number, "x"), of=number)
    with pytest.raises(psycopg.errors.UniqueViolation) as raised:
        session.settle()
    assert raised.value.of == "2"  # type: ignore[attr-defined]
    session.soon(b"rollback to before")
    session.soon(INSERT, ("4", "x"))
    session.soon(b"commit")
    assert notes(session) == [(4, "x")]


def test_a_statement_that_cannot_be_prepared_is_named(session: Session) -> None:
    session.soon(INSERT, ("1", "x"), of="first")
    session.soon(b"insert into shop.none values ($1)", ("1",), of="second")
    with pytest.raises(psycopg.errors.UndefinedTable) as raised:
        session.settle()
    assert raised.value.of == "second"  # type: ignore[attr-defined]
    session.soon(INSERT, ("1", "x"))
    assert notes(session) == [(1, "x")]


def test_psycopg_forgets_what_is_prepared(session: Session) -> None:
    """It has the server forget everything after a rollback."""
    session.soon(INSERT, ("1", "x"))
    for _ in range(5):
        session.execute("select 1")
    session.execute("begin")
    session.execute("rollback")
    session.execute("select 2")
    assert session.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)
    session.soon(INSERT, ("2", "x"))
    assert notes(session) == [(1, "x"), (2, "x")]


def test_few_statements_are_kept(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PREPARED_MAX", 3)
    for number in range(20):
        session.soon(INSERT, (str(number), "x"))
        session.soon(f"update shop.note set text = text || '{number}'".encode())
        session.settle()
    count = "select count(*) from pg_prepared_statements where name like 'tailrace%'"
    assert session.execute(count).fetchone() == (3,)
    assert session.execute("select count(*) from shop.note").fetchone() == (20,)


def test_much_goes_both_ways(session: Session) -> None:
    """More than the buffers of both ends hold."""
    session.execute(
        "create function shop.say() returns trigger language plpgsql as"
        " $$ begin raise notice '%', new.text; return new; end $$;"
        "create trigger say before insert on shop.note for each row execute function shop.say()"
    )
    heard: list[int] = []
    session.add_notice_handler(lambda note: heard.append(len(note.message_primary or "")))
    for number in range(600):
        session.soon(INSERT, (str(number), "x" * 50_000))
    session.settle()
    assert heard == [50_000] * 600


def test_a_lost_connection_is_an_error_and_no_wait(
    session: Session, harness18: PostgresHarness
) -> None:
    pid = session.info.backend_pid
    session.soon(INSERT, ("1", "x"))
    harness18.execute(f"select pg_terminate_backend({pid}, 10000)")
    with pytest.raises(psycopg.OperationalError):
        session.settle()


@pytest.mark.parametrize("singly_max", [0, 16], ids=["sets", "in_order"])
def test_a_text_with_a_nought_is_refused(
    singly_max: int, harness18: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not cut off there: MariaDB's may have one, PostgreSQL's may not."""
    monkeypatch.setattr(sinks.postgres.sink, "SINGLY_ROWS_MAX", singly_max)
    sink = opened(harness18)
    given = [upsert("1", "a", "1"), upsert("2", "s3cret\0", "1"), upsert("3", "c", "1")]
    with pytest.raises(RowRefused) as raised:
        sink.write([changes(TABLE, *given)])
    assert raised.value.seq == 1
    assert raised.value.where["sqlstate"] == "22021"
    assert "s3cret" not in str(raised.value)
    apply(sink, 1, changes(TABLE, given[0], given[2]))
    assert {row[0] for row in harness18.rows(TABLE)} == {"1", "3"}


def test_a_copy_that_is_refused_names_the_row(
    harness18: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is for the row's values alone; of others it is asked in the source's order."""
    monkeypatch.setattr(sinks.postgres.sink, "SINGLY_ROWS_MAX", 0)
    in_order: list[int] = []
    sink = opened(harness18)
    table = TargetTable(
        TableName("shop", "even"),
        (TargetColumn("id", "integer", nullable=False), TargetColumn("n", "integer")),
        ("id",),
    )
    sink.prepare([table])
    harness18.execute(
        "alter table shop.even add check (n % 2 = 0);"
        "create function shop.ask() returns trigger language plpgsql as"
        " $$ begin perform 1 / (new.n - 40); return new; end $$;"
        "create trigger ask before insert on shop.even for each row execute function shop.ask()"
    )
    apply_in_order = sink.in_order

    def counted(rows: Sequence[RowChanges]) -> dict[str, Written]:
        in_order.append(len(rows))
        return apply_in_order(rows)

    monkeypatch.setattr(sink, "in_order", counted)
    for bad, asked in (("31", 0), ("40", 1)):
        rows = [upsert(str(n), str(2 * n)) for n in range(50, 80)]
        rows[17] = upsert("67", bad)
        with pytest.raises(RowRefused) as raised:
            sink.write([changes(table, *rows, first=100, fresh=True)])
        assert raised.value.seq == 117
        assert len(in_order) == asked
