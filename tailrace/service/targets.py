"""What commands ask of a target, whatever its type."""

from __future__ import annotations

from collections.abc import Sequence

from cdc.findings import Finding
from config.project import Target
from sinks.mysql.settings import MariadbTarget, MysqlTarget
from transforms.rows import TargetTable


def look(target: Target, tables: Sequence[TargetTable], pipelines: Sequence[str]) -> list[Finding]:
    """What stands against `pipelines` writing `tables`. Errors: TargetUnavailable."""
    if isinstance(target, MariadbTarget | MysqlTarget):
        from sinks.mysql import preflight

        return preflight.inspect(target, tables, pipelines)
    from sinks.postgres.preflight import inspect

    return inspect(target, tables, pipelines)
