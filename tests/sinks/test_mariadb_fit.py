"""Tables at a MariaDB target that somebody else made: nothing is altered in silence."""

from __future__ import annotations

import pytest

import sinks.mysql.sink as module
from cdc.schema import TableName
from sinks.conformance import NOT_SENT, apply, changes, opened, upsert
from tailrace.errors import TargetRefused
from tests.sinks.maria_harness import MariadbHarness
from transforms.rows import TargetColumn, TargetTable


def table(kind: str, native: str = "") -> TargetTable:
    return TargetTable(
        TableName("shop", "x"),
        (TargetColumn("id", "integer", nullable=False), TargetColumn("v", kind, native=native)),
        ("id",),
    )


def make(harness: MariadbHarness, ddl: str) -> None:
    harness.execute("create database shop", f"create table shop.x (id int primary key, {ddl})")


@pytest.fixture(params=["sets", "in_order"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", 10**6 if request.param == "in_order" else 0)


@pytest.mark.parametrize(
    ("kind", "ddl", "told"),
    [
        ("numeric(6,2)", "v int", "would be rounded"),
        ("numeric", "v bigint", "would be rounded"),
        ("double precision", "v int", "would be rounded"),
        ("real", "v smallint", "would be rounded"),
        ("double precision", "v float", "would lose digits"),
        ("smallint", "v year", "years of two digits"),
        ("bytea", "v binary(4)", "would be padded"),
    ],
)
def test_a_column_that_alters_values_is_refused(
    kind: str, ddl: str, told: str, maria_harness: MariadbHarness
) -> None:
    make(maria_harness, ddl)
    sink = maria_harness.sink()
    sink.open("journal-1")
    with pytest.raises(TargetRefused, match=told) as raised:
        sink.prepare([table(kind)])
    maria_harness.execute(raised.value.fix or "")
    sink.prepare([table(kind)])


@pytest.mark.parametrize(
    ("kind", "native", "ddl", "value", "shown"),
    [
        ("numeric(6,0)", "", "v int", "7", "7"),
        ("boolean", "", "v bit(1)", "t", "\x01"),
        ("boolean", "", "v bit(1)", "f", "\0"),
        ("smallint", "mysql:year", "v year", "0", "0000"),
        ("smallint", "mysql:year", "v year", "2155", "2155"),
        ("bytea", "mysql:binary(4)", "v binary(4)", "\\x41420000", "AB\0\0"),
        ("double precision", "", "v varchar(40)", "1e+22", "1e+22"),
        ("timestamp(3) without time zone", "", "v varchar(40)", "2024-01-01 11:00:00.5", None),
        ("date", "", "v datetime", "2024-01-01", "2024-01-01 00:00:00"),
        ("uuid", "", "v uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None),
        ("text", "", "v enum('a', 'it''s', '7')", "it's", None),
        ("text", "", "v enum('a', 'it''s', '7')", "7", None),
        ("text", "", "v set('a', 'b')", "a,b", None),
        ("text", "", "v set('a', 'b')", "", None),
        ("text", "", "v varchar(20) character set latin1", "é", None),
    ],
)
def test_values_arrive_as_they_were(
    kind: str, native: str, ddl: str, value: str, shown: str | None, maria_harness: MariadbHarness
) -> None:
    make(maria_harness, ddl)
    wanted = table(kind, native)
    sink = opened(maria_harness, wanted)
    for offset, fresh in ((1, True), (2, False)):
        apply(sink, offset, changes(wanted, upsert("1", value), upsert("2", None), fresh=fresh))
        assert maria_harness.rows(wanted) == {("1", value if shown is None else shown), ("2", None)}


@pytest.mark.parametrize(
    ("kind", "ddl", "value"),
    [
        ("text", "v enum('a', 'b')", "1"),
        ("text", "v enum('a', 'b')", "A"),
        ("text", "v enum('a', 'b')", ""),
        ("text", "v set('a', 'b')", "3"),
        ("text", "v set('a', 'b')", "a,c"),
        ("text", "v varchar(20) character set latin1", "日"),
        ("timestamp without time zone", "v date", "2024-01-01 11:00:00"),
        ("double precision", "v decimal(10,3)", "0.12345"),
        ("text", "v geometry", "POINT(1 1)"),
        ("interval", "v time", "1 day"),
    ],
)
def test_values_that_would_become_others_are_refused(
    kind: str, ddl: str, value: str, maria_harness: MariadbHarness
) -> None:
    make(maria_harness, ddl)
    wanted = table(kind)
    sink = opened(maria_harness, wanted)
    for fresh in (True, False):
        with pytest.raises(TargetRefused) as raised:
            sink.write([changes(wanted, upsert("1", None), upsert("2", value), fresh=fresh)])
        assert raised.value.seq == 1  # type: ignore[attr-defined]
        assert len(value) < 4 or value not in str(raised.value)
        sink.rollback()
        sink.prepare([wanted])


def test_singles_keep_all_their_digits(maria_harness: MariadbHarness) -> None:
    wanted = table("real")
    sink = opened(maria_harness, wanted)
    texts = ["3.4028235e+38", "-3.4028235e+38", "1e-45", "0.1", "16777217"]
    given = [upsert(str(n), text) for n, text in enumerate(texts)]
    apply(sink, 1, changes(wanted, *given))
    found = maria_harness.execute("select cast(v as double) from shop.x order by id")
    largest = (2 - 2**-23) * 2.0**127
    assert found == [(largest,), (-largest,), (2**-149,), (0.10000000149011612,), (16777216.0,)]


def test_what_is_not_sent_does_not_take_the_present_time(maria_harness: MariadbHarness) -> None:
    maria_harness.execute(
        "create database shop",
        "create table shop.x (id int primary key, v text,"
        " at timestamp(6) null default null on update current_timestamp(6))",
    )
    wanted = TargetTable(
        TableName("shop", "x"),
        (
            TargetColumn("id", "integer", nullable=False),
            TargetColumn("v", "text"),
            TargetColumn("at", "timestamp with time zone"),
        ),
        ("id",),
    )
    sink = opened(maria_harness, wanted)
    apply(sink, 1, changes(wanted, upsert("1", "a", "2024-01-01 00:00:00+00")))
    apply(sink, 2, changes(wanted, upsert("1", "b", NOT_SENT)))
    assert maria_harness.execute("select v, cast(at as char) from shop.x") == [
        ("b", "2024-01-01 00:00:00.000000")
    ]
