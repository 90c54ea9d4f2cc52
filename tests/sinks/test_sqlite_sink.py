"""A SQLite file as a target."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sinks.conformance import JOURNAL, PAIR, PLAIN_CASES, TABLE, Harness, Row, changes, upsert
from sinks.sqlite.engine import SqliteEngine
from sinks.sqlite.names import plain, quoted
from sinks.sqlite.sink import SqliteSink
from sinks.sqlite.types import column_type
from transforms.references import Reference
from transforms.rows import TargetTable


class SqliteHarness:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._sinks: list[SqliteSink] = []

    def sink(self, pipeline: str = "line") -> SqliteSink:
        self._sinks.append(SqliteSink(self.path, pipeline))
        return self._sinks[-1]

    def execute(self, *sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            for statement in sql:
                found = connection.execute(statement).fetchall()
        return found

    def rows(self, table: TargetTable) -> set[Row]:
        """Decimals with the digits of their column, as a program would show them."""
        columns = ", ".join(_shown(column.name, column.type) for column in table.columns)
        found = self.execute(f"select {columns} from {quoted(plain(table.table))}")
        return {tuple(None if v is None else str(v) for v in row) for row in found}

    def insert(self, table: TargetTable, rows: Sequence[Row]) -> None:
        columns = ", ".join(
            f"{quoted(column.name)} {column_type(column).ddl}"
            + ("" if column.nullable else " not null")
            for column in table.columns
        )
        key = ", ".join(map(quoted, table.key))
        self.execute(f"create table {quoted(plain(table.table))} ({columns}, primary key ({key}))")
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for row in rows:
                places = ", ".join("?" * len(row))
                connection.execute(
                    f"insert into {quoted(plain(table.table))} values ({places})", row
                )

    def drop(self, table: TargetTable) -> None:
        self.execute(f"drop table {quoted(plain(table.table))}")

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


def _shown(name: str, type_: str) -> str:
    if type_.startswith("numeric("):
        scale = type_.partition(",")[2].rstrip(")") or "0"
        name = quoted(name)
        return f"case when {name} is null then null else printf('%.{scale}f', {name}) end"
    return quoted(name)


@pytest.fixture
def sqlite_harness(tmp_path: Path) -> Iterator[SqliteHarness]:
    harness = SqliteHarness(tmp_path / "hub.db")
    yield harness
    harness.close()


@pytest.mark.parametrize("singly_max", [0, 100], ids=["sets", "singly"])
@pytest.mark.parametrize("case", PLAIN_CASES, ids=lambda case: case.__name__)
def test_conformance(
    case: Callable[[Harness], None],
    singly_max: int,
    sqlite_harness: SqliteHarness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SqliteEngine, "singly_rows_max", singly_max)
    case(sqlite_harness)


def test_keys_of_other_entities_are_found(sqlite_harness: SqliteHarness) -> None:
    """Also those of the open transaction."""
    sink = sqlite_harness.sink()
    sink.open(JOURNAL)
    sink.prepare([TABLE, PAIR])
    sink.write([changes(TABLE, upsert("1", "a", "1"), upsert("22", "b", "1"))])
    reference = Reference("m", "f", "item", TABLE.table, "id", "integer")
    assert sink.find(reference, ["1", "2", "22", "22"]) == {"1": "1", "22": "22"}
    assert sink.find(replace(reference, column="code", type="text"), ["a", "A"]) == {"a": "a"}
    sink.rollback()
    sink.prepare([TABLE])
    assert sink.find(reference, [str(n) for n in range(1200)]) == {}
