"""What Debezium's messages hold seldom, and what they must never be taken for."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cdc.changes import ChangeSet
from cdc.kafka.decode import Decoder
from tailrace.errors import DecodeError
from tests.cdc.kafka.debezium import Event, Said, events, fetched, settings

PLACEHOLDER = "__debezium_unavailable_value"
ENCODED = base64.b64encode(PLACEHOLDER.encode()).decode()
TIME, CONNECT = "io.debezium.time.", "org.apache.kafka.connect.data."
COLUMNS = {"shop.item": {"id": "int", "v": "text"}}


def said(value: object, key: object = None) -> Said:
    text = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return ("erp.shop.item", json.dumps(key or {"id": 1}).encode(), text)


def plain(after: Any, op: str = "c", before: Any = None, **source: Any) -> dict[str, Any]:
    named = {"schema": "shop", "table": "item", "ts_ms": 1, "connector": "postgresql", **source}
    return {"before": before, "after": after, "source": named, "op": op}


def typed(schema: dict[str, Any], payload: dict[str, Any], tx_id: str = "int64") -> dict[str, Any]:
    fields = [{"field": "id", "type": "int32"}, {"field": "v", "optional": True, **schema}]
    parts = [{"field": name, "type": "struct", "fields": fields} for name in ("before", "after")]
    source = {"field": "source", "type": "struct", "fields": [{"field": "txId", "type": tx_id}]}
    return {"schema": {"type": "struct", "fields": [*parts, source]}, "payload": payload}


def read(*messages: Said, **more: Any) -> list[Event]:
    found = Decoder(settings(**more), {}, {}).change_set(fetched(list(messages), first=7), "{}")
    assert isinstance(found, ChangeSet)
    return list(events(found))


def value(schema: dict[str, Any], given: object) -> Event:
    (event,) = read(said(typed(schema, plain({"id": 1, "v": given}))))
    return event


@pytest.mark.parametrize(
    ("kind", "given", "shown"),
    [
        ("ZonedTimestamp", "infinity", "infinity"),
        ("ZonedTimestamp", "-infinity", "-infinity"),
        ("ZonedTimestamp", "+292278994-08-16T23:00:00Z", "infinity"),
        ("ZonedTimestamp", "+12024-02-29T00:00:00.50Z", "12024-02-29 00:00:00.5+00"),
        ("ZonedTimestamp", "-0043-03-15T00:00:00Z", "0044-03-15 00:00:00+00 BC"),
        ("ZonedTimestamp", "0000-12-31T23:59:59Z", "0001-12-31 23:59:59+00 BC"),
        (
            "ZonedTimestamp",
            "2024-01-01T00:30:00.123456789+02:00",
            "2023-12-31 22:30:00.123456789+00",
        ),
        ("IsoTimestamp", "-0043-03-15T00:00:00Z", "0044-03-15 00:00:00 BC"),
        ("IsoTimestamp", "+294247-01-10T04:00:25.2Z", "infinity"),
        ("IsoDate", "-0043-03-15Z", "0044-03-15 BC"),
        ("IsoDate", "2024-02-29Z", "2024-02-29"),
        ("MicroTimestamp", 9223372036825200000, "infinity"),
        ("MicroTimestamp", -9223372036832400000, "-infinity"),
        ("MicroTimestamp", 9223371331200000000, "294247-01-02 00:00:00"),
        ("Timestamp", 9223372036825200, "infinity"),
        ("Date", 2147483647, "infinity"),
    ],
)
def test_dates_at_their_ends(kind: str, given: object, shown: str) -> None:
    type_ = "string" if isinstance(given, str) else "int64"
    assert value({"type": type_, "name": TIME + kind}, given)["new"]["v"] == shown


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        ({"type": "struct", "name": "io.debezium.data.VariableScaleDecimal"},
         {"scale": 0, "value": ENCODED}),
        ({"type": "array", "items": {"type": "string", "name": "io.debezium.data.Uuid"}},
         ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]),
        ({"type": "string", "name": "io.debezium.data.Json"},
         f'{{"{PLACEHOLDER}":"{PLACEHOLDER}"}}'),
    ],
)  # fmt: skip
def test_the_placeholder_in_any_form_is_not_sent(schema: dict[str, Any], given: object) -> None:
    assert value(schema, given)["new"] == {"id": "1"}


def test_the_placeholder_is_no_key() -> None:
    gone = plain(None, "d", {"id": 1, "v": PLACEHOLDER})
    with pytest.raises(DecodeError, match=r"no value of v, which is in the key") as raised:
        read(said(typed({"type": "string"}, gone), {"v": PLACEHOLDER}))
    assert raised.value.where == {"topic": "erp.shop.item", "partition": 0, "offset": 7}


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        ({"type": "bytes", "name": CONNECT + "Decimal", "parameters": {"scale": "2"}}, "!s3cret"),
        ({"type": "bytes"}, "s3cret*"),
        ({"type": "string", "name": TIME + "ZonedTimestamp"}, "s3cret"),
        ({"type": "int16"}, 1.5),
    ],
)
def test_values_that_are_none_stop_at_their_offset(schema: dict[str, Any], given: object) -> None:
    good, bad = (said(typed(schema, plain({"id": 1, "v": one}))) for one in (None, given))
    with pytest.raises(DecodeError) as raised:
        read(good, bad)
    assert raised.value.where["offset"] == 8
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [{"field": "after", "type": "struct"}],
        [{"field": "after", "type": "struct", "fields": [{"type": "int32"}]}],
        [{"field": "after", "type": "struct", "fields": [{"field": "id", "type": "array"}]}],
    ],
)
def test_schemas_that_are_none_stop_at_their_offset(fields: object) -> None:
    with pytest.raises(DecodeError, match="no JSON of Kafka Connect") as raised:
        read(said({"schema": {"fields": fields}, "payload": plain({"id": 1})}))
    assert raised.value.where["offset"] == 7


def test_a_message_says_its_table() -> None:
    with pytest.raises(DecodeError, match="which table"):
        read(said(typed({"type": "string"}, plain({"id": 1}, table=None))))


def test_rows_of_a_snapshot_without_transaction_before_those_with_a_text() -> None:
    """As Oracle's connector writes them."""
    rows = [plain({"id": 1}, "r", txId=None), plain({"id": 2}, txId="0a001f")]
    assert len(read(*(said(typed({"type": "string"}, row, "string")) for row in rows))) == 2
    rows = [{**row, "source": {**row["source"], "connector": "oracle"}} for row in rows]
    assert len(read(*map(said, rows), columns=COLUMNS)) == 2


def test_a_declared_field_that_an_update_lacks_is_not_sent() -> None:
    found = read(
        said(plain({"id": 1, "v": None}, "u")), said(plain({"id": 1}, "u")), columns=COLUMNS
    )
    assert [event["new"] for event in found] == [{"id": "1", "v": None}, {"id": "1"}]
