"""Our topics read as a sink in Kafka Connect reads them: by Connect's own converter, and Debezium's
own ExtractNewRecordState. What it makes of them is the table.

It runs where `make test-debezium` has installed Debezium, whose jars these are.
"""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench import debezium
from tailrace.kafka.protocol import client_of
from tailrace.kafka.settings import Cluster
from tests.line import DEADLINE_S, Line, wait_until
from tests.localkafka import LocalKafka, settled

pytestmark = pytest.mark.skipif(
    debezium.libraries() is None, reason="Debezium is not installed (make test-debezium)"
)
PROGRAM = Path(__file__).with_name("Consumer.java")
TABLES = """
create schema shop;
create table shop.item (id int primary key, name text not null, price numeric(10,2),
  weight numeric, placed timestamptz, changed timestamp, day date, t time, raw bytea, on_ boolean,
  ratio double precision, tags text[], doc jsonb, big bigint);
create table shop.pair (a int, b text, v text, primary key (b, a));
create publication shop for table shop.item, shop.pair;
insert into shop.item (id, name) select g, 'early' from generate_series(1, 20) g;
"""
STATEMENTS = r"""
insert into shop.item select g, 'item ' || g || chr(g % 30 + 1) || chr(8232) || '"\äöü',
  g / -7.0, g / -4.0,
  '2026-01-01'::timestamptz + g * interval '1 h', '1901-01-01'::timestamp + g * interval '1 day',
  '2026-01-01'::date - g * 300, '12:34:56.000001', decode(md5(g::text), 'hex'), g % 2 = 0,
  g / 3.0, array['a', null, g::text], jsonb_build_object('g', g), -9223372036854775808 + g
  from generate_series(100, 600) g;
update shop.item set name = name || '!', price = -price where id % 3 = 0;
update shop.item set id = id + 10000 where id % 50 = 1;
delete from shop.item where id % 5 = 0;
insert into shop.pair select g, 'b' || g % 7, repeat('v', g) from generate_series(1, 50) g;
update shop.pair set b = 'other' where a < 9;
delete from shop.pair where a > 40
"""
ROWS = {
    "item": "select row_to_json(x) from (select id, name, price, weight,"
    " placed at time zone 'UTC' as placed, day - '1970-01-01' as day,"
    " (extract(epoch from changed) * 1000000)::bigint as changed,"
    " (extract(epoch from t) * 1000000)::bigint as t, encode(raw, 'base64') as raw, on_, ratio,"
    " tags, doc::text as doc, big from shop.item) x",
    "pair": "select row_to_json(x) from (select * from shop.pair) x",
}


def test_kafka_connect_makes_the_table_of_a_topic(
    tmp_path: Path, database18: Any, kafka: LocalKafka
) -> None:
    for statement in TABLES.split(";\n"):
        database18.execute(statement or "select 1")
    prefix = kafka.name("connect")
    line = Line(
        tmp_path / "project",
        database18.url,
        f'{{type: kafka, brokers: "{kafka.bootstrap}", schemas: "true",'
        f' topic: "{prefix}.{{schema}}.{{table}}"}}',
        more="publication: shop",
        pipeline=f"line_{prefix.replace('-', '_')}",
    )
    with line:
        line.streams()
        changed = 20
        for statement in STATEMENTS.split(";\n"):
            changed += len(database18.execute(f"with x as ({statement} returning 1) table x"))
        wait_until(lambda: line.written() >= changed, f"all of it; log: {line.log[-2000:]}")
    settled(client_of(Cluster(brokers=kafka.bootstrap)), f"tailrace.{line.pipeline}")
    topics = [f"{prefix}.shop.{table}" for table in ROWS]
    done = subprocess.run(
        ["java", "-cp", f"{debezium.libraries()}/*", str(PROGRAM), kafka.bootstrap, *topics],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    theirs: dict[str, dict[str, Any]] = {topic: {} for topic in topics}
    for record in done.stdout.split("\n"):
        if record.count("\t") == 2:
            topic, key, row = record.split("\t")
            theirs[topic][key] = json.loads(row)
    for table, query in ROWS.items():
        found = [row for row in theirs[f"{prefix}.shop.{table}"].values() if row is not None]
        expected = [row for (row,) in database18.execute(query)]
        assert len(found) == len(expected)
        for row, wanted in zip(ordered(map(comparable, found)), ordered(expected), strict=True):
            assert row == wanted


def ordered(rows: Any) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row.get("id", 0), row.get("a", 0)))


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """As PostgreSQL's own JSON: a decimal of any scale as a number, a moment in UTC without Z."""
    found = dict(row)
    if (weight := found.get("weight")) is not None:
        digits = int.from_bytes(base64.b64decode(weight["value"]), "big", signed=True)
        found["weight"] = digits / 10 ** weight["scale"]
    if found.get("placed") is not None:
        found["placed"] = found["placed"].removesuffix(".000000Z")
    return found
