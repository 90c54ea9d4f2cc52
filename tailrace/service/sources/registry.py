"""Which adapter is whose: one line a type."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from config.project import Project
from tailrace.service.sources.adapter import SourceAdapter

_ADAPTERS = {
    "postgres": ("postgres", "PostgresAdapter"),
    "mariadb": ("mysql", "BinlogAdapter"),
    "mysql": ("mysql", "BinlogAdapter"),
    "kafka-debezium": ("debezium", "DebeziumAdapter"),
}


def adapter_of(project: Project, source: str) -> SourceAdapter[Any]:
    settings = project.sources[source]
    module, name = _ADAPTERS[settings.type]
    made = getattr(import_module(f"tailrace.service.sources.{module}"), name)(
        settings, f"tailrace_{project.project}_{source}"[:63]
    )
    assert isinstance(made, SourceAdapter)
    return made
