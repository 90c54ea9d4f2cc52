"""A net effect into one table, as sets: staged by COPY, then one statement each.

Where a batch holds only rows the source calls new, COPY goes straight into the table, which is
2.5 times as fast as the staged upsert; it falls back on a conflict, and is left alone for a while
where conflicts keep coming.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from psycopg import errors as pg

from sinks.netting import Net, Rows
from sinks.postgres.copytext import encode
from sinks.postgres.ordered import diverged
from sinks.postgres.session import Connection
from sinks.postgres.statements import Statements
from tailrace.failpoints import failpoint
from transforms.rows import TargetTable

DIRECT_FAILURES_MAX = 3
DIRECT_REST_BATCHES = 100


class TableWriter:
    """Writes one target table over one connection. Its staging table is made at first need."""

    def __init__(self, connection: Connection, table: TargetTable, number: int) -> None:
        self._connection = connection
        self.sql = Statements(table, number)
        self._has_stage = self._is_staged = False
        self._failures = 0
        self._rest = 0

    def begin(self) -> None:
        """A new transaction: the server has emptied the staging table."""
        self._is_staged = False

    def undone(self) -> None:
        """A rollback, which may have taken the staging table with it."""
        self._has_stage = False

    def delete(self, net: Net) -> int:
        """Rows that were deleted; one that left its key is counted where it went."""
        if net.deletes is None:
            return 0
        self._stage(self.sql.copy_keys, net.deletes)
        self._connection.execute(self.sql.delete)
        return len(net.deletes[0]) - net.implied

    def upsert(self, net: Net) -> int:
        """Errors: TargetRefused where a row with values not sent is not there to keep them."""
        if net.fresh and net.deletes is None and self._copied_directly(net):
            return net.upserts.count if net.upserts else 0
        written = 0
        for rows, must_exist in ((net.upserts, True), (net.patches, False)):
            for missing, part in _by_missing(rows) if rows is not None else ():
                self._stage(self.sql.copy_rows, part.columns)
                if must_exist and not missing:
                    self._connection.execute(self.sql.upsert)
                else:
                    self._update(missing, part.count if must_exist else None)
                written += part.count
        return written

    def _update(self, missing: Sequence[int], expected: int | None) -> None:
        sent = [name for i, name in enumerate(self.sql.columns) if i not in missing]
        found = self._connection.execute(self.sql.update(sent)).rowcount
        if expected is not None and found != expected:
            raise diverged(self.sql.table, expected - found)

    def _copied_directly(self, net: Net) -> bool:
        """False where rows were already there, or were so lately too often to try."""
        if net.upserts is None or net.upserts.unsent or net.patches is not None:
            return False
        if self._rest > 0:
            self._rest -= 1
            return False
        self._connection.execute("savepoint tailrace_copy")
        try:
            self._copy(self.sql.copy_directly, net.upserts.columns)
        except pg.UniqueViolation:
            self._connection.execute("rollback to tailrace_copy")
            self._failures += 1
            if self._failures >= DIRECT_FAILURES_MAX:
                self._rest, self._failures = DIRECT_REST_BATCHES, 0
            return False
        self._connection.execute("release tailrace_copy")
        self._failures = 0
        failpoint("deliver.staged")
        return True

    def _stage(self, statement: bytes, columns: Sequence[pa.Array]) -> None:
        if not self._has_stage:
            self._connection.execute(self.sql.make_stage)
            self._has_stage = True
        if self._is_staged:
            self._connection.execute(self.sql.empty_stage)
        self._is_staged = True
        self._copy(statement, columns)
        failpoint("deliver.staged")

    def _copy(self, statement: bytes, columns: Sequence[pa.Array]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for piece in encode(columns):
                copy.write(piece)


def _by_missing(rows: Rows) -> Iterator[tuple[tuple[int, ...], Rows]]:
    """Rows grouped by which of their columns were not sent; most batches are one group."""
    if not rows.unsent:
        yield (), rows
        return
    indexes = sorted(rows.unsent)
    flags = np.stack([rows.unsent[i].to_numpy(zero_copy_only=False) for i in indexes], axis=1)
    patterns, group = np.unique(flags, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        members = pa.array(np.flatnonzero(group.reshape(-1) == number))
        yield (
            tuple(indexes[i] for i in np.flatnonzero(pattern)),
            Rows(tuple(column.take(members) for column in rows.columns)),
        )
