"""Whole mappings in each dialect: key, where, value maps, fields, and rows that fail."""

from __future__ import annotations

from typing import Any

import pytest

from cdc.schema import Column, TableName, TableSchema
from tests.transforms.batches import Change, batch, shown
from transforms.compile import compile_mapping
from transforms.disjoint import check_together
from transforms.entity import Entity
from transforms.errors import RowError
from transforms.model import FieldRule, Mapping
from transforms.router import Router

ENTITIES = {
    "customer": Entity.model_validate(
        {
            "entity": "customer",
            "key": ["no"],
            "fields": {
                "no": {"type": "text"},
                "name": {"type": "text"},
                "status": {"type": "text"},
                "credit": {"type": "decimal(12,2)"},
                "since": {"type": "date"},
                "open": {"type": "boolean"},
            },
        }
    )
}
SHOP = TableSchema(
    TableName("shop", "kunden"),
    (
        Column("ID", "integer", "integer", nullable=False, native="mysql:int"),
        Column("Name1", "text", "text", native="mysql:varchar(40)"),
        Column("Name2", "text", "text", native="mysql:varchar(40)"),
        Column("KZ", "text", "text", native="mysql:char(1)"),
        Column("Kredit", "numeric(10,2)", "numeric"),
        Column("Angelegt", "text", "text", native="mysql:varchar(10)"),
        Column("Mandant", "smallint", "smallint", native="mysql:smallint"),
    ),
    ("ID",),
)
FIELDS: dict[str, dict[str, Any]] = {
    "mysql": {
        "key": {"no": "CONCAT('E-', id)"},
        "fields": {
            "name": "TRIM(CONCAT(name1, ' ', IFNULL(name2, '')))",
            "status": {"from": "kz", "values": {"A": "active", "S": "blocked"}},
            "credit": "kredit / 3",
            "since": "STR_TO_DATE(angelegt, '%d.%m.%Y')",
            "open": "kredit > 0",
        },
        "where": "mandant = 1",
    },
    "oracle": {
        "key": {"no": "'E-' || id"},
        "fields": {
            "name": "TRIM(name1 || ' ' || name2)",
            "status": "DECODE(kz, 'A', 'active', 'S', 'blocked')",
            "credit": "kredit / 3",
            "since": "TO_DATE(angelegt, 'DD.MM.YYYY')",
            "open": "kredit > 0",
        },
        "where": "mandant = 1",
    },
    "tsql": {
        "key": {"no": "'E-' + CAST(id AS varchar(max))"},
        "fields": {
            "name": "TRIM(name1 + ' ' + COALESCE(name2, ''))",
            "status": {"from": "kz", "values": {"A": "active", "S": "blocked"}},
            "credit": "kredit / 3",
            "since": "CONVERT(date, angelegt, 104)",
            "open": "kredit > 0",
        },
        "where": "mandant = 1",
    },
}


def mapping(dialect: str) -> Mapping:
    return Mapping.model_validate(
        {"mapping": "m", "entity": "customer", "table": "shop.kunden", "dialect": dialect}
        | FIELDS[dialect]
    )


def kunde(number: int, **changes: str | None) -> dict[str, str | None]:
    row: dict[str, str | None] = {
        "ID": str(number),
        "Name1": "Anna",
        "Name2": "Berg",
        "KZ": "A",
        "Kredit": "20.00",
        "Angelegt": "29.02.2024",
        "Mandant": "1",
    }
    return row | changes


@pytest.mark.parametrize("dialect", FIELDS)
def test_rows_become_the_same_entities(dialect: str) -> None:
    programs, errors = compile_mapping(mapping(dialect), ENTITIES, SHOP)
    assert errors == []
    assert [program.name for program in programs] == ["m"]
    router = Router([], [mapping(dialect)], ENTITIES)
    changes = [
        Change("c", kunde(1)),
        Change("c", kunde(2, Name2=None, KZ="S", Kredit="-0.01")),
        Change("c", kunde(3, Mandant="2")),
    ]
    (rows,) = router.route(batch(SHOP, changes), 100)
    router.close()
    assert shown(rows) == [
        "u@100 no=E-1 name=Anna Berg status=active credit=6.67 since=2024-02-29 open=true",
        "u@101 no=E-2 name=Anna status=blocked credit=0.00 since=2024-02-29 open=false",
    ]


@pytest.mark.parametrize("dialect", FIELDS)
def test_a_row_that_does_not_convert_is_named(dialect: str) -> None:
    router = Router([], [mapping(dialect)], ENTITIES)
    changes = [Change("c", kunde(1)), Change("c", kunde(2, Angelegt="30.02.2024"))]
    with pytest.raises(RowError) as failed:
        router.route(batch(SHOP, changes), 100)
    router.close()
    assert [(fault.seq, fault.field) for fault in failed.value.faults] == [(1, "since")]
    assert "30.02.2024" not in str(failed.value)


SUPPLIERS = {
    "postgres": ("'E-' || \"ID\"", "'K-' || \"ID\""),
    "mysql": ("CONCAT('E-', id)", "CONCAT('K-', id)"),
    "oracle": ("'E-' || id", "CONCAT('K-', id)"),
    "tsql": ("'E-' + CAST(id AS varchar(max))", "CONCAT('K-', id)"),
}


@pytest.mark.parametrize("dialect", SUPPLIERS)
def test_keys_that_begin_differently_never_meet(dialect: str) -> None:
    maps = [
        Mapping.model_validate(
            {
                "mapping": f"m{at}",
                "entity": "customer",
                "table": "shop.kunden",
                "dialect": dialect,
                "key": {"no": key},
            }
        )
        for at, key in enumerate(SUPPLIERS[dialect])
    ]
    for one in maps:
        assert compile_mapping(one, ENTITIES, SHOP)[1] == []
    assert check_together(maps, ENTITIES, {str(SHOP.table): SHOP}) == []
    twice = [maps[0], maps[0].model_copy(update={"mapping": "again"})]
    assert check_together(twice, ENTITIES, {str(SHOP.table): SHOP}) != []


@pytest.mark.parametrize(
    ("dialect", "expression", "advice"),
    [
        ("mysql", "kredit / 3 + 1", "round(x, 2) or CAST(x AS DECIMAL(12,2))"),
        ("mysql", "ROUND(name1, 2)", "CAST(x AS DECIMAL(12,2))"),
        ("mysql", "REVERSE(kredit > 1)", "IF(x, '1', '0')"),
        ("oracle", "ROUND(name1, 2)", "CAST(x AS NUMBER(12,2))"),
        ("tsql", "ROUND(name1, 2)", "CAST(x AS decimal(12,2))"),
    ],
)
def test_advice_is_in_the_dialect_of_the_mapping(
    dialect: str, expression: str, advice: str
) -> None:
    declared = mapping(dialect).model_copy(update={"fields": {"name": FieldRule(expr=expression)}})
    _, errors = compile_mapping(declared, ENTITIES, SHOP)
    assert [advice in (error.fix or "") for error in errors] == [True], errors
