"""What people see of identities at a PostgreSQL target, and what they decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from sinks.composite_sql import ENTITIES
from sinks.identity_people import TABLE, People, not_yet, outdated
from sinks.postgres.apply import TableWriter
from sinks.postgres.composite import CompositeWriter
from sinks.postgres.names import quoted_table
from sinks.postgres.session import Connection, connect, translated
from sinks.postgres.settings import PostgresTarget
from transforms.composite import Composite


class _Session:
    by = '"by"'
    since = """to_char({}since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def query(self, sql: str, *values: object) -> Sequence[tuple[Any, ...]]:
        return self._connection.execute(sql.encode(), values).fetchall()

    def execute(self, sql: str, *values: object) -> None:
        self._connection.execute(sql.encode(), values)


class PostgresPeople(People):
    def __init__(self, target: PostgresTarget) -> None:
        self._target = target

    @contextmanager
    def reading(self) -> Iterator[_Session | None]:
        with closing(connect(self._target.url, "identity")) as connection, translated("reading"):
            yield _Session(connection) if _is_there(connection) else None

    @contextmanager
    def deciding(self, composite: Composite) -> Iterator[tuple[_Session, CompositeWriter]]:
        with (
            closing(connect(self._target.url, "identity")) as connection,
            translated("deciding on an identity", entity=composite.entity),
        ):
            if not _is_there(connection) or not _is_computed(connection, composite):
                raise not_yet(composite.entity)
            with connection.transaction():
                keys = TableWriter(connection, composite.whole, 0)
                writer = CompositeWriter(connection, composite, keys)
                writer.lock()
                if writer.outdated:
                    raise outdated(composite.entity)
                yield _Session(connection), writer


def _is_there(connection: Connection) -> bool:
    found = connection.execute("select to_regclass(%s) is not null", (TABLE,)).fetchone()
    return found == (True,)


def _is_computed(connection: Connection, composite: Composite) -> bool:
    found = connection.execute(
        f"select 1 from {quoted_table(ENTITIES)} where entity = %s".encode(), (composite.entity,)
    )
    return found.fetchone() is not None
