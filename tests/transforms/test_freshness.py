"""Freshness: spans, the newest value, contradictions, and what a changed promise means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from cdc.schema import TableName
from transforms.contradictions import check_entity
from transforms.entity import Entity
from transforms.evolution import compare
from transforms.freshness import Freshness, Watch, newest_of, seconds, shown
from transforms.odcs.export import exported
from transforms.rows import UPSERT, RowChanges, TargetColumn, TargetTable

NOW_S = datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp()


def entity(freshness: Any = None, **field: Any) -> Entity:
    whole: dict[str, Any] = {
        "entity": "e",
        "version": "1.0.0",
        "key": ["id"],
        "fields": {"id": {"type": "text"}, "at": {"type": "timestamptz", **field}},
    }
    return Entity.model_validate(whole | ({"freshness": freshness} if freshness else {}))


def promise(within: str = "1h", field: str = "at") -> dict[str, str]:
    return {"field": field, "within": within}


@pytest.mark.parametrize(
    ("text", "span_s", "back"),
    [("30s", 30, "30s"), ("90 min", 5400, "90min"), ("60min", 3600, "1h"), ("48h", 172_800, "2d")],
)
def test_spans(text: str, span_s: int, back: str) -> None:
    assert (seconds(text), shown(span_s)) == (span_s, back)


@pytest.mark.parametrize("text", ["0h", "1", "h", "1m", "-1h", "1.5h", "1h30min", "9999999d"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="no span of time"):
        Freshness.model_validate(promise(text))


def newest(*texts: str | None) -> str | None:
    found = newest_of(pa.array(texts, pa.string()), NOW_S)
    return None if found is None else datetime.fromtimestamp(found, UTC).isoformat()


def test_the_newest_value_that_is_not_ahead() -> None:
    values = ["2026-01-02 11:59:59.5+00", None, "2026-01-02 11:59:59+00", "2026-01-01 23:00:00+00"]
    assert newest(*values) == "2026-01-02T11:59:59.500000+00:00"
    assert newest("9999-12-31 00:00:00+00", "infinity", "0044-03-15 BC") is None
    assert newest("2026-01-02 12:04:00+00") is not None  # clocks differ
    assert newest("2026-01-02", "2026-01-01") == "2026-01-02T00:00:00+00:00"
    assert newest() is None


def test_only_what_is_durable_counts() -> None:
    name = TableName("public", "e")
    columns = (TargetColumn("id", "text"), TargetColumn("at", "timestamp with time zone"))
    table = TargetTable(name, columns, ("id",))
    watch = Watch({name: ("e", Freshness.model_validate(promise()))})

    def rows(at: str) -> RowChanges:
        op = pa.array([UPSERT], pa.uint8())
        return RowChanges(table, op, pa.array([0]), (pa.array(["1"]), pa.array([at])))

    watch.saw([rows("2026-01-02 10:00:00+00")], NOW_S)
    watch.forget()
    assert watch.newest_s == {}
    watch.saw([rows("2026-01-02 11:00:00+00")], NOW_S)
    watch.settle()
    watch.saw([rows("2026-01-01 11:00:00+00")], NOW_S)
    watch.settle()
    assert watch.newest_s == {"e": NOW_S - 3600}


@pytest.mark.parametrize(
    ("contract", "what"),
    [
        (entity(promise(field="when")), "e has no field when"),
        (entity(promise(field="id")), "is of type text"),
        (entity(promise(), type="timestamp"), "is of type timestamp"),
        (entity(promise(), type="date"), "a day old before the day is over"),
        (entity(promise(), **{"class": "personal"}), "would be shown"),
        (entity(promise(), range={"max": "2030-01-01 00:00:00+00"}), "names a last value"),
        (entity(promise("2d"), type="date", one_of=["2026-01-01"]), "names a last value"),
    ],
)
def test_contradictions(contract: Entity, what: str) -> None:
    assert any(what in error.what for error in check_entity(contract))


def test_a_promise_that_can_be_kept() -> None:
    assert check_entity(entity(promise())) == []
    assert check_entity(entity(promise("2d"), type="date")) == []


@pytest.mark.parametrize(
    ("before", "after", "level"),
    [
        (None, promise(), "minor"),
        (promise(), None, "major"),
        (promise(), promise("2h"), "major"),
        (promise("2h"), promise("60min"), "minor"),
    ],
)
def test_changed_promises(before: Any, after: Any, level: str) -> None:
    (found,) = compare({"e": entity(before)}, {"e": entity(after)})
    assert [change.level for change in found.changes] == [level]


@pytest.mark.parametrize(
    ("within", "value", "unit"), [("90min", 90, "min"), ("24h", 1, "d"), ("45s", 45, "s")]
)
def test_it_goes_out_as_a_latency(within: str, value: int, unit: str) -> None:
    document, _ = exported(entity(promise(within)), "acme")
    assert document["slaProperties"] == [
        {"property": "latency", "value": value, "unit": unit, "element": "e.at"}
    ]
