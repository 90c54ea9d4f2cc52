"""Topics whose deletes compaction has taken away, so that tombstones alone are left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cdc.kafka.decode import Decoder
from tailrace.errors import DecodeError
from tailrace.kafka.records import Fetched
from tests.cdc.kafka.debezium import Event, events, fetched, records, settings
from tests.cdc.kafka.test_debezium_decode import ITEM, POSTGRES, SOURCE, item, one

NAMES = (
    ("postgres-schemas-precise-adaptive", {}),
    ("postgres-plain-precise-adaptive", {"columns": POSTGRES}),
    ("mysql-schemas-precise-microseconds", {}),
    ("documents-full", {"updates": "full"}),
)


def part(given: Fetched, keep: Sequence[bool]) -> Fetched:
    """Some of its records, with their offsets."""
    mask = pa.array(keep)
    return replace(
        given,
        offsets=given.offsets[np.array(keep)],
        timestamps_ms=given.timestamps_ms[np.array(keep)],
        keys=given.keys.filter(mask),
        values=given.values.filter(mask),
    )


def compacted(given: Fetched) -> Fetched:
    """Without the deletes, as compaction may leave it."""
    values = given.values.to_pylist()
    return part(given, [value is None or b'"op":"d"' not in value for value in values])


def decoded(decoder: Decoder, given: list[Fetched]) -> list[Event]:
    found = decoder.change_set([one for one in given if one.count], "{}")
    return [] if found is None else list(events(found))


def deletes(found: list[Event]) -> list[tuple[str, Any]]:
    return sorted((one["table"], sorted(one["old"].items())) for one in found if one["op"] == "d")


@pytest.mark.parametrize(("name", "more"), NAMES)
def test_a_tombstone_alone_is_the_delete(name: str, more: dict[str, Any]) -> None:
    said = fetched(records(name))
    whole = decoded(Decoder(settings(**more), {}, {}), said)
    left = decoded(Decoder(settings(**more), {}, {}), [compacted(one) for one in said])
    assert deletes(whole)
    assert deletes(left) == deletes(whole)
    assert len(left) == len(whole)


@pytest.mark.parametrize(("name", "more"), NAMES)
def test_how_deletes_are_written_is_known_after_a_restart(name: str, more: dict[str, Any]) -> None:
    said = fetched(records(name))
    before = Decoder(settings(**more), {}, {})
    whole = decoded(before, said)
    alone = [part(one, [value is None for value in one.values.to_pylist()]) for one in said]
    after = Decoder(settings(**more), before.keys, {}, before.patterns)
    assert deletes(decoded(after, alone)) == deletes(whole)
    assert after.patterns == before.patterns


@pytest.mark.parametrize("size", [1, 2, 3])
def test_behind_its_delete_a_tombstone_is_none(size: int) -> None:
    """Also where they were fetched one after the other."""
    deleted = {**item(), "before": {"id": 1}, "after": None, "op": "d"}
    said = [*one(item()), *one(deleted), ("erp.shop.item", b'{"id": 1}', None), *one(item())]
    decoder = Decoder(settings(columns=ITEM), {}, {})
    ops = [
        event["op"]
        for first in range(0, len(said), size)
        for event in decoded(decoder, fetched(said[first : first + size], first))
    ]
    assert ops == ["c", "d", "c"]


DELETED = {**item(), "before": {"id": 1}, "after": None, "op": "d"}
TOMBSTONE = ("erp.shop.item", b'{"id": 1}', None)


def of_other(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "source": {**SOURCE, "table": "other"}}


@pytest.mark.parametrize("deleted", [DELETED, of_other(DELETED)])
def test_behind_its_delete_a_tombstone_is_none_after_a_restart_or_a_marker(
    deleted: dict[str, Any],
) -> None:
    """Also of a table that is not read, whose row has the same key."""
    first = [*one(of_other(item())), *one(deleted)]
    for tables in (("shop.*",), ("shop.item",)):
        given = settings(columns={**ITEM, "shop.other": {"id": "int"}}, tables=tables)
        before = Decoder(given, {}, {})
        decoded(before, fetched([*one(item()), *first]))
        after = Decoder(given, before.keys, {}, before.patterns, before.deletes)
        assert decoded(after, fetched([TOMBSTONE], first=4)) == []
        assert after.deletes == "{}"
        [whole] = fetched([*first, TOMBSTONE])
        gap = replace(whole, offsets=np.array([0, 1, 3]), next_offset=4)
        seen = decoded(Decoder(given, {}, {}), [gap])
        assert len(seen) == len(decoded(Decoder(given, {}, {}), fetched(first)))


def test_a_row_that_says_op_is_no_delete() -> None:
    [said] = fetched([*one(item(op="d")), TOMBSTONE])
    said = replace(said, offsets=np.array([0, 2]))  # its delete was there
    columns = {"shop.item": {"id": "int", "op": "text"}}
    decoder = Decoder(settings(columns=columns), {}, {})
    assert [event["op"] for event in decoded(decoder, [said])] == ["c", "d"]


def test_what_comes_behind_a_tombstone_keeps_its_time() -> None:
    """Kafka's is later: rows of other topics are not put before it."""
    columns = {**ITEM, "shop.part": {"id": "int"}}
    parents = one({**item(), "source": {**SOURCE, "ts_ms": 10}})
    [known, behind] = one(item())[0], parents[0]
    [topic] = fetched([known, ("erp.shop.item", b'{"id": 9}', None), behind])
    late = replace(topic, timestamps_ms=np.array([1, 5000, 5000]))
    child = {**item(), "source": {**SOURCE, "table": "part", "ts_ms": 20}}
    text = json.dumps(child).encode()
    [other] = fetched([("erp.shop.part", b'{"id": 1}', text)])
    found = decoded(Decoder(settings(columns=columns), {}, {}), [late, other])
    assert [(event["table"], event["op"]) for event in found] == [
        ("item", "c"),
        ("item", "d"),
        ("item", "c"),
        ("part", "c"),
    ]


