"""`tailrace contract`: versions compared, and contracts exchanged in the open standard's form."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.load import load_entities
from tailrace.errors import ConfigError
from tailrace.service.cli import cli
from tests.config.projects import GOOD, write
from transforms.entity import Entity
from transforms.freshness import Freshness
from transforms.odcs.export import exported
from transforms.odcs.read import imported
from transforms.types import FIELD_TYPES

SCHEMA = json.loads(
    resources.files("open_data_contract_standard").joinpath("schema.json").read_text()
)
STANDARD = jsonschema.Draft201909Validator(SCHEMA)
CUSTOMER = """\
entity: customer
version: 1.4.0
steward: sales-operations
key: [customer_no, country]
consumers:
  - {name: bi, contact: bi@example.org, fields: [name], versions: ^1.2}
unique:
  - [name, since]
checks:
  owes_nothing: "status = 'active' or credit = 0"
fields:
  country: {type: text, length: {min: 2, max: 2}, one_of: [DE, no]}
  customer_no: {type: text, required: true, pattern: "E-(a|b)[)]{2}"}
  name: {type: text, required: true, class: personal, mask: all}
  status: {type: text, one_of: [active, blocked, "1"]}
  credit: {type: "decimal(12,2)", range: {min: -0.5, max: 1000000}, check: "credit <> 3"}
  rating: {type: smallint, one_of: [1, 2, 3], unique: true}
  weight: {type: double, range: {max: 1.5}}
  open: {type: boolean, one_of: [true]}
  since: {type: date, range: {min: 1990-01-01}}
  seen: {type: timestamptz, range: {max: "2999-01-01 00:00:00"}}
  raw: {type: json}
  changed: {type: timestamptz}
freshness: {field: changed, within: 36h}
"""


def run(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--project", str(directory), "contract", *arguments])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = dict(GOOD)
    files["tailrace.yml"] = files["tailrace.yml"].replace("    mappings: [erp_customer]\n", "")
    del files["mappings/erp_customer.yml"]
    return write(tmp_path / "now", files | {"entities/customer.yml": CUSTOMER})


def test_a_contract_goes_out_and_comes_back(project: Path, tmp_path: Path) -> None:
    result = run(project, "export", "customer")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    document = yaml.safe_load(result.stdout)
    STANDARD.validate(document)
    assert document["id"] == "acme.customer"
    (table,) = document["schema"]
    properties = {one["name"]: one for one in table["properties"]}
    assert properties["country"]["primaryKeyPosition"] == 2
    (promise,) = document["slaProperties"]
    assert (promise["value"], promise["unit"]) == (36, "h")
    assert properties["customer_no"]["logicalTypeOptions"]["pattern"] == "^(?:E-(a|b)[)]{2})$"
    assert properties["rating"]["quality"][0]["arguments"] == {"validValues": [1, 2, 3]}
    assert properties["credit"]["logicalTypeOptions"] == {"minimum": -0.5, "maximum": 1000000}
    file = tmp_path / "customer.odcs.yaml"
    file.write_text(result.stdout)
    other = write(tmp_path / "other", {"tailrace.yml": GOOD["tailrace.yml"]})
    result = run(other, "import", str(file))
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert load_entities(other / "entities" / "customer.yml") == load_entities(project)
    result = run(other, "import", str(file))
    assert isinstance(result.exception, ConfigError)
    assert "is there already" in str(result.exception)


FOREIGN = """\
apiVersion: v3.1.0
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
version: 2.0.0
status: active
domain: seller
description: {purpose: payments}
customProperties:
  - {property: refRulesetName, value: gcsc.ruleset.name}
slaProperties:
  - {property: latency, value: 4, unit: d, element: payments.at}
  - {property: retention, value: 3, unit: y, element: payments.at}
  - {property: latency, value: 4, unit: d, element: payments.other}
