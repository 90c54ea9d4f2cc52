"""A net effect into one table, as sets: staged by COPY, then one statement each.

Where a batch holds only rows the source calls new, COPY goes straight into the table, which is
2.5 times as fast as the staged upsert; where it holds rows that were there before, one UPDATE
costs a sixth less than the upsert, which locks each row first. Both are guesses, which the target
answers: with a conflict, or with fewer rows than were staged. Then the upsert follows, and a table
that keeps proving a guess wrong is not asked for a while.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from psycopg import errors as pg

from sinks.guess import Guess
from sinks.netting import Net, Rows, by_missing
from sinks.ordered import diverged
from sinks.postgres.session import Connection, translated
from sinks.postgres.statements import Statements
from sinks.rowtext import copy_text
from tailrace.errors import RowRefused
from tailrace.failpoints import failpoint
from transforms.rows import TargetTable

_JOINS = ("hashjoin", "mergejoin")
LOOK_UP = b"; ".join(f"set local enable_{join} = off".encode() for join in _JOINS)
PLAN_FREELY = b"; ".join(f"set local enable_{join} to default".encode() for join in _JOINS)


class TableWriter:
    """Writes one target table over one connection. Its staging table is made at first need."""

    def __init__(self, connection: Connection, table: TargetTable, number: int) -> None:
        self._connection = connection
        self.sql = Statements(table, number)
        self._has_stage = self._is_staged = False
        self._all_new = Guess()
        self._all_known = Guess()

    def begin(self) -> None:
        """A new transaction: the server has emptied the staging table."""
        self._is_staged = False

    def undone(self) -> None:
        """A rollback, which may have taken the staging table with it."""
        self._has_stage = False

    def stage_keys(self, keys: Sequence[pa.Array]) -> None:
        """Have these in the key columns of the staging table, and nothing else."""
        self._stage(self.sql.copy_keys, keys)

    def delete(self, net: Net) -> int:
        """Rows that were deleted; one that left its key is counted where it went."""
        if net.deletes is None:
            return 0
        with translated("writing", table=str(net.table.table)):
            self._stage(self.sql.copy_keys, net.deletes)
            self._by_key(self.sql.delete)
        return len(net.deletes[0]) - net.implied

    def upsert(self, net: Net) -> int:
        """Errors: TargetRefused where a row with values not sent is not there to keep them."""
        try:
            with translated("writing", table=str(net.table.table)):
                if (rows := net.inserts) is not None and self._copied_directly(rows):
                    return rows.count
                return self._staged(net)
        except RowRefused as refused:
            if refused.line is not None and net.seq is not None:
                refused.seq = net.seq[refused.line - 1].as_py()
                refused.where["key_columns"] = ", ".join(net.table.key)
            raise

    def _staged(self, net: Net) -> int:
        written = 0
        for rows, must_exist in ((net.upserts, True), (net.patches, False)):
            for missing, part in by_missing(rows) if rows is not None else ():
                self._stage(self.sql.copy_rows, part.columns)
                if must_exist and not missing:
                    self._upsert(part.count, known=not net.fresh)
                elif (absent := part.count - self._update(missing)) and must_exist:
                    raise diverged(self.sql.table, absent)
                written += part.count
        return written

    def _upsert(self, count: int, *, known: bool) -> None:
        if known and self.sql.others and self._all_known.is_worth_trying():
            all_known = self._update(()) == count
            self._all_known.was(all_known)
            if all_known:
                return
        self._connection.run(self.sql.upsert)

    def _update(self, missing: Sequence[int]) -> int:
        sent = [name for i, name in enumerate(self.sql.columns) if i not in missing]
        return self._by_key(self.sql.update(sent))

    def _by_key(self, statement: bytes) -> int:
        """Execute a join with the staged rows; return how many rows it found.

        The planner knows nothing of a staging table just filled, and would rather read the whole
        target for a hash join than look up each key in its index.
        """
        self._soon(LOOK_UP)
        found = self._connection.run(statement)
        self._soon(PLAN_FREELY)
        return found

    def _soon(self, statements: bytes) -> None:
        for statement in statements.split(b"; "):
            self._connection.soon(statement)

    def _copied_directly(self, rows: Rows) -> bool:
        """False where rows were already there, or were so lately too often to try."""
        if not self._all_new.is_worth_trying():
            return False
        self._connection.soon(b"savepoint tailrace_copy")
        try:
            self._copy(self.sql.copy_directly, rows.columns)
        except pg.UniqueViolation:
            self._connection.soon(b"rollback to tailrace_copy")
            self._all_new.was(False)
            return False
        self._connection.soon(b"release tailrace_copy")
        self._all_new.was(True)
        failpoint("deliver.staged")
        return True

    def _stage(self, statement: bytes, columns: Sequence[pa.Array]) -> None:
        if not self._has_stage:
            self._connection.soon(self.sql.make_stage)
            self._has_stage = True
        if self._is_staged:
            self._connection.soon(self.sql.empty_stage)
        self._is_staged = True
        self._copy(statement, columns)
        failpoint("deliver.staged")

    def _copy(self, statement: bytes, columns: Sequence[pa.Array]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for piece in copy_text(columns):
                copy.write(piece)
