"""What an operator declares of a SQLite target (`targets:` in tailrace.yml)."""

from __future__ import annotations

from typing import Literal

from sinks.embedded.settings import FileTarget


class SqliteTarget(FileTarget):
    """A SQLite file that is written, and made where it is absent."""

    type: Literal["sqlite"]
