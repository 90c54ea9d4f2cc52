"""Builds the parts of a capture process from what the project declares."""

from __future__ import annotations

from collections.abc import Callable

from cdc.mysql.settings import BinlogSource
from cdc.postgres.settings import PostgresSource
from cdc.protocol import Source
from cdc.schema import TableName
from config.project import Project
from tailrace.journal.paths import JournalPaths
from tailrace.journal.protocol import JournalWriter
from tailrace.journal.sqlite import SqliteWriter
from tailrace.pipeline.capture import CaptureSettings
from tailrace.service.layout import Layout


def source_factory(project: Project, name: str) -> Callable[[], Source]:
    """Only the adapter that is needed is imported."""
    settings, ours = project.sources[name], object_name(project, name)
    first = looked_up(project, name)
    if isinstance(settings, BinlogSource):
        from cdc.mysql.source import BinlogDatabase

        return lambda: BinlogDatabase(settings, ours, copied_first=first)
    from cdc.postgres.source import Postgres

    return lambda: Postgres(settings, ours, copied_first=first)


def looked_up(project: Project, source: str) -> frozenset[TableName]:
    """Tables of a source that mappings look up: a snapshot copies them before those that do."""
    return frozenset(
        lookup.source
        for pipeline in project.pipelines_of(source)
        for mapping in project.pipeline_mappings(pipeline)
        for lookup in mapping.lookups.values()
    )


def object_name(project: Project, source: str) -> str:
    """What our publication and slot at a source are called where nobody named them."""
    return f"tailrace_{project.project}_{source}"[:63]


def capture_settings(project: Project, layout: Layout, name: str) -> CaptureSettings:
    settings = project.sources[name]
    return CaptureSettings(
        source=name,
        pipelines=project.pipelines_of(name),
        hints=JournalPaths.of(layout.project, name).hints,
        heartbeat_s=settings.heartbeat_s,
        retain_max_bytes=settings.retain_max,
        give_up_at_limit=isinstance(settings, PostgresSource) and settings.on_limit == "drop_slot",
    )


def journal_writer(layout: Layout, source: str) -> JournalWriter:
    return SqliteWriter(JournalPaths.of(layout.project, source).file)
