"""Entities with `identity`: whether their rules can recognise records where they are written."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

from config.owners import composites
from config.places import Loc
from config.problems import Problems
from config.project import Project
from tailrace.errors import TargetRefused
from transforms.composite import Composite
from transforms.entity import Entity

if TYPE_CHECKING:
    from transforms.matching import MatchRule, MatchValue


def check_identities(project: Project, problems: Problems) -> None:
    for entity in project.entities.values():
        if entity.identity is not None:
            _Check(project, entity, problems).run()


class _Check:
    """One entity."""

    def __init__(self, project: Project, entity: Entity, problems: Problems) -> None:
        self._project = project
        self._entity = entity
        self._problems = problems
        self._places = project.entity_places[entity.entity]

    def run(self) -> None:
        from transforms.matching import match_rules  # it takes the parser

        rules, errors = match_rules(self._entity)
        self._problems.place(errors, self._places)
        self._key()
        if self._problems.found:
            return
        for target in self._project.targets:
            if self._writes(target):
                self._target(target, rules)

    def _key(self) -> None:
        """The key is no field of a source's any more: nothing but its type can be said of it."""
        entity, fields = self._entity, self._entity.fields
        if len(entity.key) > 1 or fields[entity.key[0]].type.name != "text":
            self._add("the key is what identity gives, one text", ("key",), "key: [ONE_FIELD]")
            return
        (key,) = entity.key
        if fields[key].demanding:
            what = f"identity gives {key}, so a contract cannot demand anything of it"
            self._add(what, ("fields", key), "keep its type, its class and required")
        if any(key in names for names in entity.unique):
            self._add(f"identity gives {key}, which is unique anyway", ("unique",))
        for loc, reads in self._checks():
            if key in reads:
                self._add(f"identity gives {key} only after checks are judged", loc)

    def _checks(self) -> list[tuple[Loc, Set[str]]]:
        from transforms.held import reads_of

        written: list[tuple[Loc, str]] = [
            (("fields", name, "check"), field.check)
            for name, field in self._entity.fields.items()
            if field.check is not None
        ]
        written += [(("checks", name), text) for name, text in self._entity.checks.items()]
        return [(loc, reads_of(self._entity, text)) for loc, text in written]

    def _writes(self, target: str) -> bool:
        for pipeline in self._project.pipelines.values():
            for name in pipeline.mappings if pipeline.target == target else ():
                mapping = self._project.mappings.get(name)
                parts = mapping.parts if mapping is not None else ()
                if any(rows.entity == self._entity.entity for _, rows in parts):
                    return True
        return False

    def _target(self, target: str, rules: tuple[MatchRule, ...]) -> None:
        plans: Mapping[str, Composite] = {
            one.entity: one for one in composites(self._project, target).values()
        }
        plan = plans.get(self._entity.entity)
        if plan is None:
            self._add(
                f"one source alone feeds it at {target}, so there is nothing to recognise",
                (),
                "add a mapping of another source, or remove identity",
            )
            return
        if self._project.targets[target].type in ("mariadb", "mysql"):
            self._words(rules)
        for rule in rules:
            by = [side.source for side in plan.sides if rule.reads <= set(side.fields)]
            if len(by) < 2:
                said = f"{by[0]} alone delivers" if by else "no source delivers"
                self._add(
                    f"{said} all that it reads to {target}, and it takes two",
                    ("match", rule.at),
                    f"deliver {', '.join(sorted(rule.reads))} in mappings of two sources",
                )
            for number, value in enumerate(rule.values):
                self._protected(target, rule, number, value)

    def _words(self, rules: tuple[MatchRule, ...]) -> None:
        from sinks.mysql.match_words import said

        for rule in rules:
            for number, value in enumerate(rule.values):
                try:
                    said(value.form)
                except TargetRefused as refused:
                    self._add(refused.what, ("match", rule.at, number), refused.fix)

    def _protected(self, target: str, rule: MatchRule, number: int, value: MatchValue) -> None:
        protect = self._project.targets[target].protect
        for name in value.reads:
            field = self._entity.fields[name]
            how = protect.rule(field.field_class)
            key = self._project.keys.get(how.key or "")
            if how.action in ("mask", "drop"):
                why = "so nothing is left to recognise by"
                fix = "tokenise or hash it, or match by another field"
            elif how.action == "pass":
                continue
            elif not value.bare:
                why = "so it cannot be changed before it is compared"
                fix = f"match by {name} alone, and let mappings bring it into one form"
            elif how.action == "tokenise" and key is not None and key.previous:
                why = f"and key {how.key} has been rotated, so one value has several tokens"
                fix = "give this class a key of its own whose `current` stays"
            else:
                continue
            self._add(
                f"{target} would {how.action} {name} ({field.field_class}), {why}",
                ("match", rule.at, number),
                fix,
            )

    def _add(self, what: str, loc: Loc, fix: str | None = None) -> None:
        full: Loc = (
            loc
            if loc[:1] in (("key",), ("fields",), ("unique",), ("checks",))
            else (
                "identity",
                *loc,
            )
        )
        place = ".".join(map(str, full))
        self._problems.add(
            f"entity {self._entity.entity}, {place}: {what}", self._places.where(full), fix
        )
