"""MongoDB's documents, as Debezium says them, in columns."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.kafka import bson, extended
from cdc.kafka.declared import parse_type
from cdc.kafka.decode import Decoder
from tailrace.errors import DecodeError
from tests.cdc.kafka.debezium import Event, Said, decoded, events, fetched, records, settings
from tests.debezium.documents import KEYS

VALUE = {
    "i4": "integer",
    "i8": "bigint",
    "small": "smallint",
    "d": "double precision",
    "big": "double precision",
    "even": "integer",
    "nan": "double precision",
    "inf": "double precision",
    "n": "numeric(12,2)",
    "wide": "numeric",
    "b": "boolean",
    "t": "text",
    "day": "date",
    "ts": "timestamptz",
    "early": "timestamp",
    "late": "timestamptz",
    "o": "text",
    "u": "uuid",
    "y": "bytea",
    "typed": "json",
    "re": "text",
    "lowest": "json",
    "nothing": "integer",
    "tags": "text[]",
    "numbers": "bigint[]",
    "nested": "json",
    "nested.when": "timestamp",
    "nested.n": "bigint",
    "nested.none.deeper": "bigint",
    "id": "text",
}
ORDER = {"_id": "integer", "total": "numeric(12,2)", "state": "text", "lines": "jsonb"}
COLUMNS = {"shop.value": VALUE, "shop.order": ORDER}
FULL = {"updates": "full"}


def of(table: str, found: list[Event]) -> list[Event]:
    return [one for one in found if one["table"] == table]


def state(found: list[Event]) -> dict[tuple[str, str], dict[str, Any]]:
    """What a target holds after these."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in found:
        if one["op"] == "d":
            rows.pop((one["table"], one["old"]["_id"]), None)
        else:
            rows.setdefault((one["table"], one["new"]["_id"]), {}).update(one["new"])
    return rows


def test_a_collection_is_a_table_of_documents() -> None:
    held = state(list(events(decoded("documents-full", **FULL))))
    orders = {
        key: json.loads(row["document"]) for (table, key), row in held.items() if table == "order"
    }
    assert orders == {
        "1": {"_id": 1, "total": {"$numberDecimal": "9.90"}, "state": "paid", "lines": [{"n": 1}]},
        "3": {"_id": 3, "state": "replaced"},
        "4": {"_id": 4, "total": {"$numberDecimal": "9.90"}, "state": "new", "lines": []},
    }
    assert not [key for table, key in held if table == "key"]
    value = json.loads(held["value", "65f000000000000000000001"]["document"])
    assert (value["nan"], value["i8"]) == ({"$numberDouble": "NaN"}, 6)
    assert value["t"] == 'Grüße "NaN" \\ \t'
    assert value["typed"] == {"$binary": {"base64": "AP8=", "subType": "80"}}
    assert value["late"] == {"$date": {"$numberLong": "253402300800000"}}
    assert list(value)[:3] == ["_id", "i4", "i8"]


def test_ids_of_all_types_stand_side_by_side() -> None:
    found = of("key", list(events(decoded("documents-full", **FULL))))
    ids = [one["new"]["_id"] for one in found if one["op"] == "r"]
    assert ids == [
        *("65f000000000000000000002", '"65f000000000000000000002"', "7", '"7"', "7.5"),
        *("9007199254740993", '{"$numberDecimal":"7.10"}'),
        '{"$binary":{"base64":"oO68mZwLTvi7bWu5vTgKEQ==","subType":"04"}}',
        *('{"a":1,"b":"x"}', '{"$date":"2023-11-14T22:13:20.123Z"}', "true", '""'),
        '"quoted \\"ü\\""',
    ]
    assert len(set(ids)) == len(KEYS)
    assert [one["old"]["_id"] for one in found if one["op"] == "d"] == ids


@pytest.mark.parametrize("columns", [{}, COLUMNS])
def test_messages_with_and_without_schemas_say_the_same(columns: dict[str, Any]) -> None:
    ours, theirs = (
        list(events(decoded(name, columns=columns, **FULL)))
        for name in ("documents-full", "documents-bare")
    )
    assert ours == theirs


