"""What an operator declares of a DuckDB target (`targets:` in tailrace.yml)."""

from __future__ import annotations

from typing import Literal

from sinks.embedded.settings import FileTarget


class DuckdbTarget(FileTarget):
    """A DuckDB file that is written, and made where it is absent."""

    type: Literal["duckdb"]
