"""What people see of identities at a MariaDB or MySQL target, and what they decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from sinks.composite_sql import ENTITIES, IDENTITY
from sinks.identity_people import People, not_yet, outdated
from sinks.mysql import catalog
from sinks.mysql.composite import CompositeWriter
from sinks.mysql.names import quoted_table
from sinks.mysql.session import Connection, connect, execute, query, translated
from sinks.mysql.settings import MariadbTarget, MysqlTarget
from sinks.mysql.writers import table_writer
from transforms.composite import Composite


class _Session:
    by = "`by`"
    since = "date_format({}since, '%%Y-%%m-%%dT%%H:%%i:%%SZ')"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def query(self, sql: str, *values: object) -> Sequence[tuple[Any, ...]]:
        return query(self._connection, sql, *values)

    def execute(self, sql: str, *values: object) -> None:
        execute(self._connection, sql, *values)


class MysqlPeople(People):
    def __init__(self, target: MariadbTarget | MysqlTarget) -> None:
        self._target = target

    @contextmanager
    def reading(self) -> Iterator[_Session | None]:
        with closing(self._connect()) as connection, translated("reading"):
            is_there = catalog.table_kind(connection, IDENTITY) is not None
            yield _Session(connection) if is_there else None

    @contextmanager
    def deciding(self, composite: Composite) -> Iterator[tuple[_Session, CompositeWriter]]:
        with (
            closing(self._connect()) as connection,  # which rolls back what is not committed
            translated("deciding on an identity", entity=composite.entity),
        ):
            if not _is_computed(connection, composite):
                raise not_yet(composite.entity)
            keys = table_writer(connection, composite.whole)
            writer = CompositeWriter(connection, composite, keys)
            execute(connection, "start transaction")
            writer.lock()
            if writer.outdated:
                raise outdated(composite.entity)
            yield _Session(connection), writer
            execute(connection, "commit")

    def _connect(self) -> Connection:
        return connect(self._target.url, "identity", self._target.product)


def _is_computed(connection: Connection, composite: Composite) -> bool:
    if catalog.table_kind(connection, IDENTITY) is None:
        return False
    sql = f"select 1 from {quoted_table(ENTITIES)} where entity = %s"
    return bool(query(connection, sql, composite.entity))