def test_declared_fields_are_columns() -> None:
    """Out of whole documents, which Debezium writes in one form of Extended JSON."""
    found = of("value", list(events(decoded("documents-full", columns=COLUMNS, **FULL))))
    assert found[0]["new"] == {
        "_id": "65f000000000000000000001",
        "i4": "-2147483648",
        "i8": "9223372036854775807",
        "small": "5",
        "d": "0.1",
        "big": "1e+300",
        "even": "4",
        "nan": "NaN",
        "inf": "-Infinity",
        "n": "1.50",
        "wide": "1234567890123456789012345678.012345",
        "b": "t",
        "t": 'Grüße "NaN" \\ \t',
        "day": "2024-02-29",
        "ts": "2024-02-29 23:59:59.123+00",
        "early": "1899-12-31 23:59:59.999",
        "late": "10000-01-01 00:00:00+00",
        "o": "65f000000000000000000007",
        "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "y": "\\x00ff",
        "typed": '{"$binary":{"base64":"AP8=","subType":"80"}}',
        "re": '{"$regularExpression":{"pattern":"^a.*","options":"i"}}',
        "lowest": '{"$minKey":1}',
        "nothing": None,
        "tags": '{a,NULL,"b \\"c\\""}',
        "numbers": "{1,2}",
        "nested": '{"when":{"$date":"1970-01-01T00:00:00Z"},"n":1,"deep":[{"x":1.0}]}',
        "nested.when": "1970-01-01 00:00:00",
        "nested.n": "1",
        "nested.none.deeper": None,
        "id": "a field that is called so",
    }
    assert set(found[1]["new"].values()) == {"65f000000000000000000002", None}


def test_an_update_that_says_its_changes_sends_no_more() -> None:
    """Single fields come in another form of Extended JSON; what is removed is NULL."""
    found = list(events(decoded("documents-changed", columns=COLUMNS)))
    updates = [one["new"] for one in found if one["op"] == "u"]
    assert updates == [
        {"_id": "1", "state": "paid"},
        {"_id": "2", "total": "3.00", "state": None, "lines": None},
        {"_id": "3", "total": None, "state": "replaced", "lines": None},  # a whole document
        {
            "_id": "65f000000000000000000001",
            "i8": "6",
            "ts": "1970-01-01 00:00:00+00",
            "early": "1969-12-31 23:59:59.999",
            "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "y": "\\x00",
        },
    ]


@pytest.mark.parametrize("name", ["documents-changed", "documents-images"])
def test_an_update_without_its_document_stops_where_the_document_is_a_column(name: str) -> None:
    with pytest.raises(DecodeError, match=r"shop\.order changes document") as raised:
        decoded(name)
    assert "capture.mode=change_streams_update_full" in (raised.value.fix or "")
    assert raised.value.where == {"topic": "erp.shop.order", "partition": 0, "offset": 3}


def test_a_change_within_a_column_stops_only_where_it_is_one() -> None:
    with pytest.raises(DecodeError, match=r"shop\.order changes lines") as raised:
        decoded("documents-nested", columns=COLUMNS)
    assert raised.value.where["offset"] == 2
    without = {"shop.order": {"_id": "integer", "state": "text"}}
    found = of("order", list(events(decoded("documents-nested", columns=without))))
    assert [(one["op"], one["new"]) for one in found[2:]] == [("u", {"_id": "4"})] * 2


def test_a_document_that_is_gone_when_it_is_looked_up_is_not_sent() -> None:
    found = of("order", list(events(decoded("documents-full", columns=COLUMNS, **FULL))))
    gone = [one for one in found if "5" in (one["new"].get("_id"), one["old"].get("_id"))]
    assert [(one["op"], one["new"], one["old"]) for one in gone[1:3]] == [
        ("u", {"_id": "5"}, {}),
        ("u", {"_id": "5", "state": "late"}, {}),
    ]
    assert (gone[3]["op"], gone[3]["old"]) == ("d", {"_id": "5"})


@pytest.mark.parametrize("name", ["documents-named", "documents-full"])
def test_a_transaction_is_a_sessions(name: str) -> None:
    """With Debezium's metadata of transactions and without."""
    changes = decoded(name, **FULL)
    firsts = changes.transactions.to_pydict()["first_seq"]
    found = list(events(changes))
    (first,) = [
        seq
        for seq, one in enumerate(found)
        if "in a transaction" in str(one["new"].get("document"))
    ]
    (second,) = [
        seq for seq, one in enumerate(found) if one["op"] == "c" and one["new"]["_id"] == "4"
    ]
    assert abs(first - second) == 1
    assert len(set(range(len(found))) - set(firsts)) == 1
    assert max(first, second) not in firsts


