"""Target tables: created where absent, verified where present, before any row is written."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from psycopg import errors as pg

from cdc.schema import TableName
from sinks.foreign_keys import ForeignKey, References
from sinks.misfits import (
    NOT_OURS,
    VANISHED,
    refuse_generated,
    refuse_missing,
    refuse_unfilled,
    refused,
)
from sinks.postgres.names import quoted, quoted_list, quoted_table
from sinks.postgres.protection import record, recorded
from sinks.postgres.session import Connection, translated
from sinks.protection import key_refusal
from sinks.refusals import computed
from transforms.rows import TargetTable

_COLUMNS = """
select attname, attnotnull, atthasdef or attidentity <> '', attgenerated <> '',
       attidentity = 'a'
from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped
"""

_UNIQUE_KEYS = """
select array(select attname::text from pg_attribute
             where attrelid = indrelid and attnum = any ((indkey::int2[])[0:indnkeyatts - 1]))
from pg_index
where indrelid = %s::regclass and indisunique and indisvalid and indpred is null
  and indexprs is null and indimmediate
"""

_LOOSE_KEYS = """
select attname::text
from pg_attribute
left join pg_collation on pg_collation.oid = attcollation
join pg_type on pg_type.oid = atttypid
where attrelid = %s::regclass and attname = any(%s)
  and (not coalesce(collisdeterministic, true) or typname = 'citext')
