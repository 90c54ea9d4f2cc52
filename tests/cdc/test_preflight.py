"""Each finding is provoked on a real server, and gone once its own fix was run there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.findings import Finding, refuse_errors
from cdc.postgres import look
from cdc.postgres.preflight import inspect
from cdc.postgres.settings import PostgresSource
from tailrace.errors import PreflightError, SourceUnavailable
from tailrace.service.localpg import LocalPostgres
from tests.cdc.reader import NAME, TABLES, Reader, reading, taken
from tests.conftest import Database

PUBLICATION = (
    "create publication dba for table sales.customer, sales.item"
    " with (publish_via_partition_root = true);"
)


def found(reader: Reader, *tables: str, **more: Any) -> list[Finding]:
    more.setdefault("publication", "dba")
    return inspect(reader.settings(*tables, **more), NAME)


def about(findings: list[Finding], what: str) -> list[Finding]:
    return [finding for finding in findings if what in finding.what]


def errors(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]


def run(database: Database, fix: str) -> None:
    """As psql would, a statement at a time: ALTER SYSTEM wants no transaction."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        for statement in fix.split(";"):
            lines = [line for line in statement.splitlines() if not line.strip().startswith("--")]
            if text := "\n".join(lines).split("  --")[0].strip():
                connection.execute(text.encode())


@pytest.fixture
def reader(database: Database) -> Iterator[Reader]:
    database.execute(TABLES + PUBLICATION)
    with reading(database) as reader:
        yield reader


def test_a_source_that_is_ready_has_no_errors(reader: Reader) -> None:
    findings = found(reader)
    assert errors(findings) == []
    assert [finding.where for finding in findings] == ["setting max_slot_wal_keep_size"]
    refuse_errors(findings)


def test_it_creates_nothing_and_stays_without_errors_while_we_run(reader: Reader) -> None:
    found(reader, publication=None)
    assert reader.database.execute("select 1 from pg_publication where pubname <> 'dba'") == []
    assert (
        reader.database.execute(f"select 1 from pg_replication_slots where slot_name='{NAME}'")
        == []
    )
    with reader.open() as source:
        taken(source)
        assert errors(found(reader)) == []


IDENTITIES = [
    ("create table sales.t (a int)", "has no primary key", None),
    (
        "create table sales.t (a int); create unique index u on sales.t (a)",
        "has no primary key",
        "SET NOT NULL",
    ),
    (
        "create table sales.t (a int, b int not null default 1);"
        "create unique index u on sales.t (a); create unique index w on sales.t (b)",
        "has no primary key",
        'USING INDEX "w"',
    ),
    (
        "create table sales.t (a int not null); create unique index u on sales.t (a) where a > 0",
        "has no primary key",
        None,
    ),
    (
        "create table sales.t (a int primary key deferrable)",
        "deferrable primary key",
        "REPLICA IDENTITY FULL",
    ),
    (
        "create table sales.t (a int primary key); alter table sales.t replica identity nothing",
        "replica identity NOTHING",
        "REPLICA IDENTITY DEFAULT",
    ),
    (
        "create table sales.t (a int primary key, b int not null default 1);"
        "create unique index u on sales.t (b);"
        "alter table sales.t replica identity using index u; drop index sales.u",
        "lost the index",
        "REPLICA IDENTITY DEFAULT",
    ),
    (
        "create table sales.t (a int); alter table sales.t replica identity full",
        "FULL but no primary key",
        None,
    ),
    ("create unlogged table sales.t (a int primary key)", "is unlogged", "SET LOGGED"),
    (
        "create table sales.t (a int primary key) partition by list (a);"
        "create table sales.p partition of sales.t default;"
        "alter table sales.p replica identity full",
        "has a partition, sales.p",
        "REPLICA IDENTITY DEFAULT",
    ),
]


@pytest.mark.parametrize(("sql", "what", "fix"), IDENTITIES, ids=lambda text: str(text)[:40])
def test_a_table_whose_publishing_would_break_it_is_refused_with_its_fix(
    reader: Reader, sql: str, what: str, fix: str | None
) -> None:
    reader.database.execute(sql)
    reader.database.execute(f"grant select on all tables in schema sales to {reader.role}")
    (finding,) = about(found(reader), what)
    assert (finding.severity, finding.where) == ("error", "sales.t")
    if fix is None:
        assert finding.fix.startswith("-- name the columns that identify a row:")
        assert '"!sales.t"' in finding.fix
        assert about(found(reader, "sales.*", "!sales.t"), what) == []
    else:
        assert fix in finding.fix
        run(reader.database, finding.fix)
        assert about(found(reader), what) == []
        run(reader.database, "alter publication dba add table sales.t")
        reader.database.execute("insert into sales.t values (1)")
        reader.database.execute("update sales.t set a = 2; delete from sales.t")


