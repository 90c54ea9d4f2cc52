"""A DuckDB file as a target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sinks.applying import SAVEPOINT, nets, sets
from sinks.batches import joined
from sinks.duckdb.engine import DuckdbEngine
from sinks.duckdb.moves import whole
from sinks.duckdb.runs import kinds, runs
from sinks.duckdb.write import DuckdbCodec, TableWriter, Unread
from sinks.embedded.ordered import apply_rows
from sinks.embedded.sink import EmbeddedSink, alone
from sinks.netting import NeedsOrder
from sinks.ordered import Row, count, diverged
from sinks.protocol import Written
from sinks.watch import LongWrite
from tailrace.errors import TargetRefused
from transforms.rows import RowChanges

_RUN = "tailrace_run"
_TRUSTING = "tailrace_trusting"


class DuckdbSink(EmbeddedSink):
    def __init__(self, path: Path, pipeline: str, watch: LongWrite | None = None) -> None:
        super().__init__(DuckdbEngine(path), path, pipeline, watch)

    @alone
    def write(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        self._begin()
        self.savepoint(_TRUSTING)
        try:
            return super().write(changes)
        except Unread:
            self.undo(_TRUSTING)
            for change in changes:
                codec = self._codecs[change.table]
                assert isinstance(codec, DuckdbCodec)
                codec.tries = True
            return super().write(changes)
        finally:
            if self._in_transaction:
                self.release(_TRUSTING)

    def in_order(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        self.savepoint(SAVEPOINT)
        counts = self._made_whole(changes)
        if counts is not None:
            return counts
        counts = {}
        for run in runs(changes):
            self._moves(len(run))
            if len(run) == 1 or not self._applied(run):
                apply_rows(self._engine, self._connected(), run, self._statements, counts)
                continue
            for row in run:
                count(row, counts)
        return counts

    def _made_whole(self, changes: Sequence[RowChanges]) -> dict[str, Written] | None:
        """As sets, with what moves made whole; None, and nothing of it, where that cannot be."""
        tables = dict.fromkeys(change.table for change in changes)
        joined_ = [joined([one for one in changes if one.table == table]) for table in tables]
        if not any(change.unsent and change.old_key is not None for change in joined_):
            return None
        made = [self._whole(change) for change in joined_]
        if all(one is None for one in made):
            return None
        self.savepoint(_RUN)
        counts: dict[str, Written] = {}
        try:
            now = [one or change for one, change in zip(made, joined_, strict=True)]
            sets(self, nets(self.references, now), counts)
        except (NeedsOrder, TargetRefused):
            self.abandon(_RUN)
            return None
        self.release(_RUN)
        return counts

    def _whole(self, change: RowChanges) -> RowChanges | None:
        if not change.unsent or change.old_key is None:
            return None
        writer = self._writers[change.table]
        assert isinstance(writer, TableWriter)
        with self._translated("reading what was not sent", table=str(change.table.table)):
            return whole(change, writer.stored)

    def _applied(self, run: Sequence[Row]) -> bool:
        """As sets; False, and nothing of it, where that is refused."""
        self.savepoint(_RUN)
        try:
            for (table, op, moves, missing), rows, columns in kinds(run):
                writer = self._writers[table]
                assert isinstance(writer, TableWriter)
                with self._translated("writing", table=str(table.table)):
                    found = writer.write_run(op, moves, missing, columns)
                if found < len(rows) and (moves or rows[0].must_exist):
                    raise diverged(table, len(rows) - found)
        except TargetRefused:
            self.abandon(_RUN)
            return False
        self.release(_RUN)
        return True
