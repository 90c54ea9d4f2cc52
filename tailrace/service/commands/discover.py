"""`tailrace discover SOURCE`: entity and mapping stubs from the source's catalog."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from cdc.schema import TableName, TableSchema
from config.jsonschema import schema_comment
from config.load import load_project
from config.project import FILE, Project
from tailrace.errors import ConfigError
from tailrace.service.sources.registry import adapter_of
from transforms.stub import entity_name, entity_stub, mapping_stub


@click.command()
@click.argument("source")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def command(directory: Path, source: str, output: str) -> None:
    """Write an entity and a mapping for each table of SOURCE, ready to be edited.

    A file that is there already is left as it is.
    """
    project = load_project(directory)
    if source not in project.sources:
        raise ConfigError(f"no source is named {source!r}", where={"file": "tailrace.yml"})
    done = _Done()
    of_entity: dict[str, TableName] = {}
    for table in _tables(project, source):
        if not table.key:
            done.skipped[str(table.table)] = "no key tells its rows apart; see tailrace check"
            continue
        entity = entity_name(table)
        first = of_entity.setdefault(entity, table.table)
        if first != table.table:
            done.skipped[str(table.table)] = f"entity {entity} is made of {first} already"
            continue
        mapping = f"{source}_{entity}"
        head = schema_comment("entity", depth=1)
        _write(directory / "entities" / f"{entity}.yml", head + entity_stub(table), done)
        head = schema_comment("mapping", depth=1)
        text = head + mapping_stub(table, mapping)
        _write(directory / "mappings" / f"{mapping}.yml", text, done)
        done.mappings.append(mapping)
    _show(done, output)


@dataclass(slots=True)
class _Done:
    """Files `written` and `kept`; tables `skipped`, with the reason; the `mappings` by name."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    mappings: list[str] = field(default_factory=list)


def _tables(project: Project, source: str) -> list[TableSchema]:
    """Errors: ConfigError where there is none."""
    found = adapter_of(project, source).tables()
    if not found:
        raise ConfigError(
            "the source has no table that its patterns name",
            where=project.where("sources", source, "tables"),
            fix="tailrace check says what may be meant",
        )
    return found


def _write(path: Path, text: str, done: _Done) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        done.kept.append(str(path))
    else:
        done.written.append(str(path))


def _show(done: _Done, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(asdict(done), indent=2))
        return
    for path in done.written:
        click.echo(f"wrote {path}")
    for path in done.kept:
        click.echo(f"kept {path}: it is there already")
    for table, why in done.skipped.items():
        click.echo(f"skipped {table}: {why}")
    if done.mappings:
        click.echo(f"to use them, in a pipeline of {FILE}: mappings: [{', '.join(done.mappings)}]")
