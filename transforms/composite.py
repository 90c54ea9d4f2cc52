"""An entity that several sources feed: what each of them delivers, and which value counts.

Each source's mappings write a *side table*: the key, every field that source delivers, also those
it does not own, and the commit time and position of the source row's last change. The entity's
table is a function of the side tables and nothing else, so it does not depend on the order in
which the sources arrive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc.patterns import OWN_SCHEMA
from cdc.schema import TableName
from transforms.entity import Entity, entity_columns
from transforms.ownership import Rule
from transforms.rows import TargetColumn, TargetTable

if TYPE_CHECKING:
    from transforms.matching import MatchRule

COMMIT_US, POSITION = "tailrace_commit_us", "tailrace_position"
"""Columns of a side table beside the fields: µs since 1970 UTC, and the transaction's position in
the source's log."""

RESERVED = "tailrace_"
"""What no field of such an entity may begin with."""


@dataclass(frozen=True, slots=True)
class Side:
    """What one source delivers. `fields`: names, without the key."""

    source: str
    table: TableName
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnedField:
    """`owners` deliver the field, in order; `rule` chooses among them."""

    name: str
    rule: Rule
    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Composite:
    """
    entity   its name
    table    its table at the target
    columns  of that table, as the target has them; the key's are among them
    rows     the source of which each row is one of the entity
    sides    by source, in the order of their names
    fields   those that somebody delivers
    unique   columns whose values together no two rows share
    match    rules by which records are recognised. With any, side tables are keyed by their
             source's own keys, and the entity's key is the identity that records are given;
             without, sources agree on keys
    """

    entity: str
    table: TableName
    columns: tuple[TargetColumn, ...]
    key: tuple[str, ...]
    rows: str
    sides: tuple[Side, ...]
    fields: tuple[OwnedField, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    match: tuple[MatchRule, ...] = ()

    @property
    def rules(self) -> str:
        """Sixteen hex digits that change when a value could come from elsewhere."""
        parts: tuple[object, ...] = (self.table, self.key, self.rows, self.sides, self.fields)
        said = repr((*parts, self.match) if self.match else parts)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def side(self, source: str) -> Side:
        return next(side for side in self.sides if side.source == source)

    @property
    def whole(self) -> TargetTable:
        """The entity's table."""
        return TargetTable(self.table, self.columns, self.key, unique=self.unique, composite=self)

    def side_table(self, source: str, columns: Iterable[TargetColumn] | None = None) -> TargetTable:
        """A side table, whole or with only these `columns` of the entity."""
        side = self.side(source)
        if columns is None:
            names = {*self.key, *side.fields}
            columns = (column for column in self.columns if column.name in names)
        meta = (TargetColumn(COMMIT_US, "bigint"), TargetColumn(POSITION, "text"))
        return TargetTable(side.table, (*columns, *meta), self.key, composite=self)

    @property
    def tables(self) -> list[TargetTable]:
        """All of them: the entity's and the side tables."""
        return [self.whole, *(self.side_table(side.source) for side in self.sides)]


def side_name(entity: str, source: str) -> TableName:
    return TableName(OWN_SCHEMA, f"{entity}__{source}")


def composite(
    entity: Entity,
    table: TableName,
    delivered: Mapping[str, Collection[str]],
    dropped: Collection[str] = (),
) -> Composite:
    """The plan for `entity` in `table`. `delivered`: by source the fields, without the key's.

    `dropped` are fields that the target may not have. The entity's `system_of_record` is there and
    has been checked.
    """
    record = entity.system_of_record
    assert record is not None
    kept = [name for name in entity.fields if name not in dropped]
    sides = tuple(
        Side(
            source,
            side_name(entity.entity, source),
            tuple(name for name in kept if name in delivered[source]),
        )
        for source in sorted(delivered)
    )
    fields = []
    for name in entity.fields:
        by = [side.source for side in sides if name in side.fields]
        owners = record.owners(name)
        if by and owners is not None:
            able = tuple(source for source in owners.sources if source in by)
            fields.append(OwnedField(name, owners.rule, able))
    columns = entity_columns(entity, kept)
    return Composite(
        entity.entity,
        table,
        columns,
        entity.key,
        record.rows,
        sides,
        tuple(fields),
        tuple(names for names in entity.unique_together if set(names) <= set(kept)),
        _match(entity),
    )


def _match(entity: Entity) -> tuple[MatchRule, ...]:
    if entity.identity is None:
        return ()
    from transforms.matching import match_rules  # it takes the parser

    rules, _ = match_rules(entity)
    return rules
