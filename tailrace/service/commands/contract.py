"""`tailrace contract`: how contracts change, and what other tools know of them."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path, exists=True)


@click.group()
def command() -> None:
    """Compare contracts of entities; write and read them as Open Data Contracts."""


@command.command()
@click.argument("old", type=_PATH)
@click.argument("new", type=_PATH, required=False)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def diff(directory: Path, old: Path, new: Path | None, output: str) -> None:
    """What changed in the contracts from OLD to NEW (this project by default), whom it breaks, and
    which version says so.

    Both are directories of a project, or files of one entity. Exit code 1 where a version does not
    fit the change.
    """
    from tailrace.service.contracts import Differences

    found = Differences.between(old, new or directory)
    click.echo(getattr(found, output)())
    raise SystemExit(0 if found.fit else 1)


@command.command()
@click.argument("entity")
@click.pass_obj
def export(directory: Path, entity: str) -> None:
    """Print ENTITY's contract as an Open Data Contract (v3.1). What it cannot say is named."""
    from tailrace.service.contracts import exported

    text, losses = exported(directory, entity)
    click.echo(text, nl=False)
    for loss in losses:
        click.echo(f"not in the contract: {loss}", err=True)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.pass_obj
def import_(directory: Path, file: Path) -> None:
    """Write an entity for each object of an Open Data Contract (v3) below entities/.

    What an entity cannot say is named. No file that is there is written over.
    """
    from tailrace.service.contracts import imported

    paths, losses = imported(directory, file)
    for loss in losses:
        click.echo(f"not in the entity: {loss}", err=True)
    for path in paths:
        click.echo(f"wrote {path}")
