"""Entities into topics: what is protected is nowhere in clear, and what does not fit waits."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from tailrace.kafka.protocol import client_of
from tailrace.kafka.settings import Cluster
from tests.config.projects import write
from tests.conftest import Database
from tests.line import Line, do, wait_until
from tests.localkafka import LocalKafka, committed, settled
from tests.long import long
from tests.maria import Maria, both_in_length

TABLE = """
create schema shop;
create table shop.item (id int primary key, kind text, amount numeric(12,2), name text,
  tax text, note text);
alter table shop.item replica identity full;
insert into shop.item select g, 'A', g, 'clearname' || g, 'cleartax' || g, 'clearnote' || g
  from generate_series(1, 50) g;
"""
ENTITY = """
entity: item
key: [item_no]
fields:
  item_no: {type: text, required: true, class: personal}
  kind: {type: text, required: true, class: public}
  amount: {type: "decimal(12,2)"}
  name: {type: text, class: internal}
  tax: {type: text, class: personal}
  note: {type: text, class: secret}
"""
MAPPING = """
mapping: item
entity: item
table: shop.item
key: {item_no: "'clearkey-' || id"}
fields:
  kind: {from: kind, values: {A: alpha, B: beta}}
  amount: amount
  name: name
  tax: tax
  note: note
"""


class Entities(Line):
    def __init__(self, directory: Path, database: Database, kafka: LocalKafka, more: str) -> None:
        database.execute(TABLE)
        self.kafka = kafka
        (directory.parent / "token").write_text(secrets.token_hex(64))
        super().__init__(
            directory,
            database.url,
            f'{{type: kafka, brokers: "{kafka.bootstrap}", topic: "{{pipeline}}.{{table}}", {more},'
            " protect: {internal: mask, personal: {tokenise: t}, secret: drop}}",
            rules="[]\n    mappings: [item]",
            pipeline=kafka.name("entities").replace("-", "_"),
        )
        file = directory / "tailrace.yml"
        key = f'keys:\n  t: {{current: "${{file:{directory.parent}/token}}"}}\n'
        file.write_text(file.read_text() + key)
        write(directory, {"entities/item.yml": ENTITY, "mappings/item.yml": MAPPING})


Record = tuple[bytes | None, bytes | None, Any]


def records(kafka: LocalKafka, pipeline: str, table: str) -> list[Record]:
    """(key, value, headers), committed, of a pipeline's topic."""
    client = client_of(Cluster(brokers=kafka.bootstrap))
    settled(client, f"tailrace.{pipeline}")
    found: list[Record] = []
    for got in committed(client, (f"{pipeline}.{table}", 0)):
        found += zip(got.keys.to_pylist(), got.values.to_pylist(), got.headers, strict=True)
    return found


@pytest.mark.parametrize(
    "more",
    [
        'format: debezium, schemas: "true"',
        long("format: json"),
        long("format: cloudevents"),
    ],
)
def test_what_is_protected_is_nowhere_in_clear(
    tmp_path: Path, database18: Database, kafka: LocalKafka, more: str
) -> None:
    line = Entities(tmp_path / "project", database18, kafka, more)
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with line:
        line.streams()
        wait_until(lambda: line.written() >= 50, f"the snapshot; log: {line.log[-2000:]}")
        do(
            line.source,
            "update shop.item set tax = 'cleartax-new' where id = 1",
            "update shop.item set id = 400 where id = 4",
            "delete from shop.item where id = 3",
            "update shop.item set kind = 'X', name = 'clearname-parked' where id = 7",
            "update shop.item set amount = 70 where id = 7",
            "insert into shop.item values (60, 'A', 1, 'clearname', 'cleartax', 'clearnote')",
        )
        wait_until(lambda: line.written() >= 54, f"changes; log: {line.log[-2000:]}")
        wait_until(lambda: len(line.desk()["exceptions"]) == 2, "what waits")
        held, before = line.desk()["exceptions"], len(records(kafka, line.pipeline, "item"))
        for one in held:
            edit = ("exceptions", "edit", one["id"], "--set", "kind=B")
            wait_until(lambda edit=edit: line.command(*edit).returncode == 0, "the edit")
        replayed = line.command("exceptions", "replay", held[0]["id"])
        assert replayed.returncode == 0, replayed.stderr
        wait_until(lambda: not line.desk()["exceptions"], "the replay")
    found = records(kafka, line.pipeline, "item")
    assert len(found) == before + 2
    for record in found:
        assert "clear" not in repr(record)
    last: dict[bytes | None, bytes | None] = {}
    for key, value, _ in found:
        last[key] = value
    rows = [row(json.loads(value)) for value in last.values() if value is not None]
    rows = [one for one in rows if one is not None]
    assert len(rows) == 50
    assert all(set(one) == {"item_no", "kind", "amount", "name", "tax"} for one in rows)
    assert {one["name"] for one in rows} == {"c***"}
    assert [one["kind"] for one in rows].count("beta") == 1


