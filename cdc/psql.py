r"""Pieces of the scripts that a DBA runs in psql, once, at a source or a target.

They do not know which tables there are: their queries make the statements for those that patterns
name on the day (``\gexec``; with ``\g`` in its place they are shown and not run). Everything can
be run again: what is there already is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from cdc.patterns import OWN_SCHEMA, Pattern, Patterns

_PLAIN = re.compile(r"[A-Za-z0-9_./:,-]+")
_PLACE = ("host", "hostaddr", "port", "sslmode", "target_session_attrs")


def quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def literal(text: str) -> str:
    return sql.Literal(text).as_string(None)


def role_of(url: str) -> str:
    """Whom the url names, else ``tailrace``."""
    return str(conninfo_to_dict(url).get("user") or "tailrace")


def head(title: str, url: str) -> list[str]:
    """The beginning of a section: the same administrator, at the database of `url`."""
    given = conninfo_to_dict(url)
    place = {key: str(given[key]) for key in _PLACE if given.get(key)}
    place["dbname"] = str(given.get("dbname") or given.get("user") or "postgres")
    words = " ".join(f"{key}={_for_libpq(value)}" for key, value in place.items())
    return [
        f"-- {title}",
        "\\set ON_ERROR_STOP on",
        f"\\connect -reuse-previous=on {_for_psql(words)}",
        "",
    ]


def role_made(role: str, attributes: str) -> list[str]:
    return [
        f"SELECT {literal(f'CREATE ROLE {quoted(role)}')} WHERE NOT EXISTS",
        f"    (SELECT FROM pg_roles WHERE rolname = {literal(role)}) \\gexec",
        f"ALTER ROLE {quoted(role)} {attributes};",
        f"-- Give it a password: \\password {quoted(role)}",
        f"SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), {literal(role)})",
        "    \\gexec",
        "",
    ]


def matching(patterns: Patterns) -> str:
    """A condition on pg_namespace `n` and pg_class `c`: the same as `Patterns.matches`."""
    meant = _any(patterns.included)
    if not patterns.excluded:
        return meant
    return f"{meant}\n    AND NOT {_any(patterns.excluded)}"


def _any(patterns: Sequence[Pattern]) -> str:
    return "(" + "\n        OR ".join(f"({_one(pattern)})" for pattern in patterns) + ")"


def _one(pattern: Pattern) -> str:
    schema, name = map(literal, pattern.posix())
    ours = "" if pattern.exact or pattern.excludes else f" AND n.nspname <> '{OWN_SCHEMA}'"
    return f"n.nspname ~ {schema} AND c.relname ~ {name}{ours}"


def _for_libpq(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _for_psql(argument: str) -> str:
    escaped = argument.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
