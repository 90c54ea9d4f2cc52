"""What a target knows of where the sources of its entities differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """`source` says `value` of a `field` whose value is that of `owner`.

    entity_key  the key's texts, joined by ``/``
    positions   of the source rows' last changes, each in its own source's log
    since       when it was first noticed, ISO 8601 in UTC
    """

    entity: str
    entity_key: str
    field: str
    owner: str
    source: str
    owner_value: str | None
    value: str | None
    owner_position: str | None
    position: str | None
    since: str


NAMES = tuple(field.name for field in fields(Discrepancy))


def select(table: str, since: str, given: str, limit: int) -> str:
    """SQL of at most `limit` rows of `NAMES`. `since`: SQL of that text; `given`: marks of
    parameters, one an entity."""
    names = ", ".join(since if name == "since" else name for name in NAMES)
    return (
        f"select {names} from {table} where entity in ({given})"
        f" order by entity, entity_key, field, source limit {int(limit)}"
    )


def marks(entities: Sequence[str]) -> str:
    return ", ".join(["%s"] * len(entities))
