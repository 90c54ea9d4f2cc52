"""A project against the tables that its sources have."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.schema import Column, TableName, TableSchema
from config.fit import validate_mappings
from config.load import load_project
from tests.config.projects import Change, changed, write

MAIN = "tailrace.yml"
MAPPING = "mappings/erp_customer.yml"


def table(name: str, **columns: str) -> TableSchema:
    schema, _, short = name.partition(".")
    return TableSchema(
        TableName(schema, short),
        tuple(Column(column, type_, type_, column != "id") for column, type_ in columns.items()),
        ("id",),
    )


KUNDEN = table("sales.kunden", id="integer", name1="text", kz="text", mandant="integer")
ORDERS = table("sales.orders", id="integer")


def fits(directory: Path, *changes: Change, tables: list[TableSchema]) -> list[tuple[str, str]]:
    """(file:line, message) of each error."""
    project = load_project(write(directory, changed(*changes)))
    errors = validate_mappings(project, {"erp": tables})
    return [(f"{error.where['file']}:{error.where['line']}", str(error)) for error in errors]


def test_a_project_that_fits_has_no_errors(tmp_path: Path) -> None:
    assert fits(tmp_path, tables=[KUNDEN, ORDERS]) == []


def test_a_source_that_was_not_reached_is_not_judged(tmp_path: Path) -> None:
    assert validate_mappings(load_project(write(tmp_path, changed())), {}) == []


@pytest.mark.parametrize(
    ("changes", "tables", "place", "what"),
    [
        (
            [],
            [table("sales.kunde", id="integer"), ORDERS],
            f"{MAPPING}:3",
            "source erp does not have, or which is not captured [file=mappings/erp_customer.yml"
            " line=3 column=1] → did you mean 'sales.kunde'?",
        ),
        (
            [(MAPPING, "trim(name1)", "trim(naem1)")],
            [KUNDEN],
            f"{MAPPING}:7",
            "naem1",
        ),
        (
            [(MAPPING, '"mandant = 1"', '"mandant"')],
            [KUNDEN],
            f"{MAPPING}:9",
            "where",
        ),
        (
            [(MAPPING, "\"'E-' || id\"", "\"'E-' || kz\"")],
            [KUNDEN],
            f"{MAPPING}:5",
            "key",
        ),
        (
            [(MAIN, "{tables: [sales.*]", "{tables: [sales.x, sales.*]")],
            [KUNDEN],
            f"{MAIN}:17",
            "source erp has no table sales.x",
        ),
        (
            [(MAPPING, "entity: customer\n", "entity: customer\ninto: sales.orders\n")],
            [KUNDEN, ORDERS],
            f"{MAIN}:17",
            "copy of sales.orders and mapping erp_customer in pipeline erp_to_hub",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_file_and_line(
    tmp_path: Path, changes: list[Change], tables: list[TableSchema], place: str, what: str
) -> None:
    found = fits(tmp_path, *changes, tables=tables)
    assert [at for at, _ in found] == [place], found
    assert what in found[0][1]


def test_two_sources_with_a_table_of_one_name_collide_in_one_target(tmp_path: Path) -> None:
    more = "  crm: {type: postgres, url: host=crm, tables: [sales.*]}\n"
    pipeline = "  crm_to_hub: {source: crm, target: hub, replicate: [{tables: [sales.*]}]}\n"
    changes = [
        (MAIN, "sources:\n", "sources:\n" + more),
        (MAIN, "pipelines:\n", f"pipelines:\n{pipeline}"),
    ]
    project = load_project(write(tmp_path, changed(*changes)))
    assert validate_mappings(project, {"erp": [KUNDEN, ORDERS], "crm": []}) == []
    errors = validate_mappings(project, {"erp": [KUNDEN, ORDERS], "crm": [ORDERS]})
    assert [error.where["line"] for error in errors] == [19]
    assert "copy of sales.orders (tailrace.yml:14) both write sales.orders of hub" in errors[0].what