schema:
  - name: payments
    physicalName: tbl_1
    properties:
      - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
      - name: iban
        logicalType: string
        physicalType: varchar(34)
        classification: restricted
        logicalTypeOptions: {maxLength: 34, pattern: "[A-Z]{2}", format: iban}
        quality:
          - {metric: nullValues, mustBe: 0}
          - {metric: duplicateValues, mustBeLessThan: 10}
          - {type: sql, query: "SELECT COUNT(*) FROM {object}", mustBe: 0}
      - name: unit
        logicalType: string
        examples: [kg]
        quality:
          - {metric: invalidValues, arguments: {validValues: [pounds, kg]}, mustBe: 0}
      - {name: amount, logicalType: number, physicalType: "NUMBER(12, 2)"}
      - {name: at, logicalType: timestamp, logicalTypeOptions: {timezone: true}}
      - {name: tags, logicalType: array, items: {logicalType: string}}
    quality:
      - {metric: duplicateValues, arguments: {properties: [iban, unit]}, mustBe: 0}
      - {metric: rowCount, mustBeGreaterThan: 10}
"""


def test_what_an_entity_cannot_say_of_a_contract_is_named(project: Path, tmp_path: Path) -> None:
    STANDARD.validate(yaml.safe_load(FOREIGN))
    file = tmp_path / "payments.odcs.yaml"
    file.write_text(FOREIGN)
    result = run(project, "import", str(file))
    assert result.exit_code == 0, result.output
    entity = load_entities(project / "entities" / "payments.yml")["payments"]
    assert {name: str(field.type) for name, field in entity.fields.items()} == {
        "id": "integer",
        "iban": "text",
        "unit": "text",
        "amount": "decimal(12,2)",
        "at": "timestamptz",
        "tags": "json",
    }
    assert entity.fields["iban"].required
    assert entity.fields["iban"].pattern == "(?s:.*)(?:[A-Z]{2})(?s:.*)"
    assert entity.fields["unit"].one_of == ("pounds", "kg")
    assert entity.unique == (("iban", "unit"),)
    assert entity.version == "2.0.0"
    assert entity.freshness == Freshness(field="at", within="4d")
    told = {line.removeprefix("not in the entity: ") for line in result.stderr.splitlines()}
    assert told == {
        "domain is left out",
        "description is left out",
        "customProperties: refRulesetName is left out",
        "schema[0].physicalName is left out",
        "schema[0].properties[1].physicalType varchar(34) became text",
        "schema[0].properties[1].classification restricted is left out: classes are public,"
        " internal, personal, secret",
        "schema[0].properties[1].logicalTypeOptions.format is left out",
        "schema[0].properties[1].quality[1] is left out",
        "schema[0].properties[1].quality[2] is left out",
        "schema[0].properties[2].examples is left out",
        "schema[0].properties[5].items is left out",
        "schema[0].quality[1] is left out",
        "slaProperties[1] is left out",
        "slaProperties[2] is left out",
    }


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("kind: DataContract", "kind: Other"), "no data contract"),
        (("v3.1.0", "v2.2.2"), "only v3"),
        (("primaryKey: true, ", ""), "needs a key"),
        (("name: payments", "name: ../payments"), "letters"),
        (('"[A-Z]{2}"', '"(?=x)"'), "no regular expression"),
        (("schema:\n", "schema:\n  - x\n"), "not built as the standard says"),
    ],
)
def test_a_contract_that_makes_no_entity_is_refused(
    project: Path, tmp_path: Path, change: tuple[str, str], what: str
) -> None:
    file = tmp_path / "payments.odcs.yaml"
    file.write_text(FOREIGN.replace(*change))
    result = run(project, "import", str(file))
    assert isinstance(result.exception, ConfigError)
    assert what in str(result.exception)
    assert [path.name for path in (project / "entities").iterdir()] == ["customer.yml"]


def test_an_export_needs_a_version(project: Path) -> None:
    file = project / "entities" / "customer.yml"
    file.write_text(CUSTOMER.replace("version: 1.4.0\n", ""))
    result = run(project, "export", "customer")
    assert isinstance(result.exception, ConfigError)
    assert result.exception.fix == "write version: 1.0.0"


def test_digits_that_no_double_has_are_named(project: Path) -> None:
    file = project / "entities" / "customer.yml"
    file.write_text(CUSTOMER.replace('"decimal(12,2)"', '"decimal(38,2)"').replace(
        "max: 1000000", "max: 12345678901234567890.12"))  # fmt: skip
    result = run(project, "export", "customer")
    assert result.exit_code == 0
    assert "12345678901234567890.12 of its range became" in result.stderr


def test_versions_are_held_against_the_change(project: Path, tmp_path: Path) -> None:
    old = write(tmp_path / "old", {
        "tailrace.yml": GOOD["tailrace.yml"],
        "entities/customer.yml": CUSTOMER,
    })  # fmt: skip
    assert run(project, "diff", str(old)).output == "no contract changed\n"
    file = project / "entities" / "customer.yml"
    file.write_text(
        CUSTOMER.replace("  name: {type: text, required: true,", "  name: {type: text,")
    )
    result = run(project, "diff", str(old))
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "customer: 1.4.0 → 1.4.0",
        "  breaking    field name: required is no longer demanded",
        "  breaks bi (bi@example.org): field name: required is no longer demanded",
        "  → write version: 2.0.0, or a higher one",
    ]
    file.write_text(file.read_text().replace("1.4.0", "2.0.0"))
    result = run(project, "diff", str(old / "entities" / "customer.yml"), str(file), "-o", "json")
    assert result.exit_code == 0
    found: dict[str, Any] = json.loads(result.output)
    assert found["fit"]
    (entity,) = found["entities"]
    assert entity["needed"] == "2.0.0"
    assert [one["consumer"] for one in entity["broken"]] == ["bi"]
    file.unlink()
    result = run(project, "diff", str(old))
    assert result.exit_code == 1
    assert "let its consumers go first" in result.output


_TEXTS = st.text("abc [](){}\\'é\"|^$.,:#-", min_size=1, max_size=8)
_TYPES = [*FIELD_TYPES, "decimal(12,2)", "decimal(38,0)"]


@st.composite
def _fields(draw: st.DrawFn) -> dict[str, Any]:
    field: dict[str, Any] = {"type": draw(st.sampled_from(_TYPES))}
    for key in ("required", "unique"):
        if draw(st.booleans()):
            field[key] = "true"
    field["class"] = draw(st.sampled_from(["public", "internal", "personal", "secret"]))
    if field["type"] == "text":
        field["one_of"] = draw(st.lists(_TEXTS, min_size=1, max_size=3, unique=True))
        field["pattern"] = draw(_TEXTS)
        field["length"] = {"min": str(draw(st.integers(0, 9)))}
        field["mask"] = draw(st.sampled_from(["first", "last4", "all"]))
    elif field["type"] in ("integer", "decimal(12,2)"):
        field["range"] = {"min": str(draw(st.integers(-9, 9))), "max": "10"}
    if draw(st.booleans()):
        field["check"] = draw(_TEXTS)
    return field


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(fields=st.lists(_fields(), min_size=1, max_size=4), checks=st.lists(_TEXTS, max_size=2))
def test_every_entity_comes_back_as_it_went(
    fields: list[dict[str, Any]], checks: list[str]
) -> None:
    """As a document: whether its expressions and patterns can be is asked elsewhere."""
    entity = Entity.model_validate(
        {
            "entity": "e",
            "version": "1.0.0",
            "key": ["f0"],
            "fields": {f"f{at}": field for at, field in enumerate(fields)},
            "checks": {f"c{at}": check for at, check in enumerate(checks)},
        }
    )
    document, losses = exported(entity, "acme")
    assert losses == []
    STANDARD.validate(document)
    (back,), losses = imported(_as_texts(yaml.safe_load(yaml.safe_dump(document))))
    assert losses == []
    assert Entity.model_validate(back) == entity


def _as_texts(node: Any) -> Any:
    """As the project's own reader has it."""
    if isinstance(node, dict):
        return {key: _as_texts(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_as_texts(value) for value in node]
    return str(node).lower() if isinstance(node, bool) else str(node)
