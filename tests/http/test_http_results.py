"""APIs that answer 200 and say inside what became of a request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from sinks.conformance import delete, upsert
from sinks.http.client import Answer
from sinks.http.entities import Result
from sinks.http.verdicts import verdict
from tailrace.errors import RowRefused, TargetRefused, TargetUnavailable
from tests.http.conftest import Made
from tests.httprig import FAST, Rig

OK = {"ok": "/ok", "code": "/error", "codes": {"busy": "retry", "known": "done", "key": "pause"}}
GRAPHQL = {
    "error": "/errors",
    "code": "/errors/0/extensions/code",
    "codes": {"THROTTLED": "wait", "NOT_FOUND": "absent"},
}


def put(result: dict[str, Any]) -> dict[str, Any]:
    return {
        "put": {"url": "/items/{id}", "result": result},
        "delete": {"url": "/items/{id}", "result": result},
    }


def says(one: Rig, body: Any, path: str = "", times: int = 1, status: int = 200) -> None:
    one.fault("reject", path, status=status, body=json.dumps(body), times=times)


@pytest.mark.parametrize(
    ("rules", "body", "outcome", "shown"),
    [
        (OK, {"ok": True}, "done", None),
        (OK, {"ok": 1, "error": "busy"}, "done", None),
        (OK, {"ok": False}, "park", None),
        (OK, {"ok": 0, "error": "no_such"}, "park", "no_such"),
        (OK, {"ok": "yes"}, "park", None),
        (OK, {"ok": False, "error": "busy"}, "retry", "busy"),
        (OK, {"ok": False, "error": "known"}, "done", "known"),
        (OK, {"ok": False, "error": "key"}, "pause", "key"),
        (OK, {"ok": False, "error": "Erika Muster's name is too long"}, "park", None),
        (OK, {"ok": False, "error": {"busy": 1}}, "park", None),
        (OK, {}, "retry", None),
        (OK, [], "retry", None),
        (OK, None, "retry", None),
        (GRAPHQL, {"data": {"put": {"id": 1}}}, "done", None),
        (GRAPHQL, {"data": None, "errors": []}, "done", None),
        (GRAPHQL, {"errors": [{"message": "no"}]}, "park", None),
        (GRAPHQL, {"errors": [{"extensions": {"code": "THROTTLED"}}]}, "wait", "THROTTLED"),
        (GRAPHQL, {"errors": [{"extensions": {"code": "NOT_FOUND"}}]}, "absent", "NOT_FOUND"),
        (GRAPHQL, "down for maintenance", "retry", None),
        (GRAPHQL, 0, "retry", None),
        ({"error": ""}, "down for maintenance", "park", None),
        ({"status": "/meta/code"}, {"meta": {"code": 201}}, "done", None),
        ({"status": "/meta/code"}, {"meta": {"code": "503"}}, "retry", None),
        ({"status": "/meta/code"}, {"meta": {"code": 422}}, "park", None),
        ({"status": "/meta/code"}, {"meta": {"code": 7}}, "retry", None),
        ({"code": "/s", "codes": {"success": "done"}}, {"s": "success"}, "done", "success"),
        ({"code": "/s", "codes": {"success": "done"}}, {"s": "refused"}, "park", "refused"),
        ({"code": "/s", "codes": {"success": "done"}}, {"t": "success"}, "retry", None),
        ({"code": "/n", "codes": {"0": "done", "7": "retry"}}, {"n": 0}, "done", "0"),
        ({"code": "/n", "codes": {"true": "done"}}, {"n": True}, "done", "true"),
    ],
)
def test_what_a_body_means(rules: Any, body: Any, outcome: str, shown: str | None) -> None:
    made = verdict(Answer(200, {}, json.dumps(body).encode()), {}, Result.model_validate(rules))
    assert (made.outcome, made.code) == (outcome, shown)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (204, b"", "done"),
        (200, b"", "retry"),
        (200, b"<html>", "retry"),
        (400, b'{"ok": true}', "park"),
        (400, b'{"ok": false, "error": "busy"}', "retry"),
        (403, b'{"error": "busy"}', "retry"),
        (503, b'{"error": "known"}', "done"),
        (500, b"<html>", "retry"),
        (409, b'{"ok": false}', "done"),
    ],
)
def test_a_status_stands_unless_a_code_is_known(status: int, body: bytes, outcome: str) -> None:
    rules = Result.model_validate(OK)
    assert verdict(Answer(status, {}, body), {"409": "done"}, rules).outcome == outcome


def test_what_the_body_refuses_is_parked_with_its_code(rig: Made) -> None:
    one = rig(put(OK))
    says(one, {"ok": False, "error": "too_long"}, "/items/2")
    says(one, {"ok": True}, "/items/1")
    with pytest.raises(RowRefused, match="code too_long in the answer") as refused:
        one.write(upsert("1", "a", "1"), upsert("2", "Erika", "1"))
    assert refused.value.seq == 1
    assert refused.value.where["code"] == "too_long"
    assert len(one.seen) == 2


def test_what_passes_is_tried_again_and_what_is_unknown_never_taken_for_done(rig: Made) -> None:
    one = rig(put(OK))
    says(one, {"ok": False, "error": "busy"}, times=2)
    says(one, "no object", times=1)
    says(one, {"ok": True})
    one.apply(upsert("1", "a", "1"))
    keys = [seen["headers"]["Idempotency-Key"] for seen in one.seen]
    assert (len(keys), len(set(keys))) == (4, 1)


def test_an_api_that_never_says_it_is_waited_for(rig: Made) -> None:
    one = rig(put(OK), retries={**FAST, "attempts": "3"})  # the API answers {"path": …}
    with pytest.raises(TargetUnavailable, match="does not say what became of it: it has no `ok`"):
        one.write(upsert("1", "a", "1"))


def test_a_code_that_pauses(rig: Made) -> None:
    one = rig(put(OK))
    says(one, {"ok": False, "error": "key"})
    with pytest.raises(TargetRefused, match="code key in the answer"):
        one.write(upsert("1", "a", "1"))


def test_a_throttled_api_is_asked_more_slowly(rig: Made) -> None:
    """As long as it says so, and not counted as a failure of the change."""
    one = rig(put(GRAPHQL), retries={**FAST, "attempts": "2"})
    says(one, {"errors": [{"extensions": {"code": "THROTTLED"}}]}, times=6)
    one.apply(upsert("1", "a", "1"))
    assert len(one.seen) == 7


def test_a_record_that_the_body_says_is_not_there(rig: Made) -> None:
    gone = {"errors": [{"extensions": {"code": "NOT_FOUND"}}]}
    one = rig(
        {
            "upsert": "patch_then_post",
            "update": {"url": "/items/{id}", "result": GRAPHQL},
            "create": {"url": "/items", "result": GRAPHQL},
            "delete": {"url": "/items/{id}", "result": GRAPHQL},
        }
    )
    says(one, gone)
    one.apply(upsert("1", "a", "1"))
    assert [seen["method"] for seen in one.seen] == ["PATCH", "POST"]
    says(one, gone)
    one.apply(delete("1", None, None), entry=2)
    says(one, gone, "/items", times=2)
    with pytest.raises(RowRefused, match="code NOT_FOUND"):  # the POST's parent, say
        one.write(upsert("2", "a", "1"), entry=3)


def test_items_of_a_batch_say_it_with_codes(rig: Made) -> None:
    results = {
        "list": "/r",
        "ok": "/ok",
        "code": "/why",
        "codes": {"LOCKED": "retry"},
        "key": "/id",
    }
    batch = {"url": "/items/_bulk", "size": "10", "results": results}
    one = rig({"upsert": "batch", "batch": batch, "delete": {"url": "/items/{id}"}})
    said = [
        {"id": 1, "ok": True},
        {"id": 2, "ok": False, "why": "LOCKED"},
        {"id": 3, "ok": False, "why": "INVALID"},
    ]
    says(one, {"r": said}, "/items/_bulk")
    says(one, {"r": [{"id": 2, "ok": True}]}, "/items/_bulk")
    with pytest.raises(RowRefused, match="code INVALID") as refused:
        one.write(*(upsert(str(n), "a", "1") for n in (1, 2, 3)))
    assert refused.value.seq == 2
    assert [json.loads(seen["body"])[0]["id"] for seen in one.seen] == [1, 2]


def test_a_batch_that_its_answer_refuses_is_halved(rig: Made) -> None:
    batch = {"url": "/items/_bulk", "size": "4", "result": {"error": "/error"}}
    one = rig({"upsert": "batch", "batch": batch, "delete": {"url": "/items/{id}"}})
    says(one, {"error": "one of them is wrong"}, "/items/_bulk", times=2)
    one.apply(*(upsert(str(n), "a", "1") for n in range(4)))
    assert len(one.records) == 4


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"code": "/code"},
        {"ok": "/ok", "codes": {"a": "done"}},
        {"ok": "ok"},
        {"ok": "/ok", "code": "/code", "codes": {"a": "maybe"}},
        {"ok": "/ok", "list": "/items"},
    ],
)
def test_rules_that_say_nothing_are_refused(rules: Any) -> None:
    with pytest.raises(ValidationError):
        Result.model_validate(rules)
