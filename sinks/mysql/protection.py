"""The record of how columns are protected: see `sinks.protection`."""

from __future__ import annotations

from collections.abc import Sequence

from sinks.mysql.session import Connection, execute, query
from transforms.rows import TargetTable

CREATE = """
create table if not exists tailrace.protection (
    pipeline varchar(64) not null,
    table_schema varchar(64) not null,
    table_name varchar(64) not null,
    column_name varchar(64) not null,
    protected varchar(64) not null,
    primary key (pipeline, table_schema, table_name, column_name)
) engine = InnoDB default character set utf8mb4 collate utf8mb4_bin
"""


def recorded(
    connection: Connection, pipelines: Sequence[str], table: TargetTable
) -> dict[str, str]:
    """By column how it was written."""
    rows = query(
        connection,
        "select column_name, protected from tailrace.protection"
        " where pipeline in %s and table_schema = %s and table_name = %s",
        list(pipelines),
        table.table.schema,
        table.table.name,
    )
    return {str(name): str(protected) for name, protected in rows}


def record(connection: Connection, pipeline: str, table: TargetTable) -> None:
    """Say how the columns of `table` are written from now on."""
    place = (pipeline, table.table.schema, table.table.name)
    before = recorded(connection, [pipeline], table)
    for column in table.columns:
        if before.get(column.name, "") == column.protected:
            continue
        if column.protected:
            statement = "replace into tailrace.protection values (%s, %s, %s, %s, %s)"
            execute(connection, statement, *place, column.name, column.protected)
        else:
            statement = (
                "delete from tailrace.protection where pipeline = %s and table_schema = %s"
                " and table_name = %s and column_name = %s"
            )
            execute(connection, statement, *place, column.name)
