"""Whether a target can be written, before anything is; and the script that makes it so."""

from __future__ import annotations

from contextlib import closing

from psycopg.conninfo import conninfo_to_dict

from cdc.findings import Finding
from sinks.postgres.names import quoted
from sinks.postgres.session import connect, translated
from sinks.postgres.settings import PostgresTarget

OLDEST = 140000


def inspect(target: PostgresTarget) -> list[Finding]:
    """Everything found wrong. Errors: TargetUnavailable when nothing can be looked at."""
    findings = []
    with closing(connect(target.url, "check")) as connection, translated("looking at the target"):
        version = connection.info.server_version
        if version < OLDEST:
            findings.append(
                Finding(
                    "error",
                    f"the target is PostgreSQL {version // 10000}; 14 is the oldest supported",
                    "server",
                    "-- upgrade the server",
                )
            )
        row = connection.execute(
            "select pg_is_in_recovery(), current_user::text, current_database()::text,"
            " has_database_privilege(current_database(), 'create'),"
            " has_database_privilege(current_database(), 'temporary'),"
            " to_regclass('tailrace.checkpoint') is not null,"
            " current_setting('server_encoding')"
        ).fetchone()
        assert row is not None
        standby, role, database, creates, stages, known, encoding = row
        grant = f"GRANT %s ON DATABASE {quoted(str(database))} TO {quoted(str(role))};"
        if standby:
            findings.append(
                Finding("error", "the target is a standby", "server", "-- name the primary")
            )
        if not creates and not known:
            findings.append(
                Finding(
                    "error",
                    "the role may not create schema tailrace, which holds the checkpoint",
                    f"database {database}",
                    grant % "CREATE",
                )
            )
        if not stages:
            findings.append(
                Finding(
                    "error",
                    "the role may not create temporary tables, in which rows are staged",
                    f"database {database}",
                    grant % "TEMPORARY",
                )
            )
        if encoding != "UTF8":
            findings.append(
                Finding(
                    "warning",
                    f"the target's encoding is {encoding}: a character it lacks stops delivery",
                    f"database {database}",
                    "-- create the database with ENCODING 'UTF8'",
                )
            )
    return findings


def target_script(target: PostgresTarget) -> str:
    """SQL for the target, for psql."""
    given = conninfo_to_dict(target.url)
    role = quoted(str(given.get("user") or "tailrace"))
    database = quoted(str(given.get("dbname") or "hub"))
    return f"""\
-- At the target, as a superuser, in database {given.get("dbname") or "(the one of the url)"}.
CREATE ROLE {role} LOGIN PASSWORD NULL;  -- then: \\password {role}
GRANT CREATE, TEMPORARY ON DATABASE {database} TO {role};
-- Tables that exist already and are to be written:
--   GRANT USAGE ON SCHEMA … TO {role};
--   GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLE … TO {role};

-- To take it all back (this also drops the tables the role has made):
--   DROP OWNED BY {role};
--   DROP ROLE {role};
"""
