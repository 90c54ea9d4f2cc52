"""A MariaDB target for the conformance suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sinks.conformance import Row
from sinks.mysql.names import quoted, quoted_list, quoted_table
from sinks.mysql.sink import MariadbSink
from sinks.mysql.types import column_types
from tailrace.service.localmaria import LocalMariadb
from transforms.rows import TargetTable

DATABASES = ("tailrace", "shop", "we ird")


class MariadbHarness:
    def __init__(self, server: LocalMariadb) -> None:
        self.server = server
        self.url = f"mariadb://root@127.0.0.1:{server.port}/"
        self._sinks: list[MariadbSink] = []

    def sink(self) -> MariadbSink:
        self._sinks.append(MariadbSink(self.url, "line"))
        return self._sinks[-1]

    def execute(self, *sql: str) -> list[tuple[Any, ...]]:
        return self.server.execute(*sql)

    def rows(self, table: TargetTable) -> set[Row]:
        columns = ", ".join(f"cast({quoted(column.name)} as char)" for column in table.columns)
        return set(self.execute(f"select {columns} from {quoted_table(table.table)}"))

    def insert(self, table: TargetTable, rows: Sequence[Row]) -> None:
        columns = ", ".join(
            f"{quoted(column.name)} {type_.ddl}"
            for column, type_ in zip(table.columns, column_types(table), strict=True)
        )
        name = quoted_table(table.table)
        self.execute(f"create database if not exists {quoted(table.table.schema)}")
        self.execute(f"create table {name} ({columns}, primary key ({quoted_list(table.key)}))")
        connection = self.server.connect()
        with connection.cursor() as cursor:
            for row in rows:
                places = ", ".join(["%s"] * len(row))
                cursor.execute(f"insert into {name} values ({places})", row)
        connection.close()

    def close(self) -> None:
        """Leave the server as empty as it was."""
        for sink in self._sinks:
            sink.close()
        self.execute(*(f"drop database if exists {quoted(name)}" for name in DATABASES))
