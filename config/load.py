"""Reads a project directory: tailrace.yml, entities/**.yml, mappings/**.yml.

Everything that can be known from the files alone is checked here, before anything runs; each
error names file, line and the fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cdc.schema import TableName
from config.problems import Problems, from_validation
from config.project import SOURCES, TARGETS, Project, ProjectFile
from config.secrets import ReferenceProblem, resolve
from config.yaml import Document, Loc, read
from tailrace.errors import ConfigError
from transforms.model import Entity
from transforms.model import Mapping as MappingModel

FILE = "tailrace.yml"

M = TypeVar("M", bound=BaseModel)


def load_project(directory: Path, *, resolve_secrets: bool = True) -> Project:
    """Errors: ConfigError, naming every problem found; nothing is changed."""
    problems = Problems()
    document = read(directory / FILE, FILE)
    _refuse_unbuilt(document, problems)
    problems.raise_if_any()
    _fill_in(document, problems, resolve_secrets)
    file = _model(ProjectFile, document, problems)
    entities = _named(directory, "entities", Entity, "entity", problems)
    mappings = _named(directory, "mappings", MappingModel, "mapping", problems)
    problems.raise_if_any()
    assert file is not None
    project = Project(
        project=file.project,
        sources=file.sources,
        targets=file.targets,
        pipelines=file.pipelines,
        entities={name: model for name, (model, _) in entities.items()},
        mappings={name: model for name, (model, _) in mappings.items()},
    )
    _check_pipelines(project, document, problems)
    _check_mappings(project, mappings, problems)
    _check_writers(project, document, problems)
    problems.raise_if_any()
    return project


def _refuse_unbuilt(document: Document, problems: Problems) -> None:
    """A type that is not built is refused as such, before its keys are judged."""
    if not isinstance(document.value, dict):
        problems.add("is not a mapping of keys to values", document.where(()))
        return
    for section, built in (("sources", SOURCES), ("targets", TARGETS)):
        entries = document.value.get(section)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            kind = entry.get("type") if isinstance(entry, dict) else None
            if isinstance(kind, str) and kind not in built:
                problems.add(
                    f"{section} {name}: type {kind!r} is not known",
                    document.where((section, name, "type")),
                    f"built are: {', '.join(sorted(built))}",
                )


def _fill_in(document: Document, problems: Problems, resolve_secrets: bool) -> None:
    def walk(value: Any, loc: Loc) -> Any:
        if isinstance(value, dict):
            return {key: walk(inner, (*loc, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, (*loc, i)) for i, inner in enumerate(value)]
        try:
            return resolve(value, resolve_secrets=resolve_secrets)
        except ReferenceProblem as problem:
            problems.add(str(problem), document.where(loc), problem.fix)
            return value

    document.value = walk(document.value, ())


def _model(model: type[M], document: Document, problems: Problems) -> M | None:
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        from_validation(error, document, model, problems)
        return None


def _named(
    directory: Path, folder: str, model: type[M], key: str, problems: Problems
) -> dict[str, tuple[M, Document]]:
    """Every document of a folder, by the name it gives itself."""
    found: dict[str, tuple[M, Document]] = {}
    paths = sorted({*(directory / folder).rglob("*.yml"), *(directory / folder).rglob("*.yaml")})
    for path in paths:
        shown = str(path.relative_to(directory))
        try:
            document = read(path, shown)
        except ConfigError as error:
            problems.append(error)
            continue
        parsed = _model(model, document, problems)
        if parsed is None:
            continue
        name = getattr(parsed, key)
        if name in found:
            problems.add(
                f"{key} {name!r} is declared twice",
                document.where((key,)),
                f"rename it here or in {found[name][1].file}",
            )
        else:
            found[name] = (parsed, document)
    return found


def _check_pipelines(project: Project, document: Document, problems: Problems) -> None:
    for name, pipeline in project.pipelines.items():
        loc: Loc = ("pipelines", name)
        for key, known in (("source", project.sources), ("target", project.targets)):
            _check_name(getattr(pipeline, key), known, key, (*loc, key), document, problems)
        for i, mapping in enumerate(pipeline.mappings):
            at = (*loc, "mappings", i)
            _check_name(mapping, project.mappings, "mapping", at, document, problems)
            if mapping in pipeline.mappings[:i]:
                problems.add(f"mapping {mapping!r} stands here twice", document.where(at))
        if not pipeline.replicate and not pipeline.mappings:
            problems.add(
                f"pipeline {name} moves nothing",
                document.where(loc),
                "give it `replicate` rules or `mappings`",
            )


def _check_name(
    name: str,
    known: Iterable[str],
    kind: str,
    loc: Loc,
    document: Document,
    problems: Problems,
) -> None:
    if name in (names := list(known)):
        return
    close = difflib.get_close_matches(name, names, 1)
    fix = f"did you mean {close[0]!r}?" if close else f"declared are: {', '.join(names) or 'none'}"
    problems.add(f"no {kind} is named {name!r}", document.where(loc), fix)


def _check_mappings(
    project: Project,
    mappings: Mapping[str, tuple[MappingModel, Document]],
    problems: Problems,
) -> None:
    if mappings:
        # Only now, since the parser takes as long to import as all the rest together.
        from transforms.checks import check_syntax
    for mapping, document in mappings.values():
        for error in check_syntax(mapping, project.entities):
            error.where.update(document.where(error.loc))
            problems.append(error)
    for pipeline in project.pipelines.values():
        source = project.sources.get(pipeline.source)
        for name in pipeline.mappings:
            if source is None or name not in mappings:
                continue
            mapping, document = mappings[name]
            if not source.patterns.matches(mapping.source):
                problems.add(
                    f"mapping {name} reads {mapping.table}, which source {pipeline.source}"
                    " does not capture",
                    document.where(("table",)),
                    f"add {mapping.table} to the source's `tables`",
                )


def _check_writers(project: Project, document: Document, problems: Problems) -> None:
    """No two pipelines write one table: neither would know the other's rows."""
    written: dict[tuple[str, TableName], str] = {}
    for name, pipeline in project.pipelines.items():
        for table in _entity_tables(project, pipeline.mappings):
            other = written.setdefault((pipeline.target, table), name)
            if other != name:
                problems.add(
                    f"pipelines {other} and {name} both write {table} of {pipeline.target}",
                    document.where(("pipelines", name)),
                    "name another table with `into` in one of the mappings",
                )


def _entity_tables(project: Project, mappings: Sequence[str]) -> set[TableName]:
    return {
        rows.target
        for name in mappings
        if name in project.mappings
        for _, rows in project.mappings[name].parts
    }
