"""How fast an API is asked, what its answers mean, and that the manual's example is one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import yaml

from sinks.http.answers import at, outcome, parsed, problem_type, retry_after_s
from sinks.http.client import Answer
from sinks.http.entities import Outcome, Put
from sinks.http.pace import Circuit, Permits
from sinks.http.settings import Breaker, HttpTarget
from tailrace.errors import TargetUnavailable


def test_an_overloaded_api_gets_fewer_at_once_and_more_again() -> None:
    permits = Permits(64, adaptive=True)
    permits.overloaded(60)
    assert permits.limit == 32
    permits.overloaded(60)  # of those that were under way together, it counts once
    assert permits.limit == 32
    permits.overloaded(0)
    assert permits.limit == 16
    for _ in range(10):
        permits.overloaded(0)
    assert permits.limit == 1
    for _ in range(3000):
        permits.went_well()
    assert permits.limit == 64


def test_without_adaption_all_stay() -> None:
    permits = Permits(8, adaptive=False)
    permits.overloaded(0)
    assert permits.limit == 8


def test_no_more_than_the_limit_hold_a_permit() -> None:
    async def run() -> int:
        permits = Permits(3, adaptive=True)
        held = most = 0

        async def one() -> None:
            nonlocal held, most
            await permits.acquire()
            held += 1
            most = max(most, held)
            await asyncio.sleep(0)
            held -= 1
            permits.release()

        await asyncio.gather(*(one() for _ in range(50)))
        return most

    assert asyncio.run(run()) == 3


def test_of_an_open_circuit_one_goes_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("sinks.http.pace.monotonic", lambda: now)

    async def run() -> None:
        nonlocal now
        circuit = Circuit("item", Breaker(failures=3, wait_s=1))
        for _ in range(2):
            await circuit.enter("a")
            circuit.failed("status 500", "b")
        circuit.succeeded()
        for _ in range(2):
            circuit.failed("status 500", "b")
        with pytest.raises(TargetUnavailable, match="3 times in a row"):
            circuit.failed("status 500", "b")
        with pytest.raises(TargetUnavailable):
            await circuit.enter("a")
        now += 1.1
        await circuit.enter("a")  # goes ahead
        waiting = [asyncio.create_task(circuit.enter("a")) for _ in range(5)]
        await asyncio.sleep(0)
        assert not any(one.done() for one in waiting)
        with pytest.raises(TargetUnavailable):
            circuit.failed("status 500", "b")
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(end, TargetUnavailable) for end in ends)
        now += 1.1
        with pytest.raises(TargetUnavailable):  # the wait has doubled
            await circuit.enter("a")
        now += 1
        await circuit.enter("c")
        waiting = [asyncio.create_task(circuit.enter("a")) for _ in range(5)]
        await asyncio.sleep(0)
        circuit.succeeded()
        await asyncio.gather(*waiting)

    asyncio.run(run())


DECLARED: dict[str, Outcome] = {"409": "done", "5xx": "park", "503": "retry"}


@pytest.mark.parametrize(
    ("status", "declared", "meant"),
    [
        *((200, {}, "done"), (204, {}, "done"), (207, {}, "done"), (301, {}, "pause")),
        *((400, {}, "park"), (401, {}, "pause"), (403, {}, "park"), (404, {}, "absent")),
        *((407, {}, "pause"), (408, {}, "retry"), (409, {}, "retry"), (413, {}, "park")),
        *((422, {}, "park"), (425, {}, "retry"), (429, {}, "wait"), (500, {}, "retry")),
        *((599, {}, "retry"), (409, DECLARED, "done"), (500, DECLARED, "park")),
        (503, DECLARED, "retry"),
    ],
)
def test_what_a_status_means(status: int, declared: Mapping[str, Outcome], meant: Outcome) -> None:
    assert outcome(status, declared) == meant


def test_retry_after() -> None:
    def asked(text: str) -> float | None:
        return retry_after_s(Answer(429, {"Retry-After": text}, b""))

    assert asked("7") == 7
    assert asked("99999999999") == 24 * 3600
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < (asked(later) or 0) < 101
    assert asked(format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)) == 0
    for text in ("", "soon", "-1", "1.5", "٣", "Thu, 99 Foo 2026 00:00:00 GMT"):
        assert asked(text) is None


def test_an_answer_may_hold_anything() -> None:
    assert parsed(b'{"a": 1}') == {"a": 1}
    assert parsed(b'{"a": 1}\n{"a": 2}\n') == [{"a": 1}, {"a": 2}]
    for body in (None, b"", b"\xff\x00", b"{", b"[" * 100_000):
        assert parsed(body) is None
    assert at({"a": [{"b/c": 1}]}, "/a/0/b~1c") == 1
    for pointer in ("/a/1", "/a/x", "/b", "/a/0/b/c"):
        assert at({"a": [{"b/c": 1}]}, pointer) is None
    assert at([1], "") == [1]
    problem = {"Content-Type": "application/problem+json"}
    assert problem_type(Answer(422, problem, b'{"type": "/out-of-stock"}')) == "/out-of-stock"
    for body in (b"[]", b"{", b'{"type": 1}', b'{"type": "' + b"x" * 500 + b'"}'):
        assert problem_type(Answer(422, problem, body)) is None


def test_the_example_of_the_manual(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    example, more = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    put = yaml.load(more, Loader=yaml.BaseLoader)["put"]
    assert Put.model_validate(put).result is not None
    document = yaml.load(example, Loader=yaml.BaseLoader)
    target = HttpTarget.model_validate(document["targets"]["crm"])
    assert set(target.entities) == {"customer", "order", "contact", "price"}
    assert document["pipelines"]["erp_to_crm"]["target"] == "crm"
