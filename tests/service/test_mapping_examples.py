"""`tailrace mapping test`: what examples say of a mapping, and of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from config.fit import validate_mappings
from config.load import load_project
from config.problems import each
from tailrace.errors import ConfigError
from tailrace.service.cli import cli
from tailrace.service.trials import run
from tests.config.projects import GOOD, write
from tests.config.test_project_fit import ORDERS, table

MAPPING = "mappings/erp_customer.yml"
ENTITY = """\
entity: customer
key: [customer_no]
fields:
  customer_no: {type: text}
  name: {type: text, required: true}
  status: {type: text}
  credit: {type: "decimal(12,2)"}
  vip: {type: boolean}
  gone: {type: boolean}
"""
MAPPED = """\
mapping: erp_customer
entity: customer
table: sales.kunden
key: {customer_no: "'E-' || id"}
fields:
  name: "trim(name1)"
  status: {from: kz, values: {A: active, "": none, null: unknown}}
  credit: limit_cents / 100.0
  vip: vip
where: "mandant = 1"
columns:
  id: integer primary key
  mandant: smallint not null
  name1: varchar(40)
  kz: char(2)
  limit_cents: integer
  vip: boolean
"""
ROW = "id: 7, mandant: 1, name1: Ada"


def project(directory: Path, examples: str, *changes: tuple[str, str]) -> Path:
    mapped = MAPPED.replace("limit_cents / 100.0", "round(limit_cents / 100.0, 2)")
    for old, new in changes:
        assert mapped.count(old) == 1, old
        mapped = mapped.replace(old, new)
    files = GOOD | {"entities/customer.yml": ENTITY, MAPPING: f"{mapped}examples:\n{examples}"}
    return write(directory, files)


def differences(directory: Path, examples: str, *changes: tuple[str, str]) -> list[str]:
    outcome = run(project(directory, examples, *changes), ())
    return [
        f"{trial.at}: {one.field}: {one.expected} | {one.got}"
        for trial in outcome.trials["erp_customer"]
        for one in trial.differences
    ]


PASSING = [
    f"given: {{{ROW}, kz: A, limit_cents: 12345, vip: true}}\n"
    "    expect: {customer_no: E-7, name: Ada, status: active, credit: 123.45, vip: true}",
    f"given: {{{ROW}, limit_cents: 100}}\n    expect: {{credit: 1, status: unknown, vip: null}}",
    f'given: {{{ROW}, kz: ""}}\n    expect: {{status: none}}',
    "given: {id: 7, mandant: 2}\n    expect: filtered",
    f"before: {{{ROW}}}\n    given: {{name1: Eva}}\n    expect: {{name: Eva, customer_no: E-7}}",
    f"before: {{{ROW}}}\n    given: {{id: 8}}\n    expect: {{name: Ada, customer_no: E-8}}",
    f"before: {{{ROW}}}\n    given: {{mandant: 2}}\n    expect: deleted",
    "before: {id: 7, mandant: 2}\n    given: {mandant: 3}\n    expect: deleted",
    f"before: {{{ROW}}}\n    expect: deleted",
    "given: {id: 7, mandant: 1}\n    fails: {name: required}",
    f"given: {{{ROW}, kz: X}}\n    fails: {{status: unlisted}}",
    "given: {id: 7, mandant: 1, kz: X}\n    fails: {status: unlisted, name: required}",
]


@pytest.mark.parametrize("example", PASSING)
def test_what_delivery_does_is_what_passes(tmp_path: Path, example: str) -> None:
    assert differences(tmp_path, f"  - {example}\n") == []


FAILING = [
    (f"given: {{{ROW}}}\n    expect: {{name: Eva}}", ["name: Eva | Ada"]),
    (f"given: {{{ROW}}}\n    expect: {{name: null}}", ["name: null | Ada"]),
    (f"given: {{{ROW}}}\n    expect: {{vip: false}}", ["vip: false | null"]),
    (
        f"given: {{{ROW}, limit_cents: 100}}\n    expect: {{credit: 1.01, status: x}}",
        ["credit: 1.01 | 1.00", "status: x | unknown"],
    ),
    (f"given: {{{ROW}}}\n    expect: filtered", [": filtered | a row"]),
    ("given: {id: 7, mandant: 2}\n    expect: {name: Ada}", [": a row | filtered"]),
    (f"before: {{{ROW}}}\n    expect: filtered", [": filtered | deleted"]),
    (f"given: {{{ROW}}}\n    fails: {{name: required}}", ["name: to fail (required) | no failure"]),
    (
        "given: {id: 7, mandant: 1}\n    expect: {name: Ada}",
        ["name: no failure | it fails (required): a required field is NULL"],
    ),
    (
        "given: {id: 7, mandant: 1}\n    fails: {name: unlisted}",
        ["name: to fail (unlisted) | it fails (required): a required field is NULL"],
    ),
    (
        "given: {id: 7, mandant: 1}\n    fails: {name: required, status: unlisted}",
        ["status: to fail (unlisted) | no failure"],
    ),
]


@pytest.mark.parametrize(("example", "expected"), FAILING)
def test_what_differs_is_shown_field_by_field(
    tmp_path: Path, example: str, expected: list[str]
) -> None:
    assert differences(tmp_path, f"  - {example}\n") == [f"0: {text}" for text in expected]


def test_contracts_are_judged_as_in_delivery(tmp_path: Path) -> None:
    entity = ENTITY.replace('"decimal(12,2)"', '"decimal(12,2)", range: {max: 100}') + (
        'checks:\n  vip_has_credit: "not vip or credit > 0"\n'
    )
    examples = (
        f"  - given: {{{ROW}, limit_cents: 10001}}\n    fails: {{credit: range}}\n"
        f"  - given: {{{ROW}, limit_cents: 0, vip: true}}\n    fails: {{vip_has_credit: check}}\n"
        f"  - given: {{{ROW}, limit_cents: 10000, vip: true}}\n    expect: {{credit: 100}}\n"
    )
    directory = write(project(tmp_path, examples), {"entities/customer.yml": entity})
    trials = run(directory, ()).trials["erp_customer"]
    assert [trial.differences for trial in trials] == [(), (), ()]


def test_soft_deletes_and_what_set_null_leaves(tmp_path: Path) -> None:
    example = f"  - before: {{{ROW}}}\n    expect: {{customer_no: E-7, gone: true}}\n"
    soft = ('where: "mandant = 1"', 'where: "mandant = 1"\non_delete: {soft: gone}')
    assert differences(tmp_path, example, soft) == []
    example = f"  - before: {{{ROW}}}\n    expect: {{customer_no: E-7, name: Ada}}\n"
    assert differences(tmp_path, example, soft) == ["0: name: Ada | a value that is left as it is"]


ROWS = """\
mapping: erp_customer
table: sales.kunden
rows:
  - name: a
    entity: customer
    key: {customer_no: "'A-' || id"}
    fields: {name: name1}
    where: "mandant = 1"
  - name: b
    entity: customer
    key: {customer_no: "'B-' || id"}
    fields: {name: name1}
    where: "mandant = 2"
