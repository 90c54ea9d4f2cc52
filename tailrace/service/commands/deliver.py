"""`tailrace deliver PIPELINE`: one pipeline's journal into its target."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from config.load import load_project
from tailrace.errors import ConfigError
from tailrace.pipeline.deliver import Delivery
from tailrace.pipeline.stopping import Stop
from tailrace.service.assemble_delivery import (
    delivery_settings,
    desk,
    journal_reader,
    lookups,
    router,
    sink_factory,
    watch,
)
from tailrace.service.layout import Layout
from tailrace.service.worker import work
from tailrace.state.processes import Reporter


class _LongWrite:
    """What a target that takes long over a write is told, and tells."""

    def __init__(self, reporter: Reporter, stop: Stop) -> None:
        self._reporter = reporter
        self._stop = stop

    @property
    def stopping(self) -> bool:
        return bool(self._stop)

    @property
    def overdue(self) -> bool:
        return self._stop.overdue

    def moved(self, sent: int) -> None:
        self._reporter.say("streaming", sent=sent)


@click.command()
@click.argument("pipeline")
@click.option("--once", is_flag=True, help="Deliver what the journal holds now, then exit.")
@click.pass_obj
def command(directory: Path, pipeline: str, once: bool) -> None:
    """Deliver PIPELINE's journal to its target, alone, until SIGTERM."""
    project = load_project(directory)
    if pipeline not in project.pipelines:
        raise ConfigError(f"no pipeline is named {pipeline!r}", where={"file": "tailrace.yml"})
    layout = Layout(directory.resolve())
    source = project.pipelines[pipeline].source
    watched = watch(project, layout, pipeline)

    def body(reporter: Reporter, stop: Stop) -> None:
        journal = journal_reader(layout, source, pipeline, stop)
        if journal is None:
            return
        with (
            closing(journal),
            closing(router(project, pipeline)) as routes,
            closing(desk(layout, pipeline, journal)) as exceptions,
            lookups(layout, pipeline, journal, routes) as looked_up,
        ):
            Delivery(
                delivery_settings(project, layout, pipeline, routes),
                journal,
                routes,
                exceptions,
                sink_factory(project, pipeline, journal, layout, _LongWrite(reporter, stop)),
                reporter,
                stop,
                lookups=looked_up,
                watch=watched,
                once=once,
            ).run()

    work(layout, "deliver", pipeline, body)
