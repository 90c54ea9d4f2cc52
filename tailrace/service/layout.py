"""Where a project keeps what it makes: everything below ``<project>/.tailrace``.

.tailrace/journal/<source>/   the journal, and readers' hints
.tailrace/exceptions/         what waits at the exceptions desk of each pipeline, with its values
.tailrace/checkpoints/        those of targets that can hold none, such as APIs
.tailrace/lookups/            copies of looked up tables, for each pipeline
.tailrace/freshness/          the newest values written, of entities that promise freshness
.tailrace/run/                what each process last said of itself
.tailrace/metrics/            the processes' metrics, while they run
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    project: Path

    @property
    def root(self) -> Path:
        return self.project / ".tailrace"

    def exceptions(self, pipeline: str) -> Path:
        return self.root / "exceptions" / f"{pipeline}.db"

    def checkpoint(self, pipeline: str) -> Path:
        return self.root / "checkpoints" / f"{pipeline}.db"

    def lookups(self, pipeline: str) -> Path:
        return self.root / "lookups" / f"{pipeline}.json"

    def newest(self, pipeline: str) -> Path:
        return self.root / "freshness" / f"{pipeline}.json"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics"
