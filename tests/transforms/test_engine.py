"""The DuckDB that evaluates mappings is shut in, and says nothing of the rows it fails on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from transforms.engine import Engine, EvaluationError

SCHEMA = pa.schema([("c0", pa.string()), ("c1", pa.string())])
TYPES = [pa.string(), pa.string()]


@pytest.fixture
def engine() -> Iterator[Engine]:
    found = Engine()
    yield found
    found.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '{path}/out.csv'",
        "ATTACH '{path}/other.db'",
        "EXPORT DATABASE '{path}/export'",
        "INSTALL httpfs",
        "LOAD '{path}/x.duckdb_extension'",
        "SET threads = 8",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET memory_limit = '100GB'",
        "SELECT getenv('HOME')",
        "SELECT * FROM schema_of_this_test",
    ],
)
def test_it_reaches_nothing_outside(engine: Engine, sql: str, tmp_path: Path) -> None:
    schema_of_this_test = SCHEMA.empty_table()
    with pytest.raises(duckdb.Error):
        engine._connection.execute(sql.replace("{path}", str(tmp_path)))
    assert not list(tmp_path.iterdir())
    assert schema_of_this_test is not None


@pytest.mark.parametrize("rows", [0, 1, 2048, 5000])
def test_rows_keep_their_order_and_nulls(engine: Engine, rows: int) -> None:
    statement = engine.statement(SCHEMA, "SELECT c1, c0 FROM {input}")
    first = pa.array([str(n) for n in range(rows)], pa.string())
    second = pa.array([None if n % 3 else str(-n) for n in range(rows)], pa.string())
    found = statement.run([first, second])
    assert [column.type for column in found] == TYPES
    assert found[0].equals(second)
    assert found[1].equals(first)


def test_errors_hold_no_values(engine: Engine) -> None:
    statement = engine.statement(SCHEMA, "SELECT CAST(c0 AS INTEGER)::VARCHAR, c1 FROM {input}")
    rows = [pa.array(["secret"]), pa.array(["x"])]
    with pytest.raises(EvaluationError) as raised:
        statement.run(rows)
    assert raised.value.reason == "otherwise"
    assert raised.value.__suppress_context__
    assert "secret" not in str(raised.value)


def test_memory_is_bounded(engine: Engine) -> None:
    huge = "SELECT repeat(c0, 1000000000), c1 FROM {input}"
    statement = engine.statement(SCHEMA, huge)
    with pytest.raises(EvaluationError):
        statement.run([pa.array(["x" * 100] * 4), pa.array(["x"] * 4)])
