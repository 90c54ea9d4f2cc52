"""Topics of ours beside what Debezium's engine says of the same log at the same time.

It runs where `make test-debezium` has installed the engine.
"""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from bench import debezium
from tailrace.kafka.protocol import client_of
from tailrace.kafka.settings import Cluster
from tests.line import Line, wait_until
from tests.localkafka import LocalKafka, settled
from tests.service.test_kafka import difference, messages, picked

pytestmark = pytest.mark.skipif(
    debezium.libraries() is None, reason="Debezium is not installed (make test-debezium)"
)
TABLES = """
create extension hstore;
create extension vector;
create schema shop;
create table shop.odd (id int primary key, pt point, ptn point not null, h hstore,
  hn hstore not null, v vector(3), vn vector not null, hv halfvec(3), hvn halfvec not null,
  big hstore, bigv vector, n int);
alter table shop.odd alter big set storage external, alter bigv set storage external;
create table shop.large (id int primary key, t text, y bytea, j jsonb, u uuid, i int[], b bigint[],
  s smallint[], n numeric(6,2)[], d date[], o boolean[], f float8[], z timestamptz[],
  ts timestamp[], w text[], uu uuid[], yy bytea[], m int);
alter table shop.large alter t set storage external, alter y set storage external,
  alter j set storage external, alter i set storage external, alter b set storage external,
  alter s set storage external, alter n set storage external, alter d set storage external,
  alter o set storage external, alter f set storage external, alter z set storage external,
  alter ts set storage external, alter w set storage external, alter uu set storage external,
  alter yy set storage external;
create table shop.item (id int primary key, name text not null, price numeric(10,2),
  placed timestamptz, day date, tags text[], ratio double precision);
create table shop.done (number int primary key);
create publication shop for table shop.item, shop.odd, shop.large, shop.done;
"""
STATEMENTS = """
insert into shop.item select g, 'item ' || g, g / 7.0,
  '2026-01-01'::timestamptz + g * interval '1 h', '2026-01-01'::date + g, array['a', g::text],
  g / 3.0 from generate_series(1, 2000) g;
update shop.item set name = name || ' äöü "\\\\', price = -price where id % 3 = 0;
update shop.item set id = id + 10000 where id % 100 = 1;
delete from shop.item where id % 5 = 0;
truncate shop.item;
insert into shop.item values (1, 'last', 0.05, '1999-12-31 23:59:59.999999+00', null, '{}', 'NaN');
insert into shop.odd values (1, '(1,2)', '(-1.5e30,0.1)',
  'b=>"x y", a=>NULL, "q\\"k"=>"v\\\\w", "ü"=>"ö", "a=>b"=>", "', '', '[1,2.5,-3e-7]', '[0,0,0]',
  '[1,2,0.1]', '[1,2]', hstore('a', repeat('0123456789', 1000)),
  array_fill(0.5, array[3000])::vector);
insert into shop.odd values (2, '(NaN,Infinity)', '(0,0)', null, 'a=>1', null, '[1]', null, '[1]');
update shop.odd set n = 1;
delete from shop.odd;
insert into shop.large select 1, repeat('x', 9000), repeat('x', 9000)::bytea,
  ('"' || repeat('x', 9000) || '"')::jsonb, null, array_fill(1, d), array_fill(1::bigint, d),
  array_fill(1::smallint, d), array_fill(1.5, d), array_fill('2026-01-01'::date, d),
  array_fill(true, array[9000]), array_fill(1.5::float8, d),
  array_fill('2026-01-01'::timestamptz, d), array_fill('2026-01-01'::timestamp, d),
  array_fill('x'::text, d), array_fill('0190a0a0-0000-7000-8000-000000000001'::uuid, d),
  array_fill('x'::bytea, d) from (values (array[3000])) v(d);
update shop.large set m = 1;
begin; insert into shop.done values (1), (2); insert into shop.item values (2, 'a')
  ; insert into shop.done values (3); update shop.item set id = 3 where id = 2
  ; insert into shop.item values (4, 'b'); delete from shop.done; commit;
insert into shop.done values (7)
"""


def test_the_engine_says_the_same(tmp_path: Path, database18: Any, kafka: LocalKafka) -> None:
    for statement in TABLES.split(";\n"):
        database18.execute(statement or "select 1")
    prefix = kafka.name("beside")
    line = Line(
        tmp_path / "project",
        database18.url,
        f'{{type: kafka, brokers: "{kafka.bootstrap}", transactions: "true",'
        f' topic: "{prefix}.{{schema}}.{{table}}"}}',
        more="publication: shop",
        pipeline=f"line_{prefix.replace('-', '_')}",
    )
    kept = tmp_path / "events"
    engine = debezium.Engine(
        tmp_path / "debezium",
        database18.url,
        {
            "slot.name": f"slot_{database18.name}_debezium",
            "publication.name": "shop",
            "publication.autocreate.mode": "disabled",
            "snapshot.mode": "no_data",
            "schema.include.list": "shop",
            "provide.transaction.metadata": "true",
        },
        keep=kept,
    )
    try:
        with line:
            line.streams()
            slots = "select 1 from pg_replication_slots where active and slot_name like '%debezium'"
            wait_until(lambda: database18.execute(slots), "Debezium to read its slot")
            for statement in STATEMENTS.split(";\n"):
                database18.execute(statement)
            engine.wait(7, 90)
            wait_until(lambda: line.written() >= 2000 + 666 + 20 + 1, "all of it")
            wait_until(lambda: messages(kafka, f"{prefix}.shop.done"), "the end")
        settled(client_of(Cluster(brokers=kafka.bootstrap)), f"tailrace.{line.pipeline}")
    finally:
        engine.close()
    events = [json.loads(event) for event in kept.read_text().splitlines()]
    for table in ("odd", "large", "item"):
        theirs = [
            (key, value and shown(value)) for at, key, value in events if at == f"erp.shop.{table}"
        ]
        found = messages(kafka, f"{prefix}.shop.{table}")
        ours = [(key, value and shown(value)) for key, value in found]
        if table != "item":
            for row, other in zip(changed(ours), changed(theirs), strict=True):
                for name in {"s", "n", "o", "f", "z", "ts", "bigv"} & row.keys():
                    if other[name] is None and row["id"] == 1:  # it says null of what was not sent
                        assert row[name] in UNSENT
                        other[name] = row[name]
        assert difference(ours, theirs) is None
    assert len(ours) > 3000
    orders = [one["transaction"]["total_order"] for _, one in ours[-5:] if one]
    assert orders == [3, 5, 6, 7]  # of a transaction over two tables, in which a key moved


UNSENT: list[Any] = [
    [],
    ["__debezium_unavailable_value"],
    [b64encode(b"__debezium_unavailable_value").decode()],
    list(b"__debezium_unavailable_value"),
]


def changed(events: list[tuple[Any, Any]]) -> list[dict[str, Any]]:
    """The rows after updates."""
    return [value["after"] for _, value in events if value and value["op"] == "u"]


def shown(payload: dict[str, Any]) -> dict[str, Any]:
    """With its transaction; of the name the part before the colon, behind which Debezium has the
    place of the event."""
    block = payload["transaction"]
    name = block["id"].partition(":")[0]
    found = {**picked(payload), "transaction": {**block, "id": name}}
    for row in (found["before"], found["after"]):
        for column in {"h", "hn"} & set(row or ()):  # its order in JSON is nobody's promise
            row[column] = row[column] and json.loads(row[column])
    return found
