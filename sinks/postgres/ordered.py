"""Changes one by one, in the source's order.

This always holds: the source itself went through these states, so a target with the same
constraints can too: unique values that changed hands, parents replaced under their children, keys
that moved with values that were not sent. It is how a handful of changes is applied anyway (a
pipelined round trip, where staging takes several), what sets fall back to, and how the first row
that the target refuses is found.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import psycopg

from sinks.batches import sliced
from sinks.postgres.copytext import as_text
from sinks.postgres.session import Connection, translate
from sinks.postgres.statements import Statements
from sinks.protocol import Written
from tailrace.errors import TailraceError, TargetRefused
from transforms.rows import DELETE, UPSERT, RowChanges, TargetTable

PIPELINED_MAX = 256
"""Statements sent before their answers are read."""

SAVEPOINT = "tailrace"

READ_ROWS = 1024
"""Rows turned into Python values at once."""

Values = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """One change. `key` is the row's until now; `missing` are indexes of columns not sent."""

    seq: int
    change: RowChanges
    sql: Statements
    op: int
    values: Values
    key: Values
    moves: bool
    missing: tuple[int, ...]

    @property
    def sent(self) -> Values:
        if not self.missing:
            return self.values
        return tuple(value for i, value in enumerate(self.values) if i not in self.missing)


def apply_in_order(
    connection: Connection, changes: Sequence[tuple[RowChanges, Statements]]
) -> dict[str, Written]:
    """All of `changes` inside a savepoint, which after a refusal by the server is still there.

    Errors: TargetRefused with attribute `seq`, the place of the refused change.
    """
    run = _Run(connection)
    counts: dict[str, Written] = {}
    try:
        with connection.pipeline() as pipeline:
            connection.execute(f"savepoint {SAVEPOINT}")
            for row in heapq.merge(*(_rows(*one) for one in changes), key=attrgetter("seq")):
                run.send(row, pipeline)
                count = counts.setdefault(str(row.change.table.table), Written())
                if row.op == DELETE:
                    count.deleted += 1
                else:
                    count.upserted += 1
            connection.execute(f"release {SAVEPOINT}")
            run.settle(pipeline)
    except psycopg.Error as error:
        raise run.located(error) from None
    return counts


class _Run:
    """Statements on their way, and what is to be looked at when their answers are there."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: list[tuple[psycopg.Cursor[tuple[object, ...]], _Row]] = []

    def send(self, row: _Row, pipeline: psycopg.Pipeline) -> None:
        if row.op == DELETE:
            self._execute(row, row.sql.delete_row, row.key)
        elif row.op == UPSERT and not row.moves and not row.missing:
            self._execute(row, row.sql.upsert_row, row.values)
        else:
            self._execute(row, row.sql.update_row(row.missing), (*row.sent, *row.key))
            if row.moves and not row.missing:
                # Whole rows need no row to move: what is not there is put there.
                cursor = self._waiting[-1][0]
                self.settle(pipeline)
                if cursor.rowcount == 0:
                    self._execute(row, row.sql.upsert_row, row.values)
        if len(self._waiting) >= PIPELINED_MAX:
            self.settle(pipeline)

    def _execute(self, row: _Row, statement: bytes, values: Values) -> None:
        cursor = self._connection.cursor()
        self._waiting.append((cursor, row))
        cursor.execute(statement, values)

    def settle(self, pipeline: psycopg.Pipeline) -> None:
        """Read all answers. Errors: TargetRefused for a row not there; the server's."""
        pipeline.sync()
        for cursor, row in self._waiting:
            if row.missing and row.op == UPSERT and cursor.rowcount == 0:
                raise _at(row, diverged(row.change.table, 1))
        self._waiting.clear()

    def located(self, error: psycopg.Error) -> TailraceError:
        """The server's error in our words, at the first row that has no answer."""
        rows = [row for cursor, row in self._waiting if cursor.pgresult is None]
        if not rows:
            return translate(error, "writing", {})
        row = rows[0]
        place: dict[str, object] = {
            "table": str(row.change.table.table),
            "source_table": row.change.source or None,
            "key_columns": ", ".join(row.change.table.key),
        }
        return _at(row, translate(error, "the target refused a row", place))


def _at(row: _Row, error: TailraceError) -> TailraceError:
    error.seq = row.seq  # type: ignore[attr-defined]
    return error


def diverged(table: TargetTable, rows: int) -> TargetRefused:
    return TargetRefused(
        f"{rows} row(s) that the source only partly sent are not in the target",
        where={"table": str(table.table), "key_columns": ", ".join(table.key)},
        fix="the target has lost rows: copy the table anew. To have the source send whole rows,"
        " set REPLICA IDENTITY FULL there",
    )


def _rows(change: RowChanges, sql: Statements) -> Iterator[_Row]:
    for first in range(0, change.rows, READ_ROWS):
        yield from _read(sliced(change, first, min(READ_ROWS, change.rows - first)), sql)


def _read(change: RowChanges, sql: Statements) -> Iterator[_Row]:
    values = list(zip(*(as_text(column).to_pylist() for column in change.values), strict=True))
    unsent = {i: flags.to_pylist() for i, flags in change.unsent.items()}
    old_keys = None
    if change.old_key is not None:
        old_keys = list(zip(*(as_text(part).to_pylist() for part in change.old_key), strict=True))
    key_indexes = change.table.key_indexes
    for at, (seq, op) in enumerate(zip(change.seq.to_pylist(), change.op.to_pylist(), strict=True)):
        moves = old_keys is not None and op == UPSERT and old_keys[at][0] is not None
        yield _Row(
            seq=seq,
            change=change,
            sql=sql,
            op=op,
            values=values[at],
            key=old_keys[at]
            if moves and old_keys is not None
            else tuple(values[at][i] for i in key_indexes),
            moves=moves,
            missing=tuple(i for i, flags in unsent.items() if flags[at]),
        )
