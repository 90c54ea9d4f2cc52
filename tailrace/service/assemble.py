"""Builds the parts of a worker process from what the project declares."""

from __future__ import annotations

import json
from collections.abc import Callable

from cdc.postgres.source import IDENTITY, Postgres
from cdc.protocol import Source
from config.project import Project
from sinks.postgres.sink import PostgresSink
from sinks.protocol import Sink
from tailrace.errors import JournalError
from tailrace.journal.paths import JournalPaths
from tailrace.journal.protocol import JournalReader, JournalWriter
from tailrace.journal.sqlite import SqliteReader, SqliteWriter
from tailrace.pipeline.capture import CaptureSettings
from tailrace.pipeline.deliver import DeliverySettings
from tailrace.pipeline.stopping import Stop
from tailrace.service.layout import Layout
from transforms.router import Router

OPEN_AGAIN_S = 0.2


def source_factory(project: Project, name: str) -> Callable[[], Source]:
    settings = project.sources[name]
    return lambda: Postgres(settings, object_name(project, name))


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
        give_up_at_limit=settings.on_limit == "drop_slot",
    )


def journal_writer(layout: Layout, source: str) -> JournalWriter:
    return SqliteWriter(JournalPaths.of(layout.project, source).file)


def journal_reader(layout: Layout, source: str, pipeline: str, stop: Stop) -> JournalReader:
    """Wait until capture has made the journal and knows its source.

    Errors: JournalError when asked to stop before.
    """
    file = JournalPaths.of(layout.project, source).file
    while not stop:
        if file.exists():
            reader = SqliteReader(file, pipeline)
            if reader.get(IDENTITY) is not None:
                return reader
            reader.close()
        stop.wait(OPEN_AGAIN_S)
    raise JournalError("asked to stop before there was a journal", where={"source": source})


def delivery_settings(
    project: Project, layout: Layout, name: str, routes: Router
) -> DeliverySettings:
    return DeliverySettings(
        pipeline=name,
        hints=JournalPaths.of(layout.project, project.pipelines[name].source).hints,
        keeps_existing=not routes.can_clear,
    )


def router(project: Project, name: str) -> Router:
    pipeline = project.pipelines[name]
    return Router(pipeline.replicate, project.pipeline_mappings(name), project.entities)


def sink_factory(project: Project, name: str, journal: JournalReader) -> Callable[[], Sink]:
    """The same sink each time: it remembers its epoch, so that a process that was fenced while
    its connection was away stays fenced."""
    target = project.targets[project.pipelines[name].target]
    sink = PostgresSink(target.url, name, origin=_origin(journal))
    return lambda: sink


def _origin(journal: JournalReader) -> str | None:
    """The source's system as a sink would name it (`Sink.system`)."""
    fact = journal.get(IDENTITY)
    if fact is None:
        return None
    identity = json.loads(fact)
    return f"{identity['system']}/{identity['database']}"