def said(key: object, after: object, **more: Any) -> list[Said]:
    source = {"connector": "mongodb", "db": "shop", "collection": "item", "ts_ms": 1}
    value = {"after": json.dumps(after), "source": source, "op": "c", **more}
    return [("erp.shop.item", json.dumps(key).encode(), json.dumps(value).encode())]


def test_a_number_in_a_path_is_a_place_in_an_array_wherever_it_is_said() -> None:
    columns = {"shop.item": {"a.0": "integer", "a.1.b": "integer", "y.2024": "integer"}}
    decoder = Decoder(settings(columns=columns), {}, {})
    key = {"id": "1"}

    def of_update(**changed: Any) -> list[Said]:
        [(topic, name, text)] = said(key, {}, op="u", updateDescription=changed)
        value = {**json.loads(text or b""), "after": None}
        return [(topic, name, json.dumps(value).encode())]

    whole = said(key, {"_id": 1, "a": [5, {"b": 6}], "y": {"2024": 7}})
    place = of_update(updatedFields=json.dumps({"a.0": 8, "a.1.b": 9}))
    changes = decoder.change_set(fetched([*whole, *place]), "{}")
    assert changes is not None
    assert [one["new"] for one in events(changes)] == [
        {"_id": "1", "a.0": "5", "a.1.b": "6", "y.2024": "7"},
        {"_id": "1", "a.0": "8", "a.1.b": "9"},
    ]
    cut = of_update(truncatedArrays=[{"field": "a", "newSize": 1}])
    with pytest.raises(DecodeError, match=r"shop\.item changes a\.0"):
        decoder.change_set(fetched(cut), "{}")


def test_columns_that_no_document_can_have_are_named() -> None:
    for columns, what in (
        ({"_id": "json"}, "_id may be one of"),
        ({"at": "time"}, "at: MongoDB has no values of type time"),
        ({"document": "text"}, "document is the whole document"),
    ):
        decoder = Decoder(settings(columns={"shop.item": columns}), {}, {})
        with pytest.raises(DecodeError, match=what):
            decoder.change_set(fetched(said({"id": "1"}, {"_id": 1})), "{}")


@pytest.mark.parametrize(
    ("declared", "key"),
    [
        ("text", '"65f000000000000000000002"'),  # would be the object id
        ("text", "7"),
        ("bigint", '"7"'),
        ("bigint", "7.5"),
        ("uuid", '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"'),  # would be the binary
    ],
)
def test_an_id_of_another_type_is_refused_and_not_shown(declared: str, key: str) -> None:
    decoder = Decoder(settings(columns={"shop.item": {"_id": declared}}), {}, {})
    with pytest.raises(
        DecodeError, match=rf"a value of _id in shop\.item is no {declared}"
    ) as raised:
        decoder.change_set(fetched(said({"id": key}, {}), first=3), "{}")
    assert raised.value.where["offset"] == 3
    assert key.strip('"') not in str(raised.value)


@pytest.mark.parametrize(
    "key", [b"s3cret", b"Struct{id=7}", b'{"id": 7}', b'{"id": "s3cret"}', b"\0\0\0\0\1", b"null"]
)
def test_keys_that_are_no_ids_are_refused(key: bytes) -> None:
    [(topic, _, value)] = said({"id": "1"}, {"_id": 1})
    with pytest.raises(DecodeError, match="key") as raised:
        Decoder(settings(), {}, {}).change_set(fetched([(topic, key, value)]), "{}")
    assert "JsonConverter" in (raised.value.fix or "")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("name", ["documents-full", "documents-bare"])
def test_collections_on_one_topic(name: str) -> None:
    """As a router makes it."""
    given = [one for one in records(name) if one[0].startswith("erp.shop.")]
    apart, together = (
        Decoder(settings(columns=COLUMNS, **FULL), {}, {}).change_set(fetched(some), "{}")
        for some in (given, [("erp.all", *one[1:]) for one in given])
    )
    assert apart is not None
    assert together is not None
    ours, theirs = list(events(together)), list(events(apart))
    for table in ("value", "order", "key", "mark"):
        assert of(table, ours) == of(table, theirs)


