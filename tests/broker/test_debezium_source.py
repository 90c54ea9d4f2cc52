"""Topics that Debezium has written, through a whole project, beside the database it read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from tailrace.kafka.protocol import Client, client_of
from tailrace.kafka.records import Records
from tailrace.kafka.settings import Cluster
from tailrace.service.localpg import LocalPostgres
from tests.cdc.kafka.debezium import Said, records
from tests.debezium.databases import END, POSTGRES_CHANGES, POSTGRES_SETUP
from tests.line import Line, wait_until
from tests.localkafka import LocalKafka

EXACT = (
    "id i2 i8 r d n n0 wide b t c vc day ts ts3 tz tm tm3 u y ai at an e b3 address big bigy"
    " bigai bigat"
)
"""Columns that arrive as they are. Debezium reckons intervals, puts `timetz` into UTC, and drops
zeros of `numeric`."""


@pytest.fixture
def client(kafka: LocalKafka) -> Client:
    return client_of(Cluster(brokers=kafka.bootstrap))


@pytest.fixture
def databases(pg18: LocalPostgres) -> Iterator[tuple[str, str]]:
    """(the database that was read, an empty one)."""
    names = [f"debezium_{kind}_{os.getpid()}" for kind in ("source", "target")]
    for name in names:
        pg18.execute(f"create database {name}")
    yield pg18.url(names[0]), pg18.url(names[1])
    for name in names:
        pg18.execute(f"drop database {name} with (force)")


def topic_of(prefix: str, topic: str) -> str:
    return topic.replace("erp", prefix, 1)


def write(client: Client, prefix: str, said: list[Said], partitions: int = 1) -> None:
    """As the connector does, under another prefix; makes the topics."""
    admin, producer = client.admin(), client.producer(f"writer-{prefix}", 60, "none")
    with closing(admin), closing(producer):
        producer.open()
        producer.begin()
        there: set[str] = set(admin.topics([topic_of(prefix, one[0]) for one in said]))
        for topic, key, value in said:
            name = topic_of(prefix, topic)
            if name not in there:
                admin.create(name, partitions, -1, {})
                there.add(name)
            producer.produce(
                name, Records(pa.array([key], pa.binary()), pa.array([value], pa.binary()))
            )
        producer.commit()


def line_of(directory: Path, kafka: LocalKafka, prefix: str, target: str, more: str = "") -> Line:
    line = Line(directory, "postgresql://unused", "sqlite:unused")
    (directory / "tailrace.yml").write_text(
        f"""version: 1
project: debezium
sources:
  erp:
    type: kafka-debezium
    brokers: {kafka.bootstrap}
    topics: ["*{prefix}*"]
    tables: [shop.*, "!shop.keyless"]
    {more}
targets:
  hub: {{type: postgres, url: "{target}"}}
pipelines:
  line:
    source: erp
    target: hub
    replicate:
      - {{tables: [shop.*], into: "{{schema}}.{{table}}"}}
"""
    )
    return line


def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, options="-c TimeZone=UTC") as connection:
        try:
            return connection.execute(sql.encode()).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return []


def test_what_debezium_says_is_what_the_database_has(
    kafka: LocalKafka, client: Client, databases: tuple[str, str], tmp_path: Path
) -> None:
    source, target = databases
    with psycopg.connect(source, autocommit=True) as connection:
        for sql in (POSTGRES_SETUP, *POSTGRES_CHANGES, END):
            connection.execute(sql.encode())
    prefix = kafka.name("erp").replace("-", "")
    said = records("postgres-schemas-precise-adaptive")
    write(client, prefix, said)
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("create schema shop")  # new columns are the operator's to add
        connection.execute(
            "create table shop.pair (a integer, b text, note text, more numeric(6,1),"
            " primary key (a, b))"
        )
    with line_of(tmp_path / "project", kafka, prefix, target) as line:
        wait_until(lambda: ask(target, "select 1 from shop.mark where mark = 'end'"), "the end")
        checked = line.command("check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
    columns = ", ".join(f"rtrim({name}::text)" for name in EXACT.split())
    for query in (
        f"select {columns} from shop.value order by id",
        "select * from shop.pair order by a, b",
        "select * from shop.whole",
        "select * from shop.mark order by 1",
    ):
        assert ask(target, query) == ask(source, query)
    assert ask(target, "select count(*) from shop.value") == [(3,)]
