"""`tailrace remove SOURCE`: everything of ours at a source, dropped; and the proof."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from cdc.postgres.removal import remove
from cdc.postgres.session import connect
from config.load import load_project
from tailrace.errors import ConfigError, TailraceError
from tailrace.journal.lock import WriterLock
from tailrace.journal.paths import JournalPaths
from tailrace.service.assemble_capture import object_name


@click.command()
@click.argument("source")
@click.option("--journal", is_flag=True, help="Also delete the source's journal on this machine.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def command(directory: Path, source: str, journal: bool, yes: bool) -> None:
    """Drop our slot and our publication at SOURCE, and show the query that proves it.

    Capture then needs a new snapshot. Refused while capture runs.
    """
    project = load_project(directory)
    if source not in project.sources:
        raise ConfigError(f"no source is named {source!r}", where={"file": "tailrace.yml"})
    settings = project.sources[source]
    name = object_name(project, source)
    paths = JournalPaths.of(directory.resolve(), source)
    paths.directory.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(paths.lock)  # refuses while capture holds it
    try:
        if not yes:
            click.confirm(f"Drop slot {settings.slot or name} at {source}?", abort=True)
        with connect(settings.url) as connection:
            removal = remove(
                connection,
                settings.slot or name,
                settings.publication or name,
                is_ours=settings.publication is None,
            )
        for text in removal.dropped:
            click.echo(f"dropped {text}")
        for text in removal.kept:
            click.echo(f"kept {text}")
        click.echo(f"proof: {removal.proof}")
        click.echo("nothing of ours is left" if not removal.left else f"left: {removal.left}")
        if journal:
            shutil.rmtree(paths.directory)
            click.echo(f"deleted {paths.directory}")
    finally:
        lock.close()
    if removal.left:
        raise TailraceError("something of ours is left", fix="run the proof and see")
