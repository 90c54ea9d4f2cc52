"""docs/mappings.md says what the code does: the functions, the types, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from tailrace.service.trials import run
from tests.config.projects import GOOD, write
from tests.transforms.batches import table
from transforms.compile import compile_mapping
from transforms.entity import Entity
from transforms.expressions.dialects import DIALECTS
from transforms.model import Mapping
from transforms.types import FIELD_TYPES

MANUAL = (Path(__file__).parents[2] / "docs" / "mappings.md").read_text()


FUNCTIONS_MANUAL = (Path(__file__).parents[2] / "docs" / "functions.md").read_text()


def section(title: str, manual: str = MANUAL) -> str:
    found = re.search(rf"^#+ {title}$(.*?)(?=^#|\Z)", manual, re.S | re.M)
    assert found is not None, title
    return found[1]


BLOCKS = re.findall(r"```yaml\n(.*?)```", MANUAL, re.S)


def block(says: str) -> str:
    """The only example of the manual that says this."""
    (found,) = (text for text in BLOCKS if says in text)
    return str(found)


def read(text: str) -> Any:
    return yaml.load(text, yaml.BaseLoader)


@pytest.mark.parametrize("name", DIALECTS)
def test_the_functions_are_those_of_the_allow_list(name: str) -> None:
    listed = section(name, FUNCTIONS_MANUAL)
    documented = re.findall(r"^\| `(.+?\))` +\|", listed, re.M)
    signatures = [function.signature for function in DIALECTS[name].functions.values()]
    assert documented == sorted(signatures, key=str.lower)


@pytest.mark.parametrize("name", DIALECTS)
def test_the_synonyms_are_named(name: str) -> None:
    listed = section(name, FUNCTIONS_MANUAL).lower()
    for synonym in DIALECTS[name].synonyms:
        assert f"`{synonym}`" in listed


def test_the_dialects_are_those_of_a_mapping() -> None:
    annotation = Mapping.model_fields["dialect"].annotation
    assert set(get_args(annotation)) == set(DIALECTS)
    for name in DIALECTS:
        assert f"`{name}`" in section("The keys of a mapping")


def test_the_types_are_those_there_are() -> None:
    documented = dict(
        re.findall(r"^\| `([a-z]+(?:\(p,s\))?)` +\| `(.*?)` ", section("Entities"), re.M)
    )
    assert documented.pop("decimal(p,s)") == "numeric(p,s)"
    assert documented == {name: type_.postgres for name, type_ in FIELD_TYPES.items()}


def test_the_examples_pass_the_checks() -> None:
    entity = Entity.model_validate(read(block("# entities/customer.yml")))
    kunden = table(
        "sales.kunden",
        {
            "id": "integer",
            "name1": "text",
            "name2": "text",
            "kz_status": "character(1)",
            "kreditlimit": "character varying(20)",
            "angelegt": "integer",
            "mandant": "smallint",
        },
        ["id"],
    )
    mapping = Mapping.model_validate(read(block("# mappings/erp_customer.yml")))
    programs, errors = compile_mapping(mapping, {"customer": entity}, kunden)
    assert errors == []
    assert [output.name for output in programs[0].fields] == [
        "name", "status", "credit_limit", "currency", "since"
    ]  # fmt: skip
    simple = {"name": {"type": "text"}, "gone": {"type": "boolean"}}
    entities = {
        kind: Entity.model_validate(
            {
                "entity": kind,
                "key": [f"{kind}_no"],
                "fields": {f"{kind}_no": {"type": "text"}} | simple,
            }
        )
        for kind in ("customer", "supplier")
    }
    partner = table(
        "sales.partner",
        {"id": "integer", "name1": "text", "ist_kunde": "boolean", "ist_lieferant": "boolean"},
        ["id"],
    )
    rows = Mapping.model_validate(read(block("mapping: erp_partner")))
    programs, errors = compile_mapping(rows, entities, partner)
    assert errors == []
    assert [program.name for program in programs] == [
        "erp_partner/customer",
        "erp_partner/supplier",
    ]


def test_every_mapping_that_is_shown_is_one() -> None:
    shown = [one for one in map(read, BLOCKS) if "mapping" in one]
    assert len(shown) >= 5
    for one in shown:
        Mapping.model_validate(one)


def test_the_keys_of_a_mapping_are_all_named() -> None:
    documented = set(re.findall(r"^\| `([a-z_]+)` +\|", section("The keys of a mapping"), re.M))
    assert documented == set(Mapping.model_fields)


def test_the_examples_of_examples_are_as_they_are_shown(tmp_path: Path) -> None:
    entity, tested = block("# entities/customer.yml"), block("examples:")
    table = re.search(r"```\n(code,value\n.*?)```", MANUAL, re.S)
    assert table is not None
    shared = tested.replace("values: {A: active, S: blocked}", "values: codes/status.csv")
    for text in (tested, shared):
        files = {
            "tailrace.yml": GOOD["tailrace.yml"],
            "entities/customer.yml": entity,
            "mappings/erp_customer.yml": text,
            "codes/status.csv": table[1],
        }
        shown = run(write(tmp_path, files), ()).text()
        assert f"$ tailrace mapping test\n{shown}\n```" in MANUAL
