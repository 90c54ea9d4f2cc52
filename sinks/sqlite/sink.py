"""A SQLite file as a target."""

from __future__ import annotations

from pathlib import Path

from sinks.embedded.sink import EmbeddedSink
from sinks.sqlite.engine import SqliteEngine
from sinks.watch import LongWrite


class SqliteSink(EmbeddedSink):
    def __init__(self, path: Path, pipeline: str, watch: LongWrite | None = None) -> None:
        super().__init__(SqliteEngine(), path, pipeline, watch)
