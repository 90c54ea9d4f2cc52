"""How far a source is held to an entity's contract: where several feed it, by what it owns."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from transforms.constraints import Constraints
from transforms.entity import Entity, EntityField
from transforms.errors import ExpressionError, Loc

_NOTHING = {name: field.default for name, field in Constraints.model_fields.items()}


def held(entity: Entity, source: str) -> set[str]:
    """The fields whose values `source` may give: it keeps what is demanded of them. The key is
    everybody's."""
    record = entity.system_of_record
    found = set(entity.key)
    for name in entity.fields:
        owners = None if record is None else record.owners(name)
        if owners is None or source in owners.sources:
            found.add(name)
    return found


def seen_by(entity: Entity, source: str) -> Entity:
    """The entity as `source` is held to it: of other fields only what they are remains."""
    if entity.system_of_record is None:
        return entity
    mine = held(entity, source)
    fields = {
        name: _seen(entity, source, name, field, mine) for name, field in entity.fields.items()
    }
    checks = {name: text for name, text in entity.checks.items() if reads_of(entity, text) <= mine}
    less: dict[str, object] = {"fields": fields, "checks": checks}
    if entity.freshness is not None and entity.freshness.field not in mine:
        less["freshness"] = None
    return entity.model_copy(update=less)


def unjudged(entity: Entity, sources: Collection[str]) -> Iterator[tuple[Loc, list[str]]]:
    """Where a check stands that no source can be held to, and the fields that it reads."""
    mine = [held(entity, source) for source in sources]
    written: list[tuple[Loc, str]] = [
        (("fields", name, "check"), field.check)
        for name, field in entity.fields.items()
        if field.check is not None
    ]
    written += [(("checks", name), text) for name, text in entity.checks.items()]
    for loc, text in written:
        reads = reads_of(entity, text)
        if not any(reads <= one for one in mine):
            yield loc, sorted(reads)


def _seen(
    entity: Entity, source: str, name: str, field: EntityField, mine: set[str]
) -> EntityField:
    if name not in mine:
        return field.model_copy(update=_NOTHING)
    less: dict[str, object] = {}
    if field.required and not _must_give(entity, source, name):
        less["required"] = False
    if field.check is not None and not reads_of(entity, field.check) <= mine:
        less["check"] = None
    return field.model_copy(update=less) if less else field


def _must_give(entity: Entity, source: str, name: str) -> bool:
    """Whether a value is required of this source: it may be left to others behind it."""
    record = entity.system_of_record
    owners = None if record is None else record.owners(name)
    return owners is None or name in entity.key or source in owners.held


def reads_of(entity: Entity, written: str) -> set[str]:
    """The fields that a check reads; none where it cannot be read, as is said elsewhere."""
    from sqlglot import exp  # it takes as long to import as all the rest together

    from transforms.expressions.translate import Place, syntax

    try:
        tree = syntax(written, Place(entity.entity, (), kind="entity"))
    except ExpressionError:
        return set()
    return {column.name for column in tree.find_all(exp.Column)} & set(entity.fields)
