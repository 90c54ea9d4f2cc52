"""What Debezium says, in columns: against what it said of databases that it really read."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.kafka import moments
from cdc.kafka.decode import Decoder
from cdc.kafka.envelope import _by_arrow, _one_by_one
from cdc.kafka.names import rows_topics
from cdc.kafka.numbers import decimal_text
from cdc.kafka.preflight import refuse_absent
from cdc.kafka.shapes import Shapes
from cdc.schema import TableName
from tailrace.errors import DecodeError
from tailrace.kafka.protocol import Topic
from tests.cdc.kafka.debezium import NAMES, Event, Said, decoded, events, fetched, records, settings

POSTGRES = {
    "shop.value": {
        "id": "int",
        "i2": "smallint",
        "i8": "bigint",
        "r": "real",
        "d": "double precision",
        "n": "numeric(12,2)",
        "n0": "numeric(20,0)",
        "wide": "numeric(38,10)",
        "free": "numeric",
        "b": "boolean",
        "t": "text",
        "c": "char(5)",
        "vc": "varchar(10)",
        "day": "date",
        "ts": "timestamp",
        "ts3": "timestamp(3)",
        "tz": "timestamptz",
        "tm": "time",
        "tm3": "time(3)",
        "ttz": "timetz",
        "iv": "interval",
        "j": "jsonb",
        "u": "uuid",
        "y": "bytea",
        "ai": "int[]",
        "at": "text[]",
        "an": "numeric(6,2)[]",
        "e": "text",
        "b1": "bit(1)",
        "b3": "bit(3)",
        "address": "text",
        "big": "text",
        "bigy": "bytea",
        "bigj": "json",
        "bigai": "int[]",
        "bigat": "text[]",
    },
    "shop.pair": {"a": "int", "b": "text", "note": "text", "more": "numeric(6,1)"},
    "shop.whole": {"id": "int", "t": "text", "n": "numeric(12,2)"},
    "shop.mark": {"mark": "text"},
}
MYSQL = {
    "shop.value": {
        "id": "int",
        "i1": "smallint",
        "iu": "bigint",
        "i8": "bigint",
        "u8": "bigint",
        "flag": "smallint",
        "f": "real",
        "d": "double precision",
        "n": "numeric(12,2)",
        "wide": "numeric(65,30)",
        "n0": "numeric(20,0)",
        "t": "text",
        "c": "text",
        "vc": "text",
        "bin": "bytea",
        "bl": "bytea",
        "day": "date",
        "dt": "datetime(0)",
        "dt3": "datetime(3)",
        "dt6": "datetime",
        "ts": "timestamptz",
        "tm": "time(0)",
        "tm6": "time",
        "y": "int",
        "e": "text",
        "s": "text",
        "j": "json",
        "b1": "boolean",
        "b10": "bit(10)",
    },
    "shop.pair": {"a": "int", "b": "text", "note": "text", "more": "numeric(6,1)"},
    "shop.mark": {"mark": "text"},
}
WITH_SCHEMAS = [name for name in NAMES if "-schemas-" in name]


def value(found: list[Event], row: str) -> dict[str, str | None]:
    return next(one["new"] for one in found if one["table"] == "value" and one["new"]["id"] == row)


@pytest.mark.parametrize("name", WITH_SCHEMAS)
def test_values_in_each_mode(name: str) -> None:
    """The extremes of each type, whatever numbers and times were written as."""
    mode, found = name.split("-")[2], list(events(decoded(name)))
    times = name.split("-")[3]
    first = value(found, "1")
    assert first["i8"] == "9223372036854775807"
    assert (first["d"], first["t"]) == ("0.1", "Grüße")
    assert first["n"] == ("1.5" if mode == "double" else "1.50")
    assert first["day"] == "2024-02-29"
    if name.startswith("postgres"):
        assert first["ts"] == "2024-02-29 23:59:59.123" + ("" if times == "connect" else "456")
        assert first["tm"] == "23:59:59.123" + ("" if times == "connect" else "456")
        assert first["tz"] == "2024-02-29 21:59:59.123456+00"
        assert (first["ai"], first["at"]) == ("{1,NULL,3}", '{a,NULL,"b c","d,\\"e"}')
        assert first["an"] == ("{1.5,-2.25}" if mode == "double" else "{1.50,-2.25}")
        assert (first["y"], first["b3"], first["b"]) == ("\\x00ff", "101", "t")
        assert first["j"] == '{"a": 1.10, "b": [null, "ü"]}'
        third = value(found, "3")
        assert (third["day"], third["i8"]) == ("0001-01-01", "-9223372036854775808")
        if mode != "double":
            assert first["wide"] == "-0.0000000001"
            assert third["free"] == "123456789012345678901234567890.12345"
            assert third["n"] == "-9999999999.99"
        if times == "adaptive":
            assert third["tm"] == "24:00:00"
    else:
        assert first["dt6"] == "2024-02-29 23:59:59.123" + ("" if times == "connect" else "456")
        assert (first["b10"], first["bl"], first["s"]) == ("1000000001", "\\x00ff10", "x,y")
        if times in ("microseconds", "nanoseconds"):
            assert first["tm6"] == "-838:59:58.999999"
        if mode != "double":
            assert first["wide"] == "12345678901234567890.123456789012345678901234567890"
    assert set(value(found, "2").values()) == {"2", None}


@pytest.mark.parametrize("name", [name for name in NAMES if "-plain-" in name])
def test_declared_columns_give_the_same_as_embedded_schemas(name: str) -> None:
    """Two runs; all but the moments in their `source` is equal."""
    decimals, times = name.split("-")[2:]
    declared = POSTGRES if name.startswith("postgres") else MYSQL
    plain = decoded(name, columns=declared, decimals=decimals, times=times)
    ours, theirs = (
        [
            {**one, "new": {key: text for key, text in one["new"].items() if key != "more"}}
            for one in events(changes)
        ]
        for changes in (plain, decoded(name.replace("plain", "schemas")))
    )
    assert ours == theirs


@pytest.mark.parametrize("name", [name for name in NAMES if name != "postgres-keyless"])
def test_every_value_is_text(name: str) -> None:
    """As mappings expect it."""
    declared = POSTGRES if name.startswith("postgres") else MYSQL
    more = {"columns": declared} if "-plain-" in name else {"updates": "full"}
    if "-plain-" in name:
        more["decimals"], more["times"] = name.split("-")[2:]
    tables = ("shop.key", "shop.mark") if name.startswith("documents") else ("shop.*",)
    for table in decoded(name, tables=tables, **more).tables:
        columns = [*table.new, *(one for one in table.old or () if one is not None)]
        assert {one.type for one in columns} == {pa.string()}


def test_operations_of_postgres() -> None:
    found = list(events(decoded("postgres-schemas-precise-adaptive")))
    of_pair = [one for one in found if one["table"] == "pair"]
    pairs = [(one["op"], one["new"]["a"] or one["old"]["a"]) for one in of_pair]
    assert pairs == [
        *(("r", "1"), ("r", "2")),
        *(("d", "1"), ("c", "9")),  # a key that changed
        *(("c", "5"), ("u", "5"), ("d", "2"), ("c", "6")),
    ]
    whole = [one["op"] for one in found if one["table"] == "whole"]
    assert whole == ["c", "c", "u", "d", "t"]
    assert {one["key"] for one in found if one["table"] == "pair"} == {("a", "b")}


@pytest.mark.parametrize("name", [name for name in WITH_SCHEMAS if name.startswith("postgres")])
def test_what_was_not_sent_is_no_data(name: str) -> None:
    """Text, bytes, JSON, and arrays of numbers and of texts."""
    (update,) = [
        one for one in events(decoded(name)) if one["table"] == "value" and one["op"] == "u"
    ]
    assert not {"big", "bigy", "bigj", "bigai", "bigat"} & set(update["new"])
    assert update["new"]["t"] == "touched"


def test_transactions_are_those_of_the_source() -> None:
    """By the part of Debezium's id before the colon: the rest differs within a transaction."""
    changes = decoded("postgres-schemas-precise-adaptive")
    ours = changes.transactions.to_pydict()
    assert len(set(ours["xid"])) == len(ours["xid"])
    sizes = np.diff([*ours["first_seq"], changes.rows]).tolist()
    assert sizes == [6, 1, 2, 2, 3, 2, 2, 1, 1, 1]


