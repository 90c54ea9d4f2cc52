"""Changes one by one (see `sinks.ordered`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pymysql

from sinks.applying import SAVEPOINT
from sinks.mysql.families import JSON, sent
from sinks.mysql.loading import COMMAND_BYTES, refuse_warnings, too_large
from sinks.mysql.names import quoted, quoted_table
from sinks.mysql.session import DUPLICATE, Connection, execute, translate, translated
from sinks.mysql.statements import Statements
from sinks.ordered import Row, at, count, diverged, in_order
from sinks.protocol import Written
from tailrace.errors import TargetRefused
from transforms.rows import DELETE, UPSERT, RowChanges, TargetTable

JSON_LEVELS_MAX = 31
"""https://mariadb.com/kb/en/json_valid/: a document of 32 levels is none."""


def apply_in_order(
    connection: Connection,
    changes: Sequence[RowChanges],
    statements: Mapping[TargetTable, Statements],
    packet_max: int,
) -> dict[str, Written]:
    """All of `changes` after a savepoint, which stays.

    Errors: RowRefused with the place of the refused change; TargetRefused.
    """
    with translated("writing"):
        execute(connection, f"savepoint {SAVEPOINT}")
    counts: dict[str, Written] = {}
    for row in in_order(changes):
        one = _One(connection, statements[row.table], packet_max, row)
        try:
            one.apply()
        except pymysql.Error as error:
            refusal = translate(error, "the target refused a row", row.place)
            refusal.fix = _advice(row.table, refusal.where) or refusal.fix
            raise at(row, refusal) from None
        except TargetRefused as refused:
            refused.where = {**row.place, **refused.where}
            raise at(row, refused) from None
        count(row, counts)
    return counts


def _advice(table: TargetTable, where: Mapping[str, object]) -> str | None:
    """For documents that are JSON to the source and none to MariaDB."""
    for column in table.columns:
        if where.get("constraint") == f"{table.table.name}.{column.name}" and (
            sent(column).family == JSON
        ):
            return (
                f"MariaDB's JSON has at most {JSON_LEVELS_MAX} levels: to keep deeper documents,"
                f" alter table {quoted_table(table.table)} modify {quoted(column.name)} longtext"
            )
    return None


class _One:
    """One row. Errors: TargetRefused; pymysql's."""

    def __init__(self, connection: Connection, sql: Statements, packet_max: int, row: Row) -> None:
        self._connection = connection
        self._sql = sql
        self._packet_max = packet_max
        self._row = row

    def apply(self) -> None:
        row = self._row
        if row.op == DELETE:
            self._execute(self._sql.delete_row, self._sql.key_values(row.key))
        elif row.op == UPSERT and not row.moves and not row.missing:
            self._put()
        else:
            found = self._update()
            if found == 0 and row.must_exist:
                raise diverged(row.table, 1)
            if found == 0 and row.moves:
                # Whole rows need no row to move: what is not there is put there.
                self._put()

    def _put(self) -> None:
        """Insert or update, first what is the likelier: a statement that fails leaves nothing."""
        if not self._row.change.fresh:
            if self._update(at_new_key=True) == 0:
                self._execute(self._sql.insert_row, self._row.values)
            return
        try:
            self._execute(self._sql.insert_row, self._row.values)
        except pymysql.Error as error:
            if error.args[0] != DUPLICATE or self._update(at_new_key=True) == 0:
                raise

    def _update(self, *, at_new_key: bool = False) -> int:
        row = self._row
        key = tuple(row.values[i] for i in row.table.key_indexes) if at_new_key else row.key
        statement = self._sql.update_row(row.missing)
        return self._execute(statement, [*row.sent, *self._sql.key_values(key)])

    def _execute(self, statement: str, values: Sequence[object]) -> int:
        with self._connection.cursor() as cursor:
            text = cursor.mogrify(statement, values)
            most = self._packet_max - COMMAND_BYTES
            if len(text) * 4 > most and len(text.encode()) > most:
                raise too_large({})
            found = int(cursor.execute(text))
            if cursor.warning_count:
                refuse_warnings(self._connection, cursor.warning_count)
            return found
