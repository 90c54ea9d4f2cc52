"""The script for a target: role, our schema, rights on what is written; and how to take it back."""

from __future__ import annotations

from cdc.patterns import Patterns
from cdc.psql import head, literal, matching, quoted, role_made, role_of
from sinks.postgres.settings import PostgresTarget


def target_script(title: str, target: PostgresTarget, writes: Patterns) -> str:
    """For psql. `writes` are the target tables, as far as the files tell.

    Schemas that no pattern names exactly are left for the role to create.
    """
    role = role_of(target.url)
    schemas = sorted({pattern.schema for pattern in writes.included if pattern.schema is not None})
    parts = [
        *head(title, target.url),
        *role_made(role, "LOGIN"),
        "-- Rows are staged in temporary tables; checkpoints, and what each of several sources",
        "-- says of an entity, are kept in schema tailrace.",
        f"SELECT format('GRANT {_on_database(writes)} ON DATABASE %I TO %I',"
        f" current_database(), {literal(role)}) \\gexec",
        f"CREATE SCHEMA IF NOT EXISTS tailrace AUTHORIZATION {quoted(role)};",
        *(line for schema in schemas for line in _schema(schema, role)),
        "-- Tables that are there already:",
        "SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLE %I.%I TO %I',",
        f"    n.nspname, c.relname, {literal(role)})",
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace",
        "WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'",
        f"    AND {matching(writes)} ORDER BY 1 \\gexec",
        "",
        "-- To take it all back, with the tables that the role has made:",
        f"--   DROP OWNED BY {quoted(role)} CASCADE;",
        f"--   DROP ROLE {quoted(role)};",
    ]
    return "\n".join(parts) + "\n"


def _on_database(writes: Patterns) -> str:
    open_ended = any(pattern.schema is None for pattern in writes.included)
    return "CREATE, TEMPORARY" if open_ended else "TEMPORARY"


def _schema(name: str, role: str) -> list[str]:
    return [
        f"CREATE SCHEMA IF NOT EXISTS {quoted(name)};",
        f"GRANT USAGE, CREATE ON SCHEMA {quoted(name)} TO {quoted(role)};",
    ]
