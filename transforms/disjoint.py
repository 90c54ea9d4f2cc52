"""Whether the mappings of a pipeline stay out of each other's way.

Two of them may write one target table only where no row can come from both, provably:

- a field of the key is a constant, or begins with one, in each, and these contradict each other
  (``'E-' || id`` and ``'K-' || id``); or
- both read one source table with the same key, which alone tells its rows apart, write the same
  fields, and their `where` demand different constants of one column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from sqlglot import exp

from cdc.schema import TableSchema
from transforms.compile import fixed_column, key_recovers
from transforms.entity import Entity
from transforms.errors import ExpressionError, Loc, MappingError
from transforms.expressions.translate import Place, syntax
from transforms.model import Mapping as MappingModel
from transforms.model import Rows
from transforms.types import Kind


@dataclass(frozen=True, slots=True)
class Part:
    """One of a mapping's rows. `schema` is None while the source is not known (offline)."""

    mapping: MappingModel
    loc: Loc
    rows: Rows
    schema: TableSchema | None

    @property
    def name(self) -> str:
        alone = self.mapping.rows is None
        return self.mapping.mapping if alone else f"{self.mapping.mapping}/{self.rows.name}"

    def error(self, what: str, loc: Loc, fix: str | None = None) -> MappingError:
        return MappingError(what, mapping=self.mapping.mapping, loc=self.loc + loc, fix=fix)


def check_together(
    mappings: Sequence[MappingModel],
    entities: Mapping[str, Entity],
    schemas: Mapping[str, TableSchema],
) -> list[MappingError]:
    """Everything that is wrong with the mappings of one pipeline as a whole.

    `schemas` by the source table's name. Without a table's schema, what only that could decide is
    not an error.
    """
    parts = [
        Part(mapping, loc, rows, schemas.get(str(mapping.source)))
        for mapping in mappings
        for loc, rows in mapping.parts
    ]
    return [*_collisions(parts, entities), *_undelivered(parts, entities)]


def _collisions(parts: Sequence[Part], entities: Mapping[str, Entity]) -> Iterator[MappingError]:
    for first, second in combinations(parts, 2):
        if first.rows.target != second.rows.target:
            continue
        if first.rows.entity != second.rows.entity:
            yield second.error(
                f"it writes {second.rows.target}, as does {first.name}, for another entity",
                ("into",) if second.rows.into else (),
                "give it a target of its own: into: …",
            )
        elif first.mapping.existing != second.mapping.existing:
            yield second.error(f"existing differs from that of {first.name}", ("existing",))
        elif not disjoint(first, second, entities) and not _undecided(first, second):
            yield _overlap(first, second)


def _undecided(first: Part, second: Part) -> bool:
    """Whether only the table's schema could show them disjoint, and it is not known."""
    return first.schema is None and first.mapping.source == second.mapping.source


def _overlap(first: Part, second: Part) -> MappingError:
    shared = sorted(set(first.rows.fields) & set(second.rows.fields))
    return second.error(
        f"{first.name} writes {shared[0] if shared else 'rows'} of {second.rows.target}, too,"
        " perhaps for the same entities",
        ("fields", shared[0]) if shared else ("key",),
        f"begin the keys with different constants, such as '{second.rows.name}-' || …, or let"
        " each write a target of its own (into: …)",
    )


def disjoint(first: Part, second: Part, entities: Mapping[str, Entity]) -> bool:
    """Whether no entity can come from both."""
    for name in _texts(first, entities) & set(first.rows.key) & set(second.rows.key):
        one, other = _opening(first, name), _opening(second, name)
        if one is not None and other is not None and _contradict(one, other):
            return True
    alike = set(first.rows.fields) == set(second.rows.fields)
    return alike and same_key(first, second) and _demand_different(first, second)


def _texts(part: Part, entities: Mapping[str, Entity]) -> set[str]:
    """Fields in which different texts are different values: '1' and '1.0' are one decimal."""
    entity = entities.get(part.rows.entity)
    fields = {} if entity is None else entity.fields
    return {name for name, field in fields.items() if field.type.type.kind is Kind.TEXT}


