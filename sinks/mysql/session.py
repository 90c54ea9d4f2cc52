"""The target's session: pinned settings, and the server's errors in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pymysql
from pymysql.constants import CLIENT, CR

from cdc.mysql.settings import arguments
from sinks.mysql.wire import BulkConnection
from tailrace.errors import TailraceError, TargetRefused, TargetUnavailable

Connection: TypeAlias = BulkConnection

SQL_MODE = (
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION"
)
PINS = (
    "set time_zone = '+00:00', autocommit = 1, foreign_key_checks = 1, unique_checks = 1,"
    f" sql_notes = 1, sql_mode = '{SQL_MODE}', max_statement_time = 0,"
    " idle_transaction_timeout = 0, idle_write_transaction_timeout = 0,"
    " wait_timeout = 31536000, net_read_timeout = 600,"
    " net_write_timeout = 600, innodb_lock_wait_timeout = 50, tx_isolation = 'READ-COMMITTED'"
)
"""All that the meaning of text depends on; and nothing may cut a batch short."""

DUPLICATE = 1062
LOCK_WAIT_TIMEOUT = 1205
TOO_LARGE = 1153

CONSTRAINTS = frozenset({DUPLICATE, 1169, 1216, 1217, 1451, 1452, 1557, 1761, 1762, 3819, 4025})
"""Unique keys, foreign keys and checks."""

_SAYS = {
    1048: "a column that may not be NULL would be",
    DUPLICATE: "another row has this value of a unique key",
    1169: "another row has this value of a unique key",
    1216: "a row that it refers to is not there",
    1217: "rows refer to it",
    1263: "a column that may not be NULL would be",
    1264: "a number is out of range",
    1265: "a value does not fit without losing something",
    1292: "a value is none of the column's type",
    1364: "a column without default gets no value",
    1366: "a value is none of the column's type",
    1406: "a value is too long",
    1411: "a value is none of the column's type",
    1416: "a value is none of the column's type",
    1441: "a value is none of the column's type",
    1451: "rows refer to it",
    1452: "a row that it refers to is not there",
    1526: "no partition takes the row",
    1557: "another row has this value of a unique key",
    1644: "a trigger or function raised an error (the target knows its text)",
    1690: "a number is out of range",
    1761: "a foreign key's action would double a unique value",
    1762: "a foreign key's action would double a unique value",
    1906: "a column that the target computes got a value",
    3819: "a check is against it",
    4025: "a check is against it",
    TOO_LARGE: "the row is larger than max_allowed_packet",
}
"""What the server says of a row, without the values that its own words hold. By errno:
https://mariadb.com/kb/en/mariadb-error-code-reference/"""

ABOUT_ROWS = frozenset(_SAYS)
_NAMES_ONLY = frozenset(
    {
        *(1005, 1021, 1028, 1040, 1044, 1045, 1046, 1049, 1053, 1060, 1064, 1094, 1095, 1114, 1142),
        *(1143, 1146, 1205, 1213, 1227, 1290, 1317, 1665, 1698, 1836, 1927, 3024),
        *range(2000, 3000),
    }
)
"""Errors that are not about rows, and whose text names no values. Nothing else is shown."""


def connect(url: str, pipeline: str) -> Connection:
    """Errors: TargetUnavailable, without the password."""
    with translated("connecting to the target"):
        return BulkConnection(
            **arguments(url),
            charset="utf8mb4",
            autocommit=True,
            client_flag=CLIENT.FOUND_ROWS,
            init_command=PINS,
            program_name=f"tailrace:{pipeline}"[:63],
        )


def execute(connection: Connection, sql: str, *values: object) -> int:
    """Rows found. Errors: pymysql's."""
    with connection.cursor() as cursor:
        return int(cursor.execute(sql, values or None))


def query(connection: Connection, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Errors: pymysql's."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall())


@contextmanager
def translated(doing: str, **where: object) -> Iterator[None]:
    """Errors: TargetUnavailable for what is not about a row; TargetRefused for what is."""
    try:
        yield
    except pymysql.Error as error:
        raise translate(error, doing, where) from None


def translate(error: pymysql.Error, doing: str, where: dict[str, object]) -> TailraceError:
    number = error.args[0] if error.args else 0
    text = str(error.args[1]) if len(error.args) > 1 else type(error).__name__
    return told(number, text, doing, where)


def told(number: int, text: str, doing: str, where: dict[str, object]) -> TailraceError:
    """An error or warning of the server as ours. `text` may hold values, which are left out."""
    place = {**where, "errno": number}
    if number not in ABOUT_ROWS:
        if number in (CR.CR_SERVER_LOST, CR.CR_SERVER_GONE_ERROR, 0):
            text = "the connection broke"
        elif number >= 1000 and number not in _NAMES_ONLY:
            text = "an error whose text may hold values (the server's manual has its number)"
        return TargetUnavailable(f"{doing}: {text}", where=place)
    if column := _COLUMN.search(text):
        place["column"] = column[1] or column[2]
    if constraint := (_KEY if number == DUPLICATE else _CONSTRAINT).search(text):
        place["constraint"] = constraint[1]
    return TargetRefused(f"{doing}: {_SAYS[number]}", where=place)


_COLUMN = re.compile(
    r"(?:for column (?:`.*`\.)?[`']([^`']+)[`'] at row \d+|^(?:Column|Field) '([^']+)' .*)$", re.S
)
_CONSTRAINT = re.compile(r"CONSTRAINT `([^`]+)`")
_KEY = re.compile(r"for key '([^']+)'$")


def warnings(connection: Connection) -> list[tuple[int, str]]:
    """(errno, text) of the statement before."""
    return [(int(row[1]), str(row[2])) for row in query(connection, "show warnings")]
