"""Where two things meet that each work alone: keys that move, odd JSON, rows that poison an API."""

from __future__ import annotations

import json
import time
from typing import Any

import pyarrow as pa
import pytest

from sinks.conformance import NOT_SENT, upsert
from sinks.protocol import Receipts
from tailrace.errors import RowRefused, TargetRefused, TargetUnavailable
from tests.http.conftest import Made
from tests.httprig import FAST, ITEM, Rig, before
from transforms.rows import UPSERT, TargetColumn, TargetTable

MOVED = (UPSERT, ("5", "a", "1"), ("1",))
BATCHED = {"upsert": "batch", "batch": {"url": "/items/_bulk"}, "delete": {"url": "/items/{id}"}}
PATCHED = {
    "upsert": "patch_then_post",
    "update": {"url": "/items/{id}"},
    "create": {"url": "/items"},
    "delete": {"url": "/items/{id}"},
}
SEARCHED = {
    "upsert": "search",
    "search": {"url": "/search", "method": "POST", "found": "/items/0/id", "body": '{"n": "{id}"}'},
    "update": {"url": "/items/{found}"},
    "create": {"url": "/items"},
    "delete": {"url": "/items/{found}"},
}
DOCUMENT = TargetTable(ITEM.table, (*ITEM.columns[:1], TargetColumn("doc", "json")), ("id",))


def keys(one: Rig) -> list[str]:
    return [seen["headers"].get("Idempotency-Key", "") for seen in one.seen]


@pytest.mark.parametrize(
    "entity",
    [
        BATCHED,
        {**BATCHED, "update": {"url": "/items/{id}"}},
        PATCHED,
        {**PATCHED, "upsert": "by_operation"},
    ],
)
def test_a_key_moves_in_each_style(rig: Made, entity: dict[str, Any]) -> None:
    one = rig(entity)
    one.apply(upsert("1", "a", "1"), upsert("2", "b", "1"), created=pa.array([True, True]))
    one.apply(MOVED, entry=2)
    assert one.records.keys() == {"/items/2", "/items/5"}
    assert one.records["/items/5"]["code"] == "a"


def test_a_batch_has_no_room_for_a_row_that_is_not_whole(rig: Made) -> None:
    one = rig(BATCHED)
    with pytest.raises(RowRefused, match="does not carry code"):
        one.write(upsert("1", NOT_SENT, "2"))


def test_searches_have_no_idempotency_key(rig: Made) -> None:
    """What was found before would be remembered as the answer to another question."""
    one = rig(SEARCHED)
    one.fault("reject", "/search", status=200, body="{}", times=2)
    one.apply(MOVED)
    assert [seen["body"] for seen in one.seen if "/search" in seen["path"]] == [
        '{"n":1}',
        '{"n":5}',
    ]
    assert [bool(key) for key in keys(one)] == [False, False, True]


def test_a_row_of_keys_alone_is_made(rig: Made) -> None:
    table = TargetTable(ITEM.table, ITEM.columns[:1], ("id",))
    one = rig(PATCHED, table=table)
    written = one.apply(upsert("1"), created=pa.array([True]))
    assert written["public.item"].upserted == 1
    assert one.records == {"/items/1": {"id": 1}}
    assert one.apply(upsert("1"), entry=2, before=before(table, ("1",)))["public.item"].unchanged


def test_a_document_of_several_lines_is_one_of_a_batch(rig: Made) -> None:
    one = rig({**BATCHED, "batch": {"url": "/items/_bulk", "format": "ndjson"}}, table=DOCUMENT)
    one.apply(upsert("1", '{\n "a":\r\n "b\\nc"}'), upsert("2", "{}"))
    assert one.records["/items/1"] == {"id": 1, "doc": {"a": "b\nc"}}
    assert one.records.keys() == {"/items/1", "/items/2"}


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, "1" * 5000])
def test_a_document_that_python_cannot_read_is_refused(rig: Made, text: str) -> None:
    update = {"url": "/items/{id}", "send": "merge_patch"}
    one = rig({**PATCHED, "update": update}, table=DOCUMENT)
    with pytest.raises(RowRefused, match="doc"):
        one.write(upsert("1", '{"a": ' + text + "}"), created=pa.array([True]))


