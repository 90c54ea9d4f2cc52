"""SQLite and DuckDB files as targets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from cdc.findings import Finding
from cdc.patterns import Patterns
from sinks.duckdb.settings import DuckdbTarget
from sinks.embedded.session import Engine
from sinks.protocol import Line, Sink
from sinks.sqlite.settings import SqliteTarget
from tailrace.service.targets.adapter import Delivery, TargetAdapter, pipelines_of, tables_of

File = TypeVar("File", bound=SqliteTarget | DuckdbTarget)


class _FileAdapter(TargetAdapter[File]):
    @abstractmethod
    def engine(self) -> Engine: ...

    def script(self, name: str, writes: Patterns, pipelines: Sequence[str]) -> str:
        return f"-- Target {name}: a file, {self.settings.path}; nothing is to be granted.\n"

    def look(self, lines: Sequence[Line]) -> list[Finding]:
        from sinks.embedded.preflight import inspect

        return inspect(self.engine(), self.settings.file, tables_of(lines), pipelines_of(lines))


class SqliteAdapter(_FileAdapter[SqliteTarget]):
    def engine(self) -> Engine:
        from sinks.sqlite.engine import SqliteEngine

        return SqliteEngine()

    def sink(self, delivery: Delivery) -> Sink:
        from sinks.sqlite.sink import SqliteSink

        return SqliteSink(self.settings.file, delivery.pipeline, delivery.write)


class DuckdbAdapter(_FileAdapter[DuckdbTarget]):
    def engine(self) -> Engine:
        from sinks.duckdb.engine import DuckdbEngine

        return DuckdbEngine(self.settings.file)

    def sink(self, delivery: Delivery) -> Sink:
        from sinks.duckdb.sink import DuckdbSink

        return DuckdbSink(self.settings.file, delivery.pipeline, delivery.write)
