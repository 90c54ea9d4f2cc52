"""What commands ask of a source, whatever its type."""

from __future__ import annotations

from contextlib import closing

from cdc.findings import Finding
from cdc.kafka.settings import KafkaDebeziumSource
from cdc.mysql.settings import BinlogSource
from cdc.mysql.zerodates import ZeroDates
from cdc.schema import TableSchema
from config.project import Project
from tailrace.service.assemble_capture import object_name


def look(project: Project, name: str) -> tuple[list[Finding], list[TableSchema]]:
    """(what is wrong, the tables that can be captured). Errors: SourceUnavailable."""
    source, default = project.sources[name], object_name(project, name)
    if isinstance(source, BinlogSource):
        from cdc.mysql import preflight, session

        with closing(session.connect(source.url)) as connection:
            findings, found = preflight.inspect(connection, source)
        shown = ZeroDates(source.zero_dates)
        return findings, [shown.schema(table.schema) for table in found]
    if isinstance(source, KafkaDebeziumSource):
        return _on_topics(source)
    from cdc.postgres.preflight import inspect

    return inspect(source, default), tables(project, name)


def tables(project: Project, name: str) -> list[TableSchema]:
    """The tables that can be captured. Errors: SourceUnavailable."""
    source, default = project.sources[name], object_name(project, name)
    if isinstance(source, BinlogSource):
        from cdc.mysql import catalog, session

        with closing(session.connect(source.url)) as connection:
            found, _ = catalog.read_tables(
                connection, source.patterns, catalog.read_charsets(connection)
            )
        shown = ZeroDates(source.zero_dates)
        return [shown.schema(table.schema) for table in found]
    if isinstance(source, KafkaDebeziumSource):
        return _on_topics(source)[1]
    from cdc.postgres.catalog import read_tables
    from cdc.postgres.session import connect, translated

    with connect(source.url) as connection, translated("reading the catalog"):
        named = read_tables(connection, source.patterns, source.publication or default)
    return [table.schema for table in named if table.is_capturable]


def _on_topics(source: KafkaDebeziumSource) -> tuple[list[Finding], list[TableSchema]]:
    from cdc.kafka.cluster import Brokers
    from cdc.kafka.preflight import inspect

    with closing(Brokers(source)) as brokers:
        return inspect(source, brokers)
