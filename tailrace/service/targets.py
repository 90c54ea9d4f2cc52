"""What commands ask of a target, whatever its type."""

from __future__ import annotations

from collections.abc import Sequence

from cdc.findings import Finding
from config.project import Target
from sinks.discrepancies import Discrepancy
from sinks.duckdb.settings import DuckdbTarget
from sinks.embedded.session import Engine
from sinks.embedded.settings import FileTarget
from sinks.http.settings import HttpTarget
from sinks.identity_people import People
from sinks.kafka.settings import KafkaTarget
from sinks.mysql.settings import MariadbTarget, MysqlTarget
from sinks.postgres.settings import PostgresTarget
from transforms.rows import TargetTable


def look(target: Target, tables: Sequence[TargetTable], pipelines: Sequence[str]) -> list[Finding]:
    """What stands against `pipelines` writing `tables`. Errors: TargetUnavailable."""
    if isinstance(target, HttpTarget):
        from sinks.http import preflight as http

        return http.inspect(target, tables, pipelines)
    if isinstance(target, MariadbTarget | MysqlTarget):
        from sinks.mysql import preflight

        return preflight.inspect(target, tables, pipelines)
    if isinstance(target, KafkaTarget):
        from sinks.kafka.preflight import inspect as inspect_kafka

        return inspect_kafka(target, tables, pipelines)
    if isinstance(target, FileTarget):
        from sinks.embedded.preflight import inspect as inspect_file

        return inspect_file(_engine(target), target.file, tables, pipelines)
    from sinks.postgres.preflight import inspect

    return inspect(target, tables, pipelines)


def discrepancies(target: Target, entities: Sequence[str], limit: int) -> list[Discrepancy]:
    """At most `limit` that the target knows of these entities. Errors: TargetUnavailable."""
    if isinstance(target, KafkaTarget):
        return []  # `config.brokers` refuses entities of several sources
    if isinstance(target, FileTarget):
        return []  # `config.embedded` refuses what could differ
    if isinstance(target, HttpTarget):
        return []
    if isinstance(target, MariadbTarget | MysqlTarget):
        from sinks.mysql.discrepancies import read as read_mariadb

        return read_mariadb(target, entities, limit)
    from sinks.postgres.discrepancies import read

    return read(target, entities, limit)


def _engine(target: FileTarget) -> Engine:
    if isinstance(target, DuckdbTarget):
        from sinks.duckdb.engine import DuckdbEngine

        return DuckdbEngine()
    from sinks.sqlite.engine import SqliteEngine

    return SqliteEngine()


def people(target: Target) -> People:
    """Who decides on identities there."""
    if isinstance(target, MariadbTarget | MysqlTarget):
        from sinks.mysql.identity_people import MysqlPeople

        return MysqlPeople(target)
    from sinks.postgres.identity_people import PostgresPeople

    assert isinstance(target, PostgresTarget), "an entity of several sources is refused elsewhere"
    return PostgresPeople(target)