def test_a_publication_we_would_make_never_has_a_table_it_would_break(reader: Reader) -> None:
    reader.database.execute("create table sales.t (a int)")
    (finding,) = about(found(reader, publication=None), "cannot make the publication")
    assert '"sales"."t"' not in finding.fix
    assert '"sales"."customer"' in finding.fix


PUBLICATIONS = [
    ("drop publication dba", "does not exist"),
    ("alter publication dba set (publish = 'insert, update')", "not publish delete, truncate"),
    ("alter publication dba drop table sales.item", "does not have the table"),
    (
        "create table sales.t (a int primary key) partition by list (a);"
        "create table sales.p partition of sales.t default;"
        "alter publication dba add table sales.t;"
        "alter publication dba set (publish_via_partition_root = false)",
        "is partitioned",
    ),
    (
        "drop table sales.item; create table sales.item (a int primary key);"
        "create table sales.kid (primary key (a)) inherits (sales.item)",
        "does not have the table",
    ),
]


@pytest.mark.parametrize(("sql", "what"), PUBLICATIONS, ids=lambda text: str(text)[:40])
def test_a_publication_that_lacks_something_is_refused_with_its_fix(
    reader: Reader, sql: str, what: str
) -> None:
    reader.database.execute(sql)
    reader.database.execute(f"grant select on all tables in schema sales to {reader.role}")
    findings = about(found(reader), what)
    assert errors(findings) == findings != []
    for finding in findings:
        run(reader.database, finding.fix)
    assert errors(found(reader)) == []


def test_a_column_list_without_the_key_is_refused_with_its_fix(reader: Reader) -> None:
    if reader.database.server.execute("show server_version_num")[0][0] < "150000":
        pytest.skip("PostgreSQL 14 has no column lists")
    reader.database.execute(
        "alter publication dba set table sales.customer, sales.item (article, price)"
    )
    (finding,) = errors(found(reader))
    assert "published without language" in finding.what
    run(reader.database, finding.fix)
    assert errors(found(reader)) == []
    reader.database.execute("update sales.item set price = 3")


def test_missing_rights_are_told_one_by_one_with_their_grants(reader: Reader) -> None:
    role = reader.role
    reader.database.execute(
        f"revoke usage on schema sales from {role}; revoke select on sales.item from {role};"
        f"alter role {role} noreplication"
    )
    findings = errors(found(reader))
    assert [(finding.where, finding.what.split(":")[0]) for finding in findings] == [
        (f"role {role}", "the role may not replicate"),
        ("schema sales", f"the role {role} may not use the schema"),
        ("sales.item", f"the role {role} may not read it"),
    ]
    with pytest.raises(PreflightError, match="and 2 more") as refused:
        refuse_errors(findings)
    assert refused.value.fix == findings[0].fix
    for finding in findings:
        run(reader.database, finding.fix)
    assert errors(found(reader)) == []


def test_reading_the_published_columns_is_right_enough(reader: Reader) -> None:
    if reader.database.server.execute("show server_version_num")[0][0] < "150000":
        pytest.skip("PostgreSQL 14 has no column lists")
    reader.database.execute(
        f"revoke select on sales.customer from {reader.role};"
        f"grant select (id) on sales.customer to {reader.role};"
        "alter publication dba set table sales.customer (id), sales.item"
    )
    assert errors(found(reader)) == []
    with reader.open() as source:
        taken(source)


def test_row_security_that_hides_rows_is_refused_with_its_fix(reader: Reader) -> None:
    reader.database.execute(
        "alter table sales.customer enable row level security;"
        f"create policy part on sales.customer to {reader.role} using (id = 1)"
    )
    (finding,) = errors(found(reader))
    assert (finding.where, "hides rows" in finding.what) == ("sales.customer", True)
    run(reader.database, finding.fix)
    assert errors(found(reader)) == []
    with reader.open() as source:
        assert sum(progress.rows for _, progress in taken(source).sets) == 4


def test_what_is_no_table_is_refused_only_where_it_is_named(reader: Reader) -> None:
    reader.database.execute(
        "create view sales.seen as select 1 as one; create foreign data wrapper w;"
        "create server s foreign data wrapper w;"
        "create foreign table sales.far (id int) server s"
    )
    (warning,) = about(found(reader), "foreign table")
    assert (warning.severity, warning.where) == ("warning", "sales.far")
    named = errors(found(reader, "sales.*", "sales.seen", "sales.far"))
    assert [finding.where for finding in named] == ["sales.far", "sales.seen"]


