"""Contracts of entities compared, and exchanged with other tools."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from config.checks import check_contract
from config.jsonschema import schema_comment
from config.load import load_entities, load_project
from config.plain import report
from config.problems import Problems, suggest
from config.yaml import read
from tailrace.errors import ConfigError
from transforms.entity import Entity
from transforms.evolution import Comparison, compare
from transforms.odcs.export import exported as as_contract
from transforms.odcs.read import imported as as_entities


@dataclass(frozen=True, slots=True)
class Differences:
    """Of all entities that have changed."""

    found: tuple[Comparison, ...]

    @classmethod
    def between(cls, old: Path, new: Path) -> Differences:
        """Errors: ConfigError."""
        return cls(tuple(compare(load_entities(old), load_entities(new))))

    @property
    def fit(self) -> bool:
        return all(each.fits for each in self.found)

    def text(self) -> str:
        lines = [line for each in self.found for line in _lines(each)]
        return "\n".join(lines) if lines else "no contract changed"

    def json(self) -> str:
        return json.dumps({"fit": self.fit, "entities": [_plain(each) for each in self.found]})


_WORDS = {"major": "breaking", "minor": "compatible", "patch": "no promise"}


def _lines(found: Comparison) -> list[str]:
    lines = [f"{found.entity}: {found.old or 'no version'} → {found.new or 'no version'}"]
    lines += [f"  {_WORDS[change.level]:<10}  {change.what}" for change in found.changes]
    lines += [
        f"  breaks {consumer.name}" + (f" ({consumer.contact})" if consumer.contact else "")
        + f": {why}"
        for consumer, why in found.broken
    ]  # fmt: skip
    if found.fits:
        return lines
    if found.needed is None:
        return [*lines, "  → it is read: let its consumers go first, and take them from the file"]
    return [*lines, f"  → write version: {found.needed}, or a higher one"]


def _plain(found: Comparison) -> dict[str, Any]:
    return {
        "entity": found.entity,
        "old": None if found.old is None else str(found.old),
        "new": None if found.new is None else str(found.new),
        "needed": None if found.needed is None else str(found.needed),
        "fits": found.fits,
        "changes": [
            {"change": _WORDS[change.level], "what": change.what} for change in found.changes
        ],
        "broken": [
            {"consumer": consumer.name, "contact": consumer.contact, "why": why}
            for consumer, why in found.broken
        ],
    }


def exported(directory: Path, name: str) -> tuple[str, list[str]]:
    """YAML, and what it does not say. Errors: ConfigError."""
    project = load_project(directory, resolve_secrets=False)
    if name not in project.entities:
        raise ConfigError(
            f"there is no entity {name!r}",
            where={"folder": "entities"},
            fix=suggest(name, project.entities, "entities are"),
        )
    try:
        document, losses = as_contract(project.entities[name], project.project)
    except ValueError as error:
        where = project.entity_places[name].where()
        raise ConfigError(f"{error}", where=where, fix="write version: 1.0.0") from None
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True), losses


def imported(directory: Path, file: Path) -> tuple[list[Path], list[str]]:
    """The files that were written, and what they do not say. Errors: ConfigError."""
    document = read(file, str(file))
    try:
        found, losses = as_entities(document.value)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        what = str(error) if type(error) is ValueError else "it is not built as the standard says"
        raise ConfigError(what, where={"file": str(file)}) from None
    problems = Problems()
    paths = [directory / "entities" / f"{one['entity']}.yml" for one in found]
    for one in found:
        try:
            check_contract(Entity.model_validate(one), document.places, problems)
        except ValidationError as error:
            report(error, document.places, Entity, problems, {})
    for path in paths:
        if path.exists():
            fix = "move it away, or change it by hand"
            problems.add("is there already", {"file": str(path)}, fix)
    problems.raise_if_any()
    for path, one in zip(paths, found, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(one, sort_keys=False, allow_unicode=True)
        path.write_text(schema_comment("entity", depth=1) + text)
    return paths, losses
