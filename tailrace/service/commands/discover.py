"""`tailrace discover SOURCE`: entity and mapping stubs from the source's catalog."""

from __future__ import annotations

from pathlib import Path

import click

from cdc.postgres.catalog import read_tables
from cdc.postgres.session import connect, translated
from config.jsonschema import schema_comment
from config.load import load_project
from tailrace.errors import ConfigError
from transforms.stub import entity_name, entity_stub, mapping_stub


@click.command()
@click.argument("source")
@click.pass_obj
def command(directory: Path, source: str) -> None:
    """Write an entity and a mapping for each table of SOURCE, ready to be edited.

    A file that is there already is left as it is.
    """
    project = load_project(directory)
    if source not in project.sources:
        raise ConfigError(f"no source is named {source!r}", where={"file": "tailrace.yml"})
    settings = project.sources[source]
    with connect(settings.url) as connection, translated("reading the catalog"):
        tables = read_tables(connection, settings.patterns)
    written = 0
    for table in tables:
        if table.kind not in ("table", "partitioned") or not table.schema.key:
            click.echo(f"skipped {table.name}: no key tells its rows apart")
            continue
        name = f"{source}_{entity_name(table.schema)}"
        written += _write(
            directory / "entities" / f"{entity_name(table.schema)}.yml",
            schema_comment("entity", depth=1) + entity_stub(table.schema),
        )
        written += _write(
            directory / "mappings" / f"{name}.yml",
            schema_comment("mapping", depth=1) + mapping_stub(table.schema, name),
        )
    click.echo(f"wrote {written} file(s); name the mappings in a pipeline of tailrace.yml")


def _write(path: Path, text: str) -> bool:
    if path.exists():
        click.echo(f"kept {path}: it is there already")
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    click.echo(f"wrote {path}")
    return True
