"""The record of how columns are protected: see `sinks.protection`."""

from __future__ import annotations

from collections.abc import Sequence

from sinks.embedded.books import book
from sinks.embedded.session import Engine, Session
from transforms.rows import TargetTable


def recorded(
    engine: Engine, session: Session, pipelines: Sequence[str], table: TargetTable
) -> dict[str, str]:
    """By column how it was written."""
    places = ", ".join("?" * len(pipelines))
    rows = session.query(
        f"select column_name, protected from {book(engine, 'protection')}"
        f" where pipeline in ({places}) and table_schema = ? and table_name = ?",
        (*pipelines, table.table.schema, table.table.name),
    )
    return {str(name): str(protected) for name, protected in rows}


def record(engine: Engine, session: Session, pipeline: str, table: TargetTable) -> None:
    """Say how the columns of `table` are written from now on."""
    place = (pipeline, table.table.schema, table.table.name)
    before = recorded(engine, session, [pipeline], table)
    name = book(engine, "protection")
    for column in table.columns:
        if before.get(column.name, "") == column.protected:
            continue
        session.execute(
            f"delete from {name} where pipeline = ? and table_schema = ? and table_name = ?"
            " and column_name = ?",
            (*place, column.name),
        )
        if column.protected:
            session.execute(
                f"insert into {name} values (?, ?, ?, ?, ?)",
                (*place, column.name, column.protected),
            )
