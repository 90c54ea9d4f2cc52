"""Each finding about a target is provoked on a real one, and gone once its own fix was run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from cdc.findings import Finding
from cdc.schema import TableName
from sinks.postgres.preflight import inspect
from sinks.postgres.settings import PostgresTarget
from tailrace.errors import TargetUnavailable
from tests.conftest import Database
from transforms.rows import TargetColumn, TargetTable

TABLE = TargetTable(
    TableName("hub", "customer"),
    (TargetColumn("id", "bigint", nullable=False), TargetColumn("name", "text")),
    ("id",),
)
TABLES = "create schema hub; create table hub.customer (id bigint primary key, name text);"


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    name = f"writer_{database.name}"
    database.execute(
        f"create role {name} login; create schema tailrace authorization {name};"
        + TABLES
        + f"grant usage, create on schema hub to {name};"
        f"grant select, insert, update, delete, truncate on hub.customer to {name}"
    )
    yield name
    database.execute(f"drop owned by {name} cascade; drop role {name}")


def found(database: Database, role: str, table: TargetTable = TABLE) -> list[Finding]:
    target = PostgresTarget(type="postgres", url=database.server.url(database.name, role))
    return inspect(target, [table], ["line"])


def run(database: Database, fix: str) -> None:
    for statement in fix.split(";"):
        if statement.strip():
            database.execute(statement)


def test_a_target_that_is_ready_has_no_findings(database: Database, role: str) -> None:
    assert found(database, role) == []
    assert database.execute("select 1 from pg_tables where schemaname = 'tailrace'") == []


FIXABLE = {
    "checkpoints": ("drop schema tailrace", "cannot keep checkpoints"),
    "temporary": ("revoke temporary on database {database} from public", "temporary tables"),
    "schema": (
        "drop table hub.customer; revoke create on schema hub from {role}",
        "may not make it",
    ),
    "no schema": ("drop schema hub cascade", "may not make it"),
    "usage": ("revoke usage on schema hub from {role}", "may not use its schema"),
    "rights": ("revoke update, delete on hub.customer from {role}", "lacks UPDATE, DELETE"),
    "row security": (
        "alter table hub.customer enable row level security",
        "row security stands between",
    ),
    "column": ("alter table hub.customer drop column name", "lacks 1 column(s): name"),
    "key": (
        "alter table hub.customer drop constraint customer_pkey",
        "no unique index on exactly (id)",
    ),
}


@pytest.mark.parametrize("kind", FIXABLE)
def test_what_stands_against_writing_is_told_with_its_fix(
    database: Database, role: str, kind: str
) -> None:
    sql, what = FIXABLE[kind]
    database.execute(sql.format(role=role, database=database.name))
    (finding,) = found(database, role)
    assert finding.severity == "error"
    assert what in finding.what
    run(database, finding.fix)
    assert found(database, role) == []


def test_a_contracts_unique_index_is_demanded(database: Database, role: str) -> None:
    demanding = replace(TABLE, unique=(("name", "id"), ("name",)))
    database.execute("create unique index on hub.customer (id, name)")
    (finding,) = found(database, role, demanding)
    assert "no unique index on (name)" in finding.what
    run(database, finding.fix)
    assert found(database, role, demanding) == []


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("insert into hub.customer values (1, 'theirs')", "did not write"),
        ("drop table hub.customer; create view hub.customer as select 1 as id", "is not a table"),
        ("alter table hub.customer add other int not null", "demands a value for other"),
    ],
)
def test_what_only_a_person_can_decide_is_told_as_advice(
    database: Database, role: str, sql: str, what: str
) -> None:
    database.execute(sql)
    (finding,) = found(database, role)
    assert what in finding.what
    assert finding.fix.startswith("-- ")


def test_rows_of_ours_and_rows_to_be_kept_are_no_finding(database: Database, role: str) -> None:
    database.execute("insert into hub.customer values (1, 'x')")
    kept = TargetTable(TABLE.table, TABLE.columns, TABLE.key, existing="keep")
    assert found(database, role, kept) == []
    database.execute(
        "create table tailrace.tables (pipeline text, table_schema text, table_name text);"
        "insert into tailrace.tables values ('line', 'hub', 'customer');"
        f"grant select on tailrace.tables to {role}"
    )
    assert found(database, role) == []


def test_an_encoding_that_lacks_characters_is_a_warning(database18: Database) -> None:
    name = f"{database18.name}_latin"
    database18.execute(f"create database {name} encoding 'LATIN1' template template0 locale 'C'")
    try:
        target = PostgresTarget(type="postgres", url=database18.server.url(name))
        (finding,) = inspect(target, [], [])
        assert (finding.severity, "LATIN1" in finding.what) == ("warning", True)
    finally:
        database18.execute(f"drop database {name}")


def test_a_target_that_does_not_answer_is_no_finding() -> None:
    target = PostgresTarget(type="postgres", url="postgresql://u:geheim@127.0.0.1:1/x")
    with pytest.raises(TargetUnavailable) as failed:
        inspect(target, [], [])
    assert "geheim" not in str(failed.value)
