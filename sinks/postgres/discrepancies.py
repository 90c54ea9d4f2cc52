"""Reads the discrepancies that a PostgreSQL target knows of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from sinks.composite_sql import DIFFERENCES, ENTITIES
from sinks.discrepancies import Discrepancy, marks, select
from sinks.postgres.names import quoted_table
from sinks.postgres.session import Connection, connect, translated
from sinks.postgres.settings import PostgresTarget

_SINCE = """to_char(since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""


def read(target: PostgresTarget, entities: Sequence[str], limit: int) -> list[Discrepancy]:
    """At most `limit`, by entity and key. Errors: TargetUnavailable."""
    table = quoted_table(DIFFERENCES)
    with closing(connect(target.url, "discrepancies")) as connection, translated("reading"):
        there = connection.execute("select to_regclass(%s) is not null", (table,)).fetchone()
        if there != (True,):
            return []
        sql = select(table, _SINCE, marks(entities), limit)
        return [Discrepancy(*row) for row in connection.execute(sql.encode(), entities)]  # type: ignore[arg-type]


def count(connection: Connection, entities: Sequence[str]) -> dict[str, int]:
    """By entity. Errors: the server's."""
    sql = f"select entity, discrepancies from {quoted_table(ENTITIES)} where entity = any(%s)"
    rows = connection.execute(sql.encode(), (list(entities),))
    return {str(entity): int(str(found)) for entity, found in rows}