def test_one_order_over_topics_keeps_that_of_each() -> None:
    found = list(events(decoded("mysql-schemas-precise-microseconds")))
    by_table: dict[str, list[Any]] = {}
    for one in found:
        by_table.setdefault(one["table"], []).append((one["op"], one["new"], one["old"]))
    for topic in fetched(records("mysql-schemas-precise-microseconds")):
        name = topic.topic.rpartition(".")[2]
        ops = [json.loads(v)["payload"]["op"] for v in topic.values.to_pylist() if v is not None]
        assert [op for op, _, _ in by_table[name]] == ops


def test_rows_without_a_key_are_refused() -> None:
    with pytest.raises(DecodeError, match=r"rows of shop.keyless have no key") as raised:
        decoded("postgres-keyless")
    assert "message.key.columns" in (raised.value.fix or "")
    assert raised.value.where == {"topic": "erp.shop.keyless", "partition": 0, "offset": 0}
    assert list(events(decoded("postgres-keyless", tables=("shop.mark",))))


def test_messages_without_schema_need_columns() -> None:
    with pytest.raises(DecodeError, match=r"shop.\w+ carry no schema") as raised:
        decoded("postgres-plain-precise-adaptive")
    assert "columns: {shop." in (raised.value.fix or "")


def one(value: object, key: object = None) -> list[Said]:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return [("erp.shop.item", json.dumps(key or {"id": 1}).encode(), text)]


