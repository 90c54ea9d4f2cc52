"""One change of a row: what may be done with it, and what has been tried."""

from __future__ import annotations

from enum import Enum, auto

import pymysql

from sinks.mysql.connection import COMMAND_BYTES
from sinks.mysql.loading import refuse_warnings, too_large
from sinks.mysql.session import DUPLICATE, Connection
from sinks.mysql.statements import Statements
from sinks.ordered import Row, Values, diverged
from transforms.rows import DELETE, UPSERT


class Way(Enum):
    """An update knows the row by the key it had until now, or by the one it has from now on."""

    DELETE = auto()
    INSERT = auto()
    UPDATE = auto()
    UPDATE_BY_NEW_KEY = auto()


class OneRow:
    """Each of its ways is for what the one before did not find; the likeliest is the first."""

    def __init__(self, connection: Connection, sql: Statements, row: Row) -> None:
        self._connection = connection
        self._sql = sql
        self.row = row
        self._ways = _ways(row)
        self._tried = 0

    @property
    def way(self) -> Way:
        return self._ways[self._tried]

    @property
    def has_another(self) -> bool:
        return self._tried + 1 < len(self._ways)

    def turn(self) -> None:
        self._tried += 1

    @property
    def key(self) -> Values:
        """By which it is known on its way."""
        return self.row.key if self.way in (Way.DELETE, Way.UPDATE) else self.new_key

    @property
    def new_key(self) -> Values:
        return tuple(self.row.values[i] for i in self.row.table.key_indexes)

    @property
    def statement(self) -> bytes:
        """Errors: TargetRefused for a row that no packet can hold."""
        sql, row = self._sql, self.row
        if self.way is Way.INSERT:
            text = self._connection.filled(sql.insert_row, row.values)
        elif self.way is Way.DELETE:
            text = self._connection.filled(sql.delete_row, sql.key_values(self.key))
        else:
            values = [*row.sent, *sql.key_values(self.key)]
            text = self._connection.filled(sql.update_row(row.missing), values)
        if len(text) > self._connection.packet_max - COMMAND_BYTES:
            raise too_large({})
        return text

    def apply(self) -> None:
        """From the first way on, asking after each. Errors: TargetRefused; pymysql's."""
        self._tried = 0
        while not self._is_done():
            if not self.has_another:
                if self.row.must_exist:
                    raise diverged(self.row.table, 1)
                return
            self.turn()

    def _is_done(self) -> bool:
        try:
            answer = self._connection.run(self.statement)
        except pymysql.Error as error:
            if error.args[0] == DUPLICATE and self.way is Way.INSERT and self.has_another:
                return False  # a statement that fails leaves nothing
            raise
        if answer.warning_count:
            refuse_warnings(self._connection, answer.warning_count)
        return bool(answer.affected_rows)


def _ways(row: Row) -> tuple[Way, ...]:
    if row.op == DELETE:
        return (Way.DELETE,)
    if row.op != UPSERT or row.missing:
        return (Way.UPDATE,)
    if row.moves:  # whole rows need no row to move: what is not there is put there
        return (Way.UPDATE, Way.UPDATE_BY_NEW_KEY, Way.INSERT)
    if row.change.fresh:
        return (Way.INSERT, Way.UPDATE, Way.INSERT)
    return (Way.UPDATE, Way.INSERT)
