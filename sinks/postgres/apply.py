"""A net effect into one table, as sets: staged by COPY, then one statement each.

Where a batch holds only rows the source calls new, COPY goes straight into the table, which is
2.5 times as fast as the staged upsert; it falls back on a conflict, and is left alone for a while
where conflicts keep coming.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from psycopg import errors as pg

from sinks.netting import Net, Rows
from sinks.postgres.copytext import encode
from sinks.postgres.session import Connection
from sinks.postgres.statements import Statements
from tailrace.errors import TargetRefused
from tailrace.failpoints import failpoint
from transforms.rows import TargetTable

DIRECT_FAILURES_MAX = 3
DIRECT_REST_BATCHES = 100


class TableWriter:
    """Writes one target table over one connection."""

    def __init__(self, connection: Connection, table: TargetTable, number: int) -> None:
        self._connection = connection
        self.sql = Statements(table, number)
        self._connection.execute(self.sql.make_stages.encode())
        self._rows_staged = self._keys_staged = False
        self._failures = 0
        self._rest = 0

    def begin(self) -> None:
        """A new transaction: the server has emptied the staging tables."""
        self._rows_staged = self._keys_staged = False

    def may_copy_directly(self, net: Net) -> bool:
        if not net.fresh or net.deletes is not None or net.upserts is None or net.upserts.unsent:
            return False
        self._rest = max(0, self._rest - 1)
        return self._rest == 0

    def copy_directly(self, net: Net) -> bool:
        """Inside a savepoint of the caller's; False where rows were already there."""
        assert net.upserts is not None
        try:
            self._copy(self.sql.copy_direct, net.upserts.columns)
        except pg.UniqueViolation:
            self._failures += 1
            if self._failures >= DIRECT_FAILURES_MAX:
                self._rest, self._failures = DIRECT_REST_BATCHES, 0
            return False
        self._failures = 0
        return True

    def delete(self, net: Net) -> int:
        if net.deletes is None:
            return 0
        if self._keys_staged:
            self._connection.execute(self.sql.empty_key_stage.encode())
        self._copy(self.sql.copy_keys, net.deletes)
        self._keys_staged = True
        failpoint("deliver.staged")
        self._connection.execute(self.sql.delete.encode())
        return len(net.deletes[0])

    def upsert(self, net: Net) -> int:
        """Errors: TargetRefused where a row with values not sent is not there to keep them."""
        written = 0
        for rows, must_exist in ((net.upserts, True), (net.patches, False)):
            if rows is None:
                continue
            for sent, part in _by_sent_columns(rows, self.sql.columns):
                self._stage(part)
                if must_exist and len(sent) == len(self.sql.columns):
                    self._connection.execute(self.sql.upsert.encode())
                else:
                    self._update(sent, part.count, must_exist)
                written += part.count
        return written

    def _update(self, sent: Sequence[str], count: int, must_exist: bool) -> None:
        found = self._connection.execute(self.sql.update(sent).encode()).rowcount
        if must_exist and found != count:
            raise diverged(self.sql.table, count - found)

    def _stage(self, rows: Rows) -> None:
        if self._rows_staged:
            self._connection.execute(self.sql.empty_stage.encode())
        self._copy(self.sql.copy_rows, rows.columns)
        self._rows_staged = True
        failpoint("deliver.staged")

    def _copy(self, statement: str, columns: Sequence[pa.Array]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for piece in encode(columns):
                copy.write(piece)


def diverged(table: TargetTable, rows: int) -> TargetRefused:
    return TargetRefused(
        f"{rows} row(s) that the source only partly sent are not in the target",
        where={"table": str(table.table), "key_columns": ", ".join(table.key)},
        fix="the target has lost rows: copy the table anew. To have the source send whole rows,"
        " set REPLICA IDENTITY FULL there",
    )


def _by_sent_columns(rows: Rows, names: Sequence[str]) -> list[tuple[Sequence[str], Rows]]:
    """Rows grouped by which of their columns were sent; most batches are one group."""
    if not rows.unsent:
        return [(names, rows)]
    indexes = sorted(rows.unsent)
    flags = np.stack([rows.unsent[i].to_numpy(zero_copy_only=False) for i in indexes], axis=1)
    patterns, group = np.unique(flags, axis=0, return_inverse=True)
    groups: list[tuple[Sequence[str], Rows]] = []
    for number, pattern in enumerate(patterns):
        missing = {indexes[i] for i in np.flatnonzero(pattern)}
        members = pa.array(np.flatnonzero(group.reshape(-1) == number))
        groups.append(
            (
                [name for i, name in enumerate(names) if i not in missing],
                Rows(tuple(column.take(members) for column in rows.columns)),
            )
        )
    return groups
