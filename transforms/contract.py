"""An entity's contract, compiled: conditions in SQL over the values that a mapping delivers.

They read a table of texts whose columns are named after their field's position in the entity: c0,
c1, … A condition is broken where it is false, not where it is NULL, as with CHECK in SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial, reduce

from cdc.schema import Column, TableName, TableSchema
from transforms.assign import constant_sql
from transforms.entity import Entity, EntityField
from transforms.errors import EntityError, ExpressionError, Loc
from transforms.expressions.dialects import DIALECTS
from transforms.expressions.literals import adopt
from transforms.expressions.operators import both, compare, condition, is_in
from transforms.expressions.sql import quoted
from transforms.expressions.translate import Place, source_columns, translate
from transforms.expressions.typed import Refusal, Typed, literal
from transforms.types import FLOATS, INT8, INTEGERS, MOMENTS, Kind

_SHOWN_CHARS_MAX = 60
PATTERN_CHARS_MAX = 1000
"""RE2 takes time linear in the text, and memory in the pattern."""

_TEXTS = frozenset({Kind.TEXT})
_ORDERED = INTEGERS | FLOATS | MOMENTS | {Kind.NUMERIC}
_LISTED = INTEGERS | MOMENTS | {Kind.NUMERIC, Kind.TEXT, Kind.BOOL, Kind.UUID}


@dataclass(frozen=True, slots=True)
class Rule:
    """One demand of a contract.

    name     the field, or the name of one of the entity's `checks`
    reason   what sort of demand: ``one_of``, ``range``, ``pattern``, ``length`` or ``check``
    sql      true, false or NULL; it may fail for a row, which then breaks it, too
    fast     the same over `decoded`, pairs of a name and SQL: what several rules read is decoded
             once, but fails for all of them
    reads    the fields it looks at: it is judged only where all of them are sent
    problem  what is wrong with a row that breaks it, in words
    loc      where it stands in the entity's document
    """

    name: str
    reason: str
    sql: str
    reads: tuple[str, ...]
    problem: str
    loc: Loc
    fast: str = ""
    decoded: tuple[tuple[str, str], ...] = ()


def columns_of(entity: Entity) -> dict[str, Typed]:
    """The entity's fields as typed expressions over the texts that targets are given."""
    schema = TableSchema(
        TableName("entity", entity.entity),
        tuple(
            Column(name, field.type.postgres, field.type.postgres.partition("(")[0])
            for name, field in entity.fields.items()
        ),
        entity.key,
    )
    return {name: _truth(typed) for name, typed in source_columns(schema).items()}


def _truth(value: Typed) -> Typed:
    """A boolean is `t` as its source printed it, and `true` as it is computed."""
    if value.kind is not Kind.BOOL:
        return value
    return replace(value, sql=f"({value.printed} IN ('t', 'true'))")


def _decoded(columns: Mapping[str, Typed]) -> tuple[dict[str, Typed], dict[str, tuple[str, str]]]:
    """The same over columns v0, v1, … where there is something to decode, and how that is done."""
    found = dict(columns)
    pairs: dict[str, tuple[str, str]] = {}
    for at, (name, value) in enumerate(columns.items()):
        if value.sql is not None and value.sql != value.printed:
            pairs[name] = (f"v{at}", value.sql)
            found[name] = replace(value, sql=f"v{at}", fails=False)
    return found, pairs


def contract_of(entity: Entity) -> tuple[tuple[Rule, ...], list[EntityError | ExpressionError]]:
    """The rules, fields first, and everything that is wrong with them."""
    columns = columns_of(entity)
    decoded, pairs = _decoded(columns)
    rules: list[Rule] = []
    errors: list[EntityError | ExpressionError] = []
    for (loc, build), (_, fast) in zip(
        _demands(entity, columns), _demands(entity, decoded), strict=True
    ):
        try:
            rule = build()
            needed = tuple(pairs[name] for name in rule.reads if name in pairs)
            rules.append(replace(rule, fast=fast().sql, decoded=needed))
        except Refusal as refusal:
            errors.append(EntityError(refusal.what, entity=entity.entity, loc=loc, fix=refusal.fix))
        except ExpressionError as error:
            errors.append(error)
    return tuple(rules), errors


