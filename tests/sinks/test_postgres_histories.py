"""What PostgreSQL holds after a random history is what its changes one by one would leave."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

import sinks.postgres.sink as module
from cdc.schema import TableName
from sinks.postgres.names import quoted_list, quoted_table
from sinks.postgres.sink import PostgresSink
from tests.sinks.histories import NAMES, State, Target, ends_where_the_source_ended, key_of


class PostgresTarget(Target):
    def __init__(self, url: str) -> None:
        super().__init__(PostgresSink(url, "line"))
        self._connection = psycopg.connect(url, autocommit=True)

    def fill(self, states: dict[TableName, State]) -> None:
        self._connection.execute("truncate s.one, s.two")
        for name, state in states.items():
            places = ", ".join(["%s"] * len(NAMES[name].columns))
            for row in state.values():
                statement = f"insert into {quoted_table(name)} values ({places})"
                self._connection.execute(statement.encode(), row)

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
def target(database18) -> Iterator[PostgresTarget]:
    made = PostgresTarget(database18.url)
    yield made
    made.close()


@pytest.mark.parametrize("singly_max", [0, 1000], ids=["sets", "in_order"])
def test_the_target_ends_where_the_source_ended(
    singly_max: int, target: PostgresTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", singly_max)
    ends_where_the_source_ended(target, 150)
