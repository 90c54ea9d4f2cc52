"""References to other entities: the key that a source row's parent has as an entity.

A mapping makes its entity's key from the columns that identify the source row. Put what the child
says of its parent in their place, and the same expression gives the parent's key; whether there is
such a row, and with `identity` which entity it became, only the target knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from cdc.schema import TableName
from transforms.classes import PROTECTED
from transforms.composite import Composite
from transforms.entity import Entity, EntityField
from transforms.errors import Loc
from transforms.expressions.translate import Expression, Place, syntax, translate
from transforms.expressions.typed import Typed
from transforms.model import FieldRule, Rows
from transforms.model import Mapping as MappingModel


@dataclass(frozen=True, slots=True)
class Reference:
    """
    mapping, field  where it is declared
    entity          what is referred to
    table           the target table that holds what this source says of it; `column` is its key
    type            of the key, in PostgreSQL's words
    source          where the entity's key is an identity: whose records these are; else empty
    """

    mapping: str
    field: str
    entity: str
    table: TableName
    column: str
    type: str
    source: str = ""

    def placed(self, composite: Composite | None, source: str) -> Reference:
        """As the target has the entity: of several sources each has a table of its own."""
        if composite is None:
            return self
        side = composite.side(source).table
        return replace(self, table=side, source=source if composite.match else "")


@dataclass(frozen=True, slots=True)
class Parent:
    """The one mapping of the pipeline that makes the entity."""

    mapping: MappingModel
    rows: Rows
    entity: Entity

    @property
    def key(self) -> str:
        return self.entity.key[0]

    @property
    def written(self) -> str:
        """The expression of its key."""
        return self.rows.key[self.key]

    def columns(self) -> list[str]:
        """Those of its table that the key reads."""
        place = Place(self.mapping.mapping, ("key", self.key), self.mapping.dialect)
        tree = syntax(self.written, place)
        nodes = sorted(tree.find_all(exp.Column), key=lambda node: node.this.meta.get("start", 0))
        return list(dict.fromkeys(node.name for node in nodes))

    def key_of(self, columns: Mapping[str, Typed]) -> Expression:
        """The key where its columns are these. Errors: ExpressionError."""
        place = Place(self.mapping.mapping, ("key", self.key), self.mapping.dialect)
        return translate(self.written, place, columns)


_TYPES = frozenset({"text", "smallint", "integer", "uuid", "date"})
"""Of which each value has one text, by which it is found."""


class Unfit(Exception):
    """A reference that cannot work; `part` of the rule, and what to do."""

    def __init__(self, what: str, part: str, fix: str | None = None) -> None:
        self.what, self.part, self.fix = what, part, fix
        super().__init__(what)


def parent_of(
    rule: FieldRule,
    field: EntityField,
    entities: Mapping[str, Entity],
    mappings: Sequence[MappingModel],
) -> Parent:
    """Errors: Unfit."""
    name = rule.ref or ""
    entity = entities.get(name)
    if entity is None:
        raise Unfit(f"there is no entity {name}", "ref")
    found = [
        Parent(mapping, rows, entity)
        for mapping in mappings
        for _, rows in mapping.parts
        if rows.entity == name
    ]
    if not found:
        raise Unfit(f"no mapping of the pipeline makes {name}", "ref", "add it to the pipeline")
    if len(found) > 1:
        names = " and ".join(sorted({parent.mapping.mapping for parent in found}))
        raise Unfit(f"several mappings make {name} ({names}), so a row could be of any", "ref")
    (parent,) = found
    if len(entity.key) != 1:
        raise Unfit(f"the key of {name} has several fields, and this is one", "ref")
    theirs = entity.fields[parent.key]
    if theirs.type != field.type:
        raise Unfit(f"the key of {name} is of type {theirs.type}, not {field.type}", "ref")
    if theirs.type.name not in _TYPES:
        raise Unfit(f"a key of type {theirs.type} is not referred to", "ref")
    classes = {theirs.field_class, field.field_class}
    if classes & PROTECTED:
        what = f"the key of {name} or this field is protected, so that they could not meet"
        raise Unfit(what, "ref", "class: internal")
    if len(classes) > 1:
        what = f"the key of {name} is {theirs.field_class}, and this {field.field_class}"
        raise Unfit(what, "ref", f"class: {theirs.field_class}")
    return parent


def given(rule: FieldRule, parent: Parent) -> dict[str, str]:
    """By column of the parent's table, what the child has in its place. Errors: Unfit."""
    columns = parent.columns()
    if isinstance(rule.by, str):
        if len(columns) != 1:
            listed = ", ".join(f"{name}: …" for name in columns)
            what = f"the key of {parent.entity.entity} is made of {', '.join(columns) or 'nothing'}"
            raise Unfit(what, "by", f"by: {{{listed}}}" if columns else None)
        return {columns[0]: rule.by}
    by = dict(rule.by or {})
    if set(by) != set(columns):
        raise Unfit(f"by names {', '.join(by)}; the key is made of {', '.join(columns)}", "by")
    return by


def by_expressions(name: str, rule: FieldRule) -> Iterator[tuple[Loc, str]]:
    if isinstance(rule.by, str):
        yield ("fields", name, "by"), rule.by
    for column, written in rule.by.items() if isinstance(rule.by, dict) else ():
        yield ("fields", name, "by", column), written
