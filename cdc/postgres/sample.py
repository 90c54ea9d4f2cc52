"""Some rows of a table, as a snapshot would give them."""

from __future__ import annotations

import time

from cdc.changes import TableChanges
from cdc.patterns import Patterns
from cdc.postgres.catalog import CatalogTable, read_tables
from cdc.postgres.decode import CopyDecoder
from cdc.postgres.session import Connection, connect, quoted, translated
from cdc.postgres.settings import PostgresSource
from cdc.schema import TableName
from tailrace.errors import ConfigError


def sample(source: PostgresSource, name: TableName, rows: int) -> TableChanges:
    """At most `rows`. Errors: ConfigError where the table is not there, SourceUnavailable."""
    exact = '"{}"."{}"'.format(*(part.replace('"', '""') for part in (name.schema, name.name)))
    with connect(source.url) as connection, translated("reading a sample"):
        tables = read_tables(connection, Patterns.parse([exact]))
        if not tables:
            raise ConfigError(f"the source has no table {name}")
        return _sample(connection, tables[0], rows)


def _sample(connection: Connection, table: CatalogTable, rows: int) -> TableChanges:
    columns = ", ".join(quoted(column.name) for column in table.schema.columns)
    name = quoted(table.name.schema, table.name.name)
    decoder = CopyDecoder(table.schema, "0/0", int(time.time() * 1e6))
    buffer = bytearray()
    statement = f"COPY (SELECT {columns} FROM {name} LIMIT {rows}) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for piece in copy:
            buffer += piece
            del buffer[: decoder.feed(buffer, 0, len(buffer))]
    (changes,) = decoder.take(complete=True).tables
    return changes
