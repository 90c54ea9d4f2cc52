"""Which keys are there, and which identities records have."""

from __future__ import annotations

from collections.abc import Sequence

from cdc.schema import TableName
from sinks.composite_sql import IDENTITY
from sinks.foreign_keys import foreign_key
from sinks.mysql.names import quoted, quoted_table
from sinks.mysql.session import Connection, query
from transforms.references import Reference

AT_ONCE = 1000


def find(connection: Connection, reference: Reference, keys: Sequence[str]) -> dict[str, str]:
    """As `sinks.protocol.FindsKeys.find`: to the byte, whatever the column's collation takes for
    one. Errors: pymysql's."""
    found: dict[str, str] = {}
    for at in range(0, len(keys), AT_ONCE):
        some = tuple(keys[at : at + AT_ONCE])
        if reference.source:
            rows = query(
                connection,
                f"select source_key, canonical_id from {quoted_table(IDENTITY)}"
                " where entity = %s and source = %s and source_key in %s",
                reference.entity,
                reference.source,
                some,
            )
        else:
            column = quoted(reference.column)
            table = quoted_table(reference.table)
            sql = f"select {column}, {column} from {table} where {column} in %s"
            rows = query(connection, sql, some)
        asked = set(some)
        found |= {str(key): str(is_) for key, is_ in rows if str(key) in asked}
    return found


_FOREIGN_KEYS = (
    "select min(column_name), min(referenced_table_schema), min(referenced_table_name),"
    " min(referenced_column_name) from information_schema.key_column_usage"
    " where table_schema = %s and table_name = %s and referenced_table_name is not null"
    " group by constraint_name having count(*) = 1 order by constraint_name"
)


def demands(connection: Connection, table: TableName) -> list[Reference]:
    """As `sinks.protocol.FindsKeys.demands`. Errors: pymysql's."""
    return [
        foreign_key(table, str(column), TableName(str(schema), str(name)), str(key))
        for column, schema, name, key in query(connection, _FOREIGN_KEYS, table.schema, table.name)
    ]
