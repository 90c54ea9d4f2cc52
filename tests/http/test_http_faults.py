"""What becomes of changes while an API refuses, fails, lies or is slow."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from cdc.schema import TableName
from sinks.conformance import upsert
from sinks.http.sink import HttpSink
from sinks.local import Sent
from sinks.protocol import Receipts
from tailrace.errors import CheckpointMismatch, RowRefused, TargetRefused, TargetUnavailable
from tests.http.conftest import Made
from tests.httprig import ITEM, PUT, Rig, rows


def keys(one: Rig) -> list[str]:
    return [seen["headers"]["Idempotency-Key"] for seen in one.seen]


def test_a_refused_row_is_named_and_others_are_sent_once(rig: Made) -> None:
    one = rig()
    one.fault("reject", "/items/2", status=422)
    given = [upsert(str(n), "a", "1") for n in range(5)]
    with pytest.raises(RowRefused, match="status 422") as refused:
        one.write(*given)
    assert refused.value.seq == 2
    assert one.records.keys() == {f"/items/{n}" for n in (0, 1, 3, 4)}
    with pytest.raises(RowRefused) as refused:  # it is not asked again within the transaction
        one.write(*given)
    assert refused.value.seq == 2
    assert len(one.seen) == 5


def test_nothing_of_a_key_goes_behind_one_that_is_refused(rig: Made) -> None:
    one = rig()
    one.fault("reject", "/items/1", status=400)
    with pytest.raises(RowRefused) as refused:
        one.write(upsert("1", "a", "1"), upsert("2", "a", "1"), upsert("1", "b", "1"))
    assert refused.value.seq == 0
    assert [seen["path"] for seen in one.seen].count(one.root + "/items/1") == 1
    assert one.records.keys() == {"/items/2"}


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again_under_the_same_key(rig: Made, status: int) -> None:
    one = rig()
    one.fault("reject", status=status, times=2)
    one.apply(upsert("1", "a", "1"))
    assert len(one.seen) == 3
    assert len(set(keys(one))) == 1
    assert keys(one)[0].startswith('"')
    assert one.applied == [("PUT", "/items/1")]


@pytest.mark.parametrize("entity", [PUT])
def test_an_answer_that_is_lost(rig: Made, entity: dict[str, Any]) -> None:
    one = rig(entity)
    one.fault("lose", times=3)
    one.apply(upsert("1", "a", "1"))
    assert len(set(keys(one))) == 1
    assert one.applied == [("PUT", "/items/1")]


def test_a_lost_post_is_found_again_by_the_patch_before_it(rig: Made) -> None:
    """Also where the API knows no keys."""
    entity = {
        "upsert": "patch_then_post",
        "update": {"url": "/items/{id}"},
        "create": {"url": "/items"},
    }
    one = rig(entity, idempotency={"header": "X-Ignored"})
    one.api.fault("lose", path=one.root, method="POST")
    one.apply(upsert("1", "a", "1"))
    assert [seen["method"] for seen in one.seen] == ["PATCH", "POST", "PATCH"]
    assert one.records.keys() == {"/items/1"}


def test_retry_after_is_obeyed_by_all(rig: Made) -> None:
    one = rig(limits={"concurrency": "4"})
    one.fault("reject", status=429, headers={"Retry-After": "1"})
    one.apply(*(upsert(str(n), "a", "1") for n in range(40)))
    refused = min(seen["at"] for seen in one.seen)
    later = sorted(seen["at"] - refused for seen in one.seen)
    assert len(later) == 41
    under_way = [after for after in later if after < 0.95]
    assert len(under_way) <= 12  # those that were in flight when it said so, and a few more


def test_a_long_retry_after_is_said_and_kept(rig: Made) -> None:
    one = rig()
    one.fault("reject", status=503, headers={"Retry-After": "3600"})
    for _ in range(3):
        with pytest.raises(TargetUnavailable, match="asks not to be asked"):
            one.write(upsert("1", "a", "1"))
        one.sink.close()
        one.sink.open("journal")
        one.sink.prepare([one.table])
    assert len(one.seen) == 1


def test_refused_credentials_pause(rig: Made) -> None:
    one = rig()
    one.fault("reject", status=401)
    with pytest.raises(TargetRefused, match="refuses our credentials"):
        one.write(upsert("1", "a", "1"))


def test_redirects_are_not_followed(rig: Made) -> None:
    one = rig()
    for status in (301, 302, 307, 308):
        one.fault(
            "reject", status=status, headers={"Location": "http://169.254.169.254/latest/meta-data"}
        )
        with pytest.raises(TargetRefused, match="redirect") as refused:
            one.write(upsert("1", "a", "1"))
        assert type(refused.value) is TargetRefused
    assert len(one.seen) == 4


def test_answers_may_be_declared(rig: Made) -> None:
    put = {"url": "/items/{id}", "answers": {"404": "pause", "409": "done", "5xx": "park"}}
    one = rig({"put": put})
    one.fault("reject", status=409)
    one.apply(upsert("1", "a", "1"))
    one.fault("reject", status=500)
    with pytest.raises(RowRefused, match="status 500"):
        one.write(upsert("2", "a", "1"), entry=2)
    one.fault("reject", status=404)
    with pytest.raises(TargetRefused, match="status 404"):
        one.write(upsert("3", "a", "1"), entry=3)


def test_a_change_that_alone_fails_is_parked(rig: Made) -> None:
    one = rig(retries={"attempts": "3", "wait_first_s": "0.01", "wait_longest_s": "0.02"})
    one.fault("reject", "/items/777", status=500, times=1000)
    given = [upsert("777" if n == 7 else str(n), "a", "1") for n in range(200)]
    with pytest.raises(RowRefused, match="failed for this change each time: status 500") as refused:
        one.write(*given)
    assert refused.value.seq == 7
    assert len(one.records) == 199


def test_an_api_that_fails_for_all_is_waited_for(rig: Made) -> None:
    one = rig(breaker={"failures": "5", "wait_s": "0.05"}, limits={"concurrency": "2"})
    one.fault("reject", status=500, times=10_000)
    with pytest.raises(TargetUnavailable, match=r"fails for public[.]item: status 500"):
        one.write(*(upsert(str(n), "a", "1") for n in range(100)))
    asked = len(one.seen)
    assert 5 <= asked <= 7
    with pytest.raises(TargetUnavailable):  # open: nothing is asked; or half open: once
        one.write(*(upsert(str(n), "a", "1") for n in range(100)))
    assert len(one.seen) <= asked + 1


def test_after_a_while_one_request_goes_ahead(rig: Made) -> None:
    one = rig(breaker={"failures": "3", "wait_s": "0.02"}, limits={"concurrency": "8"})
    one.fault("reject", status=503, times=4)
    given = [upsert(str(n), "a", "1") for n in range(30)]
    deadline = time.monotonic() + 200
    while True:
        assert time.monotonic() < deadline
        try:
            one.apply(*given)
            break
        except TargetUnavailable:
            time.sleep(0.02)
    assert Counter(one.applied) == {("PUT", f"/items/{n}"): 1 for n in range(30)}


@pytest.mark.parametrize("kind", ["huge", "gzip"])
def test_an_answer_that_is_too_large_is_not_read(rig: Made, kind: str) -> None:
    """The status says that it is done; nothing in the answer is needed."""
    one = rig(answer_max="64kB")
    one.fault(kind, bytes=50_000_000)
    one.apply(upsert("1", "a", "1"))
    assert len(one.seen) == 1


def test_an_answer_that_never_ends_is_left(rig: Made) -> None:
    one = rig(timeouts={"total_s": "1"})
    one.fault("trickle")
    one.apply(upsert("1", "a", "1"))
    assert len(one.seen) >= 2
    assert one.applied == [("PUT", "/items/1")]


@pytest.mark.parametrize("kind", ["hold", "garbage"])
def test_no_answer_in_time_or_none_that_is_http(rig: Made, kind: str) -> None:
    one = rig(timeouts={"answer_s": "0.5"})
    one.fault(kind, seconds=30)
    one.apply(upsert("1", "a", "1"))
    assert one.applied == [("PUT", "/items/1")]


def test_a_slow_key_does_not_keep_others(rig: Made) -> None:
    one = rig(limits={"concurrency": "4"})
    one.fault("hold", "/items/0", seconds=2)
    one.apply(*(upsert(str(n % 20), str(n), "1") for n in range(100)))
    order = [path for _, path in one.applied]
    assert order.index("/items/0") > 20
    assert {record["code"] for record in one.records.values()} == {str(n) for n in range(80, 100)}


def test_one_in_flight_keeps_the_order_of_all(rig: Made) -> None:
    one = rig(limits={"concurrency": "1"})
    one.apply(*(upsert(str(n % 7), str(n), "1") for n in range(60)))
    assert [path for _, path in one.applied] == [f"/items/{n % 7}" for n in range(60)]


def test_a_rate_is_kept(rig: Made) -> None:
    one = rig(limits={"requests_per_s": "50"})
    began_s = time.monotonic()
    one.apply(*(upsert(str(n), "a", "1") for n in range(30)))
    assert time.monotonic() - began_s > 0.45  # 25 of them at 50/s, after a burst of 5


def test_what_was_sent_is_known_after_a_crash(rig: Made) -> None:
    one = rig()
    given = [upsert(str(n), "a", "1") for n in range(20)]
    one.write(*given)
    one.sink.close()  # as at an end without a commit
    again = one.another()
    assert again.open("journal").offset == 0
    again.prepare([one.table])
    one.sink = again
    written = one.write(*given, upsert("99", "a", "1"))
    assert written["public.item"].upserted == 21
    assert len(one.seen) == 21
    one.commit(1)
    again.close()
    assert again.open("journal").offset == 1
    again.close()


def test_without_that_knowledge_the_keys_are_the_same(rig: Made) -> None:
    one = rig()
    given = [upsert(str(n), "a", "1") for n in range(20)]
    one.write(*given)
    one.sink.close()
    one.sink = one.another("elsewhere")
    one.sink.open("journal")
    one.sink.prepare([one.table])
    one.write(*given)
    one.sink.close()
    assert Counter(Counter(keys(one)).values()) == {2: 20}
    assert len(one.applied) == 20


def test_a_replay_after_a_refusal_is_a_new_request(rig: Made) -> None:
    """The API may remember what it said to the old one."""
    one = rig()
    one.fault("reject", "/items/1", status=422)
    with pytest.raises(RowRefused):
        one.write(upsert("1", "a", "1"))
    one.commit(1, Receipts(parked=("1-0",)))
    assert one.sink.receipts() == {"1-0"}
    one.sink.close()
    one.sink.open("journal")
    assert one.sink.receipts() == {"1-0"}
    one.sink.prepare([one.table])
    one.write(upsert("1", "b", "1"))
    one.commit(1, Receipts(released=("1-0",)))
    assert one.sink.receipts() == frozenset()
    assert len(set(keys(one))) == 2
    assert one.records["/items/1"]["code"] == "b"


def test_of_a_change_of_two_entities_what_was_taken_stays_taken(rig: Made) -> None:
    one = rig()
    other = replace(ITEM, table=TableName("public", "other"))
    one.target = one.target.model_copy(
        update={"entities": {**one.target.entities, "other": one.target.entities["item"]}}
    )
    one.sink.close()
    one.sink = one.another("two")
    one.sink.open("journal")
    one.sink.prepare([ITEM, other])

    def both(code: str) -> None:
        one.sink.write([rows(upsert("1", code, "1")), rows(upsert("2", code, "1"), table=other)])

    one.fault("reject", "/items/1", status=422)
    with pytest.raises(RowRefused):
        both("a")
    one.commit(1, Receipts(parked=("1-0",)))
    both("a")  # a replay as it was: only what was refused goes again
    one.sink.rollback()
    assert Counter(seen["path"] for seen in one.seen) == {
        f"{one.root}/items/1": 2,
        f"{one.root}/items/2": 1,
    }
    one.sink.close()
    one.sink.open("journal")
    one.sink.prepare([ITEM, other])
    one.commit(1, Receipts(parked=("1-0",)))
    both("b")  # edited meanwhile: both go, as new requests
    one.commit(1, Receipts(released=("1-0",)))
    one.sink.close()
    assert [record["code"] for record in one.records.values()] == ["b", "b"]
    assert len(set(keys(one))) == len(one.seen) == 5


def test_two_rows_of_one_change_in_one_entity_both_go(rig: Made) -> None:
    one = rig()
    one.fault("reject", "/items/3", status=400)
    with pytest.raises(RowRefused):
        one.sink.write(
            [rows(upsert("1", "a", "1")), rows(upsert("2", "a", "1")), rows(upsert("3", "a", "1"))]
        )
    one.sink.write([rows(upsert("1", "a", "1")), rows(upsert("2", "a", "1"))])
    assert one.records.keys() == {"/items/1", "/items/2"}
    assert len(one.seen) == 3


def test_where_everything_is_refused_little_is_sent(rig: Made) -> None:
    one = rig()
    one.fault("reject", status=400, times=10_000)
    with pytest.raises(RowRefused):
        one.write(*(upsert(str(n), "a", "1") for n in range(1000)))
    assert len(one.seen) < 150


def test_another_journal_and_an_older_checkpoint_are_refused(rig: Made) -> None:
    one = rig()
    one.apply(upsert("1", "a", "1"), entry=5)
    with pytest.raises(CheckpointMismatch, match="already past"):
        one.commit(4)
    one.sink.close()
    with pytest.raises(CheckpointMismatch, match=r"another journal.* remove .*\.db"):
        one.sink.open("other")
    assert one.sink.open("journal").offset == 5


def test_a_request_to_stop_cuts_a_long_write_short(
    rig: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is known, the rest is sent later."""
    monkeypatch.setattr("sinks.http.sender.SAVED_S", 0.05)

    class Stopping:
        stopping = overdue = False
        told: ClassVar[list[int]] = []

        def moved(self, sent: int) -> None:
            self.told.append(sent)
            self.stopping = sent > 5

    one = rig(limits={"requests_per_s": "50", "concurrency": "2"})
    one.sink.close()
    one.sink = HttpSink(one.target, one.pipeline, one.directory / "stopped.db", Stopping())
    one.sink.open("journal")
    one.sink.prepare([one.table])
    given = [upsert(str(n), "a", "1") for n in range(40)]
    with pytest.raises(TargetUnavailable, match="delivery stops"):
        one.write(*given)
    one.sink.close()
    asked = len(one.seen)
    assert 5 < asked < 40
    assert Stopping.told == sorted(Stopping.told)
    one.sink = HttpSink(one.target, one.pipeline, one.directory / "stopped.db")
    one.sink.open("journal")
    one.sink.prepare([one.table])
    one.write(*given)
    one.sink.close()
    assert len(one.seen) == len(one.applied) == 40


