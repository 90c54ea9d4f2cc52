"""A MySQL's and a MariaDB's changes into Kafka, beside what Debezium's connector for MySQL said of
the same statements (`tests/debezium`): each row before and after."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from tailrace.kafka.protocol import client_of
from tailrace.kafka.settings import Cluster
from tests.debezium.databases import MYSQL_CHANGES, MYSQL_SETUP
from tests.line import Line, wait_until
from tests.localkafka import LocalKafka, settled
from tests.maria import Maria, both
from tests.service.test_kafka import difference, messages, picked

RECORDED = Path(__file__).parents[1] / "debezium" / "recorded"
VARIANT = "mysql-plain-precise-adaptive_time_microseconds"
TOPICS = ("value", "pair")


def recorded() -> dict[str, list[tuple[Any, Any]]]:
    found: dict[str, list[tuple[Any, Any]]] = {}
    with gzip.open(RECORDED / f"{VARIANT}.jsonl.gz", "rt") as lines:
        for line in map(json.loads, lines):
            table = line["topic"].rpartition(".")[2]
            key, value = (one and json.loads(one) for one in (line["key"], line["value"]))
            if table in TOPICS:
                found.setdefault(table, []).append((key, value and told(value)))
    return found


def told(value: dict[str, Any]) -> dict[str, Any]:
    """But for how a number that no signed one can be is written, and for the blanks of JSON."""
    found = picked(value)
    for row in (found["before"], found["after"]):
        if row is not None and "j" in row:
            row["u8"] = row["u8"] and int(row["u8"]) % 2**64
            row["j"] = row["j"] and json.loads(row["j"])
    return found


def statements(text: str, maria: Maria) -> list[str]:
    text = text.replace("create database shop;", "").replace("shop.", f"`{maria.name}`.")
    return ["set time_zone = '+00:00'", *(one for one in text.split(";") if one.strip())]


@both
def test_rows_before_are_debeziums(tmp_path: Path, maria: Maria, kafka: LocalKafka) -> None:
    """Also of what capture reads and delivery writes again, killed and started anew."""
    maria.execute(*statements(MYSQL_SETUP, maria))
    name = kafka.name("before").replace("-", "_")
    with maria.reader() as user:
        tables = f'"{maria.name}.value", "{maria.name}.pair"'
        line = Line(
            tmp_path / "project",
            f"{maria.kind}://{user}@127.0.0.1:{maria.server.port}/",
            f'{{type: kafka, brokers: "{kafka.bootstrap}", topic: "{{pipeline}}.{{table}}"}}',
            tables=tables,
            rules=f'- {{tables: [{tables}], into: "{{schema}}.{{table}}"}}',
            pipeline=name,
        )
        with line:
            line.streams()
            wait_until(lambda: line.written() >= 4, f"the snapshot; log: {line.log[-2000:]}")
            wait_until(lambda: line.kill("capture"), "a capture to kill")
            for changes in MYSQL_CHANGES[:3]:
                maria.execute("begin", *statements(changes, maria), "commit")
            wait_until(lambda: line.kill("deliver"), "a delivery to kill")
            for changes in MYSQL_CHANGES[3:]:
                maria.execute("begin", *statements(changes, maria), "commit")
            wait_until(lambda: arrived(kafka, name), f"all of it; log: {line.log[-3000:]}")
        settled(client_of(Cluster(brokers=kafka.bootstrap)), f"tailrace.{name}")
    expected = recorded()
    for table in TOPICS:
        ours = [(key, value and told(value)) for key, value in messages(kafka, f"{name}.{table}")]
        assert difference(ours, expected[table]) is None


def arrived(kafka: LocalKafka, name: str) -> bool:
    return any(
        value and value["after"] and value["after"]["b"] == "six"
        for _, value in messages(kafka, f"{name}.pair")
    )
