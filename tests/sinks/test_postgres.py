"""The conformance suite on PostgreSQL, and what only PostgreSQL has."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

import sinks.postgres.sink as module
from cdc.schema import TableName
from sinks.conformance import (
    CASES,
    JOURNAL,
    TABLE,
    Harness,
    apply,
    changes,
    delete,
    opened,
    upsert,
)
from sinks.guess import FAILURES_MAX, REST_BATCHES
from sinks.postgres.names import quoted_table
from sinks.postgres.sink import PostgresSink
from sinks.protocol import Checkpoint
from tailrace.errors import TargetRefused, TargetUnavailable
from tests.line import wait_until
from tests.sinks.harness import PostgresHarness
from transforms.rows import UPSERT, TargetColumn, TargetTable


@pytest.fixture(params=[0, 10**6], ids=["sets", "in_order"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of applying changes, whatever their number."""
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_conformance(case: Callable[[Harness], None], harness: PostgresHarness) -> None:
    case(harness)


@pytest.mark.usefixtures("way")
def test_unique_values_change_hands(harness18: PostgresHarness) -> None:
    """As sets this would break the unique index; in the source's order it cannot."""
    sink = opened(harness18)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1"), upsert("2", "b", "2")))
    harness18.execute("create unique index on shop.item (code)")
    apply(
        sink,
        2,
        changes(TABLE, upsert("1", "tmp", "1"), upsert("2", "a", "2"), upsert("1", "b", "1")),
    )
    assert harness18.rows(TABLE) == {("1", "b", "1.00"), ("2", "a", "2.00")}


