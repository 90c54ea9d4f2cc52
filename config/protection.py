"""Whether targets have a rule for each class of field that they get, and the keys for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from config.places import Loc
from config.problems import Problems, suggest
from config.project import Project
from config.secrets import is_unresolved
from transforms.classes import CLASSES, FieldClass
from transforms.entity import Entity
from transforms.model import Rows
from transforms.protect.keys import TOKEN_BYTES, key_id, parsed
from transforms.protect.model import Protect, Rule

_MAKE = "make it with: openssl rand -hex 64"


@dataclass(frozen=True, slots=True)
class _Use:
    """A rule of target `target` with a key."""

    target: str
    field_class: FieldClass
    rule: Rule

    @property
    def loc(self) -> Loc:
        return ("targets", self.target, "protect", self.field_class)

    def __str__(self) -> str:
        return ".".join(map(str, self.loc))


def check_keys(project: Project, problems: Problems) -> None:
    """Keys that rules name are there and fit their use, and each has one use."""
    used: dict[str, _Use] = {}
    for use in _uses(project):
        name = use.rule.key
        assert name is not None
        if name not in project.keys:
            problems.add(
                f"{use}: there is no key {name!r}",
                project.where(*use.loc),
                suggest(name, project.keys, "keys are"),
            )
            continue
        other = used.setdefault(name, use)
        if other.rule.action != use.rule.action:
            problems.add(
                f"{use}: key {name} is also used to {other.rule.action}, by {other}",
                project.where(*use.loc),
                "declare a key for each of the two",
            )
        elif use.rule.action == "hash" and project.keys[name].previous:
            problems.add(
                f"{use}: key {name} has previous keys, and a hash does not say which key made it",
                project.where("keys", name, "previous"),
                "remove `previous`; to change the key of hashes, write the target anew",
            )
    for name in project.keys:
        _check_key(project, name, used.get(name), problems)


def _uses(project: Project) -> Iterator[_Use]:
    for name, target in project.targets.items():
        for field_class in CLASSES:
            rule = target.protect.rule(field_class)
            if rule.key is not None:
                yield _Use(name, field_class, rule)


def _check_key(project: Project, name: str, use: _Use | None, problems: Problems) -> None:
    key = project.keys[name]
    seen: dict[str, str] = {}
    places: list[tuple[Loc, str]] = [(("current",), key.current)]
    places += [(("previous", at), written) for at, written in enumerate(key.previous)]
    for inside, written in places:
        if is_unresolved(written):
            continue
        loc: Loc = ("keys", name, *inside)
        shown, where = ".".join(map(str, loc)), project.where(*loc)
        try:
            found = parsed(written)
        except ValueError as error:
            problems.add(f"{shown} {error}", where, _MAKE)
            continue
        if use is not None and use.rule.action == "tokenise" and len(found) not in TOKEN_BYTES:
            sizes = "32, 48 or 64"
            problems.add(f"{shown} has {len(found)} bytes; tokens take {sizes}", where, _MAKE)
        other = seen.setdefault(key_id(found), shown)
        if other != shown:
            problems.add(f"{shown} is the same key as {other}", where, "remove it, or name another")


def check_protection(project: Project, problems: Problems) -> None:
    for pipeline in project.pipelines.values():
        target = project.targets.get(pipeline.target)
        if target is None:
            continue
        for mapping in pipeline.mappings:
            declared = project.mappings.get(mapping)
            for _, rows in declared.parts if declared is not None else ():
                entity = project.entities.get(rows.entity)
                if entity is not None:
                    _Check(project, problems, pipeline.target, target.protect, entity).run(rows)


class _Check:
    """An entity against the rules of a target that it is written to."""

    def __init__(
        self, project: Project, problems: Problems, target: str, rules: Protect, entity: Entity
    ) -> None:
        self._project = project
        self._problems = problems
        self._target = target
        self._rules = rules
        self._entity = entity
        self._unique = {name for names in entity.unique_together for name in names}

    def run(self, rows: Rows) -> None:
        for name, field in self._entity.fields.items():
            if self._rules.lacks(field.field_class):
                self._problems.add(
                    f"target {self._target} has no rule for {field.field_class} fields, such as"
                    f" {name} of entity {self._entity.entity}",
                    self._project.where("targets", self._target),
                    f"add protect: {{{field.field_class}: RULE}}, with mask, drop, {{hash: KEY}},"
                    " {tokenise: KEY}, or pass to send them as they are",
                )
            else:
                self._field(name, rows)

    def _field(self, name: str, rows: Rows) -> None:
        field = self._entity.fields[name]
        rule = self._rules.rule(field.field_class)
        if rule.key is not None and field.type.name != "text":
            self._wrong(
                name,
                f"a {rule.action} is text, and the field is {field.type}",
                "declare the field as text, and cast what mappings write into it (::text)",
            )
        if rule.action in ("mask", "drop"):
            if name in self._entity.key:
                what = "rows of the target would not be told apart: the field is in the key"
                self._wrong(name, what, "pass, hash or tokenise it")
            elif name in self._unique:
                what = "the target could not tell whether it is unique, as the contract demands"
                self._wrong(name, what, "pass, hash or tokenise it")
            elif name == rows.on_delete.column:
                self._wrong(name, "on_delete marks deleted rows in it", "give it another class")
        elif rule.action == "tokenise" and self._is_rotated(rule):
            fix = (
                "name a key of its own for this class, whose `current` stays as it was when the"
                " table was first written"
            )
            if name in self._entity.key:
                what = (
                    f"the field is in the key, and key {rule.key} has been rotated: a row would be"
                    " written a second time, under its new token"
                )
                self._wrong(name, what, fix)
            elif name in self._unique:
                what = (
                    f"the field is unique, and key {rule.key} has been rotated: one value would"
                    " pass twice, under an old and a new token"
                )
                self._wrong(name, what, fix)

    def _is_rotated(self, rule: Rule) -> bool:
        key = self._project.keys.get(rule.key or "")
        return key is not None and bool(key.previous)

    def _wrong(self, name: str, why: str, fix: str) -> None:
        field = self._entity.fields[name]
        entity = self._entity.entity
        action = self._rules.rule(field.field_class).action
        self._problems.add(
            f"entity {entity}, field {name}: target {self._target} would {action} it"
            f" ({field.field_class}), and {why}",
            self._project.entity_places[entity].where(("fields", name, "class")),
            fix,
        )
