"""The preflight's checks of single tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cdc.findings import Finding
from cdc.postgres.catalog import CatalogTable, UniqueIndex, identity_key
from cdc.postgres.look import Look
from cdc.postgres.session import quoted

_IDENTITY_LETTER = {"default": "d", "index": "i", "full": "f", "nothing": "n"}


def _name(table: CatalogTable) -> str:
    return quoted(table.name.schema, table.name.name)


def _leave_out(table: CatalogTable) -> str:
    return f'-- or leave the table out: tables: [..., "!{table.name}"]'


def _kinds(seen: Look) -> Iterator[Finding]:
    """A view that only a star names is nobody's wish; a foreign table might be."""
    for table in seen.relations:
        named = seen.source.patterns.named_by(table.name)
        exactly = named is not None and named.exact is not None
        if table.kind == "view" and exactly:
            yield Finding(
                "error", "is a view, which has no log", str(table.name), "-- name its tables"
            )
        elif table.kind == "foreign":
            yield Finding(
                "error" if exactly else "warning",
                "is a foreign table, whose log is at another server",
                str(table.name),
                _leave_out(table),
            )


def _persistence(seen: Look) -> Iterator[Finding]:
    for table in seen.capturable:
        unlogged = [_name(table)] if table.persistence == "unlogged" else []
        unlogged += [
            quoted(leaf.schema, leaf.name)
            for leaf in seen.partitions.get(table.oid, ())
            if leaf.unlogged
        ]
        if unlogged:
            yield Finding(
                "error",
                "is unlogged: its changes are not in the log",
                str(table.name),
                "\n".join(f"ALTER TABLE {name} SET LOGGED;" for name in unlogged),
            )


def _identity(seen: Look) -> Iterator[Finding]:
    for table in seen.capturable:
        if identity_key(table.schema.identity, table.unique_indexes):
            yield from _partition_identity(seen, table)
            yield from _listed_key(seen, table)
        elif table.schema.identity == "full":
            yield Finding(
                "error",
                "has replica identity FULL but no primary key: nothing tells its rows apart",
                str(table.name),
                _identity_fix(table),
            )
        else:
            yield Finding(
                "error",
                f"{_why_no_identity(table)}: publishing it would make the application's own"
                " UPDATE and DELETE fail",
                str(table.name),
                _identity_fix(table),
            )


def _why_no_identity(table: CatalogTable) -> str:
    if table.schema.identity == "nothing":
        return "has replica identity NOTHING"
    if table.schema.identity == "index":
        return "has lost the index of its replica identity"
    if table.primary_key:
        return "has a deferrable primary key, which is no replica identity"
    return "has no primary key"


def _identity_fix(table: CatalogTable) -> str:
    alter = f"ALTER TABLE {_name(table)}"
    primary = next((index for index in table.unique_indexes if index.primary), None)
    if primary is not None:
        return f"{alter} REPLICA IDENTITY {'DEFAULT' if primary.immediate else 'FULL'};"
    nullable = {column.name for column in table.schema.columns if column.nullable}

    def missing(index: UniqueIndex) -> list[str]:
        return [column for column in index.columns if column in nullable]

    usable = [index for index in table.unique_indexes if index.plain and index.immediate]
    if not usable:
        return (
            f"-- name the columns that identify a row:\n-- {alter} ADD PRIMARY KEY (...);\n"
            + _leave_out(table)
        )
    best = min(usable, key=lambda index: (len(missing(index)), len(index.columns)))
    return "\n".join(
        [f"{alter} ALTER COLUMN {quoted(column)} SET NOT NULL;" for column in missing(best)]
        + [f"{alter} REPLICA IDENTITY USING INDEX {quoted(best.name)};"]
    )


