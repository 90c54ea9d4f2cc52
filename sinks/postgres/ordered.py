"""Changes one by one (see `sinks.ordered`), with statements sent before answers are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from sinks.applying import SAVEPOINT
from sinks.ordered import Row, Values, at, count, diverged, in_order
from sinks.postgres.session import Connection, translate
from sinks.postgres.statements import Statements
from sinks.protocol import Written
from tailrace.errors import TailraceError
from transforms.rows import DELETE, UPSERT, RowChanges, TargetTable

PIPELINED_MAX = 256
"""Statements sent before their answers are read."""


def apply_in_order(
    connection: Connection,
    changes: Sequence[RowChanges],
    statements: Mapping[TargetTable, Statements],
) -> dict[str, Written]:
    """All of `changes` inside a savepoint, which after a refusal is still there.

    Errors: RowRefused with the place of the refused change; TargetRefused.
    """
    run = _Run(connection, statements)
    counts: dict[str, Written] = {}
    try:
        with connection.pipeline() as pipeline:
            connection.execute(f"savepoint {SAVEPOINT}", prepare=False)
            for row in in_order(changes):
                run.send(row, pipeline)
                count(row, counts)
            if run.asks:
                run.settle(pipeline)
            connection.execute(f"release {SAVEPOINT}", prepare=False)
            run.settle(pipeline)
    except psycopg.Error as error:
        raise run.located(error) from None
    return counts


class _Run:
    """Statements on their way, and what is to be looked at when their answers are there."""

    def __init__(
        self, connection: Connection, statements: Mapping[TargetTable, Statements]
    ) -> None:
        self._connection = connection
        self._statements = statements
        self._waiting: list[tuple[psycopg.Cursor[tuple[object, ...]], Row]] = []

    def send(self, row: Row, pipeline: psycopg.Pipeline) -> None:
        sql = self._statements[row.table]
        if row.op == DELETE:
            self._execute(row, sql.delete_row, row.key)
        elif row.op == UPSERT and not row.moves and not row.missing:
            self._execute(row, sql.upsert_row, row.values)
        else:
            self._execute(row, sql.update_row(row.missing), (*row.sent, *row.key))
            if row.moves and not row.missing:
                # Whole rows need no row to move: what is not there is put there.
                cursor = self._waiting[-1][0]
                self.settle(pipeline)
                if cursor.rowcount == 0:
                    self._execute(row, sql.upsert_row, row.values)
        if len(self._waiting) >= PIPELINED_MAX:
            self.settle(pipeline)

    def _execute(self, row: Row, statement: bytes, values: Values) -> None:
        cursor = self._connection.cursor()
        self._waiting.append((cursor, row))
        cursor.execute(statement, values)

    @property
    def asks(self) -> bool:
        """Whether an answer on its way may still tell that a row is not there."""
        return any(row.must_exist for _, row in self._waiting)

    def settle(self, pipeline: psycopg.Pipeline) -> None:
        """Read all answers. Errors: RowRefused for a row not there; the server's."""
        pipeline.sync()
        for cursor, row in self._waiting:
            if row.must_exist and cursor.rowcount == 0:
                raise at(row, diverged(row.table, 1))
        self._waiting.clear()

    def located(self, error: psycopg.Error) -> TailraceError:
        """The server's error in our words, at the first row that has no answer."""
        rows = [row for cursor, row in self._waiting if cursor.pgresult is None]
        if not rows:
            return translate(error, "writing", {})
        return at(rows[0], translate(error, "the target refused a row", rows[0].place))