ITEM = {"shop.item": {"id": "int", "d": "double precision", "n": "numeric(12,2)"}}
SOURCE = {"schema": "shop", "table": "item", "ts_ms": 1, "connector": "postgresql"}


def item(**after: Any) -> dict[str, Any]:
    return {"before": None, "after": {"id": 1, **after}, "source": SOURCE, "op": "c"}


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (b"not JSON", "no JSON"),
        (b"[]", "not in Debezium's envelope"),
        (b'{"id": 1, "d": 2}', "not in Debezium's envelope"),  # as ExtractNewRecordState makes it
        (b"\x00\x00\x00\x00\x01avro", "schema registry"),
        ({**item(), "op": "x"}, "operation 'x' is not known"),
        ({**item(), "after": None}, "operation 'c' has no row"),
        ({**item(), "op": "d"}, "operation 'd' has no row"),
        (item(d="s3cret"), "do not fit the schema"),
        (item(id="s3cret"), "do not fit the schema"),
        (item(d={"s3cret": 1}), "do not fit the schema"),
    ],
)
def test_what_is_no_row_stops_without_its_values(message: Any, what: str) -> None:
    decoder = Decoder(settings(columns=ITEM), {}, {})
    with pytest.raises(DecodeError, match=what) as raised:
        decoder.change_set(fetched(one(message), first=7), "{}")
    assert "s3cret" not in str(raised.value)
    assert raised.value.where["offset"] == 7


