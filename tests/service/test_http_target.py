"""An HTTP target as an operator runs it: snapshot, changes, the exceptions desk, check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from tests.config.projects import write
from tests.conftest import Database
from tests.http_api import HttpApi, started
from tests.httprig import point_to
from tests.line import Line, do, wait_until

TABLE = """
create schema shop;
create table shop.item (id int primary key, kind text, amount numeric(12,2), note text);
alter table shop.item replica identity full;
insert into shop.item select g, 'A', g, 'n' from generate_series(1, 50) g;
"""
ENTITY = """
entity: item
key: [item_no]
fields:
  item_no: {type: text, required: true}
  kind: {type: text, required: true}
  amount: {type: "decimal(12,2)"}
"""
MAPPING = """
mapping: item
entity: item
table: shop.item
key: {item_no: "'I-' || id"}
fields:
  kind: {from: kind, values: {A: alpha, B: beta}}
  amount: amount
"""
SETTINGS = """\
    limits: {concurrency: 1}  # the source's order, over all keys
    retries: {wait_first_s: 0.01, wait_longest_s: 0.1}
    entities:
      item:
        upsert: patch_then_post
        update: {url: "/items/{item_no}"}
        create: {url: "/items", body: '{"id": "{item_no}", "kind": "{kind}", "amount": "{amount}"}'}
        delete: {url: "/items/{item_no}"}
"""


@pytest.fixture
def api() -> Iterator[HttpApi]:
    with started() as made:
        yield made


@pytest.fixture
def line(tmp_path: Path, database18: Database, api: HttpApi) -> Line:
    database18.execute(TABLE)
    made = Line(
        tmp_path / "project", database18.url, database18.url, rules="[]\n    mappings: [item]"
    )
    write(made.directory, {"entities/item.yml": ENTITY, "mappings/item.yml": MAPPING})
    point_to(made, api, SETTINGS)
    return made


def facts(line: Line) -> dict[str, Any]:
    found: dict[str, Any] = line.report("deliver")["facts"]
    return found


def metric(line: Line, name: str, **labels: str) -> float | None:
    """As /metrics shows it, of all processes together."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(line.directory / ".tailrace" / "metrics"))
    return registry.get_sample_value(f"tailrace_http_{name}", {"pipeline": line.pipeline, **labels})


def test_from_snapshot_to_the_desk_and_back(line: Line, api: HttpApi) -> None:
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with line:
        line.streams()
        wait_until(lambda: len(api.state["records"]) == 50, "the snapshot")
        assert api.state["records"]["/items/I-1"] == {
            "id": "I-1",
            "kind": "alpha",
            "amount": "1.00",
        }
        seen = len(api.state["seen"])
        do(
            line.source,
            "update shop.item set note = 'other' where id = 1",  # nothing that is mapped
            "update shop.item set kind = 'B' where id = 2",
            "delete from shop.item where id = 3",
            "update shop.item set id = 400 where id = 4",
        )
        wait_until(lambda: "/items/I-400" in api.state["records"], "the changes")
        state = api.state
        assert [(one["method"], one["path"], one["body"]) for one in state["seen"][seen:]] == [
            ("PATCH", "/items/I-2", '{"kind":"beta"}'),
            ("DELETE", "/items/I-3", ""),
            ("DELETE", "/items/I-4", ""),
            ("PATCH", "/items/I-400", '{"kind":"alpha","amount":"4.00"}'),
            ("POST", "/items", '{"id":"I-400","kind":"alpha","amount":"4.00"}'),
        ]
        api.fault("reject", path="/items/I-7", status=422)
        do(
            line.source,
            "update shop.item set amount = -1 where id = 7",
            "update shop.item set amount = -2 where id = 7",
            "update shop.item set amount = 80 where id = 8",
        )
        wait_until(lambda: facts(line).get("waiting") == 1, "both to be held")
        arrived = "/items/I-8"
        wait_until(lambda: api.state["records"][arrived]["amount"] == "80.00", "another key")
        assert api.state["records"]["/items/I-7"]["amount"] == "7.00"
        first, second = line.desk()["exceptions"]
        assert (first["state"], second["state"]) == ("parked", "waiting")
        assert "422" in json.dumps(first)
        edit = line.command("exceptions", "edit", first["id"], "--set", "amount=70")
        assert edit.returncode == 0, edit.stderr
        replayed = line.command("exceptions", "replay", first["id"])
        assert replayed.returncode == 0, replayed.stderr
        amounts = [
            one["body"]["amount"]
            for one in api.state["applied"]
            if one["path"] == "/items/I-7" and one["method"] == "PATCH"
        ]
        assert amounts == ["70", "-2.00"]
        wait_until(lambda: facts(line)["parked"] == facts(line)["waiting"] == 0, "the end")
        assert facts(line)["imbalances"] == []
        assert facts(line)["rows"]["unchanged"] == 1
        asked = {"table": "public.item", "request": "create", "status": "2xx"}
        assert metric(line, "requests_total", **asked) == 51
        refused = metric(line, "requests_total", **asked | {"request": "update", "status": "4xx"})
        assert refused == 52  # not there yet, or 422
        assert metric(line, "in_flight_limit") == 1
        assert metric(line, "breaker", table="public.item") == 0
        do(line.source, "truncate shop.item")
        wait_until(lambda: line.state("deliver") == "paused", "the pause")
        assert "TRUNCATE" in line.report("deliver")["error"]["what"]
    assert "-2.00" not in line.log


def test_an_api_that_is_away_is_waited_for(line: Line, api: HttpApi) -> None:
    api.fault("reject", status=503, times=10_000_000)
    with line:
        wait_until(lambda: line.state("deliver") == "retrying", "delivery to say so")
        error = line.report("deliver")["error"]
        assert error["code"] == "TR-501"
        assert "status 503" in error["what"]
        assert line.stop() == 0  # while it waits
    assert line.command("exceptions", "list").stdout.startswith("0 parked")
