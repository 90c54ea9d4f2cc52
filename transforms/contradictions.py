"""Contracts that contradict themselves, or what mappings make for certain: found from the files.

The rules themselves judge: each listed value, bound and constant is put to them as a row's would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from transforms import columns
from transforms.assign import constant_sql
from transforms.checks import written_values
from transforms.classes import PROTECTED
from transforms.contract import Rule, contract_of
from transforms.engine import Engine, EvaluationError
from transforms.entity import Entity
from transforms.errors import EntityError, ExpressionError, Loc, MappingError
from transforms.expressions.typed import Refusal
from transforms.freshness import UNITS
from transforms.judge import Judge
from transforms.model import Mapping as MappingModel
from transforms.types import Kind


def check_entity(entity: Entity) -> list[EntityError | ExpressionError]:
    """Everything that is wrong with an entity's contract, by itself."""
    rules, errors = contract_of(entity)
    errors += [*_unique(entity), *_freshness(entity)]
    if errors or not rules:
        return errors
    engine = Engine()
    try:
        for rule in rules:
            errors += _cannot_run(entity, rule, engine)
        return errors or [
            *_empty_ranges(entity, rules, engine),
            *_listed_in_vain(entity, rules, engine),
        ]
    finally:
        engine.close()


def _unique(entity: Entity) -> Iterator[EntityError]:
    for names in entity.unique_together:
        for name in names:
            if entity.fields[name].type.name in ("json", "bytes"):
                loc: Loc = ("fields", name, "unique") if len(names) == 1 else ("unique",)
                what = f"values of type {entity.fields[name].type} are not kept unique"
                yield EntityError(what, entity=entity.entity, loc=loc)


def _freshness(entity: Entity) -> Iterator[EntityError]:
    freshness = entity.freshness
    if freshness is None:
        return
    loc: Loc = ("freshness", "field")
    field = entity.fields.get(freshness.field)
    if field is None:
        what = f"{entity.entity} has no field {freshness.field}"
        yield EntityError(what, entity=entity.entity, loc=loc)
        return
    kind = field.type.type.kind
    if kind not in (Kind.TIMESTAMPTZ, Kind.DATE):
        yield EntityError(
            f"{freshness.field} is of type {field.type}, and freshness is told by a moment",
            entity=entity.entity,
            loc=loc,
            fix="let it be a timestamptz; x AT TIME ZONE '…' in the mapping says whose clock it is",
        )
    elif kind is Kind.DATE and freshness.within_s < UNITS["d"]:
        what = f"{freshness.field} is a date, which is a day old before the day is over"
        yield EntityError(what, entity=entity.entity, loc=("freshness", "within"), fix="within: 2d")
    if field.field_class in PROTECTED:
        what = f"{freshness.field} is {field.field_class}, and its newest value would be shown"
        yield EntityError(what, entity=entity.entity, loc=loc, fix="name a field that is not")
    if field.one_of is not None or (field.range is not None and field.range.max is not None):
        limits = "one_of" if field.one_of is not None else "the max of its range"
        yield EntityError(
            f"{limits} of {freshness.field} names a last value, and its freshness demands ever new"
            " ones",
            entity=entity.entity,
            loc=loc,
            fix="drop one of the two demands",
        )


def _cannot_run(entity: Entity, rule: Rule, engine: Engine) -> Iterator[EntityError]:
    """A rule of which a constant part already fails, such as a regular expression that is none."""
    judge = Judge(engine, [rule], list(entity.fields))
    nothing = dict.fromkeys(rule.reads, columns.nulls(1))
    for broken in judge.broken(nothing, 1):
        what, fix = broken.problem, None
        if rule.reason == "pattern":
            what = "this is no regular expression that RE2 knows"
            fix = "it has no backreferences or look-around, and repeats at most 1000 times"
        yield EntityError(what, entity=entity.entity, loc=rule.loc, fix=fix)


def _empty_ranges(entity: Entity, rules: Sequence[Rule], engine: Engine) -> Iterator[EntityError]:
    for name, field in entity.fields.items():
        if field.range is None or field.range.min is None or field.range.max is None:
            continue
        mine = [rule for rule in rules if rule.name == name and rule.reason == "range"]
        if breaks(entity, name, field.range.min, mine, engine):
            what = f"nothing lies between {field.range.min} and {field.range.max}"
            yield EntityError(what, entity=entity.entity, loc=("fields", name, "range"))


def _listed_in_vain(entity: Entity, rules: Sequence[Rule], engine: Engine) -> Iterator[EntityError]:
    for name, field in entity.fields.items():
        for at, value in enumerate(field.one_of or ()):
            mine = [rule for rule in rules if rule.name == name and rule.reason != "one_of"]
            for problem in breaks(entity, name, value, mine, engine):
                yield EntityError(
                    f"{value} is listed, but {problem}",
                    entity=entity.entity,
                    loc=("fields", name, "one_of", at),
                    fix="take it from the list, or change the other demand",
                )


def breaks(
    entity: Entity, name: str, value: str | None, rules: Sequence[Rule], engine: Engine
) -> list[str]:
    """What is wrong with a constant in a field, as far as rules of this field alone say."""
    mine = [rule for rule in rules if rule.reads == (name,)]
    if value is None or not mine:
        return []
    try:
        text = engine.constants([constant_sql(value, entity.fields[name].type)])[0]
    except (Refusal, EvaluationError):
        return []  # said where the constant is read
    judge = Judge(engine, mine, list(entity.fields))
    return [broken.problem for broken in judge.broken({name: pa.array([text], columns.TEXT)}, 1)]


def check_constants(mapping: MappingModel, entities: Mapping[str, Entity]) -> list[MappingError]:
    """Constants, defaults and results of value maps that break the contract of their entity.

    The mapping and its entities are expected to be right by themselves.
    """
    engine = Engine()
    try:
        return [
            MappingError(
                f"{value} breaks the contract of {rows.entity}: {problem}",
                mapping=mapping.mapping,
                loc=(*prefix, "fields", name, *loc),
            )
            for prefix, rows in mapping.parts
            for rules in (contract_of(entities[rows.entity])[0],)
            for name, loc, value in written_values(rows)
            for problem in breaks(entities[rows.entity], name, value, rules, engine)
        ]
    finally:
        engine.close()


def never_judged(
    entities: Mapping[str, Entity], mappings: Iterable[MappingModel]
) -> list[EntityError]:
    """Rules over fields that no mapping delivers together: no row would ever be judged by them."""
    delivered: dict[str, list[set[str]]] = {}
    for mapping in mappings:
        for _, rows in mapping.parts:
            given = {*rows.key, *rows.fields, *filter(None, [rows.on_delete.column])}
            delivered.setdefault(rows.entity, []).append(given)
    return [
        EntityError(
            f"no mapping delivers {', '.join(rule.reads)} together, so it would never be judged",
            entity=name,
            loc=rule.loc,
            fix="deliver them in one mapping, or judge each field by itself",
        )
        for name, together in delivered.items()
        if name in entities
        for rule in contract_of(entities[name])[0]
        if len(rule.reads) > 1 and not any(given.issuperset(rule.reads) for given in together)
    ]