@pytest.mark.parametrize(
    ("of", "converter"), [("value", "value.converter"), ("key", "key.converter")]
)
def test_of_a_schema_registry_the_setting_is_named(of: str, converter: str) -> None:
    avro = b"\x00\x00\x00\x00\x07\x02\x0cs3cret"
    [(topic, key, value)] = one(item())
    said = [(topic, avro, value)] if of == "key" else [(topic, key, avro)]
    decoder = Decoder(settings(columns=ITEM), {}, {})
    with pytest.raises(DecodeError) as raised:
        decoder.change_set(fetched(said, first=7), "{}")
    assert f"{converter} to org.apache.kafka.connect.json.JsonConverter" in (raised.value.fix or "")
    assert raised.value.where == {"topic": "erp.shop.item", "partition": 0, "offset": 7}
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("keys", [{}, {TableName("shop", "item"): ("id",)}])
def test_a_truncate_on_one_of_several_partitions_stops(keys: Any) -> None:
    """Rows of the others may come before it or after."""
    truncate = {**item(), "after": None, "op": "t"}
    said = [*one(item(d=1)), ("erp.shop.item", None, one(truncate)[0][2])]
    topic = Topic("erp.shop.item", 1, 0, False, False)
    found = Decoder(settings(columns=ITEM), keys, {topic.name: topic}).change_set(
        fetched(said), "{}"
    )
    assert found is not None
    assert [event["op"] for event in events(found)] == ["c", "t"]
    of_two = {topic.name: replace(topic, partitions=2)}
    decoder = Decoder(settings(columns=ITEM), keys, of_two)
    with pytest.raises(DecodeError, match=r"TRUNCATE of shop\.item .* 2 partitions") as raised:
        decoder.change_set(fetched(said[1:]), "{}")
    assert raised.value.where["offset"] == 0
    other = Decoder(settings(columns=ITEM, tables=("shop.other",)), keys, of_two)
    assert other.change_set(fetched(said), "{}") is None


@pytest.mark.parametrize(
    ("connector", "first", "second", "are_one"),
    [
        ("postgresql", "571:100", "571:101", True),
        ("sqlserver", "00000025:00000d08:0025", "00000025:00000d09:0003", False),
        ("db2", "00000025:00000d08:0025", "00000025:00000d08:0025", True),
        ("oracle", "6.28.807", "6.28.808", False),
    ],
)
def test_transactions_by_their_names(
    connector: str, first: str, second: str, are_one: bool
) -> None:
    source = {**SOURCE, "connector": connector}
    said = [
        *one({**item(), "transaction": {"id": first}, "source": source}),
        *one({**item(), "transaction": {"id": second}, "source": source}),
    ]
    found = Decoder(settings(columns=ITEM), {}, {}).change_set(fetched(said), "{}")
    assert found is not None
    assert found.transactions.num_rows == (1 if are_one else 2)


def test_mariadbs_transactions_and_times() -> None:
    """As its connector's documentation shows them: `gtid`, and TIME beyond a day.

    https://debezium.io/documentation/reference/stable/connectors/mariadb.html#mariadb-events
    """
    source = {"connector": "mariadb", "db": "shop", "table": "item", "ts_ms": 1}
    said = [
        *one({**item(tm=-3020399000001), "source": {**source, "gtid": "0-1-23"}}),
        *one({**item(tm=1000000), "source": {**source, "gtid": "0-1-23"}}),
        *one({**item(tm=None), "source": {**source, "gtid": "0-1-24"}}),
    ]
    columns = {"shop.item": {"id": "int", "tm": "time"}}
    decoder = Decoder(settings(columns=columns, times="microseconds"), {}, {})
    found = decoder.change_set(fetched(said), "{}")
    assert found is not None
    assert [event["new"]["tm"] for event in events(found)] == [
        *("-838:59:59.000001", "00:00:01", None),
    ]
    assert found.transactions.column("first_seq").to_pylist() == [0, 2]


def test_numbers_that_json_has_not() -> None:
    said = one(item(d="NaN", n="AJY=")) + one(item(d="-Infinity", n=None)) + one(item(d=1))
    found = Decoder(settings(columns=ITEM), {}, {}).change_set(fetched(said), "{}")
    assert found is not None
    assert [event["new"]["d"] for event in events(found)] == ["NaN", "-Infinity", "1"]
    assert [event["new"]["n"] for event in events(found)] == ["1.50", None, None]


