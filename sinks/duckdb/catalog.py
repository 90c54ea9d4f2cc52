"""What a DuckDB file says of its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cdc.schema import TableName
from sinks.embedded.session import Found, FoundColumn, Session
from sinks.foreign_keys import ForeignKey, References

_HERE = "database_name = current_database()"


def look(session: Session, table: TableName) -> Found | None:
    place = (table.schema, table.name)
    of = f"{_HERE} and schema_name = ? and table_name = ?"
    columns = {
        str(name): FoundColumn(
            str(type_), bool(nullable), filled=default is not None, generated=False
        )
        for name, type_, nullable, default in session.query(
            "select column_name, data_type, is_nullable, column_default from duckdb_columns()"
            f" where {of} order by column_index",
            place,
        )
    }
    if not columns:
        return None
    kinds = session.query(f"select 1 from duckdb_tables() where {of}", place)
    found = [
        (tuple(map(str, names)), str(kind) == "PRIMARY KEY")
        for kind, names in session.query(
            "select constraint_type, constraint_column_names from duckdb_constraints()"
            f" where {of} and constraint_type in ('PRIMARY KEY', 'UNIQUE')",
            place,
        )
    ]
    for (expressions,) in session.query(
        f"select expressions from duckdb_indexes() where {of} and is_unique", place
    ):
        names = str(expressions).strip("[]").replace("'", "").split(", ")
        found.append((tuple(name.strip('"') for name in names), False))
    unique = [
        (names, is_key or all(name in columns and not columns[name].nullable for name in names))
        for names, is_key in found
    ]
    triggers = session.query(f"select 1 from duckdb_triggers() where {of} limit 1", place)
    return Found(bool(kinds), columns, unique, bool(triggers))


def references(session: Session, tables: Mapping[TableName, TableName]) -> References:
    """`tables`: ours by their place in the file.

    A delete never reaches into other rows here: DuckDB has no CASCADE.
    """
    ours = {(place.schema, place.name.lower()): table for place, table in tables.items()}

    def named(schema: object, name: object) -> TableName:
        found = ours.get((str(schema), str(name).lower()))
        return TableName(f"{schema}", f"{name}") if found is None else found

    keys = [
        ForeignKey(named(schema, child), named(schema, parent), acts=False)
        for schema, child, parent in session.query(
            "select schema_name, table_name, referenced_table from duckdb_constraints()"
            f" where {_HERE} and constraint_type = 'FOREIGN KEY'"
        )
    ]
    triggers = session.query(f"select schema_name, table_name from duckdb_triggers() where {_HERE}")
    moved = frozenset(tables.values()) - {named(schema, name) for schema, name in triggers}
    return replace(References.of(tables.values(), keys), inert=moved)
