"""Rows into a table: LOAD DATA LOCAL from memory, or INSERT where the server does not allow it.

The server treats LOAD DATA LOCAL as if it said IGNORE, since it cannot stop the sender: what is not
right becomes a warning. So any warning about a row is a refusal here.
https://mariadb.com/kb/en/load-data-infile/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pymysql
from pymysql.constants import COMMAND
from pymysql.protocol import OKPacketWrapper

from sinks.copytext import encode
from sinks.mysql.session import ABOUT_ROWS, TOO_LARGE, Connection, told, warnings
from sinks.mysql.statements import Statements
from tailrace.errors import TargetRefused

PACKET_BYTES = 1 << 18
READ_ROWS = 1024


class Loader:
    """How this server takes many rows. `packet_max`: bytes of a statement."""

    def __init__(self, connection: Connection, *, local: bool, packet_max: int) -> None:
        self._connection = connection
        self._local = local
        self.packet_max = packet_max

    def load(
        self, sql: Statements, into: str, names: Sequence[str], columns: Sequence[pa.Array]
    ) -> int:
        """Rows written. Errors: TargetRefused; pymysql's."""
        if self._local:
            return self._load(sql.load(into, names), columns)
        return self._insert(*sql.insert(into, names), columns)

    def _load(self, statement: str, columns: Sequence[pa.Array]) -> int:
        connection: Any = self._connection
        connection._execute_command(COMMAND.COM_QUERY, statement)
        if not connection._read_packet().is_load_local_packet():
            connection._force_close()
            raise pymysql.OperationalError(0, "the server did not ask for the rows")
        try:
            for piece in encode(columns):
                for first in range(0, len(piece), PACKET_BYTES):
                    connection.write_packet(piece[first : first + PACKET_BYTES])
        except BaseException:
            connection._force_close()  # the server still waits for rows
            raise
        connection.write_packet(b"")
        answer = OKPacketWrapper(connection._read_packet())
        if answer.warning_count:
            refuse_warnings(self._connection)
        return int(answer.affected_rows)

    def _insert(self, head: str, row: str, columns: Sequence[pa.Array]) -> int:
        written = 0
        for statement in self._statements(head, row, columns):
            with self._connection.cursor() as cursor:
                written += cursor.execute(statement)
                if cursor.warning_count:
                    refuse_warnings(self._connection)
        return written

    def _statements(self, head: str, row: str, columns: Sequence[pa.Array]) -> Iterator[str]:
        """Each of at most half a packet, unless a single row is larger."""
        room = self.packet_max // 2
        with self._connection.cursor() as cursor:
            parts: list[str] = []
            size = 0
            for first in range(0, len(columns[0]), READ_ROWS):
                some = [column.slice(first, READ_ROWS).to_pylist() for column in columns]
                for values in zip(*some, strict=True):
                    text = cursor.mogrify(row, values)
                    length = len(text.encode())
                    if length + len(head) > self.packet_max:
                        raise too_large({})
                    if parts and size + length > room:
                        yield head + ", ".join(parts)
                        parts, size = [], 0
                    parts.append(text)
                    size += length + 2
            if parts:
                yield head + ", ".join(parts)


def refuse_warnings(connection: Connection, **where: object) -> None:
    """Errors: TargetRefused where the statement before warned about a row."""
    for number, text in warnings(connection):
        if number in ABOUT_ROWS:
            error = told(number, text, "writing", where)
            assert isinstance(error, TargetRefused)
            raise error


def too_large(where: dict[str, object]) -> TargetRefused:
    error = told(TOO_LARGE, "", "writing", where)
    error.fix = "SET GLOBAL max_allowed_packet = 1073741824, and in the server's configuration"
    assert isinstance(error, TargetRefused)
    return error
