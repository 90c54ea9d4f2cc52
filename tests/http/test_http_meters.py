"""What `/metrics` says of an API."""

from __future__ import annotations

from contextlib import suppress

import pytest
from prometheus_client import REGISTRY

from sinks.conformance import delete, upsert
from tailrace.errors import RowRefused, TargetUnavailable
from tests.http.conftest import Made
from tests.httprig import FAST, Rig


def value(one: Rig, name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"tailrace_http_{name}", {"pipeline": one.pipeline, **labels})


def requests(one: Rig, request: str, status: str) -> float | None:
    return value(one, "requests_total", table="public.item", request=request, status=status)


def test_requests_retries_and_times(rig: Made) -> None:
    one = rig()
    one.fault("reject", "/items/1", status=503)
    one.fault("reject", "/items/1", status=429)
    one.fault("garbage", "/items/1")
    one.fault("reject", "/items/2", status=422)
    with pytest.raises(RowRefused):
        one.write(upsert("1", "a", "1"), upsert("2", "a", "1"), delete("3", None, None))
    assert requests(one, "put", "2xx") == 1
    assert requests(one, "put", "4xx") == 2
    assert requests(one, "put", "5xx") == 1
    assert requests(one, "put", "none") == 1
    assert requests(one, "delete", "4xx") == 1
    assert value(one, "retries_total", table="public.item") == 3
    assert value(one, "throttled_total", table="public.item") == 1
    assert value(one, "request_seconds_count", table="public.item") == 5
    assert (value(one, "in_flight"), value(one, "breaker", table="public.item")) == (0, 0)
    assert (value(one, "in_flight_limit") or 16) < 16


def test_the_breaker_is_seen(rig: Made) -> None:
    one = rig(
        breaker={"failures": "3", "wait_s": "0.05"},
        limits={"concurrency": "1"},
        retries={**FAST, "attempts": "100"},
    )
    one.fault("reject", status=500, times=3)
    with pytest.raises(TargetUnavailable, match="fails for"):
        one.write(upsert("1", "a", "1"))
    assert value(one, "breaker", table="public.item") == 2
    while value(one, "breaker", table="public.item") == 2:
        with suppress(TargetUnavailable):
            one.write(upsert("1", "a", "1"))
    assert value(one, "breaker", table="public.item") == 0
