"""`tailrace remove SOURCE`: everything of ours at a source, dropped; and the proof."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from cdc.removal import Removal
from config.load import load_project
from config.project import Project
from tailrace.errors import ConfigError, TailraceError
from tailrace.journal.lock import WriterLock
from tailrace.journal.paths import JournalPaths
from tailrace.service.health import STALE_S
from tailrace.service.layout import Layout
from tailrace.service.sources.registry import adapter_of
from tailrace.state.processes import is_alive, read_reports


@click.command()
@click.argument("source")
@click.option("--journal", is_flag=True, help="Also delete the source's journal on this machine.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def command(directory: Path, source: str, journal: bool, yes: bool, output: str) -> None:
    """Drop our slot and our publication at SOURCE, and show the query that proves it.

    Refused while capture runs. Targets stay as they are.
    """
    project = load_project(directory)
    if source not in project.sources:
        raise ConfigError(f"no source is named {source!r}", where={"file": "tailrace.yml"})
    paths = JournalPaths.of(directory.resolve(), source)
    adapter = adapter_of(project, source)
    with _nobody_at_work(project, Layout(directory.resolve()), source, paths):
        if not yes:
            deleting = " and delete its journal here" if journal else ""
            click.confirm(adapter.question(source, deleting), abort=True, err=True)
        removal = adapter.remove()
        deleted = journal and paths.file.exists()
        if journal:
            shutil.rmtree(paths.directory, ignore_errors=True)
    _show(removal, paths.directory if deleted else None, output)
    if removal.left:
        raise TailraceError("something of ours is left", fix="run the query and see")


@contextmanager
def _nobody_at_work(
    project: Project, layout: Layout, source: str, paths: JournalPaths
) -> Iterator[None]:
    """Errors: TailraceError while a process of ours captures or delivers this source."""
    at_work = {("capture", source), *(("deliver", name) for name in project.pipelines_of(source))}
    for report in read_reports(layout.run):
        is_fresh = time.time() - report.updated_s < STALE_S  # or another process has its number
        if (report.role, report.name) in at_work and is_fresh and is_alive(report):
            raise TailraceError(
                f"{report.role} {report.name} is at work",
                where={"pid": report.pid},
                fix="stop tailrace run first",
            )
    if not paths.directory.exists():
        yield
        return
    lock = WriterLock(paths.lock)
    try:
        yield
    finally:
        lock.close()


def _show(removal: Removal, deleted: Path | None, output: str) -> None:
    if output == "json":
        shown = {**asdict(removal), "deleted": None if deleted is None else str(deleted)}
        click.echo(json.dumps(shown, indent=2))
        return
    for text in removal.dropped:
        click.echo(f"dropped {text}")
    for text in removal.kept:
        click.echo(f"kept {text}")
    if deleted is not None:
        click.echo(f"deleted {deleted}")
    click.echo(removal.proof)
    for text in removal.left:
        click.echo(f"left: {text}")
    if not removal.left:
        click.echo("(0 rows): nothing of ours is left")