def test_a_pattern_that_names_nothing_is_refused_with_what_may_be_meant(reader: Reader) -> None:
    (finding,) = errors(found(reader, "sales.Customer", "sales.item"))
    assert "sales.Customer names no table" in finding.what
    assert "there is sales.customer" in finding.fix
    assert len(errors(found(reader, "crm.*"))) == 1


def test_what_deserves_a_second_look_is_a_warning(reader: Reader) -> None:
    reader.database.execute(
        "create table sales.t (a text primary key, b text generated always as ('x') stored);"
        "create table sales.kid (primary key (a)) inherits (sales.t);"
        f"grant select on all tables in schema sales to {reader.role};"
        "alter publication dba add table sales.t"
    )
    findings = found(reader)
    assert errors(findings) == []
    whats = [finding.what for finding in findings if finding.where == "sales.t"]
    assert [what.split(":")[0] for what in whats] == [
        "has tables that inherit from it",
        "has generated columns, which the log does not carry",
    ]


LOOSE = {
    "citext": "create extension citext schema sales;"
    "alter table sales.item alter article type sales.citext",
    "collation": "create collation sales.loose (provider = icu, locale = 'und-u-ks-level2',"
    " deterministic = false);"
    "alter table sales.item alter article type text collate sales.loose",
}


@pytest.mark.parametrize("kind", LOOSE)
def test_a_key_that_compares_different_texts_as_equal_is_a_warning(
    reader: Reader, kind: str
) -> None:
    with_icu = "select 1 from pg_config() where name = 'CONFIGURE' and setting ~ 'with-icu'"
    if kind == "collation" and not reader.database.execute(with_icu):
        pytest.skip("this server is built without ICU")
    reader.database.execute(LOOSE[kind])
    (finding,) = about(found(reader), "compares different texts as equal")
    assert (finding.severity, finding.where) == ("warning", "sales.item")


def test_a_foreign_slot_of_our_name_is_refused(reader: Reader) -> None:
    reader.database.execute(f"select pg_create_physical_replication_slot('{NAME}')")
    (finding,) = errors(found(reader))
    assert "a slot of this name exists" in finding.what
    assert errors(found(reader, slot="another_name")) == []


def test_a_server_that_does_not_answer_is_no_finding(reader: Reader) -> None:
    source = PostgresSource(type="postgres", url="postgresql://127.0.0.1:1/x", tables=("a.b",))
    with pytest.raises(SourceUnavailable):
        inspect(source, NAME)


@pytest.fixture(params=["18", "15"], ids=["pg18", "pg15"])
def unready(request: pytest.FixtureRequest, server_path: Path) -> Iterator[Database]:
    """A server whose settings stand against us."""
    settings = {
        "wal_level": "replica",
        "max_replication_slots": "1",
        "max_wal_senders": "1",
        "wal_sender_timeout": "0",
        "max_slot_wal_keep_size": "1GB",
        "max_prepared_transactions": "5",
        "fsync": "off",
    }
    if request.param == "18":
        settings["idle_replication_slot_timeout"] = "1h"
    with LocalPostgres.start(
        server_path / "pg", version=request.param, settings=settings
    ) as server:
        server.execute("create database erp encoding 'SQL_ASCII' template template0 locale 'C'")
        yield Database(server, "erp")


def test_settings_that_stand_against_us_are_told_and_mended(unready: Database) -> None:
    unready.execute(TABLES + PUBLICATION)
    with reading(unready) as reader:
        findings = found(reader)
        expected = [
            ("error", "setting wal_level"),
            ("error", "setting max_replication_slots"),
            ("error", "database erp"),
            ("warning", "setting max_slot_wal_keep_size"),
            ("warning", "setting wal_sender_timeout"),
        ]
        if unready.server.execute("show server_version_num")[0][0] >= "180000":
            expected.insert(4, ("warning", "setting idle_replication_slot_timeout"))
        assert [(finding.severity, finding.where) for finding in findings] == expected
        for finding in findings:
            run(unready, finding.fix)
        unready.server.restart()
        assert [finding.where for finding in found(reader)] == ["database erp"]


def test_a_prepared_transaction_that_waits_long_is_told(unready: Database) -> None:
    unready.execute(TABLES + PUBLICATION)
    with reading(unready) as reader, psycopg.connect(unready.url) as connection:
        connection.execute("insert into sales.customer values (7, 'x')")
        connection.execute("prepare transaction 'forgotten'")
        assert about(found(reader), "prepared transactions") == []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(look, "_SERVER", look._SERVER.replace("1 minute", "0 minutes"))
            (finding,) = about(found(reader), "prepared transactions")
        assert finding.severity == "warning"
        connection.rollback()
        connection.autocommit = True
        connection.execute("rollback prepared 'forgotten'")
