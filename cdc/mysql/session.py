"""Sessions at a MariaDB or MySQL source: pinned settings, and the server's errors in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pymysql
from pymysql.constants import CR, ER

from cdc.mysql.settings import arguments
from cdc.mysql.tls import OfferedTls
from tailrace.errors import PreflightError, SourceUnavailable
from tailrace.keepalive import keep_alive

Connection: TypeAlias = "pymysql.Connection[Any]"

PINS = (
    "SET time_zone = '+00:00', sql_mode = '', sql_quote_show_create = 1, lc_messages = 'en_US',"
    " sql_select_limit = 18446744073709551615, sql_big_selects = 1,"
    " wait_timeout = 31536000, net_write_timeout = 600"
    " /*M! , max_statement_time = 0, idle_transaction_timeout = 0,"
    " idle_readonly_transaction_timeout = 0 */ /*!80000 , max_execution_time = 0 */"
)
"""All that the text of a value depends on, or of a table's definition; and nothing may cut a read
short, in length or in time.

Each server runs what stands in the comments that are meant for it.
"""

_RIGHT_MISSING = {
    ER.DBACCESS_DENIED_ERROR,
    ER.TABLEACCESS_DENIED_ERROR,
    ER.COLUMNACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
}
_SILENT_S = 60


def connect(url: str) -> Connection:
    """Errors: SourceUnavailable, without the password."""
    try:
        with translated("connecting to the source"):
            connection: Any = OfferedTls(
                **arguments(url),
                charset="utf8mb4",
                autocommit=True,
                init_command=PINS,
                read_timeout=None,
                write_timeout=_SILENT_S,
            )
    except OSError as error:  # of a file of certificates; the network's are PyMySQL's
        raise SourceUnavailable(
            f"connecting to the source: the url's certificates: {error}",
            fix="see to ssl_ca, ssl_cert and ssl_key in the source's url",
        ) from None
    keep_alive(connection._sock)
    return connection  # type: ignore[no-any-return]


@contextmanager
def translated(doing: str, **where: object) -> Iterator[None]:
    """Errors: PreflightError for a missing right, SourceUnavailable for everything else."""
    try:
        yield
    except pymysql.Error as error:
        number = error.args[0] if error.args else None
        text = str(error.args[1]) if len(error.args) > 1 else type(error).__name__
        if number in _RIGHT_MISSING:
            raise PreflightError(
                f"{doing}: {text}",
                where={**where, "errno": number},
                fix="grant what is missing; tailrace check --sql lists all that is needed",
            ) from None
        if number in (CR.CR_SERVER_LOST, CR.CR_SERVER_GONE_ERROR):
            text = "the connection broke"
        raise SourceUnavailable(f"{doing}: {text}", where={**where, "errno": number}) from None


def query(connection: Connection, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows. Errors: as `translated`."""
    with translated("asking the source"), connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall())