def same_key(first: Part, second: Part) -> bool:
    """Whether both have one key of one source table, which tells its rows apart by itself."""
    if first.mapping.source != second.mapping.source or first.schema is None:
        return False
    if set(first.rows.key) != set(second.rows.key):
        return False
    trees = [
        {name: _tree(part, written) for name, written in part.rows.key.items()}
        for part in (first, second)
    ]
    if trees[0] != trees[1] or None in trees[0].values():
        return False
    return key_recovers(first.mapping, first.rows, first.schema)


@dataclass(frozen=True, slots=True)
class _Opening:
    """What a text begins with; `whole`: it is all of it."""

    text: str
    whole: bool


def _contradict(one: _Opening, other: _Opening) -> bool:
    if one.whole and other.whole:
        return one.text != other.text
    length = min(len(one.text), len(other.text))
    if (one.whole and len(one.text) < len(other.text)) or (
        other.whole and len(other.text) < len(one.text)
    ):
        return True
    return one.text[:length] != other.text[:length]


def _opening(part: Part, field: str) -> _Opening | None:
    node = _tree(part, part.rows.key[field])
    if node is None:
        return None
    whole = True
    while (first := _first(node, part.mapping.dialect)) is not None:
        node, whole = first, False
    if isinstance(node, exp.Literal) and node.is_string:
        return _Opening(node.name, whole)
    return None


def _first(node: exp.Expr, dialect: str) -> exp.Expr | None:
    """What a joined text begins with, however the dialect joins it."""
    if isinstance(node, exp.DPipe) or (isinstance(node, exp.Add) and dialect == "tsql"):
        return node.this if isinstance(node.this, exp.Expr) else None
    if isinstance(node, exp.Anonymous) and node.this == "concat" and node.expressions:
        first = node.expressions[0]
        return first if isinstance(first, exp.Expr) else None
    return None


def _demand_different(first: Part, second: Part) -> bool:
    one, other = _demands(first), _demands(second)
    return any(one[column] != other[column] for column in set(one) & set(other))


def _demands(part: Part) -> dict[str, str]:
    """The columns that `where` holds fixed, and at what string."""
    node = None if part.rows.where is None else _tree(part, part.rows.where)
    waiting = [] if node is None else [node]
    found: dict[str, str] = {}
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.And):
            waiting += [node.this, node.expression]
        elif (column := fixed_column(node)) is not None:
            sides = (node.this, node.expression)
            constant = next(side for side in sides if not isinstance(side, exp.Column))
            value = _comparable(part, column, constant)
            if value is not None:
                found.setdefault(column, value)
    return found


def _comparable(part: Part, column: str, constant: exp.Expr) -> str | None:
    """The constant in a form in which unequal means different, for this column's type."""
    if part.schema is None:
        return None
    base = next((c.base_type for c in part.schema.columns if c.name == column), "")
    text = constant.sql("postgres").strip("'")
    if base in ("smallint", "integer", "bigint"):
        try:
            return str(int(text))
        except ValueError:
            return None
    if base in ("text", "character varying", "character") and isinstance(constant, exp.Literal):
        return constant.name.rstrip(" ")
    return None


def _tree(part: Part, written: str) -> exp.Expr | None:
    try:
        mapping = part.mapping
        return syntax(
            written, Place(mapping.mapping, part.loc, mapping.dialect, lookups=mapping.lookups)
        )
    except ExpressionError:
        return None


def _undelivered(parts: Sequence[Part], entities: Mapping[str, Entity]) -> Iterator[MappingError]:
    """Required fields that no mapping of the pipeline gives."""
    targets = {part.rows.target: part for part in reversed(parts)}
    for target, first in targets.items():
        entity = entities.get(first.rows.entity)
        if entity is None:
            continue
        given = {
            name
            for part in parts
            if part.rows.target == target
            for name in (*part.rows.key, *part.rows.fields, part.rows.on_delete.column)
        }
        for name, field in entity.fields.items():
            if field.required and name not in given:
                yield first.error(
                    f"{name} of {entity.entity} is required, and no mapping delivers it",
                    ("fields",),
                    f"add {name} to the fields, or drop `required`",
                )
