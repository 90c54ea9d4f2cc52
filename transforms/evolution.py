"""What a change of a contract means for those who read the entity.

They rely on what a contract promises. So a *breaking* change promises less or something else: a
field that goes or has another type, a value, a length or a NULL that could not come before. A
*compatible* one (minor) promises the same and more; what changes no promise is a patch.

| change                                           |          |
|--------------------------------------------------|----------|
| a field is removed, or has another type or class | breaking |
| the key changes, or who gives it (identity)      | breaking |
| a demand is dropped, or takes more than before   | breaking |
| a demand is changed, and which takes more is not decided (pattern, check) | breaking |
| a field is added                                 | minor    |
| a demand is added, or takes less than before     | minor    |
| freshness is promised less, by another field, or not | breaking |
| steward, consumers, system of record, rules of identity | patch |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from transforms.contract import contract_of
from transforms.entity import Entity, EntityField
from transforms.expressions.literals import adopt
from transforms.expressions.typed import literal
from transforms.types import NUMBERS
from transforms.versions import Consumer, Version, admits

Level = Literal["none", "patch", "minor", "major"]
_ORDER: tuple[Level, ...] = ("none", "patch", "minor", "major")


@dataclass(frozen=True, slots=True)
class Change:
    """`fields`: those it is about, in the old contract's words; empty: all of the entity."""

    level: Level
    what: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of one entity. None where it is not there. `needed`: the lowest version that fits."""

    entity: str
    old: Version | None
    new: Version | None
    changes: tuple[Change, ...]
    needed: Version | None
    broken: tuple[tuple[Consumer, str], ...]

    @property
    def fits(self) -> bool:
        """Whether the new version says what has changed.

        Of an entity without versions, or that is new, none is asked; one may go when nobody has
        declared to read it.
        """
        if self.needed is None:
            return not self.broken
        return self.new is not None and self.new >= self.needed


def compare(old: Mapping[str, Entity], new: Mapping[str, Entity]) -> list[Comparison]:
    """Of every entity that has changed."""
    found = [_compared(name, old.get(name), new.get(name)) for name in sorted({*old, *new})]
    return [each for each in found if each.changes or each.old != each.new]


def _compared(name: str, old: Entity | None, new: Entity | None) -> Comparison:
    before, after = _version_of(old), _version_of(new)
    if old is None:
        return Comparison(name, None, after, (Change("minor", "is new"),), None, ())
    if new is None:
        readers = tuple((consumer, "the entity is removed") for consumer in old.consumers)
        return Comparison(name, before, None, (Change("major", "is removed"),), None, readers)
    changes = tuple(_changes(old, new))
    needed = None if before is None else before.next(_step(before, _highest(changes)))
    broken = () if before is None else tuple(_broken(old, new, changes, after))
    return Comparison(name, before, after, changes, needed, broken)


def _highest(changes: Sequence[Change]) -> Level:
    levels: list[Level] = [change.level for change in changes]
    return max(levels, key=_ORDER.index, default="none")


def _version_of(entity: Entity | None) -> Version | None:
    return None if entity is None or entity.version is None else Version.parse(entity.version)


def _step(version: Version, level: Level) -> Level:
    """Below 1.0.0 the second number counts what breaks, as is the custom."""
    if version.major:
        return level
    below: Mapping[Level, Level] = {"major": "minor", "minor": "patch"}
    return below.get(level, level)


def _broken(
    old: Entity, new: Entity, changes: Sequence[Change], version: Version | None
) -> Iterator[tuple[Consumer, str]]:
    """Consumers declared before or now, and what breaks them first.

    What they read is what they said before: who takes a field away also takes it from them.
    """
    wants = {consumer.name: consumer.versions for consumer in (*old.consumers, *new.consumers)}
    for consumer in {each.name: each for each in (*new.consumers, *old.consumers)}.values():
        for change in changes:
            read = consumer.fields is None or set(consumer.fields) & set(change.fields)
            if change.level == "major" and (read or not change.fields):
                yield consumer, change.what
                break
        else:
            wanted = wants[consumer.name]
            if wanted and version and not admits(wanted, version):
                yield consumer, f"wants {wanted}, which {version} is not"


def _changes(old: Entity, new: Entity) -> Iterator[Change]:
    if old.key != new.key:
        yield Change("major", f"the key was ({', '.join(old.key)}), is ({', '.join(new.key)})")
    for name, field in old.fields.items():
        if name not in new.fields:
            yield Change("major", f"field {name} is removed", (name,))
        else:
            yield from _field_changes(name, field, new.fields[name])
    for name in new.fields:
        if name not in old.fields:
            yield Change("minor", f"field {name} is added")
    yield from _together(old, new)
    yield from _checks(old, new)
    yield from _freshness(old, new)
    for what in ("steward", "consumers", "system_of_record", "identity"):
        if getattr(old, what) != getattr(new, what):
            yield Change("patch", f"{what} changed")
    if (old.identity is None) != (new.identity is None):
        yield Change("major", "its keys are given by others than before: all of them change")


def _freshness(old: Entity, new: Entity) -> Iterator[Change]:
    before, after = old.freshness, new.freshness
    if before == after:
        return
    if before is None:
        yield Change("minor", "freshness is promised")
    elif after is None or after.field != before.field:
        gone = "is no longer promised" if after is None else f"is told by {after.field} now"
        yield Change("major", f"freshness {gone}", (before.field,))
    elif after.within_s > before.within_s:
        what = f"freshness is promised within {after.within}, was {before.within}"
        yield Change("major", what, (before.field,))
    else:
        yield Change("minor", f"freshness is promised within {after.within}")


def _field_changes(name: str, old: EntityField, new: EntityField) -> Iterator[Change]:
    def change(level: Level, what: str) -> Change:
        return Change(level, f"field {name}: {what}", (name,))

    if old.type != new.type:
        yield change("major", f"its type was {old.type}, is {new.type}")
        return
    if (old.field_class, old.mask) != (new.field_class, new.mask):
        yield change("major", "its class changed, and so what targets hold of it")
    for demand in ("required", "unique"):
        if getattr(old, demand) != getattr(new, demand):
            added = getattr(new, demand)
            yield change("minor" if added else "major", _gone_or_new(demand, added=added))
    for demand, wider in _WIDER.items():
        before, after = getattr(old, demand), getattr(new, demand)
        if before is None and after is not None:
            yield change("minor", _gone_or_new(demand, added=True))
        elif before is not None and after is None:
            yield change("major", _gone_or_new(demand, added=False))
        elif before is not None and (takes := wider(old, new)) is not None:
            what = f"its {demand} takes {'what it did not' if takes else 'less than it did'}"
            yield change("major" if takes else "minor", what)


def _gone_or_new(demand: str, *, added: bool) -> str:
    return f"{demand} is demanded" if added else f"{demand} is no longer demanded"


def _wider_list(old: EntityField, new: EntityField) -> bool | None:
    before = {_value(old, text) for text in old.one_of or ()}
    after = {_value(new, text) for text in new.one_of or ()}
    return None if before == after else bool(after - before)


def _wider_range(old: EntityField, new: EntityField) -> bool | None:
    assert old.range is not None
    assert new.range is not None
    before = [
        None if text is None else _value(old, text) for text in (old.range.min, old.range.max)
    ]
    after = [None if text is None else _value(new, text) for text in (new.range.min, new.range.max)]
    return _wider_bounds(before, after)


def _wider_length(old: EntityField, new: EntityField) -> bool | None:
    assert old.length is not None
    assert new.length is not None
    return _wider_bounds([old.length.min, old.length.max], [new.length.min, new.length.max])


def _wider_bounds(before: Sequence[Any], after: Sequence[Any]) -> bool | None:
    if before == after:
        return None
    (low, high), (lower, higher) = before, after
    return (low is not None and (lower is None or lower < low)) or (
        high is not None and (higher is None or higher > high)
    )


def _changed(demand: str) -> Callable[[EntityField, EntityField], bool | None]:
    """Which of two takes more is not decided: one that changed may."""
    return lambda old, new: None if getattr(old, demand) == getattr(new, demand) else True


_WIDER: dict[str, Callable[[EntityField, EntityField], bool | None]] = {
    "one_of": _wider_list,
    "range": _wider_range,
    "pattern": _changed("pattern"),
    "length": _wider_length,
    "check": _changed("check"),
}
"""By demand: whether the new one takes values that the old one did not; None: they are the same."""


def _value(field: EntityField, text: str | None) -> Decimal | str | None:
    if text is None:
        return None
    if field.type.type.kind in NUMBERS:
        return Decimal(text)
    return adopt(literal(text), field.type.type).constant  # one spelling, in UTC


def _together(old: Entity, new: Entity) -> Iterator[Change]:
    before = {frozenset(names): names for names in old.unique}
    after = {frozenset(names): names for names in new.unique}
    for key, names in before.items():
        if key not in after:
            what = f"({', '.join(names)}) is no longer unique"
            yield Change("major", what, names)
    for key, names in after.items():
        if key not in before:
            yield Change("minor", f"({', '.join(names)}) is unique", names)


def _checks(old: Entity, new: Entity) -> Iterator[Change]:
    reads = {rule.loc: rule.reads for rule in contract_of(old)[0]}
    for name, written in old.checks.items():
        if name not in new.checks:
            what = f"check {name} is no longer demanded"
        elif " ".join(written.split()) != " ".join(new.checks[name].split()):
            what = f"check {name} is another"
        else:
            continue
        yield Change("major", what, reads.get(("checks", name), ()))
    for name in new.checks:
        if name not in old.checks:
            yield Change("minor", f"check {name} is demanded")
