"""A SQLite or DuckDB file as a target."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import duckdb
import pytest

from cdc.schema import TableName
from sinks.conformance import (
    JOURNAL,
    NOT_SENT,
    PAIR,
    PLAIN_CASES,
    TABLE,
    Change,
    Harness,
    Row,
    changes,
    upsert,
)
from sinks.duckdb.effects import Effect
from sinks.duckdb.engine import DuckdbEngine
from sinks.duckdb.sink import DuckdbSink
from sinks.protocol import Checkpoint
from sinks.sqlite.engine import SqliteEngine
from sinks.sqlite.names import plain, quoted
from sinks.sqlite.sink import SqliteSink
from sinks.sqlite.types import column_type
from tailrace.errors import RowRefused, TargetUnavailable
from transforms.references import Reference
from transforms.rows import UPSERT, TargetColumn, TargetTable

DUCKDB = DuckdbEngine(Path("hub.file"))


class FileHarness(ABC):
    kind: ClassVar[type[SqliteSink] | type[DuckdbSink]]
    engine: ClassVar[type[SqliteEngine] | type[DuckdbEngine]]

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sinks: list[SqliteSink | DuckdbSink] = []

    def sink(self, pipeline: str = "line") -> SqliteSink | DuckdbSink:
        self._sinks.append(self.kind(self.path, pipeline))
        return self._sinks[-1]

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()

    @abstractmethod
    def execute(self, *sql: str) -> list[tuple[object, ...]]: ...

    @abstractmethod
    def rows(self, table: TargetTable) -> set[Row]: ...

    @abstractmethod
    def insert(self, table: TargetTable, rows: Sequence[Row]) -> None: ...

    @abstractmethod
    def drop(self, table: TargetTable) -> None: ...


class SqliteHarness(FileHarness):
    kind = SqliteSink
    engine = SqliteEngine

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


def _shown(name: str, type_: str) -> str:
    if type_.startswith("numeric("):
        scale = type_.partition(",")[2].rstrip(")") or "0"
        name = quoted(name)
        return f"case when {name} is null then null else printf('%.{scale}f', {name}) end"
    return quoted(name)


class DuckdbHarness(FileHarness):
    kind = DuckdbSink
    engine = DuckdbEngine

    def execute(self, *sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.path)) as connection:
            for statement in sql:
                found: list[tuple[object, ...]] = connection.execute(statement, values).fetchall()
        return found

    def rows(self, table: TargetTable) -> set[Row]:
        columns = ", ".join(f"{DUCKDB.quoted(c.name)}::varchar" for c in table.columns)
        return set(self.execute(f"select {columns} from {DUCKDB.table(table.table)}"))  # type: ignore[arg-type]

    def insert(self, table: TargetTable, rows: Sequence[Row]) -> None:
        columns = ", ".join(f"{DUCKDB.quoted(c.name)} {DUCKDB.ddl(c)}" for c in table.columns)
        key = ", ".join(map(DUCKDB.quoted, table.key))
        name = DUCKDB.table(table.table)
        self.execute(
            f"create schema if not exists {DUCKDB.quoted(table.table.schema)}",
            f"create table {name} ({columns}, primary key ({key}))",
        )
        for row in rows:
            self.execute(f"insert into {name} values ({', '.join('?' * len(row))})", values=row)

    def drop(self, table: TargetTable) -> None:
        self.execute(f"drop table {DUCKDB.table(table.table)}")


@pytest.fixture(params=[SqliteHarness, DuckdbHarness], ids=["sqlite", "duckdb"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileHarness]:
    made: FileHarness = request.param(tmp_path / "hub.file")
    yield made
    made.close()


@pytest.mark.parametrize("singly_max", [0, 100], ids=["sets", "singly"])
@pytest.mark.parametrize("case", PLAIN_CASES, ids=lambda case: case.__name__)
def test_conformance(
    case: Callable[[Harness], None],
    singly_max: int,
    harness: FileHarness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(harness.engine, "singly_rows_max", singly_max)
    case(harness)


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        *(("hub.duckdb", "hub"), ("Hub.v2.db", "hub"), ("hub", "HUB"), ("a b.db", "a b")),
        *(("tailrace.db", "tailrace"), ("system.db", "system"), ("system.db", "system_db")),
        *(("main.db", "public"), ("main.db", "main_db"), ("temp.db", "temp_db")),
    ],
)
def test_a_schema_of_duckdb_may_be_the_files_name(file: str, schema: str, tmp_path: Path) -> None:
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


def test_keys_of_other_entities_are_found(harness: FileHarness) -> None:
    """Also those of the open transaction."""
    sink = harness.sink()
    sink.open(JOURNAL)
    sink.prepare([TABLE, PAIR])
    sink.write([changes(TABLE, upsert("1", "a", "1"), upsert("22", "b", "1"))])
    reference = Reference("m", "f", "item", TABLE.table, "id", "integer")
    assert sink.find(reference, ["1", "2", "22", "22"]) == {"1": "1", "22": "22"}
    assert sink.find(replace(reference, column="code", type="text"), ["a", "A"]) == {"a": "a"}
    sink.rollback()
    sink.prepare([TABLE])
    assert sink.find(reference, [str(n) for n in range(1200)]) == {}


def test_a_long_write_of_duckdb_ends_where_the_process_is_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two runs in the source's order, of which it tells; nothing of it stays."""
    monkeypatch.setattr("sinks.embedded.sink.MOVED_S", 0.0)
    monkeypatch.setattr(DuckdbEngine, "singly_rows_max", 100)

    class Stopping:
        stopping = overdue = False
        told: ClassVar[list[int]] = []

        def moved(self, sent: int) -> None:
            self.told.append(sent)
            self.overdue = sent > 2

    harness, watch = DuckdbHarness(tmp_path / "hub.file"), Stopping()
    with closing(DuckdbSink(harness.path, "line", watch)) as sink:
        sink.open(JOURNAL)
        sink.prepare([TABLE])
        with pytest.raises(TargetUnavailable, match="delivery stops"):
            sink.write([changes(TABLE, *(upsert("1", "a", str(n)) for n in range(9)))])
    assert watch.told == [1, 2, 3]
    assert harness.rows(TABLE) == set()


