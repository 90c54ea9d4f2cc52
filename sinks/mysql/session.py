"""The target's session: pinned settings, and the server's errors in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pymysql
from pymysql.constants import CLIENT, CR

from cdc.mysql.settings import arguments
from sinks.mysql.connection import Session
from sinks.mysql.passing import PASSING
from sinks.mysql.products import Product, verified
from tailrace.errors import RowRefused, TailraceError, TargetRefused, TargetUnavailable

Connection: TypeAlias = Session

SQL_MODE = (
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION"
)
UNTIMED = (
    "set autocommit = 1 /*M!100101 , max_statement_time = 0 */ /*!50708 , max_execution_time = 0 */"
)
"""Before anything is asked: a server may limit the time of each statement, and it never cuts a SET
short. Each server runs what stands in the comment that is meant for it."""
PINS = (
    "set time_zone = '+00:00', autocommit = 1, completion_type = 0, foreign_key_checks = 1,"
    f" unique_checks = 1, sql_notes = 1, sql_mode = '{SQL_MODE}',"
    " sql_safe_updates = 0, sql_big_selects = 1, sql_select_limit = 18446744073709551615,"
    " sql_auto_is_null = 0, lc_messages = 'en_US',"
    " wait_timeout = 31536000, net_read_timeout = 600,"
    " net_write_timeout = 600, innodb_lock_wait_timeout = 50, lock_wait_timeout = 50"
)
"""All that the meaning of text depends on; and nothing may cut a batch short. `Product.pins` are
more of them."""

A_ROW = "the target refused a row"

DUPLICATE = 1062
LOCK_WAIT_TIMEOUT = 1205
TOO_LARGE = 1153
UNLIKE = 1977
"""A character cannot be one of a column's. As a warning: where a key is compared, so none is it."""

AMONG_ROWS = frozenset({DUPLICATE, 1169, 1216, 1217, 1451, 1452, 1557, 1761, 1762})
"""Unique keys and foreign keys: constraints by which a row may be in the way of another."""

REFERRED_TO = frozenset({1217, 1451})

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
    1299: "a value is none of the column's type",
    1300: "a text has characters that the column cannot hold",
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
    1365: "something is divided by zero",
    1906: "a column that the target computes got a value",
    1918: "a value is none of the column's type",
    UNLIKE: "a text has characters that the column cannot hold",
    3105: "a column that the target computes got a value",
    3854: "a text has characters that the column cannot hold",
    3140: "a value is none of the column's type",
    3157: "JSON is nested too deep",
    3819: "a check is against it",
    4025: "a check is against it",
    TOO_LARGE: "the row is larger than max_allowed_packet",
}
"""What the server says of a row, without the values that its own words hold. By errno:
https://mariadb.com/kb/en/mariadb-error-code-reference/"""

ABOUT_ROWS = frozenset(_SAYS)
"""Of warnings only these refuse a row: others are a trigger's, or about the log."""
_NAMES_ONLY = frozenset(
    {
        *(1005, 1021, 1028, 1040, 1044, 1045, 1046, 1049, 1053, 1060, 1064, 1094, 1095, 1114, 1142),
        *(1054, 1143, 1146, 1205, 1213, 1227, 1290, 1317, 1665, 1698, 1836, 1927, 3024),
        *range(2000, 3000),
        # What only MySQL says: of replication groups, of accounts, of settings, of idle sessions.
        *(1197, 1524, 1792, 1820, 1862, 3032, 3058, 3098, 3100, 3101, 3118, 3159, 3572, 3750, 4031),
    }
)
"""Errors that are not about rows, and whose text names no values. Nothing else is shown."""


def connect(url: str, pipeline: str, product: Product) -> Connection:
    """Errors: TargetUnavailable, without the password; TargetRefused for another product."""
    with translated("connecting to the target"):
        connection = _login(url, pipeline)
        try:
            ((version, packet_max),) = query(connection, "select version(), @@max_allowed_packet")
            verified(str(version), product)
            connection.product, connection.packet_max = product, int(packet_max)
            execute(connection, f"{PINS}, {product.pins}")
        except BaseException:
            connection.close()
            raise
    return connection


