"""The script for a source: settings, role, rights, publication; and how to take it all back."""

from __future__ import annotations

from cdc.patterns import Patterns
from cdc.postgres.publication import PUBLISHED
from cdc.postgres.settings import PostgresSource
from cdc.psql import head, literal, matching, quoted, role_made, role_of


def source_script(title: str, source: PostgresSource, name: str) -> str:
    """For psql. `name` is the default of slot and publication."""
    role = role_of(source.url)
    parts = [
        *head(title, source.url),
        *_SETTINGS,
        *role_made(role, "LOGIN REPLICATION"),
        *_tables(source.patterns),
        *_grants(role),
        *_publication(source.publication or name),
        "",
        "-- To take it all back, after: tailrace remove SOURCE",
        f"--   DROP PUBLICATION {quoted(source.publication or name)};",
        f"--   DROP OWNED BY {quoted(role)};",
        f"--   DROP ROLE {quoted(role)};",
    ]
    return "\n".join(parts) + "\n"


_SETTINGS = (
    "SELECT current_setting('wal_level') <> 'logical' AS must_restart \\gset",
    "\\if :must_restart",
    "ALTER SYSTEM SET wal_level = 'logical';",
    "\\echo 'Restart the server: only then are row changes in its log.'",
    "\\endif",
    "-- A slot that nobody reads should not fill the disk:",
    "--   ALTER SYSTEM SET max_slot_wal_keep_size = '40GB'; SELECT pg_reload_conf();",
    "",
)


def _tables(patterns: Patterns) -> list[str]:
    """Two views that go with the session: what the patterns name, and of partitioned tables only
    the root. `usable` as the preflight has it: publishing another breaks the application."""
    return [
        "CREATE TEMP VIEW tailrace_named AS",
        "SELECT c.oid, n.nspname, c.relname, c.relrowsecurity,",
        "    c.relkind = 'r' AND c.relhassubclass AS has_children,",
        "    c.relpersistence = 'p' AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid",
        "        AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL",
        "        AND CASE c.relreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate",
        "            WHEN 'f' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)",
        "        AS usable",
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace",
        "WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'"
        " AND n.nspname <> 'information_schema'",
        f"    AND {matching(patterns)};",
        "CREATE TEMP VIEW tailrace_tables AS SELECT * FROM tailrace_named t WHERE NOT EXISTS (",
        "    SELECT FROM pg_partition_ancestors(t.oid) a JOIN tailrace_named r ON r.oid = a.relid",
        "    WHERE a.relid <> t.oid);",
        "",
    ]


def _grants(role: str) -> list[str]:
    to = literal(role)
    return [
        f"SELECT DISTINCT format('GRANT USAGE ON SCHEMA %I TO %I', nspname, {to})",
        "    FROM tailrace_tables ORDER BY 1 \\gexec",
        f"SELECT format('GRANT SELECT ON TABLE %I.%I TO %I', nspname, relname, {to})",
        "    FROM tailrace_tables ORDER BY 1 \\gexec",
        "-- Row security would hide rows from the first copy that the log then has:",
        f"SELECT format('ALTER ROLE %I BYPASSRLS', {to}) WHERE EXISTS",
        "    (SELECT FROM tailrace_tables WHERE relrowsecurity) \\gexec",
        "",
    ]


def _publication(name: str) -> list[str]:
    known = f"FROM pg_publication p WHERE p.pubname = {literal(name)}"
    options = f"publish = '{PUBLISHED}', publish_via_partition_root = true"
    return [
        f"SELECT {literal(f'CREATE PUBLICATION {quoted(name)}')}",
        f"    {literal(f' WITH ({options})')}",
        f"    WHERE NOT EXISTS (SELECT {known}) \\gexec",
        f"SELECT format('ALTER PUBLICATION %I ADD TABLE %s%I.%I', {literal(name)},",
        "    CASE WHEN has_children THEN 'ONLY ' END, nspname, relname)",
        "    FROM tailrace_tables t WHERE usable AND NOT EXISTS (",
        f"        SELECT {known} AND (p.puballtables OR EXISTS (SELECT FROM pg_publication_rel r",
        "            WHERE r.prpubid = p.oid AND r.prrelid = t.oid))) ORDER BY 1 \\gexec",
        "-- Not published, since without a replica identity the application's own UPDATE and",
        "-- DELETE would then fail (tailrace check says what to do for each):",
        "SELECT nspname || '.' || relname AS \"left out\" FROM tailrace_tables",
        "    WHERE NOT usable ORDER BY 1;",
        "DROP VIEW tailrace_tables, tailrace_named;",
    ]
