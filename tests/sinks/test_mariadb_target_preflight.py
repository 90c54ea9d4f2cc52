"""What `check` finds at a MariaDB target, and the tables that are made there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from cdc.findings import Finding
from cdc.schema import TableName
from sinks.conformance import JOURNAL, TABLE, apply, changes, opened, upsert
from sinks.mysql.preflight import inspect
from sinks.mysql.products import MYSQL
from sinks.mysql.settings import MariadbTarget, MysqlTarget
from sinks.mysql.types import column_types
from tests.sinks.maria_harness import MariadbHarness, only_mysql
from transforms.rows import TargetColumn, TargetTable


def look(harness: MariadbHarness, *tables: TargetTable, user: str = "") -> list[Finding]:
    url = harness.server.url(user) if user else harness.url
    target: MariadbTarget | MysqlTarget
    if harness.product is MYSQL:
        target = MysqlTarget(type="mysql", url=url)
    else:
        target = MariadbTarget(type="mariadb", url=url)
    return inspect(target, tables or (TABLE,), ["line"])


@contextmanager
def user(harness: MariadbHarness, *grants: str) -> Iterator[str]:
    harness.make_user("looker", *grants)
    yield "looker"
    harness.execute("drop user looker")


def test_a_server_that_is_ready(maria_harness: MariadbHarness) -> None:
    assert look(maria_harness) == []
    opened(maria_harness)
    assert look(maria_harness) == []


@pytest.mark.parametrize(
    ("name", "value", "severity"),
    [
        ("read_only", "1", "error"),
        ("max_allowed_packet", "1048576", "warning"),
        ("binlog_format", "'STATEMENT'", "error"),
    ],
)
def test_settings_of_the_server(
    name: str, value: str, severity: str, maria_harness: MariadbHarness
) -> None:
    with (
        maria_harness.setting(name, value),
        user(maria_harness, "all on *.*") as looker,
    ):
        found = look(maria_harness, user=looker)
    assert [(finding.where, finding.severity) for finding in found] == [(name, severity)]
    assert name in found[0].fix or "primary" in found[0].fix


def test_a_target_declared_as_the_other_server(maria_harness: MariadbHarness) -> None:
    target: MariadbTarget | MysqlTarget
    if maria_harness.product is MYSQL:
        target = MariadbTarget(type="mariadb", url=maria_harness.url)
    else:
        target = MysqlTarget(type="mysql", url=maria_harness.url)
    (finding,) = inspect(target, [TABLE], ["line"])
    assert (finding.severity, finding.where) == ("error", "version")
    assert f"write `type: {maria_harness.product.type}`" in finding.fix


def test_rights_to_make_what_is_not_there(maria_harness: MariadbHarness) -> None:
    with user(maria_harness, "select, references on *.*") as looker:
        found = look(maria_harness, user=looker)
        assert [finding.where for finding in found] == ["database tailrace", "shop.item"]
        for finding in found:
            maria_harness.execute(*finding.fix.split(";\n")[:1], *_grants(finding))
        assert look(maria_harness, user=looker) == []


def _grants(finding: Finding) -> list[str]:
    return [line.rstrip(";") for line in finding.fix.splitlines() if line.startswith("GRANT")]


def test_rights_on_a_table_that_is_there(maria_harness: MariadbHarness) -> None:
    opened(maria_harness)
    with user(
        maria_harness, "references on *.*", "all on tailrace.*", "select on shop.item"
    ) as looker:
        (finding,) = look(maria_harness, user=looker)
        assert "lacks INSERT, UPDATE, DELETE" in finding.what
        maria_harness.execute(finding.fix.rstrip(";"))
        assert look(maria_harness, user=looker) == []


def test_what_a_grant_covers_is_a_pattern(maria_harness: MariadbHarness) -> None:
    with user(
        maria_harness, "references on *.*", "all on `tail%`.*", "create on `sho_`.*"
    ) as looker:
        assert look(maria_harness, user=looker) == []
    with user(
        maria_harness, "references on *.*", "all on tailrace.*", "create on `sho\\_`.*"
    ) as looker:
        (finding,) = look(maria_harness, user=looker)
        assert finding.where == "shop.item"


def test_foreign_keys_that_are_not_shown(maria_harness: MariadbHarness) -> None:
    with user(maria_harness, "all on tailrace.*", "all on shop.*") as looker:
        (finding,) = look(maria_harness, user=looker)
        assert (finding.severity, finding.where) == ("warning", "foreign keys")
        maria_harness.execute(finding.fix.partition(";")[0])
        assert look(maria_harness, user=looker) == []


@only_mysql
def test_rights_that_are_taken_back_in_part(maria_harness: MariadbHarness) -> None:
    with maria_harness.setting("partial_revokes", 1):
        with user(maria_harness, "all on tailrace.*", "create on *.*") as looker:
            assert look(maria_harness, user=looker) == []
            maria_harness.execute("revoke create on shop.* from looker")
            found = look(maria_harness, user=looker)
            assert [finding.where for finding in found] == ["foreign keys", "shop.item"]
        with user(maria_harness, "all on tailrace.*", "create on `sho_`.*") as looker:
            found = look(maria_harness, user=looker)
            assert [finding.where for finding in found] == ["foreign keys", "shop.item"]


@only_mysql
def test_rights_of_a_role(maria_harness: MariadbHarness) -> None:
    maria_harness.execute(
        "create role if not exists writers",
        "grant all on tailrace.* to writers",
        "grant all on shop.* to writers",
        "grant references on *.* to writers",
    )
    with user(maria_harness) as looker:
        maria_harness.execute(f"grant writers to {looker}", f"set default role all to {looker}")
        assert look(maria_harness, user=looker) == []
    maria_harness.execute("drop role writers")


def test_rows_of_others_and_keys_that_ignore_case(maria_harness: MariadbHarness) -> None:
    word = TargetTable(
        TableName("shop", "word"), (TargetColumn("w", "text", nullable=False),), ("w",)
    )
    maria_harness.execute(
        "create database shop",
        "create table shop.word (w varchar(9) collate utf8mb4_general_ci primary key)",
        "insert into shop.word values ('a')",
    )
    found = look(maria_harness, word)
    assert [(one.severity, one.where) for one in found] == [
        ("error", "shop.word"),
        ("warning", "shop.word"),
    ]
    maria_harness.execute("truncate shop.word", found[1].fix.removeprefix("-- ").rstrip(";"))
    assert look(maria_harness, word) == []


def test_columns_are_verified(maria_harness: MariadbHarness) -> None:
    opened(maria_harness)
    maria_harness.execute("alter table shop.item drop code")
    (finding,) = look(maria_harness)
    assert "lacks 1 column(s): code" in finding.what
    maria_harness.execute(finding.fix.rstrip(";"))
    assert look(maria_harness) == []


def test_a_contracts_unique_index_is_verified(maria_harness: MariadbHarness) -> None:
    opened(maria_harness)
    demanding = replace(TABLE, unique=(("amount",),))
    (finding,) = look(maria_harness, demanding)
    assert "no unique index on whole columns (amount)" in finding.what
    maria_harness.execute(finding.fix.rstrip(";"))
    assert look(maria_harness, demanding) == []


def table(*types: str, key: int = 1, unique: tuple[tuple[str, ...], ...] = ()) -> TargetTable:
    columns = tuple(TargetColumn(f"c{n}", kind, nullable=n >= key) for n, kind in enumerate(types))
    return TargetTable(
        TableName("shop", "made"),
        columns,
        tuple(column.name for column in columns[:key]),
        unique=unique,
    )


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (table("text"), ["varchar(768)"]),
        (table("bytea"), ["varbinary(3072)"]),
        (table("text", "text", key=2), ["varchar(384)", "varchar(384)"]),
        (table("text", "bytea", "integer", key=3), ["varchar(380)", "varbinary(1520)", "int"]),
        (table("integer[]", "jsonb"), ["varchar(768)", "JSON"]),
        (table("text", "character varying(700)", key=2), ["varchar(68)", "varchar(700)"]),
        (
            table("bigint", *["character varying(9000)"] * 3),
            ["bigint", "longtext", "longtext", "varchar(9000)"],
        ),
        (table("bigint", *["character varying(255)"] * 50), ["bigint"] + ["varchar(255)"] * 50),
        (
            table("text", "text", "text", "text", unique=(("c1",), ("c1", "c2"), ("c0", "c1"))),
            ["varchar(384)", "varchar(384)", "varchar(384)", "longtext"],
        ),
        (table("numeric(80,2)"), ["decimal(65,30)"]),
        (table("numeric(65,30)"), ["decimal(65,30)"]),
        (table("numeric(3,-2)"), ["decimal(65,30)"]),
    ],
)
def test_tables_are_made_such_that_keys_and_rows_fit(
    made: TargetTable, wanted: list[str], maria_harness: MariadbHarness
) -> None:
    wanted = [maria_harness.product.json if kind == "JSON" else kind for kind in wanted]
    assert [type_.ddl for type_ in column_types(made, maria_harness.product)] == wanted
    sink = opened(maria_harness, made)
    first = tuple(
        "\\x00" if column.type == "bytea" else "1" for column in made.columns[: len(made.key)]
    )
    rest = (None,) * (len(made.columns) - len(made.key))
    apply(sink, 1, changes(made, upsert(*first, *rest)))
    assert len(maria_harness.rows(made)) == 1


def test_a_row_that_is_too_wide_is_said_to_be(maria_harness: MariadbHarness) -> None:
    wide = table("bigint", *["bigint"] * 1100)
    sink = maria_harness.sink()
    sink.open(JOURNAL)
    with pytest.raises(Exception, match="made") as raised:
        sink.prepare([wide])
    assert "Too many columns" in str(raised.value)
