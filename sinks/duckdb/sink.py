"""A DuckDB file as a target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sinks.applying import SAVEPOINT
from sinks.duckdb.engine import DuckdbEngine
from sinks.duckdb.runs import kinds, runs
from sinks.duckdb.write import TableWriter
from sinks.embedded.ordered import apply_rows
from sinks.embedded.sink import EmbeddedSink
from sinks.ordered import Row, count, diverged
from sinks.protocol import Written
from sinks.watch import LongWrite
from tailrace.errors import TargetRefused
from transforms.rows import RowChanges

_RUN = "tailrace_run"


class DuckdbSink(EmbeddedSink):
    def __init__(self, path: Path, pipeline: str, watch: LongWrite | None = None) -> None:
        super().__init__(DuckdbEngine(path), path, pipeline, watch)

    def in_order(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        self.savepoint(SAVEPOINT)
        counts: dict[str, Written] = {}
        for run in runs(changes):
            self._moves(len(run))
            if len(run) == 1 or not self._applied(run):
                apply_rows(self._engine, self._connected(), run, self._statements, counts)
                continue
            for row in run:
                count(row, counts)
        return counts

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
