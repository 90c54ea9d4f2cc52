"""What PostgreSQL holds after a random history is what its changes one by one would leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sinks.postgres.sink as module
from cdc.schema import TableName
from sinks.conformance import JOURNAL
from sinks.postgres.names import quoted_list, quoted_table
from sinks.postgres.sink import PostgresSink
from tests.sinks.histories import ONE, TWO, Event, State, deliver, histories, key_of, play

NAMES = {table.table: table for table in (ONE, TWO)}


class Target:
    """A sink that stays open, and the two tables filled and read behind its back."""

    def __init__(self, url: str) -> None:
        self.sink = PostgresSink(url, "line")
        self.sink.open(JOURNAL)
        self.sink.prepare([ONE, TWO])
        self._connection = psycopg.connect(url, autocommit=True)
        self._offset = 0

    def fill(self, states: dict[TableName, State]) -> None:
        self._connection.execute("truncate s.one, s.two")
        for name, state in states.items():
            places = ", ".join(["%s"] * len(NAMES[name].columns))
            for row in state.values():
                statement = f"insert into {quoted_table(name)} values ({places})"
                self._connection.execute(statement.encode(), row)

    def apply(self, events: Sequence[Event], cut: Sequence[int]) -> None:
        self._offset += 1
        deliver(self.sink, events, cut, self._offset)

    def states(self) -> dict[TableName, State]:
        found: dict[TableName, State] = {}
        for name, table in NAMES.items():
            columns = quoted_list(column.name for column in table.columns)
            rows = self._connection.execute(f"select {columns} from {quoted_table(name)}".encode())
            found[name] = {key_of(table, row): list(row) for row in rows}
        return found

    def close(self) -> None:
        self.sink.close()
        self._connection.close()


@pytest.fixture
def target(database18) -> Iterator[Target]:
    made = Target(database18.url)
    yield made
    made.close()


@pytest.mark.parametrize("singly_max", [0, 1000], ids=["sets", "in_order"])
def test_the_target_ends_where_the_source_ended(
    singly_max: int, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", singly_max)

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.nested_given])
    @given(histories(), st.lists(st.integers(0, 14), max_size=3))
    def ends_alike(history: tuple[dict[TableName, State], list[Event]], cut: list[int]) -> None:
        states, events = history
        target.fill(states)
        target.apply(events, cut)
        assert target.states() == play(events, states)

    ends_alike()
