"""Many rows into a table: in bulk, or by INSERT where something in between does not speak it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pymysql

from sinks.mysql.connection import COMMAND_BYTES
from sinks.mysql.literals import literal_rows
from sinks.mysql.session import (
    A_ROW,
    ABOUT_ROWS,
    TOO_LARGE,
    UNLIKE,
    Connection,
    told,
    translate,
    warnings,
)
from sinks.mysql.statements import Statements
from sinks.mysql.wire import DATETIME, FLOAT8, STRING
from sinks.rowtext import DOUBLE, MOMENT, TEXT, Unfit, counted
from tailrace.errors import RowRefused, TargetRefused

HEAD_BYTES = 1024
"""Of a command before its rows."""
_AT_ROW = re.compile(r" at row (\d+)$")
_WIRE = {TEXT: STRING, DOUBLE: FLOAT8, MOMENT: DATETIME}


class Loader:
    """How this server takes many rows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._prepared: dict[str, int] = {}

    def load(
        self, sql: Statements, into: str, names: Sequence[str], columns: Sequence[pa.Array]
    ) -> int:
        """Rows written. Errors: TargetRefused, with its `line` where the server says in which row a
        value is refused; TargetUnavailable.

        A trigger's statement counts its own rows, so a table with one may be misunderstood.
        """
        try:
            return self._load(sql, into, names, columns)
        except pymysql.Error as error:
            row = _AT_ROW.search(str(error.args[-1]))
            doing = A_ROW if row else "writing"
            refused = translate(error, doing, {"table": str(sql.table.table)})
            if isinstance(refused, RowRefused) and row:
                refused.line = getattr(error, "after", 0) + int(row[1])
            raise refused from None

    def _load(
        self, sql: Statements, into: str, names: Sequence[str], columns: Sequence[pa.Array]
    ) -> int:
        if self._connection.has_bulk:
            kinds = [sql.types[name].kind for name in names]
            number = self._number("".join(sql.insert(into, names, "?")))
            try:
                written, warned = self._connection.bulk(
                    number, [_WIRE[kind] for kind in kinds], self._pieces(columns, kinds)
                )
            except Unfit:
                raise TargetRefused("a value is none of its column's type") from None
            if warned:
                refuse_warnings(self._connection, 0)
                # The server tells only of the last piece; one by one it will say which row it was.
                raise TargetRefused("the target warned of a row")
            return written
        head, _ = sql.insert(into, names, "")
        return self._insert(head, [sql.types[name].read for name in names], columns)

    def _number(self, statement: str) -> int:
        if statement not in self._prepared:
            self._prepared[statement] = self._connection.prepare(statement)
        return self._prepared[statement]

    def _pieces(self, columns: Sequence[pa.Array], kinds: Sequence[int]) -> Iterator[bytearray]:
        for piece in counted(columns, kinds):
            if len(piece) + HEAD_BYTES > self._connection.packet_max:
                raise too_large({})
            yield piece

    def _insert(self, head: str, reads: Sequence[str], columns: Sequence[pa.Array]) -> int:
        written = 0
        for statement in self._statements(head, reads, columns):
            try:
                answer = self._connection.run(statement)
            except pymysql.Error as error:
                error.after = written  # type: ignore[attr-defined]
                raise
            written += answer.affected_rows
            if answer.warning_count:
                refuse_warnings(self._connection, answer.warning_count)
        return written

    def _statements(
        self, head: str, reads: Sequence[str], columns: Sequence[pa.Array]
    ) -> Iterator[str]:
        """Each of at most half a packet, unless a single row is larger."""
        packet_max = self._connection.packet_max
        room = packet_max // 2
        most = packet_max - len(head.encode()) - COMMAND_BYTES
        parts: list[str] = []
        size = 0
        try:
            for piece in literal_rows(columns, reads):
                lengths = pc.binary_length(piece).to_pylist()
                for text, length in zip(piece.to_pylist(), lengths, strict=True):
                    if length > most:
                        raise too_large({})
                    if parts and size + length > room:
                        yield head + ", ".join(parts)
                        parts, size = [], 0
                    parts.append(text)
                    size += length + 2
        except OverflowError:
            raise too_large({}) from None
        if parts:
            yield head + ", ".join(parts)


def refuse_warnings(connection: Connection, count: int) -> None:
    """Errors: TargetRefused where the statement before warned about a row, or of more than is told.

    Digits of a decimal that do not fit are cut off with a note, and no more. The server keeps
    max_error_count of them, which not every user may set.
    """
    found = warnings(connection)
    for number, text in found:
        if number in ABOUT_ROWS and number != UNLIKE:
            error = told(number, text, "writing", {})
            assert isinstance(error, TargetRefused)
            raise error
    if len(found) < count:
        raise TargetRefused(
            "the target warned of something that it does not tell",
            fix="SET GLOBAL max_error_count = 1024, and in the server's configuration",
        )


def too_large(where: dict[str, object]) -> TargetRefused:
    error = told(TOO_LARGE, "", "writing", where)
    error.fix = "SET GLOBAL max_allowed_packet = 1073741824, and in the server's configuration"
    assert isinstance(error, TargetRefused)
    return error
