"""The DuckDB that evaluates mappings: in process, in memory, one thread, locked down.

It reads Arrow tables that we hand it and nothing else: no files, no network, no extensions, no
settings that a statement could change.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import count
from typing import Any

import duckdb
import pyarrow as pa

from transforms.expressions.sql import plain, reason_of

MEMORY_MAX = "512MB"
"""A change set has some ten thousand rows; what needs more than this is a runaway expression."""

_SETTINGS = (
    "SET threads = 1",  # order is kept, and a pipeline has one core
    f"SET memory_limit = '{MEMORY_MAX}'",
    "SET temp_directory = ''",
    "SET preserve_insertion_order = true",
    # What is evaluated is what was compiled: the optimizer would compute what occurs twice ahead of
    # CASE and COALESCE, where it may fail out of turn, and turn x + 1 = 0 into x = -1.
    "SET enable_optimizer = false",
    "SET python_enable_replacements = false",
    "SET autoload_known_extensions = false",
    "SET autoinstall_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


class EvaluationError(Exception):
    """A row failed. `reason` is a key of `transforms.expressions.sql.REASONS`.

    DuckDB's own message may quote the row, so it is never kept.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class _Input:
    """What a prepared statement scans: an Arrow stream that changes from call to call."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


CONSTANTS_AT_ONCE = 200
"""A value map may have thousands; what is planned at once stays small."""


class Statement:
    """A SELECT over one table of texts, planned once and run over many. Not thread-safe."""

    def __init__(self, connection: Any, name: str, schema: pa.Schema, select: str) -> None:
        """`select` reads from `{input}`."""
        self._connection = connection
        self._schema = schema
        self._input = _Input(schema.empty_table())
        self._execute = f"EXECUTE {name}"
        connection.register(f"{name}_input", self._input)
        connection.execute(f"PREPARE {name} AS {select.format(input=f'{name}_input')}")

    def run(self, columns: Sequence[pa.Array]) -> list[pa.Array]:
        """One array a selected expression. Errors: EvaluationError."""
        self._input.table = pa.Table.from_arrays(list(columns), schema=self._schema)
        try:
            # It warns of a copy; the way without one plans the statement anew, at more cost.
            with warnings.catch_warnings(action="ignore", category=UserWarning):
                result = self._connection.execute(self._execute).to_arrow_table()
            return [_array(column) for column in result.columns]
        except duckdb.Error as error:
            raise EvaluationError(reason_of(str(error))) from None
        finally:
            self._input.table = self._schema.empty_table()


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


class Engine:
    """Statements by their text, each planned once."""

    def __init__(self) -> None:
        self._connection: Any = duckdb.connect(":memory:")
        for setting in _SETTINGS:
            self._connection.execute(setting)
        self._names = count()
        self._statements: dict[tuple[pa.Schema, str], Statement] = {}

    def statement(self, schema: pa.Schema, select: str) -> Statement:
        """Errors: EvaluationError where a constant part of it already fails."""
        key = (schema, select)
        if key not in self._statements:
            name = f"s{next(self._names)}"
            try:
                self._statements[key] = Statement(self._connection, name, schema, select)
            except duckdb.Error as error:
                raise EvaluationError(reason_of(str(error))) from None
        return self._statements[key]

    def constants(self, items: Sequence[str]) -> list[str | None]:
        """The texts of expressions that read nothing. Errors: EvaluationError."""
        texts: dict[str, str | None] = {item: plain(item) for item in items}
        computed = [item for item, text in texts.items() if text is None]
        for at in range(0, len(computed), CONSTANTS_AT_ONCE):
            some = computed[at : at + CONSTANTS_AT_ONCE]
            select = ", ".join(f"CAST({item} AS VARCHAR)" for item in some)
            try:
                (found,) = self._connection.execute(f"SELECT {select}").fetchall()
            except duckdb.Error as error:
                raise EvaluationError(reason_of(str(error))) from None
            texts.update(zip(some, found, strict=True))
        return [texts[item] for item in items]

    def close(self) -> None:
        self._statements.clear()
        self._connection.close()
