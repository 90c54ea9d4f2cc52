"""A table as the stream names it: types in the catalog's words, the key in its index's order."""

from __future__ import annotations

from collections.abc import Iterable

from cdc.postgres.catalog import UniqueIndex, identity_key, read_indexes
from cdc.postgres.decode import Relation, RelationColumn
from cdc.postgres.session import Connection, translated
from cdc.postgres.typenames import TypeName, name_types
from cdc.schema import Column, TableSchema

_NOT_NULL = "select attname from pg_attribute where attrelid = %s and attnum > 0 and attnotnull"


def describe(connection: Connection, relation: Relation) -> TableSchema:
    """The schema of the rows that follow a Relation message.

    The message is as old as the log; the catalog is of now. What the message says holds (names,
    types, which columns identify a row), and the catalog adds what it lacks (the spelling of
    types, NOT NULL, the order of the key), as far as it still has the table.
    """
    with translated("reading the catalog", table=relation.table):
        found = connection.execute(_NOT_NULL, (relation.oid,)).fetchall()
        types = name_types(
            connection, [(column.type_oid, column.type_modifier) for column in relation.columns]
        )
        indexes = read_indexes(connection, [relation.oid]).get(relation.oid, ())
    not_null = {name for (name,) in found}
    columns = []
    for column in relation.columns:
        named = types.get((column.type_oid, column.type_modifier)) or _dropped(relation, column)
        nullable = not (column.name in not_null or named.not_null)
        columns.append(Column(column.name, named.type, named.base_type, nullable))
    return TableSchema(relation.table, tuple(columns), _key(relation, indexes), relation.identity)


def _dropped(relation: Relation, column: RelationColumn) -> TypeName:
    """A type that was dropped since: by the name that the stream itself gave it."""
    schema, name = relation.types.get(column.type_oid, ("", "text"))
    return TypeName(f"{schema}.{name}" if schema else name, "text")


def _key(relation: Relation, indexes: Iterable[UniqueIndex]) -> tuple[str, ...]:
    key = identity_key(relation.identity, indexes)
    names = {column.name for column in relation.columns}
    if relation.identity == "full":  # every column is flagged
        return key if names.issuperset(key) else ()
    flagged = tuple(column.name for column in relation.columns if column.is_key)
    return key if set(key) == set(flagged) else flagged
