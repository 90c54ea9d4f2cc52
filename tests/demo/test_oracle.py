"""The demo's data set, and the plain SQL that says what the hub must hold."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from config.load import load_project
from tailrace.errors import TailraceError
from tailrace.service.demo.oracle import EXPECTED, compare
from tailrace.service.demo.run import ROWS, write_project
from tailrace.service.demo.servers import legacy_sql

TABLES = ("zahlungsbedingungen", "kunden", "artikel", "auftraege", "positionen")
SMALL = 2000


@pytest.fixture
def hub(database18, second_database18) -> tuple[str, str]:
    """URLs of an ERP and of a hub that is as it must be."""
    database18.execute(legacy_sql(SMALL))
    second_database18.execute("create schema raw; create schema hub")
    with (
        psycopg.connect(database18.url) as source,
        psycopg.connect(second_database18.url) as target,
    ):
        for table in EXPECTED:
            source.execute(f"create temp table wanted as {table.query}".encode())
            columns = source.execute(
                "select string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)),"
                " ', ' order by attnum desc)"  # the order of columns is the target's affair
                " from pg_attribute where attrelid = 'wanted'::regclass and attnum > 0"
            ).fetchone()
            name = f'{table.schema}."{table.table}"'
            target.execute(f"create table {name} ({columns[0]})".encode())  # type: ignore[index]
            order = target.execute(f"select * from {name}".encode()).description
            listed = ", ".join(f'"{column.name}"' for column in order or ())
            with (
                source.cursor().copy(f"copy (select {listed} from wanted) to stdout".encode()) as a,
                target.cursor().copy(f"copy {name} ({listed}) from stdin".encode()) as b,
            ):
                for block in a:
                    b.write(block)
            source.execute("drop table wanted")
    return database18.url, second_database18.url


def test_the_data_set_is_large_enough_and_the_same_each_time(database18, second_database18) -> None:
    def content(database) -> list[object]:
        return [
            database.execute(
                f"select count(*), md5(string_agg(t::text, ' ' order by t::text)) from erp.{name} t"
            )[0]
            for name in TABLES
        ]

    for database in (database18, second_database18):
        database.execute(legacy_sql(ROWS))
    found = content(database18)
    assert found == content(second_database18)
    assert sum(rows for rows, _ in found) >= 50_000  # type: ignore[misc, has-type]


def test_what_is_expected_has_unique_keys_and_every_code_a_meaning(database18) -> None:
    database18.execute(legacy_sql(SMALL))
    for table in EXPECTED:
        key = ", ".join(f"q.{name}" for name in table.key)
        total, unique, rows = database18.execute(
            f"select count(*), count(distinct ({key})), count(({key})::text) from ({table.query}) q"
        )[0]
        assert total == unique == rows > 0
    for name in ("customer", "order"):
        (query,) = (table.query for table in EXPECTED if table.table == name)
        assert database18.execute(f"select 1 from ({query}) q where status is null") == []


def test_the_project_is_valid_and_covers_what_is_expected(tmp_path: Path, monkeypatch) -> None:
    for name in ("DEMO_ERP_URL", "DEMO_HUB_URL"):
        monkeypatch.setenv(name, "postgresql://nobody@127.0.0.1/none")
    project = load_project(write_project(tmp_path / "project"))
    fields = {name: set(entity.fields) for name, entity in project.entities.items()}
    for table in EXPECTED:
        if table.schema == "hub":
            columns = fields.pop(table.table)
            assert set(table.key) <= columns
    assert not fields


def test_the_project_with_the_shop_is_valid(tmp_path: Path, monkeypatch) -> None:
    for name in ("DEMO_ERP_URL", "DEMO_HUB_URL"):
        monkeypatch.setenv(name, "postgresql://nobody@127.0.0.1/none")
    monkeypatch.setenv("DEMO_SHOP_URL", "mariadb://nobody@127.0.0.1/")
    alone = load_project(write_project(tmp_path / "alone"))
    project = load_project(write_project(tmp_path / "project", with_shop=True))
    assert set(project.sources) == {"erp", "shop"}
    assert project.pipelines["erp_to_hub"] == alone.pipelines["erp_to_hub"]
    assert set(project.entities) == {*alone.entities, "web_order"}


def test_equal_is_equal(hub: tuple[str, str]) -> None:
    compared = compare(*hub)
    assert (compared.different, compared.keys) == (0, [])
    with psycopg.connect(hub[1]) as target:
        counts = [
            target.execute(f'select count(*) from {table.schema}."{table.table}"'.encode())
            for table in EXPECTED
        ]
        total = sum(count.fetchall()[0][0] for count in counts)
    assert compared.rows == total > SMALL


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        (
            "update hub.customer set name = name || '.' where customer_no = 'C-00000011'",
            ["hub.customer C-00000011"],
        ),
        (
            "update hub.customer set payment_terms = '' where customer_no = 'C-00000014'",
            ["hub.customer C-00000014"],  # NULL is not the empty text
        ),
        (
            "alter table hub.product alter price type numeric; update hub.product"
            " set price = (price::text || '0')::numeric where product_no = 'ART-000007'",
            ["hub.product ART-000007"],  # 1.10 is not 1.100
        ),
        (
            "delete from hub.order_line where order_no = 'O-10' and line_no = 2",
            ["hub.order_line O-10 / 2"],
        ),
        (
            "insert into hub.\"order\" (order_no) values (''), ('O-10x'), ('Ö')",
            ["hub.order ", "hub.order O-10x", "hub.order Ö"],
        ),
        (
            "update hub.product set product_no = 'ART-00000Z' where product_no = 'ART-000007'",
            ["hub.product ART-000007", "hub.product ART-00000Z"],
        ),
        (
            "delete from raw.zahlungsbedingungen where zb_code = 'VKS'",
            ["raw.zahlungsbedingungen VKS"],
        ),
    ],
)
def test_a_difference_is_named_by_its_key(
    hub: tuple[str, str], change: str, keys: list[str]
) -> None:
    with psycopg.connect(hub[1]) as target:
        target.execute(change.encode())
    compared = compare(*hub)
    assert compared.different == len(keys)
    assert compared.keys == keys


@pytest.mark.parametrize(
    "change",
    [
        "create table hub.more (id int)",
        "drop table hub.product",
        "alter table hub.product add more text",
        "alter table hub.product drop description",
    ],
)
def test_tables_and_columns_that_nobody_expects_are_no_match(
    hub: tuple[str, str], change: str
) -> None:
    with psycopg.connect(hub[1]) as target:
        target.execute(change.encode())
    with pytest.raises(TailraceError, match="not the expected ones"):
        compare(*hub)