def _login(url: str, pipeline: str) -> Connection:
    try:
        return Session(
            **arguments(url),
            charset="utf8mb4",
            autocommit=True,
            init_command=UNTIMED,
            client_flag=CLIENT.FOUND_ROWS | CLIENT.MULTI_STATEMENTS,
            program_name=f"tailrace:{pipeline}"[:63],
        )
    except pymysql.Error as error:
        number, text = _parts(error)
        raise _unavailable(number, text, "connecting to the target", {"errno": number}) from None
    except OSError as error:  # of a file of certificates; the network's are PyMySQL's
        raise TargetUnavailable(
            f"connecting to the target: the url's certificates: {error}",
            fix="see to ssl_ca, ssl_cert and ssl_key in the target's url",
        ) from None


def execute(connection: Connection, sql: str, *values: object) -> int:
    """Rows found. Errors: pymysql's."""
    return int(connection.run(sql, values).affected_rows)


def query(connection: Connection, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Errors: pymysql's."""
    return list(connection.run(sql, values).rows)


@contextmanager
def translated(doing: str, **where: object) -> Iterator[None]:
    """Errors: TargetUnavailable for what passes; RowRefused for what is about a row; else
    TargetRefused."""
    try:
        yield
    except pymysql.Error as error:
        raise translate(error, doing, where) from None


def translate(error: pymysql.Error, doing: str, where: dict[str, object]) -> TailraceError:
    return told(*_parts(error), doing, where)


def _parts(error: pymysql.Error) -> tuple[int, str]:
    """(errno, text). What PyMySQL says without a number is about the connection."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    return number, str(error.args[1]) if len(error.args) > 1 else type(error).__name__


def told(number: int, text: str, doing: str, where: dict[str, object]) -> TailraceError:
    """An error or warning of the server as ours. `text` may hold values, which are left out."""
    place = {**where, "errno": number}
    if number in PASSING or number == 0:
        return _unavailable(number, text, doing, place)
    if number not in ABOUT_ROWS:
        return TargetRefused(f"{doing}: {_shown(number, text)}", where=place)
    if column := _COLUMN.search(text):
        place["column"] = column[1] or column[2] or column[3]
    if constraint := (_KEY if number == DUPLICATE else _CONSTRAINT).search(text):
        place["constraint"] = constraint[1]
    return RowRefused(f"{doing}: {_SAYS[number]}", where=place)


def _unavailable(number: int, text: str, doing: str, place: dict[str, object]) -> TargetUnavailable:
    if number in (CR.CR_SERVER_LOST, CR.CR_SERVER_GONE_ERROR, 0):
        text = "the connection broke"
    return TargetUnavailable(f"{doing}: {_shown(number, text)}", where=place)


def _shown(number: int, text: str) -> str:
    if number < 1000 or number in _NAMES_ONLY:
        return text
    return "an error whose text may hold values (the server's manual has its number)"


_COLUMN = re.compile(
    r"(?:for column (?:`.*`\.)?[`']([^`']+)[`'] at row \d+|^(?:Column|Field) '([^']+)' .*"
    r"|value for column '(?:[^'.]+\.)?([^']+)'\.)$",
    re.S,
)
_CONSTRAINT = re.compile(r"(?:CONSTRAINT `|^Check constraint ')([^`']+)[`']")
_KEY = re.compile(r"for key '(?:[^'.]*\.)?([^']+)'$")
# MySQL puts the table before the name of a key, and of a column in some errors.


def warnings(connection: Connection) -> list[tuple[int, str]]:
    """(errno, text) of the statement before."""
    return [(int(row[1]), str(row[2])) for row in query(connection, "show warnings")]
