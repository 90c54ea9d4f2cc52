"""Where one source's journal keeps its files.

<project>/.tailrace/journal/<source>/
    journal.db (-wal, -shm)   the index and the small entries
    journal.db.lock           held by the one writer
    segments/<offset>         large entries, in files named by the first offset they hold
    wake/<reader>             a FIFO for each reader that is alive
    hints/<pipeline>          each pipeline's own copy of its checkpoint
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class JournalPaths:
    """The places around one journal's database file."""

    file: Path

    @classmethod
    def of(cls, project: Path, source: str) -> JournalPaths:
        return cls(project / ".tailrace" / "journal" / source / "journal.db")

    @property
    def directory(self) -> Path:
        return self.file.parent

    @property
    def lock(self) -> Path:
        return self.file.with_name(self.file.name + ".lock")

    @property
    def segments(self) -> Path:
        return self.directory / "segments"

    @property
    def wake(self) -> Path:
        return self.directory / "wake"

    @property
    def hints(self) -> Path:
        return self.directory / "hints"