def row(value: dict[str, Any]) -> dict[str, Any] | None:
    """The row that a message says there is."""
    if "payload" in value:
        found: dict[str, Any] | None = value["payload"]["after"]
        return found
    if "specversion" in value:
        return None if value["type"] == "item.deleted" else value["data"]
    return value


@both_in_length
def test_a_mariadb_becomes_topics(
    tmp_path: Path, maria: Maria, kafka: LocalKafka, database18: Database
) -> None:
    """What the last message of each key says is what is in the table."""
    maria.execute(
        "create table item (id int primary key, name varchar(40), amount decimal(12,2),"
        " changed datetime(6), t time, b blob, active bit(1))",
        "insert into item select n, concat('item ', n), n / -3, '2024-01-01 00:00:00.5',"
        f" '-01:02:03', unhex(hex(n)), 1 from {maria.numbers(1, 300)}",
    )
    with maria.reader() as user:
        name = kafka.name("maria").replace("-", "_")
        tables = f'"{maria.name}.*"'
        line = Line(
            tmp_path / "project",
            f"{maria.kind}://{user}@127.0.0.1:{maria.server.port}/",
            f'{{type: kafka, brokers: "{kafka.bootstrap}", topic: "{{pipeline}}.{{table}}",'
            " decimals: string}",
            tables=tables,
            rules=f'- {{tables: [{tables}], into: "{{schema}}.{{table}}"}}',
            pipeline=name,
        )
        checked = line.command("check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        with line:
            line.streams()
            wait_until(lambda: line.written() >= 300, f"the snapshot; log: {line.log[-2000:]}")
            maria.execute(
                "update item set name = 'ö\\n', amount = -amount where id <= 10",
                "update item set id = id + 1000 where id between 20 and 29",
                "delete from item where id between 40 and 49",
            )
            wait_until(lambda: line.written() >= 330, f"the changes; log: {line.log[-2000:]}")
        last: dict[int, Any] = {}
        found = records(kafka, name, "item")
        for key, value, _ in found:
            assert key is not None
            last[json.loads(key)["id"]] = None if value is None else json.loads(value)
        assert len(found) == 300 + 10 + 10 * 3 + 10 * 2
        rows = [value["after"] for value in last.values() if value is not None]
        assert sorted((row["id"], row["name"], row["amount"]) for row in rows) == [
            (key, text, str(amount))
            for key, text, amount in maria.execute("select id, name, amount from item order by id")
        ]
        assert {(row["t"], row["active"], row["changed"]) for row in rows} == {
            (-3_723_000_000, True, 1_704_067_200_500_000)
        }
        moved = [value for value in last.values() if value is not None and value["op"] == "c"]
        assert len(moved) == 10
        updated = last[1]
        assert updated["op"] == "u"
        assert updated["before"] == {**updated["after"], "name": "item 1", "amount": "-0.33"}
        events = [json.loads(value) for _, value, _ in found if value is not None]
        gone = [event["before"] for event in events if event["op"] == "d"]
        assert len(gone) == 20
        assert {one["name"] for one in gone} == {
            f"item {n}" for n in (*range(20, 30), *range(40, 50))
        }
        assert updated["source"]["connector"] == maria.kind
        assert updated["source"]["gtid"]
