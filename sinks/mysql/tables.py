"""Target tables: created where absent, verified where present, before any row is written.

Every CREATE commits what a connection has open, so all of this runs on a connection of its own.
"""

from __future__ import annotations

import pymysql

from cdc.schema import TableName
from sinks.composite_sql import ENTITIES
from sinks.misfits import (
    NOT_OURS,
    VANISHED,
    refuse_doubles,
    refuse_generated,
    refuse_missing,
    refuse_unfilled,
    refused,
)
from sinks.mysql import catalog
from sinks.mysql.families import sent
from sinks.mysql.fit import misfit
from sinks.mysql.names import quoted, quoted_list, quoted_table
from sinks.mysql.passing import PASSING
from sinks.mysql.products import Product
from sinks.mysql.protection import record, recorded
from sinks.mysql.session import Connection, execute, query, translated
from sinks.mysql.types import column_types
from sinks.protection import key_refusal
from sinks.refusals import computed
from tailrace.errors import TargetRefused, TargetUnavailable
from transforms.rows import TargetColumn, TargetTable

_SYSTEM = frozenset({"mysql", "information_schema", "performance_schema", "sys"})


def prepare(
    connection: Connection, pipeline: str, table: TargetTable
) -> dict[str, catalog.CatalogColumn]:
    """Make `table` ready to be written by `pipeline`; what its columns are at the target.

    Errors: TargetRefused, with what to do; TargetUnavailable.
    """
    refuse_system(table)
    refuse_doubles(table, "MariaDB")
    with translated("preparing a target table", table=str(table.table)):
        _refuse_spellings(connection, table)
        if table.composite is None:
            _refuse_computed(connection, table)
        kind = catalog.table_kind(connection, table.table)
        if kind is None:
            if _was_written(connection, pipeline, table):
                raise refused(table, *VANISHED)
            _create(connection, table)
            found = catalog.columns(connection, table.table)
        else:
            found = verify(connection, table, kind)
            _verify_rows(connection, pipeline, table)
        execute(
            connection,
            "insert ignore into tailrace.tables (pipeline, table_schema, table_name)"
            " values (%s, %s, %s)",
            pipeline,
            table.table.schema,
            table.table.name,
        )
        record(connection, pipeline, table)
        return found


def _refuse_computed(connection: Connection, table: TargetTable) -> None:
    """Errors: TargetRefused where the table is that of an entity of several sources."""
    if catalog.table_kind(connection, ENTITIES) is not None:
        sql = "select entity from tailrace.entity where table_name = %s"
        for (entity,) in query(connection, sql, str(table.table)):
            raise computed(table.table, str(entity))


def _was_written(connection: Connection, pipeline: str, table: TargetTable) -> bool:
    return bool(
        query(
            connection,
            "select 1 from tailrace.tables"
            " where pipeline = %s and table_schema = %s and table_name = %s",
            pipeline,
            table.table.schema,
            table.table.name,
        )
    )


def merged(table: TargetTable, other: TableName) -> TargetRefused:
    """Two names, one table: rows of both would stand in it."""
    return refused(
        table,
        f"is the same as {other} at this server, which ignores case (lower_case_table_names)",
        "name one of them otherwise with `into`; if the other is written no more, delete its row"
        " in tailrace.tables",
    )


def _refuse_spellings(connection: Connection, table: TargetTable) -> None:
    """Errors: TargetRefused where some pipeline has written the same table by another name."""
    if not query(connection, "select 1 from dual where @@lower_case_table_names <> 0"):
        return
    for schema, name in query(
        connection,
        "select table_schema, table_name from tailrace.tables"
        " where lower(table_schema) = lower(%s) and lower(table_name) = lower(%s)",
        table.table.schema,
        table.table.name,
    ):
        if (other := TableName(str(schema), str(name))) != table.table:
            raise merged(table, other)


def refuse_system(table: TargetTable) -> None:
    """Errors: TargetRefused for a database that is the server's own."""
    if table.table.schema.lower() in _SYSTEM:
        raise refused(
            table, "would be in a database of the server's own", "name another with `into`"
        )


def definition(table: TargetTable, product: Product) -> str:
    """The statement that makes it."""
    columns = [
        f"{quoted(column.name)} "
        + _with_default(type_.ddl, column.nullable and column.name not in table.key)
        for column, type_ in zip(table.columns, column_types(table, product), strict=True)
    ]
    columns.append(f"primary key ({quoted_list(table.key)})")
    columns += [f"unique key ({quoted_list(names)})" for names in table.unique]
    return (
        f"create table {quoted_table(table.table)} ({', '.join(columns)})"
        f" engine = InnoDB default character set utf8mb4 collate {product.collation}"
    )


def _with_default(ddl: str, nullable: bool) -> str:
    """A TIMESTAMP without default would take the time of each update."""
    if nullable:
        return f"{ddl} null"
    return f"{ddl} not null" + (
        " default '1970-01-01 00:00:01'" if ddl.startswith("timestamp") else ""
    )