EDGES = {
    "numeric(38,10)": "-9999999999999999999999999999.9999999999",
    "numeric(5,0)": "99999",
    "numeric": "1e1000",
    "real": "1.17549435e-38",
    "double precision": "-1.7976931348623157e+308",
    "boolean": "f",
    "date": "4713-01-01 BC",
    "timestamp without time zone": "0044-03-15 10:00:00.000001 BC",
    "timestamp with time zone": "9999-12-31 23:59:59.999999+00",
    "time without time zone": "24:00:00",
    "uuid": "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "jsonb": '{"a": 1.10, "é": "\\u0000"}',
    "bytea": r"\x00ff5c78",
    "text": r"\x00 '\t é",
    "integer[]": "{1,NULL}",
    "interval": "-1 years -2 days +03:04:05.000006",
}


def test_what_a_moved_row_did_not_send_stays_what_it_is(tmp_path: Path) -> None:
    """Few rows that move again and again are written as sets of DuckDB all the same."""
    columns = [TargetColumn(f"c{n}", type_) for n, type_ in enumerate(EDGES)]
    key = TargetColumn("id", "integer", nullable=False)
    table = TargetTable(TableName("shop", "edge"), (key, *columns), ("id",))
    harness = DuckdbHarness(tmp_path / "hub.file")
    with closing(DuckdbSink(harness.path, "line")) as sink:
        sink.open(JOURNAL)
        sink.prepare([table])
        sink.write([changes(table, upsert("1", *EDGES.values()), upsert("2", *[None] * 16))])
        sink.commit(Checkpoint(JOURNAL, 1, ""))
    before = {row[0]: row[1:] for row in harness.rows(table)}
    nothing = [NOT_SENT] * len(columns)
    moves: list[Change] = []
    for n in range(1, 60):
        moves.append((UPSERT, (str(2 * n + 1), *nothing), (str(2 * n - 1),)))
        moves.append((UPSERT, (str(2 * n + 2), *nothing), (str(2 * n),)))
    moves[50] = (UPSERT, ("53", *nothing[:-1], "1 day"), ("51",))
    statements: list[str] = []
    with closing(DuckdbSink(harness.path, "line")) as sink:
        sink.open(JOURNAL)
        sink.prepare([table])
        sink._session._do = _noting(sink._session._do, statements)  # type: ignore[union-attr]
        sink.write([changes(table, *moves)])
        sink.commit(Checkpoint(JOURNAL, 2, ""))
    assert len(statements) < 6
    after = {row[0]: row[1:] for row in harness.rows(table)}
    assert after == {"119": (*before["1"][:-1], "1 day"), "120": before["2"]}


