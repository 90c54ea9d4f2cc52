"""What an entity that several sources feed needs at MariaDB or MySQL, made and verified.

tailrace.entity        one row an entity; held by the pipeline that computes it
tailrace.discrepancy   where a source's value is not the one that counts
tailrace.ENTITY__SOURCE   side tables, made as any target table
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sinks.composite_sql import ENTITIES
from sinks.mysql import catalog
from sinks.mysql.composite import create_differences, create_entities
from sinks.mysql.identity_tables import prepare_identity
from sinks.mysql.names import quoted, quoted_table
from sinks.mysql.session import Connection, execute, query, translated
from sinks.mysql.tables import prepare
from sinks.mysql.types import IDENTIFIED_CHARACTERS_MAX
from sinks.refusals import not_of_sides, of_another_type
from tailrace.errors import TargetUnavailable
from transforms.composite import Composite

_LOCK = "tailrace:prepare"
_WAIT_S = 60
_TEXTS = frozenset({"varchar", "tinytext", "text", "mediumtext", "longtext"})


def prepare_composite(connection: Connection, pipeline: str, composite: Composite) -> None:
    """Make or verify all tables of `composite`. Errors: TargetRefused, with what to do.

    Under a lock, since several pipelines begin at one time.
    """
    with translated("preparing an entity", entity=composite.entity), _alone(connection):
        for create in (create_entities, create_differences):
            execute(connection, create(connection.product))
        _refuse_old_rows(connection, composite)
        for table in composite.tables:
            prepare(connection, pipeline, table)
        _verify_types(connection, composite)
        if composite.match:
            prepare_identity(connection)
            _verify_key(connection, composite)
        _enter(connection, composite)


def _enter(connection: Connection, composite: Composite) -> None:
    """The entity's row; where it is right it is not touched, since who writes the entity holds it
    to the end of a transaction that may be a snapshot."""
    entities = quoted_table(ENTITIES)
    values = (composite.entity, str(composite.table))
    if query(
        connection, f"select 1 from {entities} where entity = %s and table_name = %s", *values
    ):
        return
    execute(
        connection,
        f"insert into {entities} (entity, table_name, rules)"
        " values (%s, %s, '') on duplicate key update table_name = values(table_name)",
        *values,
    )


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    if query(connection, "select get_lock(%s, %s)", _LOCK, _WAIT_S)[0][0] != 1:
        raise TargetUnavailable("another pipeline has been making its tables for a minute")
    try:
        yield
    finally:
        query(connection, "select release_lock(%s)", _LOCK)


def _refuse_old_rows(connection: Connection, composite: Composite) -> None:
    """Rows that were written before there were side tables would be removed, being in none."""
    side = composite.side(composite.rows).table
    if catalog.table_kind(connection, side) or not catalog.table_kind(connection, composite.table):
        return
    name = quoted_table(composite.table)
    if query(connection, f"select 1 from {name} limit 1"):
        raise not_of_sides(composite, f"truncate {name}")


def _verify_types(connection: Connection, composite: Composite) -> None:
    whole = catalog.columns(connection, composite.table)
    for side in composite.sides:
        for column in catalog.columns(connection, side.table).values():
            found = whole.get(column.name)
            if found is not None and not _alike(found, column):
                name = quoted_table(composite.table)
                fix = f"alter table {name} modify {quoted(column.name)} {column.ddl}"
                if not found.nullable:
                    fix = fix.removesuffix("null") + "not null"
                raise of_another_type(composite, column.name, found.ddl, column.ddl, fix)


def _verify_key(connection: Connection, composite: Composite) -> None:
    """Sources' own keys stand in a staging table made like the entity's."""
    (name,) = composite.key
    key = catalog.columns(connection, composite.table)[name]
    wanted = f"varchar({IDENTIFIED_CHARACTERS_MAX})"
    digits = "".join(filter(str.isdigit, key.type))
    if key.kind != "varchar" or int(digits) < IDENTIFIED_CHARACTERS_MAX:
        table = quoted_table(composite.table)
        collation = f"character set utf8mb4 collate {connection.product.collation}"
        fix = f"alter table {table} modify {quoted(name)} {wanted} {collation} not null"
        raise of_another_type(composite, name, key.type, wanted, fix)


def _alike(found: catalog.CatalogColumn, wanted: catalog.CatalogColumn) -> bool:
    """Whether each value of the one is the same in the other or, being too long, is refused."""
    texts = found.kind in _TEXTS and wanted.kind in _TEXTS and found.collation == wanted.collation
    return texts or found.ddl == wanted.ddl
