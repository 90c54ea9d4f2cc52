"""What a file holds after a random history is what its changes one by one would leave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.schema import TableName
from sinks.duckdb.engine import DuckdbEngine
from sinks.duckdb.sink import DuckdbSink
from sinks.sqlite.engine import SqliteEngine
from sinks.sqlite.sink import SqliteSink
from tests.sinks.histories import NAMES, State, Target, ends_where_the_source_ended, key_of


class FileTarget(Target):
    """Filled and read through the same engine."""

    def __init__(
        self, sink: SqliteSink | DuckdbSink, engine: SqliteEngine | DuckdbEngine, path: Path
    ) -> None:
        super().__init__(sink)
        self.engine = engine
        self._session = engine.connect(path)

    def fill(self, states: dict[TableName, State]) -> None:
        self._session.begin()
        for table in NAMES.values():
            name = self.engine.table(table.table)
            self._session.execute(f"delete from {name}")
            places = ", ".join("?" * len(table.columns))
            for row in states.get(table.table, {}).values():
                self._session.execute(f"insert into {name} values ({places})", row)
        self._session.commit()

    def states(self) -> dict[TableName, State]:
        found: dict[TableName, State] = {}
        for table in NAMES.values():
            columns = ", ".join(self.engine.quoted(column.name) for column in table.columns)
            rows = self._session.query(f"select {columns} from {self.engine.table(table.table)}")
            found[table.table] = {key_of(table, row): list(row) for row in rows}
        return found

    def close(self) -> None:
        self.sink.close()
        self._session.close()


@pytest.fixture(params=["sqlite", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileTarget]:
    path = tmp_path / "hub.file"
    if request.param == "sqlite":
        made = FileTarget(SqliteSink(path, "line"), SqliteEngine(), path)
    else:
        made = FileTarget(DuckdbSink(path, "line"), DuckdbEngine(path), path)
    yield made
    made.close()


@pytest.mark.parametrize("singly_max", [0, 1000], ids=["sets", "in_order"])
def test_the_target_ends_where_the_source_ended(
    singly_max: int, target: FileTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(target.engine), "singly_rows_max", singly_max)
    ends_where_the_source_ended(target, 40)
