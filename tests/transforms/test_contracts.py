"""Contracts of entities: which rows break them, and which contracts contradict themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping as MappingABC
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.schema import TableSchema
from tests.transforms.batches import Change, batch, shown, table
from transforms.contract import contract_of
from transforms.contradictions import check_constants, check_entity, never_judged
from transforms.entity import Entity
from transforms.errors import RowError, RowFault
from transforms.model import Mapping
from transforms.preview import preview
from transforms.router import Router

ROW = table(
    "s.t",
    {
        "id": "integer",
        "name": "text",
        "zip": "character(5)",
        "kz": "text",
        "amount": "numeric(10,2)",
        "weight": "double precision",
        "day": "date",
        "at": "timestamp with time zone",
        "flag": "boolean",
        "loose": "numeric",
    },
    ["id"],
)
TYPES = {
    "id": "integer",
    "name": "text",
    "zip": "text",
    "kz": "text",
    "amount": "decimal(10,2)",
    "weight": "double",
    "day": "date",
    "at": "timestamptz",
    "flag": "boolean",
    "loose": "decimal",
}
GOOD: dict[str, str | None] = {
    "id": "1",
    "name": "Anna",
    "zip": "01067",
    "kz": "A",
    "amount": "10.00",
    "weight": "1.5",
    "day": "2024-02-29",
    "at": "2024-02-29 12:00:00+00",
    "flag": "t",
    "loose": "1.5",
}


def entity(demands: MappingABC[str, Any] | None = None, **more: Any) -> Entity:
    fields = {
        name: {"type": type_, **(demands or {}).get(name, {})} for name, type_ in TYPES.items()
    }
    return Entity.model_validate({"entity": "e", "key": ["id"], "fields": fields, **more})


def mapping(fields: MappingABC[str, Any] | None = None, **changes: Any) -> Mapping:
    plain = {name: name for name in TYPES if name != "id"}
    declared = {"mapping": "m", "entity": "e", "table": "s.t", "key": {"id": "id"}}
    return Mapping.model_validate(declared | {"fields": plain | dict(fields or {})} | changes)


def faults(
    contract: Entity,
    *rows: MappingABC[str, str | None],
    maps: Mapping | None = None,
    unsent: tuple[str, ...] = (),
) -> tuple[RowFault, ...]:
    changes = [
        Change("u" if unsent else "c", GOOD | {"id": str(at)} | dict(row), unsent=unsent)
        for at, row in enumerate(rows)
    ]
    with Router([], [maps or mapping()], {"e": contract}) as router:
        try:
            router.route(batch(ROW, changes), 0)
        except RowError as error:
            return error.faults
    return ()


def broken(contract: Entity, *rows: MappingABC[str, str | None], **more: Any) -> list[Any]:
    return [(fault.seq, fault.field, fault.reason) for fault in faults(contract, *rows, **more)]


VALUES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    ("kz", {"one_of": ["A", "it's", "{x}"]}, ["A", "it's", "{x}"], ["B", "a", "", "A "]),
    ("id", {"one_of": ["1", "02"]}, ["1", "2"], ["3", "-1"]),
    ("amount", {"one_of": ["1.5", "2"]}, ["1.50", "2.00"], ["1.51"]),
    ("day", {"one_of": ["2024-02-29"]}, ["2024-02-29"], ["2024-03-01", "infinity"]),
    ("flag", {"one_of": ["true"]}, ["t"], ["f"]),
    ("id", {"range": {"min": "-5", "max": "5"}}, ["-5", "0", "5"], ["-6", "6"]),
    ("amount", {"range": {"min": "0.01"}}, ["0.01", "99999999.99"], ["0.00", "-1.00"]),
    ("amount", {"range": {"max": "0.005"}}, ["0.00"], ["0.01"]),
    ("weight", {"range": {"min": "0", "max": "1e3"}}, ["0", "1e-05", "1000"], ["-0.1", "Infinity"]),
    ("day", {"range": {"min": "1900-01-01", "max": "2099-12-31"}}, ["2024-01-01"], ["1899-12-31"]),
    (
        "at",
        {"range": {"max": "2024-01-01"}},
        ["2023-12-31 23:59:59+00"],
        ["2024-01-01 00:00:01+00"],
    ),
    ("name", {"pattern": "[A-Z][a-z]*"}, ["A", "Anna"], ["anna", "Anna B", "xAnna", "Anna\n"]),
    ("name", {"pattern": "a|bc"}, ["a", "bc"], ["ac", "abc"]),
    ("zip", {"pattern": "[0-9]{5}"}, ["01067"], ["0106", "x1067"]),
    ("name", {"length": {"min": "2", "max": "4"}}, ["ab", "äöüß"], ["a", "abcde", ""]),
    ("zip", {"length": {"min": "5"}}, ["01067"], ["1067 "]),
    ("amount", {"check": "amount >= 0 and amount < 100"}, ["0.00", "99.99"], ["-0.01", "100.00"]),
    ("flag", {"check": "flag"}, ["t"], ["f"]),
    ("name", {"check": "trim(name) = name"}, ["a"], [" a"]),
]


@pytest.mark.parametrize(("name", "demand", "good", "bad"), VALUES)
def test_each_demand(name: str, demand: dict[str, Any], good: list[str], bad: list[str]) -> None:
    contract = entity({name: demand})
    assert check_entity(contract) == []
    field = name if name != "id" else "name"
    maps = mapping() if name != "id" else mapping(key={"id": "id"})
    if name == "id":
        rows = [GOOD | {"id": value} for value in (*good, *bad)]
        with Router([], [maps], {"e": contract}) as router, pytest.raises(RowError) as raised:
            router.route(batch(ROW, [Change("c", row) for row in rows]), 0)
        found = [(fault.seq, fault.field, fault.reason) for fault in raised.value.faults]
    else:
        found = broken(contract, *({field: value} for value in (*good, None, *bad)))
    first = len(good) + (name != "id")
    assert found == [(first + at, name, *demand) for at in range(len(bad))]


def test_the_first_broken_rule_names_the_row() -> None:
    contract = entity(
        {
            "name": {"required": "true", "length": {"max": "4"}, "pattern": "[a-z]+"},
            "amount": {"range": {"max": "10"}},
        },
        checks={"either": "kz = 'A' or amount > 1"},
    )
    rows = [
        {"name": None, "amount": "11.00"},
        {"name": "Anna5", "amount": "11.00"},
        {"name": "anna", "amount": "11.00"},
        {"name": "anna", "amount": "1.00", "kz": "B"},
        {"name": "anna", "amount": "1.00", "kz": None},
        {"name": "anna", "amount": "1.00"},
    ]
    assert broken(contract, *rows) == [
        (0, "name", "required"),
        (1, "name", "pattern"),
        (2, "amount", "range"),
        (3, "either", "check"),
    ]
    third = faults(contract, *rows)[2]
    assert third.mapping == "m"
    assert third.problem == "its value is outside of the range: at most 10"
    assert "contract" in third.fix


def test_the_same_of_many_rows_at_once_as_preview_counts_them() -> None:
    contract = entity({"name": {"length": {"max": "4"}}, "zip": {"required": "true"}})
    rows = [{"name": "x" * (at % 7), "zip": None if at % 10 == 9 else "1"} for at in range(1000)]
    found = faults(contract, *rows)
    longer = {at for at in range(1000) if at % 7 > 4}
    assert {fault.seq for fault in found} == longer | set(range(9, 1000, 10))
    changes = [Change("r", GOOD | {"id": str(at)} | row) for at, row in enumerate(rows)]
    (seen,) = preview(mapping(), {"e": contract}, batch(ROW, changes))
    assert seen.count("failed") == len({fault.seq for fault in found})
    assert seen.failures["name", "its length is not at most 4 characters"] == len(
        longer - set(range(9, 1000, 10))
    )
    assert all(row.mapped is None for row in seen.rows if row.outcome == "failed")


def test_a_check_that_cannot_be_computed_for_a_row_is_a_fault_of_that_row() -> None:
    contract = entity(checks={"ratio": "10 / id > 1", "other": "amount <> 3"})
    found = broken(contract, {}, {"amount": "3.00"}, {}, {"amount": "3.00"})
    assert found == [(0, "ratio", "zero"), (1, "other", "check"), (3, "other", "check")]


def test_values_that_no_type_here_holds() -> None:
    contract = entity({"amount": {"range": {"min": "0"}}, "day": {"range": {"min": "1900-01-01"}}})
    found = broken(contract, {"amount": "NaN"}, {"day": "0044-03-15 BC"}, {})
    assert [(seq, name) for seq, name, _ in found] == [(0, "amount"), (1, "day")]


def test_what_is_not_sent_is_not_judged() -> None:
    contract = entity(
        {"name": {"length": {"max": "3"}}, "amount": {"range": {"max": "5"}}},
        checks={"both": "amount < 5 or name = 'x'"},
    )
    assert broken(contract, {"name": "long one", "amount": "5.00"}, unsent=("name",)) == []
    assert broken(contract, {"amount": "6.00"}, unsent=("name",)) == [(0, "amount", "range")]
    assert broken(contract, {"name": "long one"}, unsent=("amount",)) == [(0, "name", "length")]


def test_what_another_mapping_delivers_is_not_judged() -> None:
    contract = entity(
        {"amount": {"range": {"max": "5"}}}, checks={"both": "amount < 5 or kz = 'x'"}
    )
    alone = Mapping.model_validate(
        {"mapping": "m", "entity": "e", "table": "s.t", "key": {"id": "id"}, "fields": {"kz": "kz"}}
    )
    assert broken(contract, {"kz": "y", "amount": "100.00"}, maps=alone) == []
    assert [error.loc for error in never_judged({"e": contract}, [alone])] == [("checks", "both")]
    assert never_judged({"e": contract}, [alone, mapping()]) == []
    assert never_judged({"e": contract}, []) == []


def test_rows_that_go_are_not_judged() -> None:
    contract = entity(checks={"kept": "not flag or amount > 0"})
    maps = mapping(on_delete="set_null")
    changes = [Change("d", None, GOOD | {"amount": "-1.00"}, whole=True)]
    schema = TableSchema(ROW.table, ROW.columns, ROW.key, "full")
    with Router([], [maps], {"e": contract}) as router:
        (rows,) = router.route(batch(schema, changes), 0)
    assert shown(rows)[0].startswith("p@0 id=1")


def test_the_column_of_soft_deletes_counts_as_delivered() -> None:
    contract = entity(checks={"open": "not flag and amount > 0"})
    maps = Mapping.model_validate(
        {"mapping": "m", "entity": "e", "table": "s.t", "key": {"id": "id"},
         "fields": {"amount": "amount"}, "on_delete": {"soft": "flag"}}
    )  # fmt: skip
    assert broken(contract, {}, {"amount": "0.00"}, maps=maps) == [(1, "open", "check")]


def test_computed_values_and_value_maps_are_judged_as_they_are_delivered() -> None:
    contract = entity(
        {
            "name": {"pattern": "[A-Z]+-1"},
            "kz": {"one_of": ["active"]},
            "flag": {"one_of": ["true"]},
            "at": {"range": {"min": "2024-01-01"}},
        }
    )
    maps = mapping(
        {
            "name": "upper(name) || '-' || id",
            "kz": {"from": "kz", "values": {"A": "active"}, "otherwise": {"value": "none"}},
            "flag": "amount > 1",
            "at": "day::timestamp AT TIME ZONE 'UTC'",
        }
    )
    rows = [{}, {"name": "x"}, {"kz": "B"}, {"amount": "1.00"}, {"day": "2023-01-01"}]
    found = broken(contract, *rows, maps=maps)
    assert found == [
        (0, "name", "pattern"),
        (2, "name", "pattern"),
        (3, "name", "pattern"),
        (4, "name", "pattern"),
    ]
    contract = entity({"kz": {"one_of": ["active"]}, "flag": {"one_of": ["true"]},
                       "at": {"range": {"min": "2024-01-01"}}})  # fmt: skip
    assert broken(contract, *rows, maps=maps) == [
        (2, "kz", "one_of"),
        (3, "flag", "one_of"),
        (4, "at", "range"),
    ]


WRONG: list[tuple[dict[str, Any], dict[str, Any], tuple[Any, ...], str]] = [
    ({"id": {"range": {"min": "2", "max": "1"}}}, {}, ("fields", "id", "range"), "between 2 and 1"),
    (
        {"day": {"range": {"min": "2024-01-02", "max": "2024-01-01"}}},
        {},
        ("fields", "day", "range"),
        "nothing",
    ),
    ({"id": {"range": {"min": "x"}}}, {}, ("fields", "id", "range"), "is no bigint"),
    ({"name": {"range": {"min": "a"}}}, {}, ("fields", "name", "range"), "no range"),
    ({"loose": {"range": {"min": "1"}}}, {}, ("fields", "loose", "range"), "no one scale"),
    ({"id": {"one_of": ["1", "b"]}}, {}, ("fields", "id", "one_of"), "is no bigint"),
    ({"weight": {"one_of": ["1"]}}, {}, ("fields", "weight", "one_of"), "no one_of"),
    (
        {"id": {"one_of": ["1", "7"], "range": {"max": "5"}}},
        {},
        ("fields", "id", "one_of", 1),
        "7 is listed",
    ),
    (
        {"kz": {"one_of": ["A", "b"], "pattern": "[A-Z]"}},
        {},
        ("fields", "kz", "one_of", 1),
        "does not match",
    ),
    (
        {"kz": {"one_of": ["A", "BB"], "length": {"max": "1"}}},
        {},
        ("fields", "kz", "one_of", 1),
        "length",
    ),
    (
        {"kz": {"one_of": ["A"], "check": "kz <> 'A'"}},
        {},
        ("fields", "kz", "one_of", 0),
        "not hold",
    ),
    ({"name": {"pattern": "(a"}}, {}, ("fields", "name", "pattern"), "no regular expression"),
    ({"name": {"pattern": r"(a)\1"}}, {}, ("fields", "name", "pattern"), "no regular expression"),
    ({"name": {"pattern": "(?=a)b"}}, {}, ("fields", "name", "pattern"), "no regular expression"),
    (
        {"name": {"pattern": "((a{1000}){1000}){1000}"}},
        {},
        ("fields", "name", "pattern"),
        "no regular",
    ),
    ({"name": {"pattern": "a" * 1001}}, {}, ("fields", "name", "pattern"), "1000 characters"),
    ({"id": {"pattern": "1"}}, {}, ("fields", "id", "pattern"), "no pattern"),
    ({"day": {"length": {"max": "1"}}}, {}, ("fields", "day", "length"), "no length"),
    ({"name": {"check": "nme = 'x'"}}, {}, ("fields", "name", "check"), "nme"),
    ({"name": {"check": "length(name)"}}, {}, ("fields", "name", "check"), "true or false"),
    ({"name": {"check": "1 = 1"}}, {}, ("fields", "name", "check"), "reads no field"),
    ({"name": {"check": "now() > at"}}, {}, ("fields", "name", "check"), "now"),
    ({"name": {"check": "exists (select 1)"}}, {}, ("fields", "name", "check"), ""),
    ({}, {"checks": {"c": "amount > weight ||"}}, ("checks", "c"), ""),
]


@pytest.mark.parametrize(("demands", "more", "loc", "what"), WRONG)
def test_contracts_that_cannot_be(
    demands: dict[str, Any], more: dict[str, Any], loc: tuple[Any, ...], what: str
) -> None:
    found = check_entity(entity(demands, **more))
    assert [error.loc for error in found] == [loc]
    assert what in str(found[0])
    assert str(found[0]).startswith("entity e, ")


def test_constants_that_break_the_contract() -> None:
    contract = entity(
        {
            "kz": {"one_of": ["A", "B"], "required": "true"},
            "name": {"length": {"max": "3"}},
            "amount": {"range": {"min": "0"}},
            "day": {"check": "day > '2000-01-01'"},
        }
    )
    maps = mapping(
        {
            "kz": {"from": "kz", "values": {"1": "A", "2": "C"}, "otherwise": {"value": "D"}},
            "name": {"value": "long"},
            "amount": {"expr": "amount", "default": "-1"},
            "day": {"value": "1999-01-01"},
        }
    )
    found = check_constants(maps, {"e": contract})
    assert [error.loc[1:] for error in found] == [
        ("name", "value"),
        ("kz", "values", "2"),
        ("kz", "otherwise"),
        ("amount", "default"),
        ("day", "value"),
    ]
    assert str(found[1]) == (
        "mapping m, field kz, values, 2: C breaks the contract of e: its value is none of A, B"
    )
    assert check_constants(mapping(), {"e": contract}) == []


def test_a_hostile_pattern_takes_no_time() -> None:
    contract = entity({"name": {"pattern": "(a|a)*(a*)*b"}})
    rows = [{"name": "a" * 50_000} for _ in range(20)]
    started = time.process_time()
    assert len(broken(contract, *rows)) == 20
    assert time.process_time() - started < 10


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    low=st.none() | st.decimals(-99, 99, places=2),
    high=st.none() | st.decimals(-99, 99, places=2),
    listed=st.none() | st.lists(st.decimals(-9, 9, places=1), min_size=1, max_size=4, unique=True),
    amounts=st.lists(st.none() | st.decimals(-99, 99, places=2), min_size=1, max_size=20),
)
def test_against_the_plain_meaning(
    low: Decimal | None,
    high: Decimal | None,
    listed: list[Decimal] | None,
    amounts: list[Decimal | None],
) -> None:
    demand: dict[str, Any] = {}
    if low is not None or high is not None:
        bounds = {"min": low, "max": high}
        demand["range"] = {key: str(bound) for key, bound in bounds.items() if bound is not None}
    if listed is not None:
        demand["one_of"] = [str(value) for value in listed]
    found = broken(
        entity({"amount": demand}),
        *({"amount": None if a is None else f"{a:.2f}"} for a in amounts),
    )
    expected = [
        (at, "amount", "one_of" if listed is not None and amount not in listed else "range")
        for at, amount in enumerate(amounts)
        if amount is not None
        and (
            (listed is not None and amount not in listed)
            or (low is not None and amount < low)
            or (high is not None and amount > high)
        )
    ]
    assert found == expected


def test_rules_are_over_the_fields_they_read() -> None:
    rules, errors = contract_of(
        entity({"name": {"length": {"max": "1"}}}, checks={"c": "id = amount"})
    )
    assert errors == []
    assert [(rule.name, rule.reads) for rule in rules] == [
        ("name", ("name",)),
        ("c", ("id", "amount")),
    ]
