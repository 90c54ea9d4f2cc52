"""Which adapter is whose: one line a type."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from config.project import Target
from tailrace.service.targets.adapter import TargetAdapter

_ADAPTERS = {
    "postgres": ("postgres", "PostgresAdapter"),
    "mariadb": ("mysql", "MysqlAdapter"),
    "mysql": ("mysql", "MysqlAdapter"),
    "sqlite": ("files", "SqliteAdapter"),
    "duckdb": ("files", "DuckdbAdapter"),
    "kafka": ("kafka", "KafkaAdapter"),
    "http": ("http", "HttpAdapter"),
}


def adapter_of(target: Target) -> TargetAdapter[Any]:
    module, name = _ADAPTERS[target.type]
    made = getattr(import_module(f"tailrace.service.targets.{module}"), name)(target)
    assert isinstance(made, TargetAdapter)
    return made
