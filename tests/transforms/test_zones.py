"""Time zones against PostgreSQL: every change of the clock, its gap and its fold."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tailrace.service.localpg import LocalPostgres
from tests.transforms.oracle import FAILED
from tests.transforms.tables import here, table, there
from transforms.engine import Engine
from transforms.errors import ExpressionError
from transforms.expressions.translate import Place, source_columns, translate
from transforms.expressions.zones import known_zones

PLACES = [
    "Europe/Berlin",
    "Europe/London",
    "Europe/Lisbon",
    "Europe/Moscow",
    "Europe/Istanbul",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Asia/Tehran",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Cairo",
]


def moments(place: str) -> list[str]:
    """Around each change of the clock from 1980 to 2037, and each new year."""
    zone, found = ZoneInfo(place), []
    at, last = datetime(1980, 1, 4), datetime(2037, 12, 28)
    offset = zone.utcoffset(at)
    while at < last:
        at += timedelta(days=1)
        if (now := zone.utcoffset(at)) != offset or (at.month, at.day) == (1, 1):
            offset = now
            found += [at + timedelta(minutes=m) for m in range(-1620, 300, 30)]
    return [moment.isoformat(sep=" ") for moment in found]


@pytest.mark.parametrize("version", ["18", "15"])
def test_as_postgres(request: pytest.FixtureRequest, version: str) -> None:
    server: LocalPostgres = request.getfixturevalue(f"pg{version}")
    types = {"ts": "timestamp without time zone", "tz": "timestamp with time zone"}
    engine = Engine()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for place in PLACES:
            rows = [(text, f"{text}+00") for text in moments(place)]
            expressions = [f"{column} at time zone '{place}'" for column in types]
            wanted = there(connection, types, rows, expressions)
            found = here(engine, table(types), rows, expressions)
            for expression, ours, theirs in zip(expressions, found, wanted, strict=True):
                differing = [
                    (row[0], a, b) for row, a, b in zip(rows, ours, theirs, strict=True) if a != b
                ]
                assert not differing, (expression, len(differing), differing[:4])
    engine.close()


def test_years_that_tables_tell_differently_fail() -> None:
    engine = Engine()
    types = {"ts": "timestamp without time zone"}
    rows = [("1979-12-31 00:00:00",), ("2038-01-01 00:00:00",), ("infinity",), (None,)]
    found = here(engine, table(types), rows, ["ts at time zone 'Europe/Berlin'"])
    engine.close()
    assert found == [[FAILED, FAILED, FAILED, None]]


def test_a_place_whose_rules_are_not_settled_is_refused() -> None:
    columns = source_columns(table({"ts": "timestamp without time zone"}))
    with pytest.raises(ExpressionError, match="differ between the tables"):
        translate("ts at time zone 'America/Bogota'", Place("m", ()), columns)


def test_the_places_of_the_world_are_known() -> None:
    assert len(known_zones()) > 400
    assert set(PLACES) <= known_zones()


@pytest.mark.parametrize("zone", ["CET", "MEZ", "+01", "Etc/GMT+1", "europe/berlin", "Mars/North"])
def test_other_names_of_zones_are_refused(zone: str) -> None:
    columns = source_columns(table({"ts": "timestamp without time zone"}))
    with pytest.raises(ExpressionError, match="named by its place"):
        translate(f"ts at time zone '{zone}'", Place("m", ()), columns)
