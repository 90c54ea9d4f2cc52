"""A SQLite file as a target."""

from __future__ import annotations

from pathlib import Path

from sinks.embedded.sink import EmbeddedSink
from sinks.sqlite.engine import SqliteEngine


class SqliteSink(EmbeddedSink):
    def __init__(self, path: Path, pipeline: str) -> None:
        super().__init__(SqliteEngine(), path, pipeline)
