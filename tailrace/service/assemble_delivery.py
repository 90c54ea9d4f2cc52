"""Builds the parts of a delivery process from what the project declares."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING

from config.owners import composites, seen_entities
from config.project import Project
from sinks.protocol import Sink
from sinks.watch import LongWrite
from tailrace.journal.index import is_made
from tailrace.journal.paths import JournalPaths
from tailrace.journal.protocol import JournalReader
from tailrace.journal.sqlite import SqliteReader
from tailrace.pipeline.deliver import DeliverySettings
from tailrace.pipeline.desk import Desk
from tailrace.pipeline.facts import SNAPSHOT
from tailrace.pipeline.stopping import Stop
from tailrace.service.layout import Layout
from tailrace.service.targets.adapter import Delivery
from tailrace.service.targets.registry import adapter_of
from tailrace.state.exceptions.store import Store
from tailrace.state.newest import load
from transforms.freshness import Watch
from transforms.router import Router

if TYPE_CHECKING:
    from tailrace.pipeline.lookups import Lookups

OPEN_AGAIN_S = 0.05


def journal_reader(layout: Layout, source: str, pipeline: str, stop: Stop) -> JournalReader | None:
    """Wait until capture has made the journal and knows its source; None when stopped before."""
    file = JournalPaths.of(layout.project, source).file
    while not stop:
        if is_made(file):
            reader = SqliteReader(file, pipeline)
            if reader.get(SNAPSHOT) is not None:  # stored with what it says of its source
                return reader
            reader.close()
        stop.wait(OPEN_AGAIN_S)
    return None


def delivery_settings(
    project: Project, layout: Layout, name: str, routes: Router
) -> DeliverySettings:
    return DeliverySettings(
        pipeline=name,
        hints=JournalPaths.of(layout.project, project.pipelines[name].source).hints,
        keeps_existing=not routes.can_clear
        or adapter_of(project.targets[project.pipelines[name].target]).keeps_existing,
        newest=layout.newest(name),
        mapping_version=mapping_version(project, name),
    )


def mapping_version(project: Project, name: str) -> str:
    """Twelve hex digits that change with a pipeline's mappings and their entities; empty where
    there are none."""
    mappings = project.pipeline_mappings(name)
    entities = sorted({rows.entity for one in mappings for _, rows in one.parts})
    parts = [one.version for one in mappings]
    parts += [project.entities[entity].model_dump_json(warnings="none") for entity in entities]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12] if parts else ""


def desk(layout: Layout, name: str, journal: JournalReader) -> Desk:
    return Desk(Store(layout.exceptions(name), journal.id))


def lookups(
    layout: Layout, name: str, journal: JournalReader, routes: Router
) -> AbstractContextManager[Lookups | None]:
    """None where the pipeline's mappings look nothing up."""
    if routes.lookups is None:
        return nullcontext()
    from tailrace.pipeline.lookups import Lookups

    return closing(Lookups(layout.lookups(name), journal, routes))


def watch(project: Project, layout: Layout, name: str) -> Watch:
    """For entities of a pipeline that promise freshness; it knows what the last process knew."""
    if all(entity.freshness is None for entity in project.entities.values()):
        return Watch({})
    pipeline = project.pipelines[name]
    entities = seen_entities(project, name)
    known = composites(project, pipeline.target)
    promised = {}
    for mapping in project.pipeline_mappings(name):
        for _, rows in mapping.parts:
            freshness = entities[rows.entity].freshness
            if freshness is not None and freshness.field in {*rows.key, *rows.fields}:
                whole = known.get(rows.target)
                table = rows.target if whole is None else whole.side(pipeline.source).table
                promised[table] = (rows.entity, freshness)
    made = Watch(promised)
    before = load(layout.newest(name))
    for entity, freshness in made.entities:
        if (newest_s := before.get(f"{entity}.{freshness.field}")) is not None:
            made.newest_s[entity] = newest_s
    return made


def router(project: Project, name: str) -> Router:
    pipeline = project.pipelines[name]
    mappings = project.pipeline_mappings(name)
    target = project.targets[pipeline.target]
    tells = adapter_of(target).tells_before
    if not mappings:
        return Router(pipeline.replicate, (), {}, tells_before=tells)
    from transforms.protect.protection import Protection

    return Router(
        pipeline.replicate,
        mappings,
        seen_entities(project, name),
        Protection(target.protect, project.keys),
        source=pipeline.source,
        composites=composites(project, pipeline.target),
        tells_before=tells,
    )


def sink_factory(
    project: Project, name: str, journal: JournalReader, layout: Layout, write: LongWrite
) -> Callable[[], Sink]:
    """The same sink each time: it remembers its epoch, so that a process that was fenced while
    its connection was away stays fenced."""
    pipeline = project.pipelines[name]
    delivery = Delivery(
        pipeline=name,
        source_name=pipeline.source,
        source=project.sources[pipeline.source],
        checkpoint=layout.checkpoint(name),
        fact=journal.get,
        write=write,
    )
    sink = adapter_of(project.targets[pipeline.target]).sink(delivery)
    return lambda: sink