"""

_FOREIGN_KEYS = """
select cn.nspname, c.relname, pn.nspname, p.relname, confdeltype in ('c', 'n', 'd')
from pg_constraint
join pg_class c on c.oid = conrelid join pg_namespace cn on cn.oid = c.relnamespace
join pg_class p on p.oid = confrelid join pg_namespace pn on pn.oid = p.relnamespace
where contype = 'f'
"""


def prepare(connection: Connection, pipeline: str, table: TargetTable) -> None:
    """Make `table` ready to be written by `pipeline`.

    Errors: TargetRefused, with what to do; TargetUnavailable.
    """
    name = quoted_table(table.table)
    with translated("preparing a target table", table=str(table.table)):
        found = connection.execute(
            "select c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = %s and c.relname = %s",
            (table.table.schema, table.table.name),
        ).fetchone()
        if table.composite is None:
            _refuse_computed(connection, table)
        if found is None:
            if _was_written(connection, pipeline, table):
                raise refused(table, *VANISHED)
            _create(connection, table)
        elif found[0] not in ("r", "p"):
            raise refused(table, "is not a table", "choose another name with `into`")
        else:
            verify(connection, table)
            _verify_rows(connection, pipeline, table, name)
        connection.execute(
            "insert into tailrace.tables (pipeline, table_schema, table_name)"
            " values (%s, %s, %s) on conflict do nothing",
            (pipeline, table.table.schema, table.table.name),
        )
        record(connection, pipeline, table)


def _refuse_computed(connection: Connection, table: TargetTable) -> None:
    """Errors: TargetRefused where the table is that of an entity of several sources."""
    known = connection.execute("select to_regclass('tailrace.entity') is not null").fetchone()
    if known == (True,):
        sql = "select entity from tailrace.entity where table_name = %s"
        for (entity,) in connection.execute(sql, (str(table.table),)):
            raise computed(table.table, str(entity))


def _was_written(connection: Connection, pipeline: str, table: TargetTable) -> bool:
    found = connection.execute(
        "select 1 from tailrace.tables"
        " where pipeline = %s and table_schema = %s and table_name = %s",
        (pipeline, table.table.schema, table.table.name),
    )
    return found.fetchone() is not None


def _create(connection: Connection, table: TargetTable) -> None:
    columns = [
        f"{quoted(column.name)} {column.type}" + ("" if column.nullable else " not null")
        for column in table.columns
    ]
    columns.append(f"primary key ({quoted_list(table.key)})")
    columns += [f"unique ({quoted_list(names)})" for names in table.unique]
    try:
        _create_schema(connection, table.table.schema)
        connection.execute(
            f"create table {quoted_table(table.table)} ({', '.join(columns)})".encode()
        )
    except (pg.UndefinedObject, pg.InvalidSchemaName) as error:
        raise refused(
            table,
            f"cannot be created: {error.diag.message_primary}",
            "create the type at the target first, or create the table yourself",
        ) from None


def _create_schema(connection: Connection, schema: str) -> None:
    """Where it is absent. IF NOT EXISTS fails where another pipeline makes it at the same time."""
    present = "select 1 from pg_namespace where nspname = %s"
    if connection.execute(present, (schema,)).fetchone() is None:
        with suppress(pg.UniqueViolation), connection.transaction():
            connection.execute(f"create schema if not exists {quoted(schema)}".encode())


def verify(connection: Connection, table: TargetTable) -> None:
    """Whether a table that is there has what we write. Errors: TargetRefused, with what to do."""
    name = quoted_table(table.table)
    _verify_columns(connection, table, name)
    _verify_key(connection, table, name)


def _verify_columns(connection: Connection, table: TargetTable, name: str) -> None:
    rows = connection.execute(_COLUMNS.encode(), (name,)).fetchall()
    found = {str(row[0]): row for row in rows}
    wanted = [column.name for column in table.columns]
    refuse_missing(
        table,
        found,
        lambda column: f"alter table {name} add column {quoted(column.name)} {column.type}",
    )
    refuse_generated(table, [column for column in wanted if found[column][3]])
    identities = [column for column in wanted if found[column][4]]
    if identities:
        raise refused(
            table,
            f"generates {', '.join(identities)} always",
            "; ".join(
                f"alter table {name} alter {quoted(column)} set generated by default"
                for column in identities
            ),
        )
    unfilled = [
        column
        for column, row in found.items()
        if column not in wanted and row[1] and not row[2] and not row[3]
    ]
    refuse_unfilled(table, unfilled)


def _verify_key(connection: Connection, table: TargetTable, name: str) -> None:
    keys = connection.execute(_UNIQUE_KEYS.encode(), (name,)).fetchall()
    if not any(sorted(row[0]) == sorted(table.key) for row in keys):  # type: ignore[call-overload]
        raise refused(
            table,
            f"has no unique index on exactly ({', '.join(table.key)})",
            f"alter table {name} add primary key ({quoted_list(table.key)})",
        )
    for names in table.unique:
        if not any(sorted(row[0]) == sorted(names) for row in keys):  # type: ignore[call-overload]
            raise refused(
                table,
                f"has no unique index on ({', '.join(names)}), as the contract demands",
                f"create unique index on {name} ({quoted_list(names)})",
            )
    loose = connection.execute(_LOOSE_KEYS.encode(), (name, list(table.key))).fetchall()
    if loose:
        raise refused(
            table,
            f"takes different values of its key column {loose[0][0]} for the same (its type or"
            " collation ignores case or accents), so that two rows of the source would be one",
            f'alter table {name} alter {quoted(str(loose[0][0]))} type text collate "C"',
        )


def _verify_rows(connection: Connection, pipeline: str, table: TargetTable, name: str) -> None:
    rows = connection.execute(
        "select pipeline from tailrace.tables where table_schema = %s and table_name = %s",
        (table.table.schema, table.table.name),
    )
    shared = table.composite is not None  # with the pipelines of other sources
    ours = [str(writer) for (writer,) in rows if shared or writer == pipeline]
    if not connection.execute(f"select 1 from {name} limit 1".encode()).fetchone():
        return
    if ours:
        refusal = key_refusal(table, recorded(connection, ours, table))
        if refusal is not None:
            raise refusal
    elif table.existing != "keep":
        raise refused(table, *NOT_OURS)


def references(connection: Connection, tables: Iterable[TableName]) -> References:
    """The foreign keys among `tables`, and those that refer to them."""
    return References.of(
        tables,
        (
            ForeignKey(TableName(str(cs), str(child)), TableName(str(ps), str(parent)), bool(acts))
            for cs, child, ps, parent, acts in connection.execute(_FOREIGN_KEYS)
        ),
    )
