"""Any few rows in PostgreSQL, and the same evaluated here: for tests with a table of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import psycopg
import pyarrow as pa

from cdc.schema import Column, TableName, TableSchema
from tests.transforms.oracle import FAILED, PINNED
from transforms.engine import Engine, EvaluationError
from transforms.expressions.translate import Place, source_columns, translate
from transforms.expressions.typed import text

Values = Sequence[str | None]


def table(types: Mapping[str, str]) -> TableSchema:
    columns = tuple(
        Column(name, type_, re.sub(r"\(.*?\)", "", type_)) for name, type_ in types.items()
    )
    return TableSchema(TableName("public", "t"), columns, (next(iter(types)),))


def here(
    engine: Engine,
    schema: TableSchema,
    rows: Sequence[Values],
    expressions: Sequence[str],
    dialect: str = "postgres",
) -> list[list[str | None]]:
    """For each expression a text a row; FAILED where it fails."""
    columns = source_columns(schema, dialect)
    names = pa.schema([(f"c{at}", pa.string()) for at in range(len(schema.columns))])
    found = []
    for expression in expressions:
        sql = text(translate(expression, Place("m", ("fields", "x"), dialect), columns).typed)
        select = f"SELECT {sql} FROM ".replace("{", "{{").replace("}", "}}") + "{input}"
        statement = engine.statement(names, select)
        arrays = [pa.array(list(column), pa.string()) for column in zip(*rows, strict=True)]
        found.append(_values(statement, arrays))
    return found


def _values(statement: object, arrays: list[pa.Array]) -> list[str | None]:
    try:
        values: list[str | None] = statement.run(arrays)[0].to_pylist()  # type: ignore[attr-defined]
    except EvaluationError:
        if len(arrays[0]) == 1:
            return [FAILED]
        half = len(arrays[0]) // 2
        return _values(statement, [array[:half] for array in arrays]) + _values(
            statement, [array[half:] for array in arrays]
        )
    return values


def there(
    connection: psycopg.Connection[tuple[object, ...]],
    types: Mapping[str, str],
    rows: Sequence[Values],
    expressions: Sequence[str],
) -> list[list[str | None]]:
    """The same of PostgreSQL."""
    for setting in PINNED:
        name, _, value = setting.partition("=")
        connection.execute(f"set {name} to {value}".encode())
    declared = ", ".join(f"{name} {type_}" for name, type_ in types.items())
    connection.execute("drop table if exists pg_temp.t")
    connection.execute(f"create temp table t (row_ int, {declared})".encode())
    with connection.cursor().copy("copy t from stdin") as copy:
        for at, row in enumerate(rows):
            copy.write_row((at, *row))
    found = []
    for expression in expressions:

        def ask(first: int, last: int, expression: str = expression) -> list[str | None]:
            sql = f"select ({expression})::text from t where row_ between {first} and {last}"
            try:
                result = connection.execute(f"{sql} order by row_".encode()).fetchall()
            except psycopg.errors.SyntaxErrorOrAccessRuleViolation:
                raise
            except psycopg.Error:
                if first == last:
                    return [FAILED]
                half = (first + last) // 2
                return ask(first, half) + ask(half + 1, last)
            return [None if row[0] is None else str(row[0]) for row in result]

        found.append(ask(0, len(rows) - 1))
    return found
