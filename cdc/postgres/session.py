"""Connections to a PostgreSQL source, with everything pinned that the text of a value depends on.

The log is printed by the type output functions inside our replication session, and a snapshot's
rows inside our SQL session: both sessions must therefore be set alike, whatever the role, the
database or the server's configuration say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from tailrace.errors import ConfigError, PreflightError, SourceError, SourceUnavailable

Connection = psycopg.Connection[TupleRow]

APPLICATION = "tailrace"

PINS = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",  # above 0: the shortest text that reads back as the same float
    "bytea_output": "hex",
    "lc_monetary": "C",
    # Names of types and relations are printed qualified unless found by this path.
    "search_path": "pg_catalog",
}
"""Settings of every session that prints rows."""

_SQL_PINS = {
    "row_security": "off",  # a policy that would hide rows from a snapshot is an error instead
    "default_transaction_isolation": "read\\ committed",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
"""A snapshot may take hours, whatever limits a role was given for its daily work."""

_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
"""What the operator's URL may say otherwise."""


def connect(url: str) -> Connection:
    """An SQL session in autocommit mode. Errors: SourceUnavailable, ConfigError."""
    return _connect(url, {**PINS, **_SQL_PINS})


def connect_replication(url: str, *, decoding_bytes: int | None = None) -> Connection:
    """A session that takes replication commands, and SQL by the simple protocol.

    `decoding_bytes`: memory in which the server gathers transactions before it spills them to
    disk; None: as the server is set. Errors: SourceUnavailable, ConfigError.
    """
    pins = PINS
    if decoding_bytes is not None:
        pins = {**PINS, "logical_decoding_work_mem": f"{decoding_bytes >> 10}kB"}
    return _connect(url, pins, replication="database")


def _connect(url: str, pins: dict[str, str], **more: str) -> Connection:
    given = parse_url(url)
    options = " ".join(f"-c {name}={value}" for name, value in pins.items())
    merged: dict[str, Any] = {
        **_DEFAULTS,
        "application_name": APPLICATION,
        **given,
        **more,
        "client_encoding": "UTF8",
        "options": f"{given.get('options') or ''} {options}".strip(),
    }
    try:
        return psycopg.connect(make_conninfo("", **merged), autocommit=True)
    except psycopg.Error as error:
        raise SourceUnavailable(
            f"cannot connect to the source: {_told(error, given)}",
            where={key: given.get(key) for key in ("host", "port", "dbname", "user")},
        ) from None


def parse_url(url: str) -> dict[str, Any]:
    """A connection string's parts. Errors: ConfigError, which repeats nothing of it."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        given = {"host": "@"}
    if "@" in str(given.get("host", "")):  # the password's end was taken for the host
        raise ConfigError(
            "the source's url is not a connection string",
            fix="write postgresql://user:password@host:port/database, with the characters"
            " @ : / ? # % of user and password percent-encoded",
        ) from None
    return given


@contextmanager
def translated(doing: str, **where: object) -> Iterator[None]:
    """Turn what the server says inside into our errors, without any value of a row.

    Errors: SourceUnavailable for whatever may pass, PreflightError for a missing privilege,
    SourceError otherwise.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        kind: type[SourceError | PreflightError] = SourceUnavailable
        raise _error(kind, doing, error, where) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise _error(PreflightError, doing, error, where) from error
    except psycopg.Error as error:
        raise _error(SourceError, doing, error, where) from error


def quoted(*parts: str) -> str:
    """A possibly qualified identifier, quoted for SQL text."""
    return sql.Identifier(*parts).as_string(None)


def literal(text: str) -> str:
    """A string literal, for commands that take no parameters."""
    return sql.Literal(text).as_string(None)


def _error(
    kind: type[SourceError | PreflightError],
    doing: str,
    error: psycopg.Error,
    where: dict[str, object],
) -> SourceError | PreflightError:
    fix = "tailrace check names what is missing" if kind is PreflightError else None
    said = error.diag.message_primary or _first_line(str(error))
    return kind(f"{doing}: {said}", where={**where, "sqlstate": error.sqlstate}, fix=fix)


def _told(error: psycopg.Error, given: dict[str, Any]) -> str:
    text = " ".join(str(error).split()).removeprefix("connection failed: ")
    password = given.get("password")
    return text.replace(password, "***") if password else text


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[0]
