"""A net effect into one table, as sets: staged, then one statement or two.

Rows are matched by the key itself, never by ON DUPLICATE KEY, which would take another row of the
same secondary unique key for the one meant. Where a batch holds only rows the source calls new, it
goes straight into the table; that is a guess, which the target answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pymysql

from sinks.guess import Guess
from sinks.mysql.loading import Loader
from sinks.mysql.selfrefs import parents_first
from sinks.mysql.session import AMONG_ROWS, REFERRED_TO, Connection, execute, translated
from sinks.mysql.statements import Statements
from sinks.netting import Net, Rows, by_missing
from sinks.ordered import diverged
from tailrace.errors import RowRefused, TargetRefused
from tailrace.failpoints import failpoint


class TableWriter:
    """Writes one target table over one connection. Its staging tables are made at first need."""

    def __init__(self, connection: Connection, loader: Loader, sql: Statements) -> None:
        self._connection = connection
        self._loader = loader
        self.sql = sql
        self._made: set[str] = set()
        self._all_new = Guess()

    def stage_keys(self, keys: Sequence[pa.Array]) -> None:
        """Have these in the staging table of keys, and nothing else."""
        self._stage(self.sql.keys, self.sql.table.key, keys)

    def delete(self, net: Net) -> int:
        if net.deletes is None:
            return 0
        with translated("writing", table=str(net.table.table)):
            self._stage(self.sql.keys, self.sql.table.key, net.deletes)
            delete_freed(self._connection, self.sql.delete, self.sql.free)
        return len(net.deletes[0]) - net.implied

    def upsert(self, net: Net) -> int:
        """Errors: TargetRefused where a row with values not sent is not there to keep them."""
        try:
            with translated("writing", table=str(net.table.table)):
                if (rows := net.inserts) is not None and self._loaded_directly(self._ordered(rows)):
                    return rows.count
                return self._staged(net)
        except RowRefused as refused:
            if refused.line is not None and net.seq is not None and not self.sql.own:
                refused.seq = net.seq[refused.line - 1].as_py()
                refused.where["key_columns"] = ", ".join(net.table.key)
            raise

    def _staged(self, net: Net) -> int:
        written = 0
        for rows, must_exist in ((net.upserts, True), (net.patches, False)):
            for missing, part in by_missing(rows) if rows is not None else ():
                self._stage(self.sql.rows, self.sql.columns, self._ordered(part).columns)
                found = self._update(missing)
                if must_exist and found < part.count:
                    if missing:
                        raise diverged(self.sql.table, part.count - found)
                    absent = self.sql.insert_absent if found else self.sql.insert_all
                    execute(self._connection, absent)
                written += part.count
        return written

    def _ordered(self, rows: Rows) -> Rows:
        """Staged, too, they are taken from the first to the last."""
        if not self.sql.own:
            return rows
        return Rows(parents_first(self.sql.columns, rows.columns, self.sql.own), rows.unsent)

    def _update(self, missing: Sequence[int]) -> int:
        sent = [name for i, name in enumerate(self.sql.columns) if i not in missing]
        return execute(self._connection, self.sql.update(sent))

    def _loaded_directly(self, rows: Rows) -> bool:
        """False where rows were already there, or were so lately too often to try."""
        if not self._all_new.is_worth_trying():
            return False
        self._connection.soon("savepoint tailrace_load")
        try:
            with translated("writing"):
                written = self._loader.load(self.sql, self.sql.name, self.sql.columns, rows.columns)
            right = written == rows.count
        except TargetRefused as refused:
            if refused.where.get("errno") not in AMONG_ROWS:
                self._explain(refused, rows)
                raise  # staged, it would be refused, too
            right = False
        self._all_new.was(right)
        if not right:
            self._connection.soon("rollback to tailrace_load")
            return False
        failpoint("deliver.staged")
        return True

    def _explain(self, refused: TargetRefused, rows: Rows) -> None:
        """A staging table has no trigger: what it says of the row alone is about its values.

        Errors: RowRefused, with its `line`.
        """
        if not isinstance(refused, RowRefused) or refused.line is None:
            return
        line, refused.line = refused.line, None
        self._connection.soon("rollback to tailrace_load")
        row = [column.slice(line - 1, 1) for column in rows.columns]
        try:
            self._stage(self.sql.rows, self.sql.columns, row)
        except RowRefused as alone:
            alone.line = line
            raise

    def _stage(self, stage: str, names: Sequence[str], columns: Sequence[pa.Array]) -> None:
        if stage not in self._made:
            for statement in self.sql.make(stage):
                self._connection.soon(statement)
            self._made.add(stage)
        else:
            self._connection.soon(f"delete from {stage}")
        staged = self._loader.load(self.sql, stage, names, columns)
        if staged != len(columns[0]):  # one by one it is told which are missing
            raise TargetRefused(f"the target staged {staged} of {len(columns[0])} rows")
        failpoint("deliver.staged")


def delete_freed(connection: Connection, delete: str, free: str | None) -> None:
    """Delete; where rows of the same table refer to what goes, these are given no parent before.

    Errors: pymysql's.
    """
    try:
        execute(connection, delete)
    except pymysql.Error as error:
        if free is None or error.args[0] not in REFERRED_TO:
            raise
        execute(connection, free)
        execute(connection, delete)
