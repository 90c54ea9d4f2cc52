"""Whether a target can be written, before anything is; creates nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from cdc.findings import Finding
from cdc.schema import TableName
from sinks.misfits import not_ours
from sinks.postgres.names import quoted, quoted_table
from sinks.postgres.protection import recorded
from sinks.postgres.session import Connection, connect, translated
from sinks.postgres.settings import PostgresTarget
from sinks.postgres.tables import verify
from sinks.protection import findings
from tailrace.errors import TargetRefused
from transforms.rows import TargetTable

OLDEST = 140000

_SERVER = """
select current_user::text, current_database()::text,
       has_database_privilege(current_database(), 'CREATE'),
       has_database_privilege(current_database(), 'TEMPORARY'),
       current_setting('server_encoding'),
       coalesce((select has_schema_privilege(oid, 'USAGE') and has_schema_privilege(oid, 'CREATE')
                 from pg_namespace where nspname = 'tailrace'),
                has_database_privilege(current_database(), 'CREATE'))
"""
_TABLE = """
select c.relkind::text, row_security_active(c.oid),
       array(select p from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
             where not has_table_privilege(c.oid, p)),
       has_schema_privilege(n.oid, 'USAGE')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relname = %s
"""
_SCHEMA = "select has_schema_privilege(oid, 'CREATE') from pg_namespace where nspname = %s"
_PREPARED = """
select table_schema, table_name from tailrace.tables where pipeline = any(%s)
"""


@dataclass(frozen=True, slots=True)
class _Server:
    role: str
    database: str
    creates: bool
    stages: bool
    encoding: str
    keeps_checkpoints: bool


def inspect(
    target: PostgresTarget, tables: Sequence[TargetTable], pipelines: Sequence[str]
) -> list[Finding]:
    """Everything that stands against `pipelines` writing `tables`.

    Errors: TargetUnavailable when nothing can be looked at.
    """
    with closing(connect(target.url, "check")) as connection, translated("looking at the target"):
        version = connection.info.server_version
        if version < OLDEST:
            what = f"PostgreSQL {version // 10000} is not supported; 14 is the oldest"
            return [Finding("error", what, "server", "-- upgrade the server")]
        if connection.execute("select pg_is_in_recovery()").fetchone() == (True,):
            what = "the server is a standby, which cannot be written"
            fix = "-- write the primary's address into the target's url"
            return [Finding("error", what, "server", fix)]
        row = connection.execute(_SERVER).fetchone()
        assert row is not None
        server = _Server(*row)  # type: ignore[arg-type]
        found = list(_server(server))
        prepared = _prepared(connection, pipelines)
        seen = set()
        for table in dict.fromkeys(tables):
            if table.table not in seen:
                seen.add(table.table)
                found += _table(connection, server, table, table.table in prepared)
            if table.table in prepared and _keeps_record(connection) and _holds(connection, table):
                found += findings(table, recorded(connection, pipelines, table))
        return list(dict.fromkeys(found))


def _server(server: _Server) -> Iterator[Finding]:
    where = f"database {server.database}"
    grant = f"GRANT %s ON DATABASE {quoted(server.database)} TO {quoted(server.role)};"
    if not server.keeps_checkpoints:
        yield Finding(
            "error",
            "the role cannot keep checkpoints in a schema of its own",
            "schema tailrace",
            f"CREATE SCHEMA IF NOT EXISTS tailrace;\n"
            f"GRANT USAGE, CREATE ON SCHEMA tailrace TO {quoted(server.role)};",
        )
    if not server.stages:
        yield Finding(
            "error",
            "the role may not make temporary tables, in which rows are staged",
            where,
            grant % "TEMPORARY",
        )
    if server.encoding != "UTF8":
        yield Finding(
            "warning",
            f"the encoding is {server.encoding}: a character that it lacks stops delivery",
            where,
            "-- make the database anew with ENCODING 'UTF8'",
        )


def _prepared(connection: Connection, pipelines: Sequence[str]) -> set[TableName]:
    """The tables whose rows are known as ours."""
    known = connection.execute("select to_regclass('tailrace.tables') is not null").fetchone()
    if known != (True,):
        return set()
    rows = connection.execute(_PREPARED, (list(pipelines),)).fetchall()
    return {TableName(str(schema), str(name)) for schema, name in rows}


def _table(
    connection: Connection, server: _Server, table: TargetTable, is_ours: bool
) -> Iterator[Finding]:
    row = connection.execute(_TABLE, (table.table.schema, table.table.name)).fetchone()
    if row is None:
        yield from _absent(connection, server, table.table)
        return
    kind, hidden, lacking, uses = row
    assert isinstance(lacking, list)
    where, role = str(table.table), quoted(server.role)
    if kind not in ("r", "p"):
        yield Finding("error", "is not a table", where, "-- name another with `into`")
        return
    if not uses:
        schema = quoted(table.table.schema)
        what = f"the role {server.role} may not use its schema"
        yield Finding("error", what, where, f"GRANT USAGE ON SCHEMA {schema} TO {role};")
        return
    if lacking:
        names = ", ".join(lacking)
        what = f"the role {server.role} lacks {names}"
        yield Finding(
            "error", what, where, f"GRANT {names} ON {quoted_table(table.table)} TO {role};"
        )
    if hidden:
        what = f"row security stands between the role {server.role} and its rows"
        yield Finding("error", what, where, f"ALTER ROLE {role} BYPASSRLS;")
    try:
        verify(connection, table)
    except TargetRefused as refused:
        yield Finding("error", refused.what, where, _sql(refused.fix))
    if table.existing == "refuse" and not is_ours and "SELECT" not in lacking and not hidden:
        yield from _foreign_rows(connection, table)


def _keeps_record(connection: Connection) -> bool:
    row = connection.execute("select to_regclass('tailrace.protection') is not null").fetchone()
    return row == (True,)


def _holds(connection: Connection, table: TargetTable) -> bool:
    """Whether there are rows that we can see."""
    name = quoted_table(table.table)
    readable = connection.execute(
        "select has_table_privilege(to_regclass(%s), 'SELECT')", (name,)
    ).fetchone()
    if readable != (True,):
        return False
    return connection.execute(f"select 1 from {name} limit 1".encode()).fetchone() is not None


def _foreign_rows(connection: Connection, table: TargetTable) -> Iterator[Finding]:
    if _holds(connection, table):
        yield not_ours(table)


def _absent(connection: Connection, server: _Server, table: TableName) -> Iterator[Finding]:
    found = connection.execute(_SCHEMA, (table.schema,)).fetchone()
    if found == (True,) or (found is None and server.creates):
        return
    schema, role = quoted(table.schema), quoted(server.role)
    made = f"CREATE SCHEMA {schema};\n" if found is None else ""
    yield Finding(
        "error",
        f"is not there, and the role {server.role} may not make it",
        str(table),
        f"{made}GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};",
    )


def _sql(fix: str | None) -> str:
    """Advice that is not SQL becomes a comment."""
    text = fix or "see the table's definition"
    return text + ";" if text.startswith(("alter ", "create unique index ")) else f"-- {text}"
