"""Which keys are there, and which identities records have."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import errors as pg

from cdc.schema import TableName
from sinks.composite_sql import IDENTITY
from sinks.foreign_keys import foreign_key
from sinks.postgres.names import quoted, quoted_table
from sinks.postgres.session import Connection
from transforms.references import Reference


def find(connection: Connection, reference: Reference, keys: Sequence[str]) -> dict[str, str]:
    """As `sinks.protocol.FindsKeys.find`. Errors: the server's."""
    if reference.source:
        sql = (
            f"select source_key, canonical_id from {quoted_table(IDENTITY)}"
            " where source_key = any(%s) and entity = %s and source = %s"
        )
        return _there(connection, sql.encode(), list(keys), reference.entity, reference.source)
    column = quoted(reference.column)
    sql = (
        f"select k, k from unnest(%s::text[]) k where exists (select from"
        f" {quoted_table(reference.table)} t where t.{column} = k::{reference.type})"
    )
    return _there(connection, sql.encode(), list(keys))


def _there(connection: Connection, sql: bytes, keys: list[str], *of: str) -> dict[str, str]:
    """Halved where one of them is no value of the column's type, and so not there."""
    connection.soon(b"savepoint tailrace_find")
    found: dict[str, str] = {}
    try:
        found = {str(key): str(is_) for key, is_ in connection.execute(sql, (keys, *of))}
    except pg.DataError:
        connection.soon(b"rollback to tailrace_find")
        half = len(keys) // 2
        for part in (keys[:half], keys[half:]) if half else ():
            found |= _there(connection, sql, part, *of)
    connection.soon(b"release tailrace_find")
    return found


_FOREIGN_KEYS = """
select a.attname, n.nspname, p.relname, k.attname, format_type(k.atttypid, k.atttypmod)
from pg_constraint f
join pg_attribute a on a.attrelid = f.conrelid and a.attnum = f.conkey[1]
join pg_class p on p.oid = f.confrelid join pg_namespace n on n.oid = p.relnamespace
join pg_attribute k on k.attrelid = f.confrelid and k.attnum = f.confkey[1]
where f.contype = 'f' and f.conrelid = to_regclass(%s) and cardinality(f.conkey) = 1
order by f.conname
"""


def demands(connection: Connection, table: TableName) -> list[Reference]:
    """As `sinks.protocol.FindsKeys.demands`. Errors: the server's."""
    rows = connection.execute(_FOREIGN_KEYS.encode(), (quoted_table(table),))
    return [
        foreign_key(table, str(column), TableName(str(schema), str(name)), str(key), str(type_))
        for column, schema, name, key, type_ in rows
    ]
