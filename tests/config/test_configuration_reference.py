"""docs/configuration.md lists every key there is, with its default, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from cdc.kafka.settings import KafkaDebeziumSource
from cdc.mysql.settings import MariadbSource, MysqlSource
from cdc.postgres.settings import PostgresSource
from cdc.sizes import parse_bytes
from config.jsonschema import MODELS, schema_comment
from config.project import Pipeline, ProjectFile
from sinks.duckdb.settings import DuckdbTarget
from sinks.http.settings import (
    Breaker,
    HttpTarget,
    Idempotency,
    Limits,
    Reach,
    Retries,
    Timeouts,
)
from sinks.kafka.settings import KafkaTarget
from sinks.mysql.settings import MariadbTarget, MysqlTarget
from sinks.postgres.settings import PostgresTarget
from sinks.sqlite.settings import SqliteTarget
from transforms.entity import Entity, EntityField
from transforms.examples import Example
from transforms.lookups.declared import Lookup
from transforms.model import FieldRule, Mapping, Replicate, Rows
from transforms.protect.keys import Key
from transforms.protect.model import Protect
from transforms.versions import Consumer

TEXT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
HTTP = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
SECTIONS: dict[str, type[BaseModel]] = {
    "tailrace.yml": ProjectFile,
    "A source of type postgres": PostgresSource,
    "A source of type mariadb": MariadbSource,
    "A source of type mysql": MysqlSource,
    "A source of type kafka-debezium": KafkaDebeziumSource,
    "A target of type postgres": PostgresTarget,
    "A target of type mariadb": MariadbTarget,
    "A target of type mysql": MysqlTarget,
    "A target of type sqlite": SqliteTarget,
    "A target of type duckdb": DuckdbTarget,
    "A target of type http": HttpTarget,
    "A target of type kafka": KafkaTarget,
    "protect": Protect,
    "One of the `keys`": Key,
    "A pipeline": Pipeline,
    "A rule of `replicate`": Replicate,
    "entities/*.yml": Entity,
    "A field of an entity": EntityField,
    "A consumer of an entity": Consumer,
    "mappings/*.yml": Mapping,
    "One of the `rows`": Rows,
    "One of the `lookups`": Lookup,
    "A field of a mapping": FieldRule,
    "An example of a mapping": Example,
}


def rows(section: str) -> dict[str, str]:
    """The keys of the section's table, and its second column."""
    body = re.split(r"^##+ ", TEXT.split(f"# {section}\n", 1)[1], flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `(\w+)` *\| *(.*?) *\|", body, flags=re.MULTILINE))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_described_and_no_other(section: str) -> None:
    fields = SECTIONS[section].model_fields
    assert set(rows(section)) == {field.alias or name for name, field in fields.items()}


@pytest.mark.parametrize("section", SECTIONS)
def test_defaults_are_those_of_the_models(section: str) -> None:
    described = rows(section)
    for name, field in SECTIONS[section].model_fields.items():
        match = re.fullmatch(r"`(.*)`", described[field.alias or name])
        if match is None or field.is_required():
            continue
        if isinstance(field.default, bool):
            assert match[1] == str(field.default).lower()
        elif isinstance(field.default, int):
            assert parse_bytes(match[1]) == field.default
        elif isinstance(field.default, float):
            assert float(match[1]) == field.default
        elif isinstance(field.default, str):
            assert match[1] == field.default


PARTS: dict[str, type[BaseModel]] = {
    "reach": Reach,
    "idempotency": Idempotency,
    "timeouts": Timeouts,
    "limits": Limits,
    "retries": Retries,
    "breaker": Breaker,
}


@pytest.mark.parametrize("part", PARTS)
def test_the_parts_of_an_http_target_are_described(part: str) -> None:
    described = dict(re.findall(rf"^\| `{part}\.(\w+)` \| `?(.*?)`? \|", HTTP, flags=re.MULTILINE))
    fields = PARTS[part].model_fields
    assert set(described) == set(fields)
    for name, field in fields.items():
        if isinstance(field.default, bool):
            assert described[name] == str(field.default).lower()
        elif isinstance(field.default, int | float):
            assert float(described[name]) == field.default
        elif isinstance(field.default, str):
            assert described[name] == field.default
        else:
            assert described[name] == "none"


def test_the_comments_for_editors_are_right() -> None:
    for kind in MODELS:
        assert schema_comment(kind, depth=0 if kind == "tailrace" else 1) in TEXT
