"""Target tables: created where absent, verified where present, before any row is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdc.schema import TableName
from sinks.embedded.books import book, now
from sinks.embedded.protection import record, recorded
from sinks.embedded.session import Engine, Found, FoundColumn, Session
from sinks.misfits import (
    NOT_OURS,
    VANISHED,
    refuse_doubles,
    refuse_generated,
    refuse_missing,
    refuse_unfilled,
    refused,
)
from sinks.protection import key_refusal
from tailrace.errors import TargetRefused
from transforms.rows import TargetColumn, TargetTable


def prepare(engine: Engine, session: Session, pipeline: str, table: TargetTable) -> Found:
    """Make `table` ready to be written by `pipeline`; what the file has.

    Errors: TargetRefused, with what to do; the engine's.
    """
    refuse_doubles(table, engine.product)
    refuse_merged(engine, session, table)
    found = engine.look(session, table.table)
    ours = written_by(engine, session, [pipeline], table.table)
    if found is None:
        if ours:
            raise refused(table, *VANISHED)
        engine.make_schema(session, table.table.schema)
        session.execute(definition(engine, table))
        found = engine.look(session, table.table)
        assert found is not None
    else:
        verify(engine, table, found)
        if holds_rows(engine, session, table):
            if ours:
                refusal = key_refusal(table, recorded(engine, session, [pipeline], table))
                if refusal is not None:
                    raise refusal
            elif table.existing != "keep":
                raise refused(table, *NOT_OURS)
    if not ours:
        session.execute(
            f"insert into {book(engine, 'tables')} values (?, ?, ?, ?)",
            (pipeline, table.table.schema, table.table.name, now()),
        )
    record(engine, session, pipeline, table)
    return found


def written_by(
    engine: Engine, session: Session, pipelines: Sequence[str], table: TableName
) -> bool:
    """Whether one of them has prepared `table`, so that its rows are ours."""
    places = ", ".join("?" * len(pipelines))
    return bool(
        session.query(
            f"select 1 from {book(engine, 'tables')} where pipeline in ({places})"
            " and table_schema = ? and table_name = ?",
            (*pipelines, table.schema, table.name),
        )
    )


def definition(engine: Engine, table: TargetTable) -> str:
    """The statement that makes it."""
    columns = [
        f"{engine.quoted(column.name)} {engine.ddl(column)}"
        + ("" if column.nullable and column.name not in table.key else " not null")
        for column in table.columns
    ]
    columns.append(f"primary key ({_list(engine, table.key)})")
    columns += [f"unique ({_list(engine, names)})" for names in table.unique]
    return f"create table {engine.table(table.table)} ({', '.join(columns)})"


def verify(engine: Engine, table: TargetTable, found: Found) -> None:
    """Whether a table that is there has what we write. Errors: TargetRefused, with what to do."""
    name = engine.table(table.table)
    if not found.is_table:
        raise refused(table, "is not a table", "choose another name with `into`")
    _verify_columns(engine, table, found.columns, name)
    if not any(sorted(key) == sorted(table.key) for key, whole in found.unique if whole):
        raise refused(
            table,
            f"has no unique index on exactly ({', '.join(table.key)}), whole and not NULL",
            "make the table anew with this primary key",
        )
    for names in table.unique:
        if not any(sorted(key) == sorted(names) for key, _ in found.unique):
            raise refused(
                table,
                f"has no unique index on ({', '.join(names)}), as the contract demands",
                f"create unique index {engine.quoted('_'.join((table.table.name, *names)))}"
                f" on {name} ({_list(engine, names)})",
            )
    merging = [key for key in table.key if found.columns[key].merges]
    if merging:
        raise refused(
            table,
            f"takes different values of {', '.join(merging)} for the same, as its collation says",
            "make the table anew without that collation",
        )


def _verify_columns(
    engine: Engine, table: TargetTable, found: Mapping[str, FoundColumn], name: str
) -> None:
    refuse_missing(
        table,
        found,
        lambda column: (
            f"alter table {name} add column {engine.quoted(column.name)} {engine.ddl(column)}"
        ),
    )
    refuse_generated(
        table, [column.name for column in table.columns if found[column.name].generated]
    )
    written = {column.name for column in table.columns}
    unfilled = [
        name
        for name, column in found.items()
        if not (name in written or column.nullable or column.filled or column.generated)
    ]
    refuse_unfilled(table, unfilled)
    for column in table.columns:
        _verify_type(engine, table, column, found[column.name])


def _verify_type(
    engine: Engine, table: TargetTable, column: TargetColumn, found: FoundColumn
) -> None:
    how = engine.misfit(column, found)
    if how is not None:
        raise refused(
            table,
            f"has the type {found.type or 'none'} for {column.name}, where values of"
            f" {engine.ddl(column)} {how}",
            f"make the column {engine.ddl(column)}",
        )


def refuse_merged(engine: Engine, session: Session, table: TargetTable) -> None:
    """Errors: TargetRefused where some pipeline has written the same table by another name."""
    for schema, name in session.query(
        f"select table_schema, table_name from {book(engine, 'tables')}"
    ):
        other = TableName(str(schema), str(name))
        if other != table.table and str(other).lower() == str(table.table).lower():
            raise merged(engine, table, other)


def merged(engine: Engine, table: TargetTable, other: TableName) -> TargetRefused:
    """Two names, one table: rows of both would stand in it."""
    return refused(
        table,
        f"is the same as {other} to {engine.product}, which ignores case",
        "name one of them otherwise with `into`; if the other is written no more, delete its row"
        " in tailrace.tables",
    )


def holds_rows(engine: Engine, session: Session, table: TargetTable) -> bool:
    return bool(session.query(f"select 1 from {engine.table(table.table)} limit 1"))


def _list(engine: Engine, names: Sequence[str]) -> str:
    return ", ".join(map(engine.quoted, names))
