"""`tailrace init`: a commented project to begin with."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from tailrace.errors import ConfigError

FILES = {
    "tailrace.yml": "tailrace.yml",
    "gitignore": ".gitignore",
    "env.example": ".env.example",
    "README.md": "README.md",
    "customer.yml": "entities/customer.yml",
    "erp_customer.yml": "mappings/erp_customer.yml",
    "status.csv": "codes/status.csv",
}


@click.command()
@click.option("--schema", is_flag=True, help="Only write the editors' schemas, also anew.")
@click.pass_obj
def command(directory: Path, schema: bool) -> None:
    """Write a commented project into the directory. Nothing that is there is overwritten."""
    if not schema:
        _write_project(directory)
    # Only now: the models take longer to import than all the rest.
    from config.jsonschema import write_schemas

    for path in write_schemas(directory):
        click.echo(f"wrote {path}")
    if not schema:
        click.echo("next: edit tailrace.yml, then tailrace check --sql")


def _write_project(directory: Path) -> None:
    for written in FILES.values():
        if (directory / written).exists():
            raise ConfigError(
                "there is a file already, and nothing was written",
                where={"file": directory / written},
                fix="choose an empty directory with --project",
            )
    template = resources.files("tailrace.service.template")
    for folder in ("", "entities", "mappings", "codes"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    for name, written in FILES.items():
        (directory / written).write_text(template.joinpath(name).read_text())
        click.echo(f"wrote {directory / written}")
