"""What `validate` says of a Kafka target."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import extras
from config.load import load_project
from tailrace.errors import ConfigError
from tailrace.kafka.settings import cluster_of
from tests.config.projects import write

PROJECT = """version: 1
project: acme
sources:
  erp: {type: postgres, url: postgresql://erp@db/erp, tables: [shop.*]}
  crm: {type: postgres, url: postgresql://crm@db/crm, tables: [shop.*]}
targets:
  bus:
    type: kafka
    brokers: localhost:9092
    MORE
pipelines:
  line:
    source: erp
    target: bus
    replicate:
      - {tables: [shop.*]}
"""


def written(directory: Path, more: str) -> Path:
    (directory / "tailrace.yml").write_text(PROJECT.replace("MORE", more))
    return directory


def refused(directory: Path, more: str) -> str:
    with pytest.raises(ConfigError) as raised:
        load_project(written(directory, more))
    return str(raised.value)


def test_a_plain_target_is_taken(tmp_path: Path) -> None:
    target = load_project(written(tmp_path, "tls: {}")).targets["bus"]
    assert cluster_of(target).security == "SSL"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('topic: "{schema}"', "{table}"),
        ('topic: "{nothing}.{table}"', "{source}"),
        ('topic: "a b {table}"', "letters"),
        ("acks: 0", "acks"),
        ("schema_registry: https://registry.example.com", "schema_registry"),
        ("format: avro", "'debezium', 'json' or 'cloudevents'"),
        ('format: json\n    transactions: "true"', "transactions"),
        ('format: json\n    schemas: "true"', "schemas"),
        ("format: cloudevents\n    decimals: string", "decimals"),
        ('format: json\n    tombstones: "false"', "tombstones"),
        ("partitions: 0", "too small"),
        ("transaction_s: 5", "too small"),
        ("tls: {key: /k.pem}", "certificate"),
        ('sasl: {mechanism: PLAIN, user: u, password: "in the open"}', "never written in the file"),
        ("sasl: {mechanism: GSSAPI, user: u}", "PLAIN"),
    ],
)
def test_what_does_not_work_is_refused(tmp_path: Path, more: str, says: str) -> None:
    text = refused(tmp_path, more)
    assert says in text
    assert "in the open" not in text


def test_brokers_have_ports(tmp_path: Path) -> None:
    directory = written(tmp_path, "")
    file = directory / "tailrace.yml"
    file.write_text(file.read_text().replace("localhost:9092", "localhost"))
    with pytest.raises(ConfigError, match="host:port"):
        load_project(directory)


def test_a_library_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert "pip install 'tailrace[confluent]'" in refused(tmp_path, "client: confluent")
    assert "pip install 'tailrace[kafka]'" in refused(tmp_path, "")


def test_an_entity_of_several_sources_needs_a_database(tmp_path: Path) -> None:
    files = {
        "tailrace.yml": PROJECT.replace("MORE", "").partition("pipelines:")[0] + "pipelines:\n",
        "entities/item.yml": "entity: item\nkey: [no]\nfields:\n"
        "  no: {type: text, required: true}\n  name: {type: text}\n  price: {type: text}\n"
        "system_of_record: {rows: erp, default: erp, price: crm}\n",
    }
    for source, field in (("erp", "name"), ("crm", "price")):
        files["tailrace.yml"] += (
            f"  {source}_line: {{source: {source}, target: bus, mappings: [{source}_item]}}\n"
        )
        files[f"mappings/{source}_item.yml"] = (
            f"mapping: {source}_item\nentity: item\ntable: shop.item\n"
            f"key:\n  no: id::text\nfields:\n  {field}: x\n"
        )
    with pytest.raises(ConfigError, match="several sources feed item"):
        load_project(write(tmp_path, files))