def test_a_stop_does_not_wait_for_an_api_that_hangs(
    rig: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.http.sender.SAVED_S", 0.02)
    monkeypatch.setattr("sinks.http.sender.STOPPED_S", 0.02)
    one = rig(timeouts={"answer_s": "3600", "total_s": "3600"})
    one.fault("hold", seconds=900)

    class Stopping:
        @property
        def stopping(self) -> bool:
            return bool(one.seen)

        def moved(self, sent: int) -> None: ...

    one.sink.close()
    one.sink = HttpSink(one.target, one.pipeline, one.directory / "stopped.db", Stopping())
    one.sink.open("journal")
    one.sink.prepare([one.table])
    with pytest.raises(TargetUnavailable, match="delivery stops"):
        one.write(upsert("1", "a", "1"))
    one.sink.close()
    one.sink = HttpSink(one.target, one.pipeline, one.directory / "stopped.db")
    one.sink.open("journal")
    one.sink.prepare([one.table])
    one.write(upsert("1", "a", "1"))
    one.sink.close()
    assert len(one.seen) == 2
    assert len(set(keys(one))) == 1
    assert one.applied == [("PUT", "/items/1")]


def test_a_name_that_is_not_resolved_in_time(rig: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forever(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(3600)

    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", forever)
    one = rig(
        timeouts={"connect_s": "0.05", "total_s": "3600"},
        breaker={"failures": "1"},
    )
    one.target = one.target.model_copy(update={"url": "http://api.example"})
    one.sink.close()
    one.sink = one.another("named")
    one.sink.open("journal")
    one.sink.prepare([one.table])
    with pytest.raises(TargetUnavailable, match="no connection in time"):
        one.write(upsert("1", "a", "1"))
    one.sink.close()


def test_what_could_not_be_noted_is_noted_when_the_disk_has_room(
    rig: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = rig()
    real, full = one.sink._local.save, [True]  # for writing, a full disk is one that is read only

    def save(sent: Sent) -> None:
        held = one.sink._local._held
        held.execute(f"PRAGMA query_only = {bool(full)}")
        real(sent)

    monkeypatch.setattr(one.sink._local, "save", save)
    given = [upsert(str(n), "a", "1") for n in range(200)]
    with pytest.raises(TargetUnavailable, match="cannot be written now"):
        one.write(*given)
    full.clear()
    for _ in range(2):
        one.sink.close()
        one.sink.open("journal")
        one.sink.prepare([one.table])
        one.write(*given)
    assert len(one.seen) == 200


def test_two_processes_never_deliver_one_pipeline(
    rig: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.local.LOCK_WAIT_S", 0.1)
    one = rig()
    with pytest.raises(TargetUnavailable, match="another process delivers this pipeline"):
        one.another().open("journal")
    one.sink.close()
    other = one.another()
    other.open("journal")
    other.close()


BATCH = {"upsert": "batch", "delete": {"url": "/items/{id}"}}


@pytest.mark.parametrize("format_", ["array", "ndjson"])
def test_batches(rig: Made, format_: str) -> None:
    batch = {"url": "/items/_bulk", "size": "10", "format": format_}
    one = rig({**BATCH, "batch": batch}, limits={"concurrency": "1"})
    one.apply(*(upsert(str(n % 25), str(n), "1") for n in range(50)))
    assert len(one.records) == 25
    assert {record["code"] for record in one.records.values()} == {str(n) for n in range(25, 50)}
    assert len(one.seen) <= 8


def test_of_a_batch_only_failed_items_go_again(rig: Made) -> None:
    batch = {
        "url": "/items/_bulk",
        "item": '{"id": "{id}", "code": "{code}", "key": "{idempotency_key}"}',
        "results": {"list": "/results", "status": "/status", "key": "/id"},
    }
    one = rig({**BATCH, "batch": batch})
    one.fault("partial", keys=["3", "5"], status=503)
    one.fault("partial", keys=["5"], status=400)
    with pytest.raises(RowRefused, match="status 400") as refused:
        one.write(*(upsert(str(n), "a", "1") for n in range(8)))
    assert refused.value.seq == 5
    assert Counter(one.applied) == {("BULK", f"/items/{n}"): 1 for n in range(8) if n != 5}
    assert len(one.seen) == 2


def test_a_batch_that_is_refused_whole_is_halved(rig: Made) -> None:
    one = rig({**BATCH, "batch": {"url": "/items/_bulk", "size": "8"}})
    one.fault("reject", "/items/_bulk", status=400, times=2)
    one.apply(*(upsert(str(n), "a", "1") for n in range(8)))
    assert len(one.records) == 8
    assert len(one.applied) == 8


def test_a_207_that_nobody_reads_pauses(rig: Made) -> None:
    one = rig({**BATCH, "batch": {"url": "/items/_bulk"}})
    one.fault("partial", keys=["1"], status=500)
    with pytest.raises(TargetRefused, match="`results` does not say where"):
        one.write(upsert("1", "a", "1"), upsert("2", "a", "1"))