def _create(connection: Connection, table: TargetTable) -> None:
    schema = table.table.schema
    present = query(
        connection, "select 1 from information_schema.schemata where schema_name = %s", schema
    )
    if not present:
        execute(
            connection,
            f"create database if not exists {quoted(schema)}"
            f" default character set utf8mb4 collate {connection.product.collation}",
        )
    try:
        execute(connection, definition(table, connection.product))
    except pymysql.Error as error:
        text = str(error.args[-1])
        if _DISK_FULL in text:
            raise TargetUnavailable(
                f"making target table {table.table}: {text}", where={"table": str(table.table)}
            ) from None
        if error.args[0] in PASSING or not isinstance(error.args[0], int):
            raise
        # A definition holds names and types, no values; so the server's words may be shown.
        raise refused(
            table,
            f"cannot be created: {text}",
            "create the table yourself, with types and names that MariaDB can have; what does not"
            " fit them is refused",
        ) from None


_DISK_FULL = "errno: 28 "
"""As part of error 1005, which has many reasons."""


def verify(
    connection: Connection, table: TargetTable, kind: tuple[str, str | None]
) -> dict[str, catalog.CatalogColumn]:
    """Whether a table that is there has what we write; its columns.

    Errors: TargetRefused, with what to do.
    """
    name = quoted_table(table.table)
    if kind[0] not in ("BASE TABLE", "SYSTEM VERSIONED"):
        raise refused(table, "is not a table", "choose another name with `into`")
    if kind[1] != "InnoDB":
        raise refused(
            table,
            f"is kept by {kind[1]}, which cannot take back what was not committed",
            f"alter table {name} engine = InnoDB",
        )
    found = catalog.columns(connection, table.table)
    _verify_columns(connection.product, table, found, name)
    keys = catalog.unique_keys(connection, table.table)
    if not any(sorted(key) == sorted(table.key) for key, whole in keys if whole):
        raise refused(
            table,
            f"has no unique index on exactly ({', '.join(table.key)}), whole and not NULL",
            f"alter table {name} add primary key ({quoted_list(table.key)})",
        )
    for names in table.unique:
        if not any(sorted(key) == sorted(names) for key, _ in keys):
            raise refused(
                table,
                f"has no unique index on whole columns ({', '.join(names)}), as the contract"
                " demands",
                f"alter table {name} add unique key ({quoted_list(names)})",
            )
    return found


def _verify_columns(
    product: Product, table: TargetTable, found: dict[str, catalog.CatalogColumn], name: str
) -> None:
    types = dict(zip(table.columns, column_types(table, product), strict=True))
    spelt = {name.lower(): name for name in found}
    for column in table.columns:
        other = spelt.get(column.name.lower())
        if other is not None and column.name not in found:
            raise refused(
                table,
                f"has the column {other}, and {column.name} is to be written",
                f"alter table {name} rename column {quoted(other)} to {quoted(column.name)}",
            )
    refuse_missing(
        table,
        found,
        lambda column: (
            f"alter table {name} add column {quoted(column.name)} {types[column].ddl} null"
        ),
    )
    refuse_generated(
        table, [column.name for column in table.columns if found[column.name].generated]
    )
    written = {column.name for column in table.columns}
    unfilled = [
        column.name
        for column in found.values()
        if column.name not in written and not column.nullable and not column.filled
        if not column.generated
    ]
    refuse_unfilled(table, unfilled)
    for column, type_ in types.items():
        there = found[column.name]
        if (how := misfit(column, there, product)) is not None:
            raise refused(
                table,
                f"has the type {there.type} for {column.name}, where values of {type_.ddl} {how}",
                f"alter table {name} modify {quoted(column.name)} {type_.ddl}"
                + (" null" if there.nullable else " not null"),
            )
        _verify_moments(table, column, there, name)
    inexact = [key for key in table.key if found[key].kind == "float"]
    if inexact:
        raise refused(
            table,
            f"has a FLOAT in its key ({', '.join(inexact)}), which equals no number written out",
            f"alter table {name} modify {quoted(inexact[0])} double not null",
        )


def _verify_moments(
    table: TargetTable, column: TargetColumn, found: catalog.CatalogColumn, name: str
) -> None:
    """What the server would do in silence: cut digits of a second off, and fill a TIMESTAMP."""
    wanted = sent(column).size or 0
    if found.digits is not None and found.digits < wanted:
        raise refused(
            table,
            f"keeps {found.digits} digits of a second in {column.name}, and {wanted} may come",
            f"alter table {name} modify {quoted(column.name)} {found.kind}({wanted})"
            + ("" if found.nullable else " not null"),
        )
    if found.kind == "timestamp" and column.nullable and not found.nullable:
        raise refused(
            table,
            f"puts the present time into {column.name} where NULL is written",
            f"alter table {name} modify {quoted(column.name)} {found.type} null",
        )


def holds_foreign_rows(connection: Connection, table: TargetTable, is_ours: bool) -> bool:
    if table.existing == "keep" or is_ours:
        return False
    return holds_rows(connection, table)


def holds_rows(connection: Connection, table: TargetTable) -> bool:
    return bool(query(connection, f"select 1 from {quoted_table(table.table)} limit 1"))


def _verify_rows(connection: Connection, pipeline: str, table: TargetTable) -> None:
    rows = query(
        connection,
        "select pipeline from tailrace.tables where table_schema = %s and table_name = %s",
        table.table.schema,
        table.table.name,
    )
    shared = table.composite is not None  # with the pipelines of other sources
    ours = [str(writer) for (writer,) in rows if shared or writer == pipeline]
    if ours and holds_rows(connection, table):
        refusal = key_refusal(table, recorded(connection, ours, table))
        if refusal is not None:
            raise refusal
    if holds_foreign_rows(connection, table, bool(ours)):
        raise refused(table, *NOT_OURS)
