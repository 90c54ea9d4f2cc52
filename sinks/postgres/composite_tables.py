"""What an entity that several sources feed needs at PostgreSQL, made and verified.

tailrace.entity        one row an entity; held by the pipeline that computes it
tailrace.discrepancy   where a source's value is not the one that counts
tailrace.ENTITY__SOURCE   side tables, made as any target table
"""

from __future__ import annotations

from cdc.schema import TableName
from sinks.composite_sql import ENTITIES
from sinks.postgres.identity_tables import prepare_identity
from sinks.postgres.names import quoted, quoted_table
from sinks.postgres.session import Connection, translated
from sinks.postgres.tables import prepare
from sinks.refusals import not_of_sides, of_another_type
from transforms.composite import Composite

_CREATE = """
create table if not exists tailrace.entity (
    entity text primary key,
    table_name text not null,
    rules text not null,
    discrepancies bigint not null default 0
);
create table if not exists tailrace.discrepancy (
    entity text not null,
    key_id bytea not null,
    entity_key text not null,
    field text not null,
    owner text not null,
    source text not null,
    owner_value text,
    value text,
    owner_position text,
    position text,
    since timestamptz not null default now(),
    primary key (entity, key_id, field, source)
)
"""

_TYPES = """
select attname::text, format_type(atttypid, atttypmod) || case
           when attcollation = typcollation then '' else ' collate ' || attcollation::regcollation
       end
from pg_attribute join pg_type on pg_type.oid = atttypid
where attrelid = %s::regclass and attnum > 0 and not attisdropped
"""


def prepare_composite(connection: Connection, pipeline: str, composite: Composite) -> None:
    """Make or verify all tables of `composite`. Errors: TargetRefused, with what to do.

    Under a lock, since several pipelines begin at one time.
    """
    with translated("preparing an entity", entity=composite.entity), connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('tailrace'))")
        for statement in _CREATE.split(";\n"):
            connection.execute(statement.encode())
        _refuse_old_rows(connection, composite)
        for table in composite.tables:
            prepare(connection, pipeline, table)
        _verify_types(connection, composite)
        if composite.match:
            prepare_identity(connection, composite)
        _enter(connection, composite)


def _enter(connection: Connection, composite: Composite) -> None:
    """The entity's row; where it is right it is not touched, since who writes the entity holds it
    to the end of a transaction that may be a snapshot."""
    entities = quoted_table(ENTITIES)
    values = (composite.entity, str(composite.table))
    found = connection.execute(
        f"select 1 from {entities} where entity = %s and table_name = %s".encode(), values
    )
    if found.fetchone() is None:
        connection.execute(
            f"insert into {entities} (entity, table_name, rules) values (%s, %s, '')"
            " on conflict (entity) do update set table_name = excluded.table_name".encode(),
            values,
        )


def _refuse_old_rows(connection: Connection, composite: Composite) -> None:
    """Rows that were written before there were side tables would be removed, being in none."""
    side = composite.side(composite.rows).table
    if _is_there(connection, side) or not _is_there(connection, composite.table):
        return
    name = quoted_table(composite.table)
    if connection.execute(f"select 1 from {name} limit 1".encode()).fetchone() is not None:
        raise not_of_sides(composite, f"truncate {name}")


def _is_there(connection: Connection, table: TableName) -> bool:
    name = quoted_table(table)
    return connection.execute("select to_regclass(%s) is not null", (name,)).fetchone() == (True,)


def _verify_types(connection: Connection, composite: Composite) -> None:
    whole = _types(connection, composite.table)
    for side in composite.sides:
        for column, type_ in _types(connection, side.table).items():
            if column in whole and whole[column] != type_:
                name = quoted_table(composite.table)
                fix = f"alter table {name} alter {quoted(column)} type {type_}"
                raise of_another_type(composite, column, whole[column], type_, fix)


def _types(connection: Connection, table: TableName) -> dict[str, str]:
    rows = connection.execute(_TYPES.encode(), (quoted_table(table),)).fetchall()
    return {str(name): str(type_) for name, type_ in rows}