def test_updates_may_be_of_rows_that_are_not_there(
    harness18: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a row enters a `where` by an update: the UPDATE finds too few, again and again."""
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", 0)
    sink = opened(harness18)
    last = FAILURES_MAX + REST_BATCHES + 2
    for n in range(1, last):
        given = changes(TABLE, upsert("0", f"all {n}", "1"), upsert(str(n), "x", "1"))
        assert sink.write([given])[str(TABLE.table)].upserted == 2
        sink.commit(Checkpoint(JOURNAL, n, ""))
    assert harness18.rows(TABLE) == {("0", f"all {last - 1}", "1.00")} | {
        (str(n), "x", "1.00") for n in range(1, last)
    }
    apply(sink, last, changes(TABLE, upsert("0", "known", "2"), upsert("1", "known", "2")))
    assert {("0", "known", "2.00"), ("1", "known", "2.00")} <= harness18.rows(TABLE)


def test_the_planner_is_bound_only_while_staged_rows_are_joined(
    harness18: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A big target must not be read whole for a hash join; a trigger's own queries are its own."""
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", 0)
    sink = opened(harness18)
    harness18.execute(
        "create table shop.seen (joins text);"
        "create function shop.see() returns trigger language plpgsql as $$ begin"
        " insert into shop.seen values (current_setting('enable_hashjoin')); return null; end $$;"
        "create constraint trigger see after insert or update on shop.item"
        " deferrable initially deferred for each row execute function shop.see()"
    )
    for n in (1, 2):
        apply(sink, n, changes(TABLE, upsert("1", "a", str(n))))
    assert harness18.execute("select joins, count(*) from shop.seen group by 1") == [("on", 2)]


CHILD = TargetTable(
    TableName("shop", "child"),
    (TargetColumn("id", "integer", nullable=False), TargetColumn("item_id", "integer")),
    ("id",),
)


@pytest.fixture
def family(harness18: PostgresHarness) -> tuple[PostgresHarness, PostgresSink]:
    sink = opened(harness18, CHILD, TABLE)
    harness18.execute("alter table shop.child add foreign key (item_id) references shop.item")
    sink.close()
    sink.open(JOURNAL)
    sink.prepare([CHILD, TABLE])
    apply(sink, 1, changes(CHILD, upsert("1", "1"), first=5), changes(TABLE, upsert("1", "a", "1")))
    return harness18, sink


@pytest.mark.usefixtures("way")
def test_parents_come_before_children_and_go_after_them(family) -> None:
    harness, sink = family
    apply(
        sink,
        2,
        changes(TABLE, delete("1", None, None), upsert("2", "b", "1"), first=10),
        changes(CHILD, delete("1", None), upsert("2", "2"), first=0),
    )
    assert harness.rows(CHILD) == {("2", "2")}
    assert harness.rows(TABLE) == {("2", "b", "1.00")}


@pytest.mark.usefixtures("way")
def test_a_parents_key_changes_under_its_children(family) -> None:
    """The source did it with a new parent, then the children, then the old parent's end."""
    harness, sink = family
    apply(
        sink,
        2,
        changes(TABLE, upsert("7", "a", "1"), first=0),
        changes(CHILD, upsert("1", "7"), first=1),
        changes(TABLE, delete("1", None, None), first=2),
    )
    assert harness.rows(CHILD) == {("1", "7")}
    assert harness.rows(TABLE) == {("7", "a", "1.00")}


@pytest.mark.usefixtures("way")
def test_a_refused_row_among_foreign_keys_is_found(family) -> None:
    _, sink = family
    with pytest.raises(TargetRefused) as raised:
        sink.write([changes(CHILD, upsert("4", "1"), upsert("5", "99"), first=40)])
    assert raised.value.seq == 41  # type: ignore[attr-defined]
    assert raised.value.where["constraint"] == "child_item_id_fkey"


@pytest.mark.usefixtures("way")
def test_a_key_changes_where_a_delete_would_cascade(family) -> None:
    """As delete and insert it would take the children, which are in no batch, with it."""
    harness, sink = family
    harness.execute("alter table shop.child drop constraint child_item_id_fkey")
    harness.execute(
        "alter table shop.child add foreign key (item_id) references shop.item"
        " on delete cascade on update cascade"
    )
    sink.rollback()
    sink.prepare([CHILD, TABLE])
    apply(sink, 2, changes(TABLE, (UPSERT, ("5", "a", "1"), ("1",))))
    assert harness.rows(CHILD) == {("1", "5")}


@pytest.mark.usefixtures("way")
def test_a_child_moves_before_its_parent_is_deleted(family) -> None:
    """A delete of the parent first would take the child's other columns with it."""
    harness, sink = family
    harness.execute("alter table shop.child add memo text default 'kept'")
    harness.execute("alter table shop.child drop constraint child_item_id_fkey")
    harness.execute(
        "alter table shop.child add foreign key (item_id) references shop.item on delete cascade"
    )
    harness.execute("update shop.child set memo = 'ours'")
    sink.rollback()
    sink.prepare([CHILD, TABLE])
    apply(
        sink,
        2,
        changes(TABLE, upsert("2", "b", "1"), first=0),
        changes(CHILD, upsert("1", "2"), first=1),
        changes(TABLE, delete("1", None, None), first=2),
    )
    assert harness.execute("select item_id, memo from shop.child") == [(2, "ours")]


VALUES = TargetTable(
    TableName("we ird", 'q"uote%s'),
    (
        TargetColumn("Sp ace%", "bigint", nullable=False),
        TargetColumn("n", "numeric"),
        TargetColumn("f", "double precision"),
        TargetColumn("t", "time"),
        TargetColumn("d", "date"),
        TargetColumn("tz", "timestamp with time zone"),
        TargetColumn("a", "text[]"),
        TargetColumn("r", "int4range"),
        TargetColumn("j", "jsonb"),
        TargetColumn("b", "bytea"),
        TargetColumn("c", "character(5)"),
        TargetColumn("i", "interval"),
        TargetColumn("m", "money"),
        TargetColumn("bits", "bit(4)"),
    ),
    ("Sp ace%",),
)
DIFFICULT = [
    (
        "1", "NaN", "-0", "24:00:00", "0044-03-15 BC", "infinity", '{"a,b",NULL,"NULL",""}',
        "[1,6)", '{"a": 1.50}', "\\x00ff", "ab   ", "1 year -2 days +03:04:05.6", "$12.50", "0101",
    ),
    (
        "2", "1e-20", "1e+308", "00:00:00", "infinity", "294276-12-31 23:59:59+00", "{}", "empty",
        "null", "\\x", "     ", "-1 mons", "-$0.01", "1111",
    ),
]  # fmt: skip


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("fresh", [True, False], ids=["new", "changed"])
def test_difficult_values_and_names_arrive_as_they_were(
    fresh: bool, harness18: PostgresHarness
) -> None:
    sink = opened(harness18, VALUES)
    apply(sink, 1, changes(VALUES, *[upsert(*row) for row in DIFFICULT], fresh=fresh))
    compared = " and ".join(
        f'"{column.name}" is not distinct from %s::{column.type}'
        for column in VALUES.columns[1:]
        if column.name != "c"
    ).replace('"Sp ace%"', '"Sp ace%%"')
    with psycopg.connect(harness18.url, options="-c TimeZone=UTC") as connection:
        for row in DIFFICULT:
            wanted = [
                value
                for value, column in zip(row, VALUES.columns, strict=True)
                if column.name not in ("c", "Sp ace%")
            ]
            name = quoted_table(VALUES.table).replace("%", "%%")
            found = connection.execute(
                f'select count(*) from {name} where "Sp ace%%" = {row[0]} and {compared}'.encode(),
                wanted,
            ).fetchone()
            assert found == (1,), row


@pytest.mark.usefixtures("way")
def test_difficult_names_in_the_source_order(harness18: PostgresHarness) -> None:
    sink = opened(harness18, VALUES)
    apply(sink, 1, changes(VALUES, upsert(*DIFFICULT[0])))
    moved = ("3", "\0not sent", *DIFFICULT[0][2:])
    apply(sink, 2, changes(VALUES, (UPSERT, moved, ("1",)), delete("2", *[None] * 13)))
    assert [row[0:2] for row in harness18.rows(VALUES)] == [("3", "NaN")]


def test_an_unknown_type_is_named(harness18: PostgresHarness) -> None:
    odd = TargetTable(
        TableName("shop", "odd"),
        (TargetColumn("id", "shop.status", nullable=False),),
        ("id",),
    )
    sink = harness18.sink()
    sink.open(JOURNAL)
    with pytest.raises(TargetRefused, match=r"shop\.odd cannot be created"):
        sink.prepare([odd])


@pytest.mark.parametrize(
    ("ddl", "told"),
    [
        ("alter table shop.item add extra int not null", "extra"),
        ("alter table shop.item drop constraint item_pkey", "no unique index"),
        (
            "alter table shop.item drop constraint item_pkey;"
            "create unique index on shop.item (code) include (id)",
            "no unique index",
        ),
        ("drop table shop.item; create view shop.item as select 1 as id", "is not a table"),
        (
            "alter table shop.item drop code, add code text generated always as ('x') stored",
            "computes code",
        ),
    ],
)
def test_a_table_that_cannot_be_written_is_refused_before(
    ddl: str, told: str, harness18: PostgresHarness
) -> None:
    sink = opened(harness18)
    sink.close()
    for statement in ddl.split(";"):
        harness18.execute(statement)
    sink.open(JOURNAL)
    with pytest.raises(TargetRefused, match=told) as raised:
        sink.prepare([TABLE])
    assert raised.value.fix


def test_a_key_that_ignores_case_is_refused(harness15: PostgresHarness) -> None:
    """Two rows of the source would be one. (Version 15, since the wheel of 18 has no ICU.)"""
    sink = opened(harness15)
    harness15.execute(
        "create collation shop.loose"
        " (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    )
    harness15.execute("alter table shop.item alter id type text collate shop.loose")
    sink.rollback()
    with pytest.raises(TargetRefused, match="different values of its key column id"):
        sink.prepare([TABLE])


def test_our_transactions_say_where_they_come_from(harness18: PostgresHarness) -> None:
    harness18.execute("select pg_create_logical_replication_slot('marks', 'pgoutput')")
    harness18.execute("create publication marks for all tables")
    sink = harness18.sink(origin="the-source/erp")
    sink.open(JOURNAL)
    sink.prepare([TABLE])
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    sink.close()
    messages = harness18.execute(
        "select count(*) from pg_logical_slot_get_binary_changes('marks', null, null,"
        " 'proto_version', '1', 'publication_names', 'marks', 'messages', 'true')"
        " where position('tailrace.origin'::bytea in data) > 0"
        " and position('the-source/erp'::bytea in data) > 0"
    )
    harness18.execute("select pg_drop_replication_slot('marks')")
    harness18.execute("drop publication marks")
    assert messages == [(1,)]


def test_a_schema_that_another_pipeline_makes_at_the_same_time(harness18: PostgresHarness) -> None:
    opened(harness18)
    table = replace(TABLE, table=TableName("we ird", "item"))
    sink = harness18.sink("other")
    sink.open(JOURNAL)
    with psycopg.connect(harness18.url) as another, ThreadPoolExecutor() as pool:
        another.execute('create schema "we ird"')
        prepared = pool.submit(sink.prepare, [table])
        waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
        wait_until(lambda: harness18.execute(waits), "the sink to wait")
        another.commit()
        prepared.result()
    assert harness18.rows(table) == set()


def test_without_rights_delivery_waits_instead_of_refusing_rows(
    harness18: PostgresHarness,
) -> None:
    """Revoked grants are nothing a row can be blamed for."""
    opened(harness18)
    role = "weak_" + harness18.url.rpartition("/")[2]
    harness18.execute(f"create role {role} login")
    harness18.execute(f"grant usage on schema tailrace, shop to {role}")
    harness18.execute(f"grant all on all tables in schema tailrace to {role}")
    weak = PostgresSink(harness18.url.replace("postgres@", f"{role}@"), "line")
    harness18.execute(f"grant select, insert, update, delete on shop.item to {role}")
    weak.open(JOURNAL)
    weak.prepare([TABLE])
    harness18.execute(f"revoke insert on shop.item from {role}")
    with pytest.raises(TargetUnavailable):
        weak.write([changes(TABLE, upsert("1", "a", "1"))])
    weak.close()
    harness18.execute(f"drop owned by {role}")
    harness18.execute(f"drop role {role}")