def test_a_table_of_ids_alone() -> None:
    decoder = Decoder(settings(columns={"shop.item": {"_id": "bigint"}}), {}, {})
    changes = decoder.change_set(fetched(said({"id": "1"}, {"_id": 1, "n": 2})), "{}")
    assert changes is not None
    assert [one["new"] for one in events(changes)] == [{"_id": "1"}]


@pytest.mark.parametrize("after", ["s3cret", 7, [], None])
def test_documents_that_are_none_are_refused(after: object) -> None:
    with pytest.raises(DecodeError) as raised:
        Decoder(settings(), {}, {}).change_set(fetched(said({"id": "1"}, after)), "{}")
    assert "s3cret" not in str(raised.value)


def converted(declared: str, value: Any) -> str:
    one, kind, finish = bson.column(parse_type(declared))
    return str(finish(pa.array([one(value)], kind))[0].as_py())


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("smallint", 32768),
        ("bigint", {"$numberLong": "9223372036854775808"}),
        ("bigint", 1.5),
        ("bigint", "1"),
        ("bigint", True),
        ("integer", float("nan")),
        ("numeric(4,2)", {"$numberDecimal": "1.005"}),
        ("numeric(4,2)", 100),
        ("numeric(4,2)", float("inf")),
        ("double precision", {"$numberLong": "9007199254740993"}),
        ("double precision", {"$numberDecimal": "0.1"}),
        ("real", 0.1),
        ("boolean", 1),
        ("date", {"$date": 1}),
        ("timestamp(0)", {"$date": 1}),
        ("timestamp", {"$date": 9_224_318_016_000_000}),
        ("timestamptz", {"$timestamp": {"t": 1, "i": 1}}),
        ("timestamptz", "2024-01-01"),
        ("uuid", {"$binary": "AP8=", "$type": "04"}),
        ("bytea", "AP8="),
        ("integer[]", [1, "2"]),
        ("integer[]", 1),
    ],
)
def test_nothing_is_rounded_or_guessed(declared: str, value: Any) -> None:
    with pytest.raises((ValueError, OverflowError, TypeError, KeyError, ArithmeticError)):
        converted(declared, value)


def test_moments_before_christ() -> None:
    assert converted("timestamptz", {"$date": -62_198_755_200_000}) == "0002-01-01 00:00:00+00 BC"
    assert converted("timestamp(0)", {"$date": 1000}) == "1970-01-01 00:00:01"


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(),
    st.text("0123456789abcdef", min_size=24, max_size=24),
    st.text("0123456789abcdef", min_size=24, max_size=24).map(lambda one: {"$oid": one}),
    st.decimals(allow_nan=False, allow_infinity=False).map(
        lambda one: {"$numberDecimal": str(one)}
    ),
    st.integers(-(2**63), 2**63 - 1).map(lambda one: {"$date": {"$numberLong": str(one)}}),
    st.sampled_from(["00", "04", "80"]).map(
        lambda kind: {"$binary": {"base64": "AP8=", "subType": kind}}
    ),
)
ids = st.one_of(scalars, st.dictionaries(st.sampled_from("ab"), scalars))


@given(ids, ids)
def test_no_two_ids_are_one_text(one: Any, other: Any) -> None:
    same = extended.shown(one) == extended.shown(other)
    assert (bson.key(one) == bson.key(other)) == same
    text = bson.key(one)
    if len(text) == 24 and not set(text) - set("0123456789abcdef"):
        assert one == {"$oid": text}
    else:
        assert extended.shown(json.loads(text)) == text == extended.shown(one)


@given(st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_are_exact(value: float) -> None:
    assert Decimal(converted("numeric", value)) == Decimal(repr(value))
    assert extended.shown(json.loads(extended.shown(value))) == extended.shown(value)
    if abs(value) < 2**53:
        assert float(converted("double precision", value)) == value


def test_updates_of_the_recording_are_all_there() -> None:
    """What the tests above count on."""
    ops = [
        json.loads(value)["op"]
        for topic, _, value in records("documents-bare")
        if value is not None and topic.startswith("erp.shop.")
    ]
    assert [ops.count(op) for op in "rcud"] == [18, 5, 8, 15]