@pytest.mark.parametrize("rows", [2, 40])
def test_what_others_keep_of_a_row_moves_with_it(harness: FileHarness, rows: int) -> None:
    """Also where another row has taken its key since."""
    is_duckdb = isinstance(harness, DuckdbHarness)
    name = DUCKDB.table(TABLE.table) if is_duckdb else quoted(plain(TABLE.table))
    numbers = [str(n) for n in range(100, 100 + rows)]
    first = changes(TABLE, *(upsert(n, "a", "1") for n in numbers))
    moved: list[Change] = [(UPSERT, (f"1{n}", "b", "1"), (n,)) for n in numbers]
    taken = changes(TABLE, *moved[:-1], upsert(numbers[0], "c", "1"), moved[-1])
    for offset, change in enumerate((first, taken), 1):
        sink = harness.sink()
        sink.open(JOURNAL)
        sink.prepare([TABLE])
        sink.write([change])
        sink.commit(Checkpoint(JOURNAL, offset, ""))
        sink.close()
        if change is first:
            harness.execute(
                f"alter table {name} add column note text", f"update {name} set note = 'of ' || id"
            )
    noted = [(int(f"1{n}"), f"of {n}") for n in numbers]
    found = harness.execute(f"select id, note from {name} order by id")
    assert found == [(int(numbers[0]), None), *noted]


def _noting(done: Callable[[Effect], int], noted: list[str]) -> Callable[[Effect], int]:
    def do(effect: Effect) -> int:
        noted.append(effect.sql)
        return done(effect)

    return do


@pytest.mark.parametrize("wrong", [0, 700, 999])
def test_a_value_that_is_none_is_found_among_many(harness: FileHarness, wrong: int) -> None:
    """Also where nothing of its table was wrong before; what was written before it stays."""
    sink = harness.sink()
    sink.open(JOURNAL)
    sink.prepare([TABLE])
    sink.write([changes(TABLE, upsert("5000", "before", "1"))])
    rows = [upsert(str(n), "a", "x" if n == wrong else "1.00") for n in range(1000)]
    for _ in range(2):
        with pytest.raises(RowRefused) as refused:
            sink.write([changes(TABLE, *rows, first=10)])
        assert refused.value.seq == 10 + wrong
        assert refused.value.where["column"] == "amount"
    del rows[wrong]
    sink.write([changes(TABLE, *rows)])
    sink.commit(Checkpoint(JOURNAL, 1, ""))
    assert len(harness.rows(TABLE)) == 1000


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        *(("integer", "1.5"), ("integer", "1e3"), ("integer", " 7"), ("smallint", "0x1F")),
        *(("bigint", "9223372036854775808"), ("numeric(5,2)", "999.995"), ("boolean", "maybe")),
        *(("date", "2024-01-05 10:00:00"), ("date", "0000-00-00"), ("date", "epoch")),
        *(("time without time zone", "2024-01-05 10:00:00"), ("bytea", "abcd")),
        ("timestamp without time zone", "2024-01-05 10:00:00+02"),
        ("timestamp with time zone", "2024-01-05 10:00:00 Europe/Berlin"),
    ],
)
def test_what_an_engine_would_make_another_value_of_is_refused(
    type_: str, text: str, harness: FileHarness
) -> None:
    id_ = TargetColumn("id", "integer", nullable=False)
    table = TargetTable(TableName("shop", "edge"), (id_, TargetColumn("v", type_)), ("id",))
    sink = harness.sink()
    sink.open(JOURNAL)
    sink.prepare([table])
    for rows in ([upsert("1", text)], [upsert("1", None), upsert("2", text)]):
        with pytest.raises(RowRefused) as refused:
            sink.write([changes(table, *rows)])
        assert refused.value.seq == len(rows) - 1
    sink.write([changes(table, upsert("1", None))])
    sink.commit(Checkpoint(JOURNAL, 1, ""))
