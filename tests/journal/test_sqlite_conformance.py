"""The embedded journal keeps every promise, with payloads in the database, in segments, in both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.journal.conformance import JournalConformance
from tailrace.journal.sqlite import SqliteReader, SqliteWriter


@pytest.mark.parametrize("inline_bytes_max", [1 << 30, 0, None], ids=["inline", "segments", "both"])
class TestSqliteJournal(JournalConformance):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path, inline_bytes_max: int | None) -> None:
        self.path = tmp_path / "erp" / "journal.db"
        self.sizes = {} if inline_bytes_max is None else {"inline_bytes_max": inline_bytes_max}

    def open_writer(self) -> SqliteWriter:
        return SqliteWriter(self.path, segment_bytes=100_000, **self.sizes)

    def open_reader(self, name: str = "reader") -> SqliteReader:
        return SqliteReader(self.path, name)
