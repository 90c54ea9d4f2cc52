"""The script a DBA runs at the source, once: role, rights, publication; and how to take it back.

For psql, which runs the statements that the \\gexec queries make for the tables of the day.
"""

from __future__ import annotations

from cdc.patterns import Pattern
from cdc.postgres.session import literal, parse_url, quoted
from cdc.postgres.settings import PostgresSource


def source_script(source: PostgresSource, name: str) -> str:
    """SQL for the source. `name` is the default of slot and publication."""
    given = parse_url(source.url)
    role = quoted(given.get("user") or "tailrace")
    publication = quoted(source.publication or name)
    tables = _tables(source)
    member = f"'ALTER PUBLICATION %I ADD TABLE %I.%I', {literal(_bare(publication))}"
    return f"""\
-- At the source, as a superuser, in database {given.get("dbname") or "(the one of the url)"}.
-- wal_level must be logical; a change of it needs a restart of the server:
--   ALTER SYSTEM SET wal_level = 'logical';
CREATE ROLE {role} LOGIN REPLICATION PASSWORD NULL;  -- then: \\password {role}
SELECT DISTINCT format('GRANT USAGE ON SCHEMA %I TO %I', nspname, {literal(_bare(role))})
{tables} \\gexec
SELECT format('GRANT SELECT ON TABLE %I.%I TO %I', nspname, relname, {literal(_bare(role))})
{tables} \\gexec
CREATE PUBLICATION {publication} WITH (publish_via_partition_root = true);
SELECT format({member}, nspname, relname)
{tables} \\gexec

-- To take it all back, after `tailrace remove`:
--   DROP PUBLICATION {publication};
--   DROP OWNED BY {role};
--   DROP ROLE {role};
"""


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"')


def _tables(source: PostgresSource) -> str:
    """FROM and WHERE over the tables that the patterns name; of partitioned ones the root."""
    patterns = source.patterns
    wanted = " OR ".join(_matches(pattern) for pattern in patterns.included)
    unwanted = "".join(f"\n  AND NOT {_matches(pattern)}" for pattern in patterns.excluded)
    return f"""\
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p') AND NOT relispartition AND ({wanted}){unwanted}
  AND nspname NOT IN ('pg_catalog', 'information_schema')"""


def _matches(pattern: Pattern) -> str:
    if pattern.exact is not None:
        return f"(nspname = {literal(pattern.exact.schema)} AND relname = {literal(pattern.exact.name)})"
    schema, _, name = pattern.text.removeprefix("!").partition(".")
    return f"(nspname LIKE {literal(_like(schema))} AND relname LIKE {literal(_like(name))})"


def _like(part: str) -> str:
    """A pattern's stars and question marks in the words of LIKE."""
    if part.startswith('"'):
        return _escaped(part[1:-1].replace('""', '"'))
    return _escaped(part).replace("*", "%").replace("?", "_")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
