"""What a file holds after a random history is what its changes one by one would leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc.schema import TableName
from sinks.conformance import JOURNAL
from sinks.duckdb.engine import DuckdbEngine
from sinks.duckdb.sink import DuckdbSink
from sinks.sqlite.engine import SqliteEngine
from sinks.sqlite.sink import SqliteSink
from tests.sinks.histories import ONE, TWO, Event, State, deliver, histories, key_of, play

TABLES = (ONE, TWO)


class Target:
    """A sink that stays open, and the two tables filled and read through the same engine."""

    def __init__(
        self, sink: SqliteSink | DuckdbSink, engine: SqliteEngine | DuckdbEngine, path: Path
    ) -> None:
        self.engine = engine
        self.sink = sink
        self.sink.open(JOURNAL)
        self.sink.prepare(TABLES)
        self._session = engine.connect(path)
        self._offset = 0

    def fill(self, states: dict[TableName, State]) -> None:
        self._session.begin()
        for table in TABLES:
            name = self.engine.table(table.table)
            self._session.execute(f"delete from {name}")
            places = ", ".join("?" * len(table.columns))
            for row in states.get(table.table, {}).values():
                self._session.execute(f"insert into {name} values ({places})", row)
        self._session.commit()

    def apply(self, events: Sequence[Event], cut: Sequence[int]) -> None:
        self._offset += 1
        deliver(self.sink, events, cut, self._offset)

    def states(self) -> dict[TableName, State]:
        found: dict[TableName, State] = {}
        for table in TABLES:
            columns = ", ".join(self.engine.quoted(column.name) for column in table.columns)
            rows = self._session.query(f"select {columns} from {self.engine.table(table.table)}")
            found[table.table] = {key_of(table, row): list(row) for row in rows}
        return found

    def close(self) -> None:
        self.sink.close()
        self._session.close()


@pytest.fixture(params=["sqlite", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    path = tmp_path / "hub.file"
    if request.param == "sqlite":
        made = Target(SqliteSink(path, "line"), SqliteEngine(), path)
    else:
        made = Target(DuckdbSink(path, "line"), DuckdbEngine(path), path)
    yield made
    made.close()


@pytest.mark.parametrize("singly_max", [0, 1000], ids=["sets", "in_order"])
def test_the_target_ends_where_the_source_ended(
    singly_max: int, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(target.engine), "singly_rows_max", singly_max)

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.nested_given])
    @given(histories(), st.lists(st.integers(0, 14), max_size=3))
    def ends_alike(history: tuple[dict[TableName, State], list[Event]], cut: list[int]) -> None:
        states, events = history
        target.fill(states)
        target.apply(events, cut)
        assert target.states() == play(events, states)

    ends_alike()
