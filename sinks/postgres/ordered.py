"""Changes one by one (see `sinks.ordered`), with statements sent before answers are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from sinks.applying import SAVEPOINT
from sinks.ordered import Row, Values, at, count, diverged, in_order
from sinks.postgres.connection import Answer
from sinks.postgres.session import A_ROW, Connection, translate
from sinks.postgres.statements import Statements
from sinks.protocol import Written
from tailrace.errors import TailraceError
from transforms.rows import DELETE, UPSERT, RowChanges, TargetTable


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
    connection.soon(f"savepoint {SAVEPOINT}".encode())
    try:
        for row in in_order(changes):
            run.send(row)
            count(row, counts)
        connection.settle()
    except psycopg.Error as error:
        raise _located(error) from None
    connection.soon(f"release {SAVEPOINT}".encode())
    return counts


class _Run:
    def __init__(
        self, connection: Connection, statements: Mapping[TargetTable, Statements]
    ) -> None:
        self._connection = connection
        self._statements = statements
        self._found = False

    def send(self, row: Row) -> None:
        sql = self._statements[row.table]
        if row.op == DELETE:
            self._soon(row, sql.delete_row, row.key)
        elif row.op == UPSERT and not row.moves and not row.missing:
            self._soon(row, sql.upsert_row, row.values)
        else:
            self._soon(row, sql.update_row(row.missing), (*row.sent, *row.key))
            if row.moves and not row.missing:
                # Whole rows need no row to move: what is not there is put there.
                self._connection.settle()
                if not self._found:
                    self._soon(row, sql.upsert_row, row.values)

    def _soon(self, row: Row, statement: bytes, values: Values) -> None:
        def then(answer: Answer) -> None:
            self._found = bool(answer.command_tuples)
            if row.must_exist and not self._found:
                raise at(row, diverged(row.table, 1))

        self._connection.soon(statement, values, then=then, of=row)


def _located(error: psycopg.Error) -> TailraceError:
    """The server's error in our words, at the row it is about."""
    row = getattr(error, "of", None)
    if row is None:
        return translate(error, "writing", {})
    return at(row, translate(error, A_ROW, row.place))
