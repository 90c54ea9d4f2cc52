"""A DuckDB file as a target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from cdc.schema import TableName
from sinks.conformance import JOURNAL, PAIR, PLAIN_CASES, TABLE, Harness, Row, changes, upsert
from sinks.duckdb.engine import DuckdbEngine
from sinks.duckdb.sink import DuckdbSink
from sinks.protocol import Checkpoint
from transforms.references import Reference
from transforms.rows import TargetTable

ENGINE = DuckdbEngine(Path("hub.duckdb"))


class DuckdbHarness:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._sinks: list[DuckdbSink] = []

    def sink(self, pipeline: str = "line") -> DuckdbSink:
        self._sinks.append(DuckdbSink(self.path, pipeline))
        return self._sinks[-1]

    def execute(self, *sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.path)) as connection:
            for statement in sql:
                found: list[tuple[object, ...]] = connection.execute(statement, values).fetchall()
        return found

    def rows(self, table: TargetTable) -> set[Row]:
        columns = ", ".join(f"{ENGINE.quoted(c.name)}::varchar" for c in table.columns)
        return set(self.execute(f"select {columns} from {ENGINE.table(table.table)}"))  # type: ignore[arg-type]

    def insert(self, table: TargetTable, rows: Sequence[Row]) -> None:
        columns = ", ".join(f"{ENGINE.quoted(c.name)} {ENGINE.ddl(c)}" for c in table.columns)
        key = ", ".join(map(ENGINE.quoted, table.key))
        name = ENGINE.table(table.table)
        self.execute(
            f"create schema if not exists {ENGINE.quoted(table.table.schema)}",
            f"create table {name} ({columns}, primary key ({key}))",
        )
        for row in rows:
            self.execute(f"insert into {name} values ({', '.join('?' * len(row))})", values=row)

    def drop(self, table: TargetTable) -> None:
        self.execute(f"drop table {ENGINE.table(table.table)}")

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


@pytest.fixture
def duckdb_harness(tmp_path: Path) -> Iterator[DuckdbHarness]:
    harness = DuckdbHarness(tmp_path / "hub.duckdb")
    yield harness
    harness.close()


@pytest.mark.parametrize("singly_max", [0, 100], ids=["sets", "singly"])
@pytest.mark.parametrize("case", PLAIN_CASES, ids=lambda case: case.__name__)
def test_conformance(
    case: Callable[[Harness], None],
    singly_max: int,
    duckdb_harness: DuckdbHarness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(DuckdbEngine, "singly_rows_max", singly_max)
    case(duckdb_harness)


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        *(("hub.duckdb", "hub"), ("Hub.v2.db", "hub"), ("hub", "HUB"), ("a b.db", "a b")),
        *(("tailrace.db", "tailrace"), ("system.db", "system"), ("system.db", "system_db")),
        *(("main.db", "public"), ("main.db", "main_db"), ("temp.db", "temp_db")),
    ],
)
def test_a_schema_may_be_called_like_the_file(file: str, schema: str, tmp_path: Path) -> None:
    table = replace(TABLE, table=TableName(schema, "item"))
    with closing(DuckdbSink(tmp_path / file, "line")) as sink:
        for offset, amount in enumerate(("1.00", "2.00"), 1):
            sink.open(JOURNAL)
            sink.prepare([table])
            sink.write([changes(table, upsert("1", "a", amount))])
            sink.commit(Checkpoint(JOURNAL, offset, ""))
    with duckdb.connect(str(tmp_path / file)) as connection:
        found = connection.execute(
            "select table_schema from information_schema.tables where table_name = 'item'"
        ).fetchall()
        name = DuckdbEngine(tmp_path / file).table(table.table)
        rows = connection.execute(f"select * from {name}").fetchall()
    assert [str(one).lower() for (one,) in found] == [schema.lower().replace("public", "main")]
    assert rows == [(1, "a", Decimal("2.00"))]


def test_keys_of_other_entities_are_found(duckdb_harness: DuckdbHarness) -> None:
    """Also those of the open transaction."""
    sink = duckdb_harness.sink()
    sink.open(JOURNAL)
    sink.prepare([TABLE, PAIR])
    sink.write([changes(TABLE, upsert("1", "a", "1"), upsert("22", "b", "1"))])
    reference = Reference("m", "f", "item", TABLE.table, "id", "integer")
    assert sink.find(reference, ["1", "2", "22", "22"]) == {"1": "1", "22": "22"}
    assert sink.find(replace(reference, column="code", type="text"), ["a", "A"]) == {"a": "a"}
    sink.rollback()
    sink.prepare([TABLE])
    assert sink.find(reference, [str(n) for n in range(1200)]) == {}