def _partition_identity(seen: Look, table: CatalogTable) -> Iterator[Finding]:
    """A partition logs by its own replica identity, not by its root's."""
    for leaf in seen.partitions.get(table.oid, ()):
        if leaf.identity != _IDENTITY_LETTER[table.schema.identity]:
            wanted = {"default": "DEFAULT", "full": "FULL"}.get(table.schema.identity)
            name = quoted(leaf.schema, leaf.name)
            yield Finding(
                "error",
                f"has a partition, {leaf.schema}.{leaf.name}, with another replica identity",
                str(table.name),
                f"ALTER TABLE {name} REPLICA IDENTITY {wanted};"
                if wanted
                else f"-- ALTER TABLE {name} REPLICA IDENTITY USING INDEX (the partition's index);",
            )


def _listed_key(seen: Look, table: CatalogTable) -> Iterator[Finding]:
    key = identity_key(table.schema.identity, table.unique_indexes)
    withheld = [column for column in key if column in table.withheld]
    if withheld and table.published is not None:
        listed = ", ".join(
            quoted(column) for column in (*(table.published.columns or ()), *withheld)
        )
        yield Finding(
            "error",
            f"is published without {', '.join(withheld)}, which identifies its rows",
            str(table.name),
            f"ALTER PUBLICATION {quoted(seen.publication_name)} DROP TABLE {_name(table)};\n"
            f"ALTER PUBLICATION {quoted(seen.publication_name)} ADD TABLE {_name(table)}"
            f" ({listed});",
        )


def _rights(seen: Look) -> Iterator[Finding]:
    role = quoted(seen.role.name)
    schemas = set()
    for table in seen.capturable:
        lacking = seen.role.lacks.get(table.oid, ())
        if "USAGE" in lacking and table.name.schema not in schemas:
            schemas.add(table.name.schema)
            yield Finding(
                "error",
                f"the role {seen.role.name} may not use the schema",
                f"schema {table.name.schema}",
                f"GRANT USAGE ON SCHEMA {quoted(table.name.schema)} TO {role};",
            )
        if "SELECT" in lacking:
            yield Finding(
                "error",
                f"the role {seen.role.name} may not read it",
                str(table.name),
                f"GRANT SELECT ON {_name(table)} TO {role};",
            )


def _row_security(seen: Look) -> Iterator[Finding]:
    for table in seen.capturable:
        if table.oid in seen.role.hidden:
            yield Finding(
                "error",
                f"row security hides rows from the role {seen.role.name}, but not from the log",
                str(table.name),
                f"ALTER ROLE {quoted(seen.role.name)} BYPASSRLS;",
            )


def _inheritance(seen: Look) -> Iterator[Finding]:
    for table in seen.capturable:
        if table.has_children:
            yield Finding(
                "warning",
                "has tables that inherit from it: each is captured as a table of its own, and"
                " only where `tables:` names it",
                str(table.name),
                "-- see that every child is named that is meant",
            )


def _generated(seen: Look) -> Iterator[Finding]:
    newer = seen.connection.info.server_version >= 180000
    for table in seen.capturable:
        columns = [name for name, why in table.withheld.items() if why == "generated"]
        if columns:
            yield Finding(
                "warning",
                f"has generated columns, which the log does not carry: {', '.join(columns)}",
                str(table.name),
                f"ALTER PUBLICATION {quoted(seen.publication_name)}"
                " SET (publish_generated_columns = stored);  -- stored ones only"
                if newer
                else "-- compute them in a mapping",
            )


def _loose_keys(seen: Look) -> Iterator[Finding]:
    for table in seen.capturable:
        loose = [name for name in table.schema.key if (table.oid, name) in seen.loose_keys]
        if loose:
            yield Finding(
                "warning",
                f"its key {', '.join(loose)} compares different texts as equal: the target's key"
                " column must have the same collation",
                str(table.name),
                "-- create the target's table with the same collation, or map lower(...) as key",
            )


TABLE_CHECKS: tuple[Callable[[Look], Iterator[Finding]], ...] = (
    _kinds,
    _persistence,
    _identity,
    _rights,
    _row_security,
    _inheritance,
    _generated,
    _loose_keys,
)
