"""Freshness as an operator sees it: in `status`, at /readyz and /metrics, also after a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.config.projects import write
from tests.line import Line, do, wait_until

ENTITY = """
entity: reading
key: [id]
fields:
  id: {type: integer}
  taken: {type: timestamptz}
freshness: {field: taken, within: 1h}
"""
MAPPING = """
mapping: reading
entity: reading
table: shop.reading
key: {id: id}
fields: {taken: taken}
"""


def judged(line: Line) -> tuple[list[str], Any]:
    found = json.loads(line.command("status", "-o", "json").stdout)
    (deliver,) = (one for one in found["processes"] if one["role"] == "deliver")
    return found["warnings"], deliver["freshness"]["reading"]


def test_what_is_promised_is_measured(tmp_path: Path, database18, second_database18) -> None:
    database18.execute(
        "create schema shop; create table shop.mark (mark text primary key);"
        "create table shop.reading (id int primary key, taken timestamptz);"
        "insert into shop.reading values (1, now() - interval '3 hours'), (2, 'infinity')"
    )
    rules = "[{tables: [shop.mark], into: '{schema}.{table}'}]\n    mappings: [reading]"
    line = Line(tmp_path / "project", database18.url, second_database18.url, rules=rules)
    write(line.directory, {"entities/reading.yml": ENTITY, "mappings/reading.yml": MAPPING})
    with line:
        line.streams()
        line.arrives()
        wait_until(lambda: judged(line)[0], "the warning")
        (warning,) = judged(line)[0]
        assert warning == (
            "deliver line: reading is not fresh: its newest taken is 3h old, and 1h is promised"
        )
        status, body = line.get("/readyz")
        assert status == 200
        assert f"warning: {warning}" in body
        assert (
            'tailrace_freshness_limit_seconds{entity="reading",pipeline="line"} 3600.0'
            in (line.get("/metrics")[1])
        )
    with line:
        line.streams()
        wait_until(lambda: line.state("deliver") == "waiting", "delivery")
        assert len(judged(line)[0]) == 1
        do(line.source, "insert into shop.reading values (3, now())")
        line.arrives()
        wait_until(lambda: not judged(line)[0], "freshness")
        assert line.get("/readyz") == (200, "ready\n")
