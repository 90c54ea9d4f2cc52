"""`tailrace capture SOURCE`: one source into its journal."""

from __future__ import annotations

from pathlib import Path

import click

from config.load import load_project
from tailrace.errors import ConfigError
from tailrace.pipeline.capture import Capture
from tailrace.pipeline.stopping import Stop
from tailrace.service.assemble_capture import capture_settings, journal_writer, source_factory
from tailrace.service.layout import Layout
from tailrace.service.worker import work
from tailrace.state.processes import Reporter


@click.command()
@click.argument("source")
@click.pass_obj
def command(directory: Path, source: str) -> None:
    """Capture SOURCE's log into its journal, alone, until SIGTERM."""
    project = load_project(directory)
    if source not in project.sources:
        raise ConfigError(f"no source is named {source!r}", where={"file": "tailrace.yml"})
    layout = Layout(directory.resolve())

    def body(reporter: Reporter, stop: Stop) -> None:
        with journal_writer(layout, source) as journal:
            Capture(
                capture_settings(project, layout, source),
                source_factory(project, source),
                journal,
                reporter,
                stop,
            ).run()

    work(layout, "capture", source, body)
