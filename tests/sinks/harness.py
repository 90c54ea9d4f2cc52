"""A PostgreSQL target for the conformance suite."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from sinks.conformance import Row
from sinks.postgres.names import quoted_list, quoted_table
from sinks.postgres.sink import PostgresSink
from transforms.rows import TargetTable


class PostgresHarness:
    def __init__(self, url: str) -> None:
        self.url = url
        self._sinks: list[PostgresSink] = []

    def sink(self, pipeline: str = "line", **options: str) -> PostgresSink:
        self._sinks.append(PostgresSink(self.url, pipeline, **options))
        return self._sinks[-1]

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def rows(self, table: TargetTable) -> set[Row]:
        columns = ", ".join(f'"{column.name}"::text' for column in table.columns)
        return set(self.execute(f"select {columns} from {quoted_table(table.table)}"))  # type: ignore[arg-type]

    def insert(self, table: TargetTable, rows: Sequence[Row]) -> None:
        columns = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
        name = quoted_table(table.table)
        self.execute(f"create table {name} ({columns}, primary key ({quoted_list(table.key)}))")
        with psycopg.connect(self.url, autocommit=True) as connection:
            places = ", ".join(["%s"] * len(table.columns))
            for row in rows:
                connection.execute(f"insert into {name} values ({places})".encode(), row)

    def drop(self, table: TargetTable) -> None:
        self.execute(f"drop table {quoted_table(table.table)}")

    def close(self) -> None:
        """Leave the database as empty as it was."""
        for sink in self._sinks:
            sink.close()
        self.execute('drop schema if exists tailrace, shop, "we ird" cascade')
