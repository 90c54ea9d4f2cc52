"""The target's session: pinned settings, and the server's errors in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict

from sinks.postgres.connection import PREPARED_MAX, Session
from tailrace.errors import RowRefused, TailraceError, TargetRefused, TargetUnavailable

Connection = Session

PINS = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "read\\ committed",
    "row_security": "off",
}
"""All that the meaning of text depends on, as at the source; and nothing may cut a batch short.
With row_security off a policy that would hide rows is an error, not a silent filter."""

PREPARED_FROM = 2
"""Statements are prepared at their third use."""

_SYSTEMIC = (
    pg.OperationalError,  # connection, shutdown, resources, disk full, lock and deadlock classes
    pg.InsufficientPrivilege,
    pg.ReadOnlySqlTransaction,
    pg.InvalidAuthorizationSpecification,
    pg.InvalidCatalogName,
    pg.InternalError,
)
"""Not about a row: the same row may well go through once someone has mended the target."""

_ABOUT_ROWS = ("22", "23", "44", "54000", "P0001")
"""Begins of SQLSTATEs that are: data exceptions, constraints, a view's check option, a row too
large for its table or index, and what a trigger raises. All others are the statement's."""


_ABOUT_VALUES = ("22", "23502", "23514")
"""What a row earns by its values, whatever came before it: none of the type, NULL, a check."""


_BIT_LENGTH = "22026"
"""By COPY a bit string's length is looked at before its digits, in a statement after them: not all
of one say the same."""

A_ROW = "the target refused a row"


def connect(url: str, pipeline: str) -> Connection:
    """Errors: TargetUnavailable, without the password."""
    try:
        given = conninfo_to_dict(url).get("options") or ""
        connection = Session.connect(
            url,
            autocommit=True,
            options=" ".join([str(given), *(f"-c {key}={value}" for key, value in PINS.items())]),
            application_name=application_name(pipeline),
            connect_timeout=10,
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=60_000,
            prepare_threshold=PREPARED_FROM,
        )
        connection.prepared_max = PREPARED_MAX
        if connection.info.server_version >= 170000:
            connection.execute("set transaction_timeout = 0")
        return connection
    except psycopg.ProgrammingError as error:
        raise TargetUnavailable("the target's url is not one PostgreSQL understands") from error
    except psycopg.Error as error:
        raise TargetUnavailable(
            f"cannot connect to the target: {_first_line(error)}",
            fix="see that the server runs and takes this role, database and password",
        ) from None


def application_name(pipeline: str) -> str:
    return f"tailrace:{pipeline}"[:63]


@contextmanager
def translated(doing: str, **where: object) -> Iterator[None]:
    """The server's errors as ours. Its DETAIL and CONTEXT hold values, so they are left out.

    Errors: TargetUnavailable for what passes; RowRefused for what is about a row; TargetRefused.
    """
    try:
        yield
    except pg.Error as error:
        raise translate(error, doing, where) from None


def translate(error: psycopg.Error, doing: str, where: dict[str, object]) -> TailraceError:
    sqlstate = error.sqlstate
    place = {**where, "sqlstate": sqlstate, "column": _column(error)}
    if error.diag.constraint_name:
        place["constraint"] = error.diag.constraint_name
    if sqlstate is not None and sqlstate.startswith(_ABOUT_ROWS):
        by_values = sqlstate.startswith(_ABOUT_VALUES) and sqlstate != _BIT_LENGTH
        line = _line(error) if by_values else None
        refused = RowRefused(f"{doing if line is None else A_ROW}: {_message(error)}", where=place)
        refused.line = line
        return refused
    if isinstance(error, _SYSTEMIC) or sqlstate is None:
        return TargetUnavailable(f"{doing}: {_message(error)}", where=place)
    return TargetRefused(f"{doing}: {_message(error)}", where=place)


def _message(error: psycopg.Error) -> str:
    """The server's sentence without the values it may quote.

    Messages of class 22 (data exception) end in the value, or hold it as in ``value "7" is out of
    range for type smallint``; what a trigger raises may hold anything.
    """
    text = error.diag.message_primary or _first_line(error)
    if error.diag.source_function == "exec_stmt_raise":
        return "a trigger or function raised an error (the server's log has its text)"
    return without_value(text) if (error.sqlstate or "").startswith("22") else text


_QUOTE = re.compile(r"[\"'«»‹›„“”‚‘’「」『』]")
"""A server speaks the language of its lc_messages, which only a superuser sets."""


def without_value(text: str) -> str:
    """A message of class 22 up to what it quotes."""
    quote = _QUOTE.search(text)
    if quote is None:
        return text
    known = re.search(r'" (is out of range for type [a-z0-9 ]+)$', text)
    return f"{text[: quote.start()]}(value not shown)" + (f" {known[1]}" if known else "")


def _column(error: psycopg.Error) -> str | None:
    if error.diag.column_name:
        return error.diag.column_name
    # COPY names the column in CONTEXT: `COPY stage, line 3, column amount: "x"`.
    matched = re.search(
        r"^COPY .*?, line \d+, column (.*?)(?:: |$)", error.diag.context or "", re.M
    )
    return matched[1] if matched else None


def _line(error: psycopg.Error) -> int | None:
    """And the line; what stands before it is of a trigger, which may look at other rows."""
    matched = re.match(r"COPY .*?, line (\d+)(?:,|:|$)", error.diag.context or "", re.M)
    return int(matched[1]) if matched else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