def _demands(
    entity: Entity, columns: Mapping[str, Typed]
) -> Iterator[tuple[Loc, Callable[[], Rule]]]:
    for name, field in entity.fields.items():
        for key, build in _BUILDERS.items():
            if getattr(field, key) is not None:
                loc: Loc = ("fields", name, key)
                yield loc, partial(build, name, field, columns[name], loc)
        if field.check is not None:
            loc = ("fields", name, "check")
            yield loc, partial(_check, entity, name, field.check, columns, loc)
    for name, written in entity.checks.items():
        loc = ("checks", name)
        yield loc, partial(_check, entity, name, written, columns, loc)


def _one_of(name: str, field: EntityField, value: Typed, loc: Loc) -> Rule:
    _takes(field, _LISTED, "one_of")
    listed = field.one_of or ()
    found = is_in(value, [_constant(written, field) for written in listed])
    shown = ", ".join(listed)
    return Rule(name, "one_of", found.value, (name,), f"its value is none of {_short(shown)}", loc)


def _range(name: str, field: EntityField, value: Typed, loc: Loc) -> Rule:
    _takes(field, _ORDERED, "range")
    bounds = field.range
    assert bounds is not None
    found = [
        compare(operator, value, _constant(bound, field))
        for operator, bound in ((">=", bounds.min), ("<=", bounds.max))
        if bound is not None
    ]
    return Rule(
        name,
        "range",
        reduce(both, found).value,
        (name,),
        f"its value is outside of the range: {_short(str(bounds))}",
        loc,
    )


def _pattern(name: str, field: EntityField, value: Typed, loc: Loc) -> Rule:
    _takes(field, _TEXTS, "pattern")
    pattern = field.pattern or ""
    if len(pattern) > PATTERN_CHARS_MAX:
        raise Refusal(f"a pattern has at most {PATTERN_CHARS_MAX} characters")
    sql = f"regexp_full_match({value.value}, {quoted(pattern)})"
    return Rule(name, "pattern", sql, (name,), "its value does not match the pattern", loc)


def _length(name: str, field: EntityField, value: Typed, loc: Loc) -> Rule:
    _takes(field, _TEXTS, "length")
    bounds = field.length
    assert bounds is not None
    length = DIALECTS["postgres"].call("length", [value], {})
    found = [
        compare(operator, length, adopt(literal(str(bound)), INT8))
        for operator, bound in ((">=", bounds.min), ("<=", bounds.max))
        if bound is not None
    ]
    problem = f"its length is not {bounds} characters"
    return Rule(name, "length", reduce(both, found).value, (name,), problem, loc)


def _check(entity: Entity, name: str, written: str, columns: Mapping[str, Typed], loc: Loc) -> Rule:
    expression = translate(written, Place(entity.entity, loc, kind="entity"), columns)
    typed = expression.typed
    try:
        sql = condition(typed)
    except Refusal as refusal:
        raise expression.refuse(refusal.what, fix=refusal.fix) from None
    if not typed.reads:
        raise expression.refuse("it reads no field")
    reads = tuple(field for field in columns if field in typed.reads)
    return Rule(name, "check", sql, reads, f"it does not hold that {_short(written)}", loc)


_BUILDERS: dict[str, Callable[[str, EntityField, Typed, Loc], Rule]] = {
    "one_of": _one_of,
    "range": _range,
    "pattern": _pattern,
    "length": _length,
}


def _takes(field: EntityField, kinds: Collection[Kind], demand: str) -> None:
    kind = field.type.type.kind
    if kind not in kinds:
        raise Refusal(f"a field of type {field.type} has no {demand}", fix="write a check")
    if kind is Kind.NUMERIC and not field.type.type.fixed:
        raise Refusal(
            f"a {demand} compares numbers, and those of type decimal have no one scale",
            fix="declare decimal(p,s)",
        )


def _constant(written: str, field: EntityField) -> Typed:
    """Errors: Refusal where it is no value of the field's type."""
    constant_sql(written, field.type)
    return adopt(literal(written), field.type.type)


def _short(written: str) -> str:
    flat = " ".join(written.split())
    return flat if len(flat) <= _SHOWN_CHARS_MAX else flat[: _SHOWN_CHARS_MAX - 1] + "…"