columns: {id: integer primary key, mandant: integer, name1: text}
examples:
  - given: {id: 1, mandant: 1, name1: Ada}
    expect: {a: {customer_no: A-1, name: Ada}, b: filtered}
  - given: {id: 1, mandant: 3}
    expect: filtered
  - given: {id: 1, mandant: 2}
    fails: {b.name: required}
  - given: {id: 1, mandant: 2, name1: Ada}
    expect: {a: filtered, b: {name: Eva}}
"""


def test_rows_are_expected_by_their_names(tmp_path: Path) -> None:
    files = GOOD | {"entities/customer.yml": ENTITY, MAPPING: ROWS}
    trials = run(write(tmp_path, files), ["erp_customer"]).trials["erp_customer"]
    found = [(t.at, d.field, d.expected, d.got) for t in trials for d in t.differences]
    assert found == [(3, "b.name", "Eva", "Ada")]
    write(tmp_path, {MAPPING: ROWS.replace("{a: filtered, b", "{c: filtered, b")})
    with pytest.raises(ConfigError, match="none of the rows is named c") as caught:
        load_project(tmp_path)
    assert caught.value.where == {"file": MAPPING, "line": 23, "column": 14}


REFUSED = [
    ("given: {id: 7, mandant: 1, nam: x}", "expect: filtered", 28, "nam is not among `columns`"),
    ("given: {id: x, mandant: 1}", "expect: filtered", 13, "'x' is no integer"),
    ("given: {id: 7}", "expect: filtered", 5, "it lacks mandant, which is NOT NULL"),
    ("given: {id: null, mandant: 1}", "expect: filtered", 13, "NOT NULL"),
    ("given: {id: 7, mandant: 1, kz: abc}", "expect: filtered", 32, "no character(2)"),
]


@pytest.mark.parametrize(("given", "expect", "column", "what"), REFUSED)
def test_an_example_that_cannot_be_is_refused(
    tmp_path: Path, given: str, expect: str, column: int, what: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_project(project(tmp_path, f"  - {given}\n    {expect}\n"))
    (error,) = each(caught.value)
    assert what in error.what
    assert (error.where["file"], error.where["line"]) == (MAPPING, 19)


@pytest.mark.parametrize(
    ("example", "what"),
    [
        (f"given: {{{ROW}}}\n    expect: {{nam: x}}", "gives no field nam"),
        (f"given: {{{ROW}}}\n    expect: {{gone: true}}", "gives no field gone"),
        (f"given: {{{ROW}}}\n    expect: gone", "filtered or deleted"),
        (f"given: {{{ROW}}}\n    expect: {{name: [x]}}", "filtered or deleted"),
        (f"given: {{{ROW}}}\n    expect: {{name: {{x: y}}}}", "one text"),
        (f"given: {{{ROW}}}", "either expect or fails"),
        (f"given: {{{ROW}}}\n    expect: filtered\n    fails: {{name: x}}", "either expect or"),
        ("expect: filtered", "needs given, before"),
        (f"given: {{{ROW}}}\n    becomes: filtered", "this key is not known"),
        ("given: {}\n    expect: filtered", "holds nothing"),
    ],
)
def test_an_example_that_says_nothing_is_refused(tmp_path: Path, example: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        load_project(project(tmp_path, f"  - {example}\n"))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("columns:\n  id: integer primary key\n", "columns:\n  id: integer\n", "is the key"),
        ("kz: char(2)", "kz: chra(2)", "did you mean char"),
        (MAPPED[MAPPED.index("columns:") :], "", "need `columns`"),
    ],
)
def test_columns_that_are_wrong(tmp_path: Path, old: str, new: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        load_project(project(tmp_path, f"  - {PASSING[0]}\n", (old, new)))


def test_with_columns_types_are_checked_without_a_database(tmp_path: Path) -> None:
    directory = project(tmp_path, f"  - {PASSING[0]}\n", ("kz: char(2)", "kz: integer"))
    with pytest.raises(ConfigError) as caught:
        load_project(directory)
    assert "the code 'A' never comes" in str(caught.value)
    directory = project(tmp_path, f"  - {PASSING[0]}\n", ('"trim(name1)"', '"trim(naem1)"'))
    with pytest.raises(ConfigError, match=r"(?s)no column naem1.*\^\^\^\^\^"):
        load_project(directory)


def test_columns_are_held_against_the_source(tmp_path: Path) -> None:
    loaded = load_project(project(tmp_path, f"  - {PASSING[0]}\n"))
    kunden = table(
        "sales.kunden",
        id="integer",
        mandant="smallint",
        name1="character varying(40)",
        kz="character(3)",
        limit_cents="integer",
        vip="boolean",
    )
    (error,) = validate_mappings(loaded, {"erp": [kunden, ORDERS]})
    assert error.what == (
        "mapping erp_customer, columns: kz is character(3) in sales.kunden, not character(2)"
    )
    assert error.where == {"file": MAPPING, "line": 15, "column": 3}


def call(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--project", str(directory), "mapping", "test", *arguments])


def test_the_command(tmp_path: Path) -> None:
    good = f"  - {PASSING[0]}\n"
    assert call(project(tmp_path, good)).output == "erp_customer: 1 of 1 examples ok\nok\n"
    done = call(project(tmp_path, f"{good}  - name: Eva\n    {FAILING[0][0]}\n"), "erp_customer")
    assert done.exit_code == 1
    assert done.output == (
        "erp_customer: 1 of 2 examples ok\n"
        f"{MAPPING}:21:5: example 2, Eva\n"
        "    name  expected  Eva\n"
        "               got  Ada\n"
        "2 examples, 1 failed\n"
    )
    found = json.loads(call(tmp_path, "-o", "json").output)
    assert found["failed"] == 1
    assert [example["passed"] for example in found["examples"]] == [True, False]
    assert found["examples"][1]["differences"] == [
        {"field": "name", "expected": "Eva", "got": "Ada"}
    ]
    root = ElementTree.fromstring(call(tmp_path, "-o", "junit").output)
    assert root.find("testsuite").attrib == {  # type: ignore[union-attr]
        "name": "erp_customer",
        "tests": "2",
        "failures": "1",
    }


def test_nothing_to_run_is_an_error(tmp_path: Path) -> None:
    directory = write(tmp_path, GOOD)
    for arguments, what in (
        ([], "no mapping has examples"),
        (["erp_customer"], "has no examples"),
        (["erp_kunde"], "no mapping is named"),
    ):
        with pytest.raises(ConfigError, match=what):
            run(directory, arguments)


def test_examples_do_not_make_a_new_version(tmp_path: Path) -> None:
    found = [
        load_project(project(tmp_path, f"  - {example}\n")).mappings["erp_customer"].version
        for example in PASSING[:2]
    ]
    assert found[0] == found[1]
