"""Rules of `identity`: expressions over the fields of an entity.

They are evaluated where the values are, at the target: what a source did not send is there, and
an index finds the records that match. So they take only what gives the same value for ever (an
index demands it): fields, and the functions below over texts. Each sink says them in its own SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sqlglot import exp

from transforms.contract import columns_of
from transforms.entity import Entity
from transforms.errors import EntityError, ExpressionError, Loc
from transforms.expressions.translate import Expression, Place, translate
from transforms.expressions.typed import Typed
from transforms.types import STRINGS

FUNCTIONS = (
    *("btrim", "coalesce", "left", "lower", "ltrim", "nullif", "replace", "right", "rtrim"),
    *("substring", "translate", "upper"),
)
_NOT_COMPARED = frozenset({"json", "bytes", "double", "boolean"})


@dataclass(frozen=True, slots=True)
class Field:
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """One of `FUNCTIONS`, with PostgreSQL's meaning, or `||` of two."""

    function: str
    of: tuple[Form, ...]


Form: TypeAlias = Field | Call | str | int
"""An expression; texts and numbers, which are not negative, are constants."""


@dataclass(frozen=True, slots=True)
class MatchValue:
    """`text`: whether the value is one; `bare`: whether it is a field and nothing else."""

    form: Form
    reads: tuple[str, ...]
    text: bool
    bare: bool


@dataclass(frozen=True, slots=True)
class MatchRule:
    """`written`: the expressions in the operator's words; `at`: which of the rules, from 0."""

    at: int
    written: str
    values: tuple[MatchValue, ...]

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(name for value in self.values for name in value.reads)


def match_rules(
    entity: Entity,
) -> tuple[tuple[MatchRule, ...], list[EntityError | ExpressionError]]:
    """The rules of `entity.identity`, and everything that is wrong with them."""
    rules: list[MatchRule] = []
    errors: list[EntityError | ExpressionError] = []
    if entity.identity is None:
        return (), []
    columns = columns_of(entity)
    for at, written in enumerate(entity.identity.match):
        values = []
        for number, text in enumerate(written):
            loc: Loc = ("identity", "match", at, number)
            try:
                values.append(_value(entity, text, loc, columns))
            except ExpressionError as error:
                errors.append(error)
        rules.append(MatchRule(at, ", ".join(written), tuple(values)))
    return tuple(rules), errors


def _value(entity: Entity, text: str, loc: Loc, columns: Mapping[str, Typed]) -> MatchValue:
    found = translate(text, Place(entity.entity, loc, kind="entity"), columns)
    reads = tuple(name for name in columns if name in found.typed.reads)
    if not reads:
        raise found.refuse("it reads no field, so it would match any two records")
    for name in reads:
        if name in entity.key:
            raise found.refuse(
                f"{name} is the key, which identity gives", fix="match by other fields"
            )
    if isinstance(found.tree, exp.Column):
        type_ = entity.fields[reads[0]].type
        if type_.name in _NOT_COMPARED:
            raise found.refuse(f"records are not recognised by a field of type {type_}")
        return MatchValue(_form(found, found.tree), reads, type_.name == "text", True)
    for name in reads:
        if entity.fields[name].type.name != "text":
            raise found.refuse(
                f"{name} is no text, and only texts are changed before they are compared",
                fix=f"match by {name} alone, as an expression of its own",
            )
    if found.typed.kind not in STRINGS:
        raise found.refuse("it gives no text")
    return MatchValue(_form(found, found.tree), reads, True, False)


def _form(found: Expression, node: exp.Expr) -> Form:
    """A rewritten tree. Errors: ExpressionError."""
    if isinstance(node, exp.Column):
        return Field(node.name)
    if isinstance(node, exp.Literal):
        if node.is_string:
            return str(node.this)
        if str(node.this).isdigit() and int(node.this) < 1 << 31:
            return int(node.this)
    if isinstance(node, exp.DPipe):
        return Call("||", (_form(found, node.this), _form(found, node.expression)))
    if isinstance(node, exp.Anonymous) and node.this in FUNCTIONS:
        return Call(node.this, tuple(_form(found, each) for each in node.expressions))
    raise found.refuse(
        "a rule of identity takes fields, texts, || and a few functions only",
        fix=f"of functions: {', '.join(FUNCTIONS)}; let mappings do what takes more",
    )
