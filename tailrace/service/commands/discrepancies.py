"""`tailrace discrepancies [ENTITY]`: where the sources of an entity differ."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import click

from config.load import load_project
from config.owners import composites
from config.problems import suggest
from config.project import Project
from sinks.discrepancies import Discrepancy
from tailrace.errors import ConfigError
from tailrace.service.targets.registry import adapter_of
from transforms.classes import strictest

SHOWN_ROWS = 100


@click.command()
@click.argument("entity", required=False)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=SHOWN_ROWS,
    show_default=True,
    help="How many to list, of each target.",
)
@click.option(
    "--reveal", is_flag=True, help="Show personal and secret values, too, as the target has them."
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def command(directory: Path, entity: str | None, limit: int, reveal: bool, output: str) -> None:
    """List the fields of ENTITY (of all, without one) in which a source says otherwise than the
    one that counts, with both values as the target has them.

    Those of personal and secret fields are masked.
    """
    project = load_project(directory)
    found = {
        target: [
            one if reveal else _veiled(project, one)
            for one in adapter_of(project.targets[target]).discrepancies(entities, limit)
        ]
        for target, entities in _shared(project, entity).items()
    }
    if output == "json":
        lists = {target: [asdict(one) for one in some] for target, some in found.items()}
        click.echo(json.dumps(lists, indent=2))
        return
    for target, some in found.items():
        for one in some:
            click.echo(f"{target}: {_line(one)}")
        if len(some) == limit:
            click.echo(f"{target}: there may be more than these {limit} (--limit)")
    if not any(found.values()):
        click.echo("none")


def _shared(project: Project, entity: str | None) -> dict[str, list[str]]:
    """By target its entities with several sources, or only the one asked for."""
    shared = {
        target: sorted({one.entity for one in composites(project, target).values()})
        for target in project.targets
    }
    known = sorted({name for names in shared.values() for name in names})
    if entity is not None and entity not in known:
        raise ConfigError(
            f"no entity {entity!r} is fed by several sources",
            where={"folder": "entities"},
            fix=suggest(entity, known, "such entities are"),
        )
    return {
        target: [name for name in names if entity in (None, name)]
        for target, names in shared.items()
        if any(entity in (None, name) for name in names)
    }


def _veiled(project: Project, one: Discrepancy) -> Discrepancy:
    from transforms.protect.shown import shown

    entity = project.entities[one.entity]
    field = entity.fields.get(one.field)
    classes = strictest(entity.fields[name].field_class for name in entity.key)
    of_field = "secret" if field is None else field.field_class
    style = "all" if field is None else field.mask
    return replace(
        one,
        entity_key=shown(one.entity_key, classes) or "",
        owner_value=shown(one.owner_value, of_field, style),
        value=shown(one.value, of_field, style),
    )


def _line(one: Discrepancy) -> str:
    return (
        f"{one.entity} {one.entity_key} {one.field}: {one.owner} has {_value(one.owner_value)}"
        f" (at {one.owner_position}), {one.source} has {_value(one.value)} (at {one.position}),"
        f" since {one.since}"
    )


def _value(text: str | None) -> str:
    return "NULL" if text is None else json.dumps(text, ensure_ascii=False)