def test_of_topics_unknown_so_far_tombstones_and_truncates_are_no_changes() -> None:
    truncate = {**item(), "after": None, "op": "t"}
    said = [("erp.shop.item", b'{"id": 1}', None), ("erp.shop.item", None, one(truncate)[0][2])]
    assert Decoder(settings(columns=ITEM), {}, {}).change_set(fetched(said), "{}") is None
    known = {TableName("shop", "item"): ("id",)}
    found = Decoder(settings(columns=ITEM), known, {}).change_set(fetched(said), "{}")
    assert found is not None
    assert [event["op"] for event in events(found)] == ["d", "t"]


def test_topics_of_debeziums_own_are_passed_over() -> None:
    names = [
        *("erp", "erp.transaction", "erp.message", "__debezium-heartbeat.erp", "__other"),
        *("erp.shop.item", "erp.shop.transaction", "other.shop.item"),
    ]
    assert rows_topics(names, ["*"]) == ["erp.shop.item", "erp.shop.transaction", "other.shop.item"]
    assert rows_topics(names, ["erp.*"]) == ["erp.shop.item", "erp.shop.transaction"]


@pytest.mark.parametrize("name", WITH_SCHEMAS)
def test_both_ways_to_parse_agree(name: str) -> None:
    """Arrow's reader, and value by value."""
    groups: dict[int, tuple[Any, list[bytes]]] = {}
    for topic in fetched(records(name)):
        shapes = Shapes(settings())
        for message in topic.values.to_pylist():
            if message is not None:
                envelope, payload = shapes.split(message)
                groups.setdefault(id(envelope), (envelope, []))[1].append(payload)
    assert groups
    for envelope, payloads in groups.values():
        schema = envelope.schema
        assert _by_arrow(payloads, schema).equals(_one_by_one(payloads, schema))


@given(st.integers(-(10**40), 10**40), st.integers(-5, 45))
def test_decimals(unscaled: int, scale: int) -> None:
    size = unscaled.bit_length() // 8 + 1
    encoded = base64.b64encode(unscaled.to_bytes(size, "big", signed=True)).decode()
    text = decimal_text(encoded, scale)
    assert Fraction(text) == unscaled * Fraction(10) ** -scale
    assert len(text.partition(".")[2]) == max(scale, 0)


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["ms", "us", "ns"]))
def test_moments_of_all_times(units: int, unit: str) -> None:
    """What Arrow spells, and what is spelled here, agree where both can."""
    per = moments.PER_SECOND[unit]
    (text,) = moments.moments(unit)(pa.array([units], pa.int64())).to_pylist()
    assert text == moments._moment(units, per)


def test_a_topic_of_several_tables() -> None:
    """As a router makes them; without schemas each message has to be looked at."""
    other = {**item(), "after": {"id": 2, "t": "x"}, "source": {**SOURCE, "table": "other"}}
    columns = {**ITEM, "shop.other": {"id": "int", "t": "text"}}
    decoder = Decoder(settings(columns=columns), {}, {})
    for _ in range(2):
        said = [*one(item(d=1)), *one(other), *one(item(d=2))]
        found = decoder.change_set(fetched(said), "{}")
        assert found is not None
        assert [(event["table"], event["new"]) for event in events(found)] == [
            ("item", {"id": "1", "d": "1", "n": None}),
            ("other", {"id": "2", "t": "x"}),
            ("item", {"id": "1", "d": "2", "n": None}),
        ]


def test_a_declared_column_that_messages_lack_is_named_of_tables_with_odd_names() -> None:
    value = json.dumps(
        {"after": {"id": 1}, "before": None, "op": "c", "source": {"schema": "a.b", "table": "T"}}
    )
    declared = settings(columns={'"a.b".T': {"id": "bigint", "note": "text"}})
    [last] = fetched([("erp.a_b.T", b'{"id":1}', value.encode())])
    with pytest.raises(DecodeError, match="have no field note"):
        refuse_absent(declared, last)
