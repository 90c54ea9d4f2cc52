"""Builds the parts of a capture process from what the project declares."""

from __future__ import annotations

from collections.abc import Callable

from cdc.protocol import Source
from cdc.schema import TableName
from config.project import Project
from tailrace.journal.paths import JournalPaths
from tailrace.journal.protocol import JournalWriter
from tailrace.journal.sqlite import SqliteWriter
from tailrace.pipeline.capture import CaptureSettings
from tailrace.service.layout import Layout
from tailrace.service.sources.registry import adapter_of


def source_factory(project: Project, name: str) -> Callable[[], Source]:
    adapter, needs = adapter_of(project, name), copy_needs(project, name)
    return lambda: adapter.open(needs)


def copy_needs(project: Project, source: str) -> dict[TableName, set[TableName]]:
    """By table of a source those that its mappings look up or refer to: copied before it, so that
    its rows find them."""
    needs: dict[TableName, set[TableName]] = {}
    for pipeline in project.pipelines_of(source):
        mappings = project.pipeline_mappings(pipeline)
        makes = {rows.entity: one.source for one in mappings for _, rows in one.parts}
        for mapping in mappings:
            mine = needs.setdefault(mapping.source, set())
            mine |= {lookup.source for lookup in mapping.lookups.values()}
            refs = {rule.ref for _, rows in mapping.parts for rule in rows.fields.values()}
            mine |= {makes[ref] for ref in refs if ref is not None and ref in makes}
    return needs


def capture_settings(project: Project, layout: Layout, name: str) -> CaptureSettings:
    settings = project.sources[name]
    return CaptureSettings(
        source=name,
        pipelines=project.pipelines_of(name),
        hints=JournalPaths.of(layout.project, name).hints,
        heartbeat_s=settings.heartbeat_s,
        retain_max_bytes=settings.retain_max,
        give_up_at_limit=adapter_of(project, name).gives_up_at_limit,
    )


def journal_writer(layout: Layout, source: str) -> JournalWriter:
    return SqliteWriter(JournalPaths.of(layout.project, source).file)