def test_where_reading_began_a_tombstone_of_several_tables_is_none() -> None:
    """A sample begins anywhere."""
    columns = {**ITEM, "shop.other": {"id": "int"}}
    said = [TOMBSTONE, *one(item()), *one(of_other(item()))]
    decoder = Decoder(settings(columns=columns), {}, {})
    assert [event["op"] for event in decoded(decoder, fetched(said))] == ["c", "c"]


def test_of_topics_that_were_never_read_no_row_is_there_to_delete() -> None:
    alone = ("erp.shop.item", b'{"id": 1}', None)
    decoder = Decoder(settings(columns=ITEM), {}, {})
    assert decoded(decoder, fetched([alone])) == []
    found = decoded(decoder, fetched([*one(item()), alone]))
    assert [event["op"] for event in found] == ["c", "d"]


def test_a_tombstone_alone_on_a_topic_of_several_tables_stops() -> None:
    other = {**item(), "source": {**SOURCE, "table": "other"}}
    columns = {**ITEM, "shop.other": {"id": "int"}}
    decoder = Decoder(settings(columns=columns), {}, {})
    said = [*one(item()), *one(other)]
    decoded(decoder, fetched(said))
    with pytest.raises(DecodeError, match="of several tables") as raised:
        decoded(decoder, fetched([("erp.shop.item", b'{"id": 1}', None)], first=9))
    assert raised.value.where["offset"] == 9


@pytest.mark.parametrize("key", [b"s3cret", b"\0\0\0\0\7s3cret", b"[]", b'{"other": 1}'])
def test_a_tombstone_whose_key_is_none_stops(key: bytes) -> None:
    decoder = Decoder(settings(columns=ITEM), {}, {})
    decoded(decoder, fetched(one(item())))
    with pytest.raises(DecodeError) as raised:
        decoded(decoder, fetched([("erp.shop.item", key, None)]))
    assert "s3cret" not in str(raised.value)
