"""Commands of the exceptions desk: whose desk it is, and which change is meant."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from cdc.schema import TableName, TableSchema
from config.load import load_project
from config.project import Project
from tailrace.errors import ConfigError, TailraceError
from tailrace.journal.index import journal_id
from tailrace.journal.paths import JournalPaths
from tailrace.service.assemble_delivery import mapping_version
from tailrace.service.layout import Layout
from tailrace.state.exceptions.model import ExceptionId, Held
from tailrace.state.exceptions.store import Store
from tailrace.state.lookups import load
from tailrace.state.processes import Report, is_alive, read_reports
from transforms.classes import FieldClass
from transforms.compile import compile_mapping
from transforms.program import Program
from transforms.protect.shown import source_classes

ANSWER_S = 30.0
"""How long a command waits for the delivery that runs to do what was asked."""
LOOK_S = 0.1


class Office:
    """The desk of one pipeline, as commands see it."""

    def __init__(self, project: Project, layout: Layout, pipeline: str, store: Store) -> None:
        self.pipeline = pipeline
        self.store = store
        self._project = project
        self._layout = layout

    @property
    def delivery(self) -> Report | None:
        """What the delivery that runs says; None where none runs."""
        for report in read_reports(self._layout.run):
            if (report.role, report.name) == ("deliver", self.pipeline) and is_alive(report):
                return None if report.state in ("stopped", "failed") else report
        return None

    def must_have_todays_mappings(self) -> None:
        """Errors: TailraceError where the delivery that runs began with other files."""
        report = self.delivery
        running = None if report is None else report.facts.get("mapping_version")
        files = mapping_version(self._project, self.pipeline)
        if running is not None and running != files:
            raise TailraceError(
                "the delivery that runs has other mappings than the files say",
                where={"pipeline": self.pipeline, "running": running, "files": files},
                fix="restart it, so that it reads them, then replay",
            )

    def wait_for(self, ids: Sequence[ExceptionId]) -> bool:
        """Wait until delivery has done what was asked; False where none runs, or it takes long."""
        until = time.monotonic() + ANSWER_S
        while self.delivery is not None and time.monotonic() < until:
            if not {request.id for request in self.store.requests()} & set(ids):
                return True
            time.sleep(LOOK_S)
        return not {request.id for request in self.store.requests()} & set(ids)

    def classes(self, schema: TableSchema) -> Mapping[str, FieldClass]:
        """The class of each source column by the fields that this pipeline's mappings compute from
        it; of all columns the strictest where some mapping does not fit the table of then."""
        programs: list[Program] = []
        for mapping in self._project.pipeline_mappings(self.pipeline):
            if mapping.source == schema.table:
                compiled, errors = compile_mapping(
                    mapping,
                    self._project.entities,
                    schema,
                    self._looked_up,
                    self._project.pipeline_mappings(self.pipeline),
                )
                if errors:
                    return {column.name: "secret" for column in schema.columns}
                programs += compiled
        return source_classes(programs)

    @cached_property
    def _looked_up(self) -> dict[TableName, TableSchema]:
        """The looked up tables as delivery has found them."""
        stored = load(self._layout.lookups(self.pipeline))
        return {one.schema.table: one.schema for one in stored}

    def id(self, text: str) -> ExceptionId:
        """Errors: ConfigError for one that was never here."""
        try:
            found = ExceptionId.parse(text)
        except ValueError:
            found = None
        if found is None or self.store.entry(found) is None:
            raise ConfigError(
                f"no exception is named {text!r}",
                where={"pipeline": self.pipeline},
                fix="tailrace exceptions list shows those there are",
            )
        return found

    def held(self, id: ExceptionId) -> Held:
        """Errors: TailraceError for one that is closed."""
        for held in self.store.load([id]):
            return held
        raise TailraceError("this exception is closed; its values are gone", where={"id": id})


@contextmanager
def office(directory: Path, pipeline: str | None) -> Iterator[Office]:
    """Of the pipeline that is named, or the only one. Errors: ConfigError; TailraceError."""
    project = load_project(directory, resolve_secrets=False)
    layout = Layout(directory.resolve())
    name = _chosen(project, pipeline)
    file = JournalPaths.of(layout.project, project.pipelines[name].source).file
    journal = journal_id(file)
    if journal is None:
        raise TailraceError(
            "nothing was captured yet, so there are no exceptions", where={"pipeline": name}
        )
    store = Store(layout.exceptions(name), journal)
    try:
        yield Office(project, layout, name, store)
    finally:
        store.close()


def _chosen(project: Project, pipeline: str | None) -> str:
    if pipeline is None and len(project.pipelines) == 1:
        return next(iter(project.pipelines))
    if pipeline is None:
        names = ", ".join(project.pipelines)
        raise ConfigError("which pipeline?", fix=f"say --pipeline, one of {names}")
    if pipeline not in project.pipelines:
        raise ConfigError(f"no pipeline is named {pipeline!r}", where={"file": "tailrace.yml"})
    return pipeline


def operator() -> str:
    """Who runs the command, as the operating system knows."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def clock(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="seconds")
