"""Some existing rows of one table, as a snapshot would have them: to look at, not to capture."""

from __future__ import annotations

from contextlib import closing

import pyarrow as pa

from cdc.changes import READ, TableChanges
from cdc.mysql.catalog import read_charsets, read_tables
from cdc.mysql.names import quoted_table
from cdc.mysql.session import connect, query
from cdc.mysql.settings import BinlogSource
from cdc.mysql.snapshot import columns_of, shown
from cdc.mysql.zerodates import ZeroDates
from cdc.patterns import Patterns
from cdc.schema import TableName
from tailrace.errors import ConfigError


def sample(source: BinlogSource, name: TableName, rows: int) -> TableChanges:
    """At most `rows` rows (operation r), perhaps none.

    Errors: ConfigError where there is no such table, PreflightError where it cannot be captured,
    SourceUnavailable.
    """
    exact = '"{}"."{}"'.format(*(part.replace('"', '""') for part in (name.schema, name.name)))
    with closing(connect(source.url)) as connection:
        tables, refused = read_tables(
            connection, Patterns.parse([exact]), read_charsets(connection)
        )
        if refused:
            raise refused[0]
        if not tables:
            raise ConfigError(f"the source has no table {name}")
        (table,) = tables
        wanted = ", ".join(map(shown, table.columns))
        found = query(connection, f"select {wanted} from {quoted_table(name)} limit {rows:d}")
    changes = TableChanges(
        schema=table.schema,
        op=pa.array([READ] * len(found), pa.uint8()),
        seq=pa.array(range(len(found)), pa.int32()),
        new=tuple(columns_of(table, found)),
    )
    return ZeroDates(source.zero_dates).changes(changes)
