"""A whole project into Kafka, beside what Debezium itself said of the same statements.

`tests/sinks/debezium` has its events, recorded with the engine of Debezium 3.6.3 from the tables
and statements below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tailrace.kafka.protocol import client_of
from tailrace.kafka.settings import Cluster
from tests.line import Line, wait_until
from tests.localkafka import LocalKafka, committed, settled
from tests.long import long

RECORDED = Path(__file__).parents[1] / "sinks" / "debezium"
TABLES = """
create schema shop;
create type shop.mood as enum ('ok','bad');
create table shop.types (id bigint primary key, sm smallint not null, i int not null, o oid,
  b boolean not null, r real, d double precision, n numeric(12,2) not null, nn numeric, mo money,
  c char(3), v varchar(10) not null, t text, j json, jb jsonb, x xml, u uuid, en shop.mood, ip inet,
  ci cidr, mac macaddr, da date not null, ti time, ti3 time(3), tz timetz, ts timestamp not null,
  ts3 timestamp(3), tsz timestamptz not null, tsz0 timestamptz(0), iv interval, by bytea, b1 bit(1),
  b5 bit(5), bv varbit(9), ia int[], ta text[], na numeric(5,2)[], da_a date[], tsr tsrange,
  i4r int4range, pt point, tsv tsvector, bol boolean[], ba bytea[], tsza timestamptz[]);
create table shop.simple (id int primary key, name text not null, qty int, price numeric(10,2));
create table shop.full_ (id int primary key, name text not null, qty int);
alter table shop.full_ replica identity full;
create table shop.pair (a int, b text, v text, primary key(b,a));
insert into shop.types values (1, -3, 42, 4000000000, true, 1.5, 'NaN', 1234.50, 3.14159, '12.34',
  'ab', 'vä"\\', E'li\\tne\\n', '{"a": 1}', '{"a":1}', null, '0190a0a0-0000-7000-8000-000000000001',
  'ok', '10.0.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '2026-02-03', '12:34:56.789',
  '12:34:56.789', '12:34:56.789+02', '2026-02-03 04:05:06.000007', '2026-02-03 04:05:06.007',
  '2026-02-03 04:05:06.1+00', '2026-02-03 04:05:06+00', '1 year 2 mons 3 days 04:05:06.7',
  '\\xdeadbeef', B'1', B'10110', B'101', '{1,NULL,3}', '{a,"b c",NULL}', '{1.50,2}',
  '{2026-01-01}', '[2026-01-01,2026-02-01)', '[1,5)', '(1,2)', 'a b', '{t,f}', '{"\\\\x01"}',
  '{"2026-02-03 04:05:06+00"}');
insert into shop.simple values (1,'one',1,1.5);
"""
STATEMENTS = """
insert into shop.simple values (2,'two',2,2.5);
update shop.simple set qty=qty+1 where id=2;
update shop.simple set id=3 where id=2;
delete from shop.simple where id=3;
insert into shop.full_ values (1,'x',1);
update shop.full_ set qty=2;
update shop.full_ set id=7;
delete from shop.full_;
insert into shop.pair values (1,'b','v');
delete from shop.pair;
insert into shop.simple values (8,'a',1,1), (9,'b',1,1);
insert into shop.types select 10, sm, i, o, b, r, d, n, nn, mo, c, v, t, j, jb, x, u, en, ip, ci,
  mac, da, ti, ti3, tz, ts, ts3, tsz, tsz0, iv, by, b1, b5, bv, ia, ta, na, da_a, tsr, i4r, pt, tsv,
  bol, ba, tsza from shop.types;
delete from shop.types where id=10;
truncate shop.simple;
insert into shop.simple values (1,'one',1,1.5)
"""
LACKING = {"bc"}
"""A column of the recording that is refused here: an array of two dimensions."""


def messages(broker: LocalKafka, topic: str) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    for fetched in committed(client_of(Cluster(brokers=broker.bootstrap)), (topic, 0)):
        pairs = zip(fetched.keys.to_pylist(), fetched.values.to_pylist(), strict=True)
        found += [tuple(one and json.loads(one) for one in pair) for pair in pairs]
    return found


def recorded() -> dict[str, list[tuple[Any, Any]]]:
    """By topic (key, {before, after, op}); of `types` the two rows that Debezium gets wrong, dates
    before the year 1 and infinite ones, are not there."""
    found: dict[str, list[tuple[Any, Any]]] = {}
    for topic, key, value in json.loads((RECORDED / "events.json").read_text()):
        if topic == "erp.shop.types" and key["id"] in (2, 3):
            continue
        for row in (value or {}).values():
            for column in LACKING & set(row or ()) if isinstance(row, dict) else ():
                del row[column]
        found.setdefault(topic, []).append((key, value))
    return found


@pytest.mark.parametrize("client", ["kafka-python", long("confluent")])
def test_messages_are_debeziums(
    tmp_path: Path, database18: Any, kafka: LocalKafka, client: str
) -> None:
    prefix = kafka.name("acme")
    for statement in TABLES.split(";\n"):
        database18.execute(statement or "select 1")
    line = Line(
        tmp_path / "project",
        database18.url,
        f'{{type: kafka, brokers: "{kafka.bootstrap}", schemas: "true", client: {client},'
        f' topic: "{prefix}.{{schema}}.{{table}}"}}',
        pipeline=f"line_{prefix.replace('-', '_')}",
    )
    with line:
        line.streams()
        for statement in STATEMENTS.split(";\n"):
            database18.execute(statement)
        wait_until(lambda: line.written() >= 18, f"all of it; log: {line.log[-2000:]}")
    settled(client_of(Cluster(brokers=kafka.bootstrap)), f"tailrace.{line.pipeline}")
    expected = recorded()
    schemas = json.loads((RECORDED / "schemas.json").read_text())
    for topic in ("types", "simple", "full_", "pair"):
        theirs = f"erp.shop.{topic}"
        ours = messages(kafka, f"{prefix}.shop.{topic}")
        shown = [
            (key and key["payload"], value and picked(value["payload"])) for key, value in ours
        ]
        assert difference(shown, expected[theirs]) is None
        key, value = next(one for one in ours if one[0] and one[1])
        assert difference(key["schema"], renamed(schemas[theirs]["key"], prefix)) is None
        assert difference(value["schema"], renamed(schemas[theirs]["value"], prefix)) is None
        assert list(value["payload"]) == [
            *("before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns")
        ]


def difference(one: Any, other: Any) -> Any:
    """The first there is, with where it is: pytest takes minutes to show one in this much."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(key, one[key], other[key]) for key in one]
    elif (
        isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other)
    ):
        pairs = list(zip(range(len(one)), one, other, strict=True))
    else:
        return None if one == other else (one, other)
    found = ((key, difference(first, second)) for key, first, second in pairs)
    return next((each for each in found if each[1] is not None), None)


def picked(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: payload[name] for name in ("before", "after", "op")}


def renamed(schema: Any, prefix: str) -> Any:
    """As the recorded one, but for its topic, what is refused here, and the labels of an enum."""
    text = json.dumps(schema).replace('"erp.', f'"{prefix}.')
    found = json.loads(text)
    for row in found["fields"]:
        if "fields" in row:
            row["fields"] = [plain(one) for one in row["fields"] if one["field"] not in LACKING]
    return found


def plain(field: dict[str, Any]) -> dict[str, Any]:
    if field["field"] == "en":
        return {"type": "string", "optional": True, "field": "en"}
    return field
