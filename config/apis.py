"""HTTP targets: whether each entity that is sent there has the requests that it takes."""

from __future__ import annotations

from collections.abc import Iterator

from cdc.schema import TableName
from config.extras import Extra, check_installed
from config.owners import refuse_shared
from config.places import Loc
from config.problems import Problems, suggest
from config.project import Project
from sinks.http.entities import EntityRequests
from sinks.http.settings import HttpTarget
from transforms.model import OnDelete
from transforms.rules import target_name

_EXTRA = Extra("http", ("aiohttp", "aiolimiter", "tenacity"))


def check_apis(project: Project, problems: Problems) -> None:
    for name, target in project.targets.items():
        if not isinstance(target, HttpTarget):
            continue
        check_installed(project, problems, ("targets", name), target.type, _EXTRA)
        if problems.found:
            return
        refuse_shared(project, name, problems)
        for pipeline in project.pipelines:
            if project.pipelines[pipeline].target == name:
                _check_pipeline(project, pipeline, target, problems)


def _check_pipeline(
    project: Project, pipeline: str, target: HttpTarget, problems: Problems
) -> None:
    for table, on_delete, where in _written(project, pipeline):
        loc: Loc = ("targets", project.pipelines[pipeline].target, "entities")
        entity = target.requests_of(table.schema, table.name)
        if entity is None:
            problems.add(
                f"{'.'.join(map(str, loc))}: there are no requests for {table}, which pipeline"
                f" {pipeline} writes",
                project.where(*loc),
                suggest(table.name, target.entities, "declared are"),
            )
            continue
        lacking = _lacking(entity, on_delete)
        if lacking:
            what = "what is deleted at the source" if lacking == "delete" else "soft deletes"
            problems.add(
                f"{'.'.join(map(str, loc))}.{table.name} has no request `{lacking}`, which"
                f" {what} takes",
                where or project.where(*loc, table.name),
                f"declare it, as in {lacking}: {{url: '/{table.name}s/{{id}}'}}; or leave deleted"
                " rows: on_delete: ignore",
            )


def _written(
    project: Project, pipeline: str
) -> Iterator[tuple[TableName, OnDelete | None, dict[str, object] | None]]:
    """The tables that are known from the files alone; None: deletes are passed on."""
    for mapping in project.pipeline_mappings(pipeline):
        for loc, rows in mapping.parts:
            yield (
                rows.target,
                rows.on_delete,
                project.where_in_mapping(mapping.mapping, (*loc, "on_delete")),
            )
    for rule in project.pipelines[pipeline].replicate:
        for pattern in rule.patterns.included:
            if pattern.exact is not None:
                yield target_name(pattern.exact, rule), None, None


def _lacking(entity: EntityRequests, on_delete: OnDelete | None) -> str | None:
    action = "delete" if on_delete is None else on_delete.action
    if action == "ignore":
        return None
    if action == "delete":
        return None if entity.delete else "delete"
    return None if entity.update else "update"
