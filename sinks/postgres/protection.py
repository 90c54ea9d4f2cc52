"""The record of how columns are protected: see `sinks.protection`."""

from __future__ import annotations

from collections.abc import Sequence

from sinks.postgres.session import Connection
from transforms.rows import TargetTable

CREATE = """
create table if not exists tailrace.protection (
    pipeline text not null,
    table_schema text not null,
    table_name text not null,
    column_name text not null,
    protected text not null,
    primary key (pipeline, table_schema, table_name, column_name)
)
"""


def recorded(
    connection: Connection, pipelines: Sequence[str], table: TargetTable
) -> dict[str, str]:
    """By column how it was written."""
    rows = connection.execute(
        "select column_name, protected from tailrace.protection"
        " where pipeline = any(%s) and table_schema = %s and table_name = %s",
        (list(pipelines), table.table.schema, table.table.name),
    )
    return {str(name): str(protected) for name, protected in rows}


def record(connection: Connection, pipeline: str, table: TargetTable) -> None:
    """Say how the columns of `table` are written from now on."""
    place = (pipeline, table.table.schema, table.table.name)
    before = recorded(connection, [pipeline], table)
    now = {column.name: column.protected for column in table.columns}
    if all(before.get(name, "") == protected for name, protected in now.items()):
        return
    connection.execute(
        "delete from tailrace.protection where pipeline = %s and table_schema = %s"
        " and table_name = %s and column_name = any(%s)",
        (*place, list(now)),
    )
    for name, protected in now.items():
        if protected:
            connection.execute(
                "insert into tailrace.protection values (%s, %s, %s, %s, %s)",
                (*place, name, protected),
            )
