"""Many rows into a table: in bulk, or by INSERT where something in between does not speak it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from sinks.mysql.session import ABOUT_ROWS, TOO_LARGE, Connection, told, warnings
from sinks.mysql.statements import Statements
from sinks.mysql.wire import DATETIME, FLOAT8, STRING
from sinks.rowtext import DOUBLE, MOMENT, TEXT, Unfit, counted
from tailrace.errors import TargetRefused

READ_ROWS = 1024
_WIRE = {TEXT: STRING, DOUBLE: FLOAT8, MOMENT: DATETIME}


class Loader:
    """How this server takes many rows. `packet_max`: bytes of a statement, or of its rows."""

    def __init__(self, connection: Connection, *, bulk: bool, packet_max: int) -> None:
        self._connection = connection
        self._bulk = bulk
        self._prepared: dict[str, int] = {}
        self.packet_max = packet_max

    def load(
        self, sql: Statements, into: str, names: Sequence[str], columns: Sequence[pa.Array]
    ) -> int:
        """Rows written. Errors: TargetRefused; pymysql's."""
        if self._bulk:
            kinds = [sql.types[name].kind for name in names]
            number = self._number("".join(sql.insert(into, names, "?")))
            try:
                written, warned = self._connection.bulk(
                    number, [_WIRE[kind] for kind in kinds], self._pieces(columns, kinds)
                )
            except Unfit:
                raise TargetRefused("a value is none of its column's type") from None
            if warned:
                refuse_warnings(self._connection)
                # The server tells only of the last piece; one by one it will say which row it was.
                raise TargetRefused("the target warned of a row")
            return written
        return self._insert(*sql.insert(into, names, "%s"), columns)

    def _number(self, statement: str) -> int:
        if statement not in self._prepared:
            self._prepared[statement] = self._connection.prepare(statement)
        return self._prepared[statement]

    def _pieces(self, columns: Sequence[pa.Array], kinds: Sequence[int]) -> Iterator[bytearray]:
        for piece in counted(columns, kinds):
            if len(piece) + READ_ROWS > self.packet_max:
                raise too_large({})
            yield piece

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
    """Errors: TargetRefused where the statement before warned about a row.

    Digits of a decimal that do not fit are cut off with a note, and no more.
    """
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
