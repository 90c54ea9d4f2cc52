"""What writes a target table: its SQL by what the target has, and how its rows are loaded."""

from __future__ import annotations

from collections.abc import Mapping

from sinks.mysql.apply import TableWriter
from sinks.mysql.catalog import CatalogColumn, columns, self_references
from sinks.mysql.fit import fitted
from sinks.mysql.loading import Loader
from sinks.mysql.session import Connection
from sinks.mysql.statements import Statements
from sinks.mysql.types import column_types
from transforms.rows import TargetTable


def statements(
    connection: Connection, table: TargetTable, found: Mapping[str, CatalogColumn], number: int
) -> Statements:
    """`found`: the target's columns. Errors: TargetRefused; pymysql's."""
    product = connection.product
    types = tuple(
        fitted(column, type_, found[column.name])
        for column, type_ in zip(table.columns, column_types(table, product), strict=True)
    )
    own = self_references(connection, table.table)
    return Statements(table, types, found, number, product, own)


def table_writer(connection: Connection, table: TargetTable) -> TableWriter:
    """Of a table that is there and nothing else is written to. Errors: pymysql's."""
    sql = statements(connection, table, columns(connection, table.table), 0)
    return TableWriter(connection, Loader(connection), sql)