def test_items_that_went_well_are_known_where_another_pauses(rig: Made) -> None:
    results = {"list": "/results", "status": "/status", "key": "/id"}
    one = rig({**BATCHED, "batch": {"url": "/items/_bulk", "results": results}})
    one.fault("partial", keys=["2"], status=401)
    given = [upsert(str(n), "a", "1") for n in range(4)]
    with pytest.raises(TargetRefused, match="credentials"):
        one.write(*given)
    one.sink.close()
    one.sink.open("journal")
    one.sink.prepare([one.table])
    one.apply(*given)
    assert [item["id"] for item in json.loads(one.seen[-1]["body"])] == [2]


@pytest.mark.parametrize("status", [408, 425])
def test_an_api_that_answers_none_in_time_is_waited_for(rig: Made, status: int) -> None:
    one = rig(retries={**FAST, "attempts": "3"})
    one.fault("reject", status=status, times=10_000)
    with pytest.raises(TargetUnavailable):
        one.write(*(upsert(str(n), "a", "1") for n in range(30)))


def test_a_change_that_alone_is_answered_503_is_parked(rig: Made) -> None:
    one = rig(retries={**FAST, "attempts": "3"})
    one.fault("reject", "/items/777", status=503, times=1000)
    given = [upsert("777" if n == 7 else str(n), "a", "1") for n in range(200)]
    with pytest.raises(RowRefused, match="failed for this change each time: status 503"):
        one.write(*given)
    assert len(one.records) == 199


def test_a_row_that_fails_does_not_keep_the_breaker_open_for_others(rig: Made) -> None:
    one = rig(retries={**FAST, "attempts": "3"}, breaker={"failures": "2", "wait_s": "0.02"})
    one.fault("reject", "/items/666", status=500, times=100_000)
    one.fault("reject", "/items/667", status=500, times=100_000)
    poison = [upsert("666", "a", "1"), upsert("667", "a", "1")]
    good = [upsert(str(n), "a", "1") for n in range(50)]
    for _ in range(3):
        with pytest.raises(TargetUnavailable):
            one.write(*poison)
    for _ in range(300):
        try:
            one.write(*poison, *good)
        except TargetUnavailable:
            time.sleep(0.02)
        except RowRefused:
            break
    assert len(one.records) == 50


def test_an_edit_after_a_replay_that_was_cut_short_is_sent(rig: Made) -> None:
    one = rig()
    one.fault("reject", "/items/1", status=422)
    with pytest.raises(RowRefused):
        one.write(upsert("1", "a", "1"))
    one.commit(1, Receipts(parked=("1-0",)))
    one.write(upsert("1", "b", "1"))
    one.sink.close()  # before its commit
    one.sink.open("journal")
    one.sink.prepare([one.table])
    one.write(upsert("1", "c", "1"))
    one.commit(1, Receipts(released=("1-0",)))
    assert one.records["/items/1"]["code"] == "c"
    assert len(set(keys(one))) == 3


def test_of_a_batch_that_fails_each_time_only_the_row_that_fails_is_parked(rig: Made) -> None:
    one = rig(
        {**BATCHED, "batch": {"url": "/items/_bulk", "size": "8"}},
        retries={**FAST, "attempts": "2"},
        limits={"concurrency": "2"},
    )
    one.fault("reject", status=500, holds='"poison"', times=10_000)
    given = [upsert(str(n), "poison" if n == 5 else "a", "1") for n in range(400)]
    for _ in range(20):
        try:
            one.write(*given)
        except TargetUnavailable:
            given = [*given, *(upsert(str(n), "a", "1") for n in range(1000, 1400))]
        except RowRefused:
            break
    assert one.records.keys() == {f"/items/{row[1][0]}" for row in given} - {"/items/5"}
    assert len(one.records) == len(given) - 1
    assert len(one.applied) == len(given) - 1
