"""`tailrace identity …`: which records of sources are one, and what people decide about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from config.load import load_project
from config.owners import composites
from config.problems import suggest
from config.project import Project
from sinks.identity_people import Conflict, Identified, People
from tailrace.errors import ConfigError
from tailrace.service.exceptions import operator
from tailrace.service.targets.registry import adapter_of
from transforms.composite import Composite
from transforms.protect.shown import shown

SHOWN_ROWS = 100
_limit = click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=SHOWN_ROWS, show_default=True
)
_target = click.option("--target", metavar="NAME", help="Needed where there are several.")
_reason = click.option("--reason", required=True, help="Why; it is recorded.")
_reveal = click.option("--reveal", is_flag=True, help="Show keys of personal and secret class.")
_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")


@click.group()
def command() -> None:
    """See which records of sources are one entity; merge and split them."""


@command.command("list")
@click.argument("entity")
@click.argument("ids", metavar="[ID]…", nargs=-1)
@_target
@_limit
@_reveal
@_output
@click.pass_obj
def list_(
    directory: Path,
    entity: str,
    ids: tuple[str, ...],
    target: str | None,
    limit: int,
    reveal: bool,
    output: str,
) -> None:
    """The records of ENTITY with their ids, or only those of each ID."""
    project = load_project(directory)
    desk, _ = _plan(project, entity, target)
    found = desk.records(entity, ids, limit)
    _show_records(project, found, reveal, output)
    if output == "text" and len(found) == limit:
        click.echo(f"there may be more than these {limit} (--limit)")


@command.command()
@click.argument("entity")
@_target
@_limit
@_reveal
@_output
@click.pass_obj
def conflicts(
    directory: Path, entity: str, target: str | None, limit: int, reveal: bool, output: str
) -> None:
    """Records that a rule joins and that stay two, since together they would be two of one source
    or a person has set them apart: fix the sources, or merge them."""
    project = load_project(directory)
    desk, _ = _plan(project, entity, target)
    found = desk.conflicts(entity, limit)
    shown_ = [one if reveal else _veiled_conflict(project, one) for one in found]
    if output == "json":
        click.echo(json.dumps([asdict(one) for one in shown_], indent=2))
        return
    for one in shown_:
        click.echo(
            f"{one.source} {one.source_key} ({one.id}) and {one.other_source} {one.other_key}"
            f" ({one.other_id}) by [{one.rule}], since {one.since}"
        )
    if len(found) == limit:
        click.echo(f"there may be more than these {limit} (--limit)")
    elif not found:
        click.echo("none")


@command.command()
@click.argument("entity")
@click.argument("id")
@click.argument("into")
@_reason
@_target
@_output
@click.pass_obj
def merge(
    directory: Path,
    entity: str,
    id: str,
    into: str,
    reason: str,
    target: str | None,
    output: str,
) -> None:
    """Make ID a part of INTO, which stays. Later changes of its records follow."""
    project = load_project(directory)
    desk, plan = _plan(project, entity, target)
    done = desk.merge(plan, id, into, operator(), reason)
    _show_records(project, done, False, output)


@command.command()
@click.argument("entity")
@click.argument("source")
@click.argument("key")
@_reason
@_target
@_output
@click.pass_obj
def split(
    directory: Path,
    entity: str,
    source: str,
    key: str,
    reason: str,
    target: str | None,
    output: str,
) -> None:
    """Give the record KEY of SOURCE an id of its own. Rules do not join it again to those it was
    one with."""
    project = load_project(directory)
    desk, plan = _plan(project, entity, target)
    done = desk.split(plan, source, key, operator(), reason)
    _show_records(project, done, False, output)


def _plan(project: Project, entity: str, target: str | None) -> tuple[People, Composite]:
    """Errors: ConfigError where there is no such entity with identity, or several targets."""
    found = {
        name: plan
        for name in project.targets
        for plan in composites(project, name).values()
        if plan.match and plan.entity == entity and target in (None, name)
    }
    if len(found) == 1:
        ((name, plan),) = found.items()
        return adapter_of(project.targets[name]).people(), plan
    if found:
        raise ConfigError(
            f"{entity} is written to several targets",
            where={"entity": entity},
            fix=f"name one with --target: {', '.join(found)}",
        )
    known = [one.entity for one in project.entities.values() if one.identity is not None]
    raise ConfigError(
        f"no entity {entity!r} with identity is written" + (f" to {target}" if target else ""),
        where={"folder": "entities"},
        fix=suggest(entity, known, "such entities are"),
    )


def _show_records(project: Project, found: Sequence[Identified], reveal: bool, output: str) -> None:
    records = [
        one if reveal else replace(one, source_key=_key(project, one.entity, one.source_key))
        for one in found
    ]
    if output == "json":
        click.echo(json.dumps([asdict(one) for one in records], indent=2))
        return
    for one in records:
        click.echo(f"{one.id}  {one.source} {one.source_key}  by {one.by}, since {one.since}")
    if not records:
        click.echo("none")


def _veiled_conflict(project: Project, one: Conflict) -> Conflict:
    return replace(
        one,
        source_key=_key(project, one.entity, one.source_key),
        other_key=_key(project, one.entity, one.other_key),
    )


def _key(project: Project, entity: str, text: str) -> str:
    declared = project.entities[entity]
    return shown(text, declared.fields[declared.key[0]].field_class) or ""
