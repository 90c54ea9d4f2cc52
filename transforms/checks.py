"""What can be said of a mapping against its entity, without the source's schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from transforms.entity import Entity
from transforms.errors import ExpressionError, Loc, MappingError
from transforms.expressions.translate import Place, syntax
from transforms.model import FieldRule, Rows
from transforms.model import Mapping as MappingModel
from transforms.references import by_expressions
from transforms.types import Kind
from transforms.words import NULL


def check_syntax(mapping: MappingModel, entities: Mapping[str, Entity]) -> list[MappingError]:
    """What can be said of a mapping without its source's schema."""
    errors: list[MappingError] = []
    for alias, lookup in mapping.lookups.items():
        loc: Loc = ("lookups", alias, "on")
        place = Place(mapping.mapping, loc, mapping.dialect, lookups=(alias,))
        try:
            syntax(lookup.on, place)
        except ExpressionError as error:
            errors.append(error)
    for prefix, rows in mapping.parts:
        checks = Checks(mapping, prefix, rows)
        entity = checks.entity(entities)
        if entity is not None:
            checks.fields_of(entity)
        for at, written in _expressions(rows):
            try:
                place = Place(
                    mapping.mapping, prefix + at, mapping.dialect, lookups=mapping.lookups
                )
                syntax(written, place)
            except ExpressionError as error:
                checks.errors.append(error)
        errors += checks.errors
    return errors


def _expressions(rows: Rows) -> Iterator[tuple[Loc, str]]:
    for name, written in rows.key.items():
        yield ("key", name), written
    for name, rule in rows.fields.items():
        if rule.expr is not None:
            yield rule_loc(name, rule), rule.expr
        elif rule.source is not None:
            yield ("fields", name, "from"), rule.source
        yield from by_expressions(name, rule)
    if rows.where is not None:
        yield ("where",), rows.where


def rule_loc(name: str, rule: FieldRule) -> Loc:
    return ("fields", name, "expr") if rule.default is not None else ("fields", name)


def written_values(rows: Rows) -> Iterator[tuple[str, Loc, str | None]]:
    """(field, path below it, value) of values that stand in the mapping itself; None is NULL."""
    for name, rule in rows.fields.items():
        yield from ((name, loc, value) for loc, value in _values(rule))


def _values(rule: FieldRule) -> Iterator[tuple[Loc, str | None]]:
    if rule.value is not None:
        yield ("value",), rule.constant
    if rule.default is not None:
        yield ("default",), None if rule.default == NULL else rule.default
    for code, value in rule.codes.items():
        yield ("values", NULL if code is None else code), value
    if rule.unlisted.action == "value":
        yield ("otherwise",), rule.unlisted.value


class Checks:
    """Checks of one of a mapping's rows against its entity; `errors` gathers what they find."""

    def __init__(self, mapping: MappingModel, prefix: Loc, rows: Rows) -> None:
        self.mapping = mapping
        self.prefix = prefix
        self.rows = rows
        self.errors: list[MappingError] = []

    def error(self, what: str, loc: Loc, fix: str | None = None) -> None:
        self.errors.append(
            MappingError(what, mapping=self.mapping.mapping, loc=self.prefix + loc, fix=fix)
        )

    def entity(self, entities: Mapping[str, Entity]) -> Entity | None:
        name = self.rows.entity
        if name not in entities:
            self.error(f"there is no entity {name}", ("entity",), suggestion(name, entities))
        return entities.get(name)

    def fields_of(self, entity: Entity) -> None:
        rows = self.rows
        for name in entity.key:
            if name not in rows.key:
                self.error(f"the key of {entity.entity} has {name}, which is not given", ("key",))
        for name in rows.key:
            if name not in entity.key:
                fix = suggestion(name, entity.key)
                self.error(f"{name} is not in the key of {entity.entity}", ("key", name), fix)
        for name in rows.fields:
            if name not in entity.fields:
                fix = suggestion(name, entity.fields)
                self.error(f"{entity.entity} has no field {name}", ("fields", name), fix)
            elif name in entity.key:
                self.error("a field of the key is given under key", ("fields", name))
        self._null(entity)
        self._soft(entity)
        if rows.on_delete.action == "set_null":
            for name in rows.fields:
                if name in entity.fields and entity.fields[name].required:
                    what = f"on_delete: set_null would empty {name}, which is required"
                    self.error(what, ("on_delete",))

    def _null(self, entity: Entity) -> None:
        for name, loc, value in written_values(self.rows):
            if value is None and name in entity.fields and entity.fields[name].required:
                self.error(
                    f"this gives NULL, and {name} is required",
                    ("fields", name, *loc),
                    "say otherwise: exception for codes that are to stop, or give a value",
                )

    def _soft(self, entity: Entity) -> None:
        column = self.rows.on_delete.column
        if column is None:
            return
        field = entity.fields.get(column)
        if field is None or field.type.type.kind is not Kind.BOOL:
            self.error(
                f"{column} is not a boolean field of {entity.entity}",
                ("on_delete",),
                f"add {column}: {{type: boolean}} to the entity",
            )
        elif column in self.rows.fields or column in entity.key:
            self.error(f"{column} is set by on_delete and cannot be a field, too", ("on_delete",))


def suggestion(name: str, known: Sequence[str] | Mapping[str, object]) -> str | None:
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else None
