"""Reads the discrepancies that a MariaDB or MySQL target knows of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from sinks.composite_sql import DIFFERENCES, ENTITIES
from sinks.discrepancies import Discrepancy, marks, select
from sinks.mysql import catalog
from sinks.mysql.names import quoted_table
from sinks.mysql.session import Connection, connect, execute, query, translated
from sinks.mysql.settings import MariadbTarget, MysqlTarget

_SINCE = "date_format(since, '%%Y-%%m-%%dT%%H:%%i:%%SZ')"


def read(
    target: MariadbTarget | MysqlTarget, entities: Sequence[str], limit: int
) -> list[Discrepancy]:
    """At most `limit`, by entity and key. Errors: TargetUnavailable, TargetRefused."""
    opened = connect(target.url, "discrepancies", target.product)
    with closing(opened) as connection, translated("reading"):
        if catalog.table_kind(connection, DIFFERENCES) is None:
            return []
        sql = select(quoted_table(DIFFERENCES), _SINCE, marks(entities), limit)
        return [Discrepancy(*row) for row in query(connection, sql, *entities)]


def count(connection: Connection, entities: Sequence[str]) -> dict[str, int]:
    """By entity. Errors: pymysql's."""
    sql = f"select entity, discrepancies from {quoted_table(ENTITIES)} where entity in %s"
    rows = query(connection, sql, tuple(entities))
    execute(connection, "rollback")  # without autocommit, reading has begun a transaction
    return {str(entity): int(found) for entity, found in rows}
