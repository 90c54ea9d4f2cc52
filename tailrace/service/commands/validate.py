"""`tailrace validate`: the project's files, without any connection."""

from __future__ import annotations

import json
from pathlib import Path

import click

from config.load import load_project
from config.problems import each
from tailrace.errors import ConfigError
from tailrace.state.processes import describe_error


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def command(directory: Path, output: str) -> None:
    """Check the project's files. Variables need not be set. Exit code 2 where something is wrong.

    What only the databases can tell (columns, types, rights) is left to `tailrace check`.
    """
    try:
        project = load_project(directory, resolve_secrets=False)
    except ConfigError as error:
        if output == "json":
            errors = [describe_error(one) for one in each(error)]
            click.echo(json.dumps({"errors": errors}, indent=2))
            raise SystemExit(2) from None
        raise
    if output == "json":
        click.echo(json.dumps({"errors": []}))
    else:
        click.echo(
            f"ok: {len(project.sources)} source(s), {len(project.targets)} target(s),"
            f" {len(project.pipelines)} pipeline(s), {len(project.entities)} entities,"
            f" {len(project.mappings)} mappings"
        )
