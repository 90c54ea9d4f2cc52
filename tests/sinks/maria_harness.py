"""A MariaDB or MySQL target for the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from sinks.conformance import Row
from sinks.mysql.names import quoted, quoted_list, quoted_table
from sinks.mysql.products import MARIADB, Product
from sinks.mysql.sink import MariadbSink
from sinks.mysql.types import column_types
from tailrace.service.localmaria import LocalMariadb
from tests.localmysql import LocalMysql
from transforms.rows import TargetTable

DATABASES = ("tailrace", "shop", "we ird")

only_mariadb = pytest.mark.parametrize("maria_harness", ["mariadb"], indirect=True)
"""For a test of what MySQL does not have."""
only_mysql = pytest.mark.parametrize("maria_harness", ["mysql"], indirect=True)


class MariadbHarness:
    def __init__(self, server: LocalMariadb, product: Product = MARIADB) -> None:
        self.server = server
        self.product = product
        self.url = server.url()
        self._sinks: list[MariadbSink] = []

    def sink(self, pipeline: str = "line") -> MariadbSink:
        self._sinks.append(MariadbSink(self.url, pipeline, product=self.product))
        return self._sinks[-1]

    def execute(self, *sql: str) -> list[tuple[Any, ...]]:
        return self.server.execute(*sql)

    def has_waiting_transaction(self) -> bool:
        """Whether one waits for a row. The table INNODB_TRX may say what it said a moment ago, and
        goes on so while it is asked often."""
        ((_, _, status),) = self.execute("show engine innodb status")
        return "LOCK WAIT" in status.rpartition("\nTRANSACTIONS\n")[2]  # before: the last deadlock

    def make_user(self, name: str, *grants: str) -> None:
        """Without a password."""
        self.execute(
            f"drop user if exists {name}",
            f"create user {name}",
            *(f"grant {one} to {name}" for one in grants),
        )

    @contextmanager
    def setting(self, name: str, value: object) -> Iterator[None]:
        """A global variable of the server, for a while."""
        if isinstance(self.server, LocalMysql):
            self.server.must_be_ours()
        ((before,),) = self.execute(f"select @@global.{name}")
        self.execute(f"set global {name} = {value}")
        try:
            yield
        finally:
            self.execute(f"set global {name} = {before!r}")

    def rows(self, table: TargetTable) -> set[Row]:
        columns = ", ".join(f"cast({quoted(column.name)} as char)" for column in table.columns)
        return set(self.execute(f"select {columns} from {quoted_table(table.table)}"))

    def insert(self, table: TargetTable, rows: Sequence[Row]) -> None:
        columns = ", ".join(
            f"{quoted(column.name)} {type_.ddl}"
            for column, type_ in zip(table.columns, column_types(table, self.product), strict=True)
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

    def drop(self, table: TargetTable) -> None:
        self.execute(f"drop table {quoted_table(table.table)}")

    def close(self) -> None:
        """Leave the server as empty as it was."""
        for sink in self._sinks:
            sink.close()
        self.execute(*(f"drop database if exists {quoted(name)}" for name in DATABASES))
