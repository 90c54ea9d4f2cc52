"""A DuckDB file as a target."""

from __future__ import annotations

from pathlib import Path

from sinks.duckdb.engine import DuckdbEngine
from sinks.embedded.sink import EmbeddedSink


class DuckdbSink(EmbeddedSink):
    def __init__(self, path: Path, pipeline: str) -> None:
        super().__init__(DuckdbEngine(), path, pipeline)
