"""Reads a project directory: tailrace.yml, entities/**.yml, mappings/**.yml.

Everything that can be known from the files alone is checked here, before anything runs; each
error names file, line and the fix.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from config.checks import check, check_contract
from config.codes import CodeTables
from config.places import Loc, Places
from config.plain import report, written_at
from config.problems import Problems, suggest
from config.project import FILE, SOURCES, TARGETS, Project, ProjectFile
from config.references import fill_in
from config.secrets import is_unresolved
from config.yaml import Document, read
from tailrace.errors import ConfigError
from transforms.entity import Entity
from transforms.model import Mapping

M = TypeVar("M", bound=BaseModel)


def load_project(directory: Path, *, resolve_secrets: bool = True) -> Project:
    """Read and check a project.

    Without `resolve_secrets` variables need not be set, and no secret's file is read: what they
    would give stays as it is written. Errors: ConfigError (ConfigErrors), naming every problem
    found; nothing is changed.
    """
    problems = Problems()
    _refuse_no_project(directory)
    document = read(directory / FILE, FILE)
    file = _project_file(directory, document, problems, resolve_secrets)
    entities = _named(directory, "entities", Entity, "entity", problems)
    mappings = _named(directory, "mappings", Mapping, "mapping", problems)
    if file is not None and not problems.found:
        project = Project(
            project=file.project,
            sources=file.sources,
            targets=file.targets,
            pipelines=file.pipelines,
            entities={name: model for name, (model, _) in entities.items()},
            mappings={name: model for name, (model, _) in mappings.items()},
            keys=file.keys,
            places=document.places,
            entity_places={name: places for name, (_, places) in entities.items()},
            mapping_places={name: places for name, (_, places) in mappings.items()},
        )
        check(project, problems)
    problems.raise_if_any()
    return project


def _refuse_no_project(directory: Path) -> None:
    if (directory / FILE).exists():
        return
    fix = "make one with tailrace init, or name its directory: tailrace --project DIR …"
    other = directory / "tailrace.yaml"
    if other.exists():
        fix = f"rename {other.name} to {FILE}"
    raise ConfigError("there is no project here", where={"file": directory / FILE}, fix=fix)


def _project_file(
    directory: Path, document: Document, problems: Problems, resolve_secrets: bool
) -> ProjectFile | None:
    if _has_unbuilt(document, problems):
        return None
    written = fill_in(document, problems, resolve_secrets=resolve_secrets)
    if problems.found:
        return None
    untold: set[Loc] = set()
    context = {"project": directory}
    try:
        return ProjectFile.model_validate(document.value, context=context)
    except ValidationError as error:
        if not resolve_secrets:
            untold = _drop_untold(error, document, written)
        if not untold:
            report(error, document.places, ProjectFile, problems, written)
            return None
    try:
        return ProjectFile.model_validate(document.value, context=context)
    except ValidationError as error:
        report(error, document.places, ProjectFile, problems, written, untold)
        return None


def _has_unbuilt(document: Document, problems: Problems) -> bool:
    """A type that is not built is refused as such, before its keys are judged."""
    before = len(problems.found)
    for section, built in (("sources", SOURCES), ("targets", TARGETS)):
        entries = document.value.get(section)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            kind = entry.get("type") if isinstance(entry, dict) else None
            if isinstance(kind, str) and kind not in built:
                problems.add(
                    f"{section}.{name}.type: {kind!r} is not known",
                    document.places.where((section, name, "type")),
                    suggest(kind, sorted(built), "built are"),
                )
    return len(problems.found) > before


def _drop_untold(error: ValidationError, document: Document, written: dict[Loc, str]) -> set[Loc]:
    """Leave out the settings that do not fit only because a reference in them has no value."""
    unresolved = {loc[:3] for loc in written if is_unresolved(_value_at(document.value, loc))}
    wrong = {written_at(found)[:3] for found in error.errors(include_input=False)}
    dropped = unresolved & wrong
    for section, name, setting in dropped:
        del document.value[str(section)][name][setting]
    return dropped


def _value_at(value: Any, loc: Loc) -> str:
    for part in loc:
        value = value[part]
    return str(value)


def _named(
    directory: Path, folder: str, model: type[M], key: str, problems: Problems
) -> dict[str, tuple[M, Places]]:
    """Every document of a folder, by the name it gives itself."""
    return _from_files(_files(directory / folder), directory, model, key, problems)


def _from_files(
    paths: Iterable[Path], directory: Path, model: type[M], key: str, problems: Problems
) -> dict[str, tuple[M, Places]]:
    found: dict[str, tuple[M, Places]] = {}
    tables = CodeTables(directory, {})
    for path in paths:
        try:
            document = read(path, str(path.relative_to(directory)))
        except ConfigError as error:
            problems.append(error)
            continue
        if model is Mapping:
            tables.fill_in(document, problems)
        try:
            parsed = model.model_validate(document.value)
        except ValidationError as error:
            report(error, document.places, model, problems, {})
            continue
        name = getattr(parsed, key)
        if name in found:
            problems.add(
                f"the {key} {name!r} is declared twice: also in {found[name][1].named((key,))}",
                document.places.where((key,)),
                "rename one of them",
            )
        else:
            found[name] = (parsed, document.places)
    return found


def _files(folder: Path) -> list[Path]:
    """Also those in nested folders; none that are hidden, as editors leave them behind."""
    paths = {*folder.rglob("*.yml"), *folder.rglob("*.yaml")}
    return sorted(path for path in paths if not _is_hidden(path.relative_to(folder)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def load_entities(path: Path) -> dict[str, Entity]:
    """The entities of a project's directory, or the one of a file. Errors: ConfigError."""
    problems = Problems()
    if path.is_dir():
        _refuse_no_project(path)
        found = _named(path, "entities", Entity, "entity", problems)
    else:
        found = _from_files([path], path.parent, Entity, "entity", problems)
    for model, places in found.values():
        check_contract(model, places, problems)
    problems.raise_if_any()
    return {name: model for name, (model, _) in found.items()}
