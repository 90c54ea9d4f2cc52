"""An entity out of its side tables, in SQL that all our databases read (`transforms.composite`).

Everything is for a set of touched keys: those that stand in a staging table, perhaps twice.

    k             the touched keys, each once
    s0, s1, …     the side tables; that of the source that makes the rows must have the key
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from cdc.schema import TableName
from transforms.composite import COMMIT_US, POSITION, Composite, OwnedField
from transforms.rows import TargetColumn

DIFFERENCES = TableName("tailrace", "discrepancy")
ENTITIES = TableName("tailrace", "entity")
IDENTITY = TableName("tailrace", "identity")

FOUND = ("owner", "owner_value", "value", "owner_position", "position")
"""What a discrepancy says beside its key: entity, key_id, field, source."""
COLUMNS = ("key_id", "entity_key", "field", "source", *FOUND)
"""Of the table in which the discrepancies of the touched keys are gathered."""


class Dialect(Protocol):
    """What differs between databases. `join`: reads the left side first, where there is such."""

    join: str

    def table(self, name: TableName) -> str: ...
    def column(self, name: str) -> str: ...
    def literal(self, text: str) -> str: ...
    def text(self, value: str, column: TargetColumn) -> str:
        """The value as text."""

    def differ(self, one: str, two: str, column: TargetColumn) -> str:
        """Whether two values are different ones; NULL is a value."""

    def key_id(self, texts: Sequence[str]) -> str:
        """A digest of a key: 32 bytes."""

    def joined(self, texts: Sequence[str]) -> str:
        """A key as people read it."""


@dataclass(frozen=True, slots=True)
class _Difference:
    """A field whose value is `owner`'s where `condition` is met, and `source` says otherwise."""

    field: str
    owner: str
    source: str
    condition: str
    owner_value: str
    value: str


class CompositeSql:
    """`touched`: the staging table, with the key's columns."""

    def __init__(self, composite: Composite, dialect: Dialect, touched: str) -> None:
        self._composite = composite
        self._dialect = dialect
        self._touched = touched
        self._columns = {column.name: column for column in composite.columns}
        self._alias = {side.source: f"s{at}" for at, side in enumerate(composite.sides)}

    @property
    def fields(self) -> list[str]:
        """What is computed: the fields that somebody delivers."""
        return [field.name for field in self._composite.fields]

    @property
    def values(self) -> list[str]:
        """SQL of `fields`."""
        return [self._value(field) for field in self._composite.fields]

    def side(self, source: str, alias: str) -> list[tuple[str, str]]:
        """What a side table's row of each `k` is read from, in order: each with its condition.

        Two joins where an identity leads to it, since a derived table would be read as a whole by
        an UPDATE of MariaDB."""
        table = f"{self._dialect.table(self._composite.side(source).table)} {alias}"
        if not self._composite.match:
            return [(table, self.same(alias, "k"))]
        literal = self._dialect.literal
        (key,) = map(self._dialect.column, self._composite.key)
        by = f"{alias}i"
        return [
            (
                f"{self._dialect.table(IDENTITY)} {by}",
                f"{by}.entity = {literal(self._composite.entity)}"
                f" and {by}.source = {literal(source)} and {by}.canonical_id = k.{key}",
            ),
            (table, f"{alias}.{key} = {by}.source_key"),
        ]

    def join_side(self, join: str, source: str, alias: str) -> str:
        return " ".join(f"{join} {table} on {on}" for table, on in self.side(source, alias))

    @property
    def rows(self) -> str:
        """The side table that makes the rows."""
        return self._dialect.table(self._composite.side(self._composite.rows).table)

    @property
    def keys(self) -> str:
        """The touched keys, as `k`."""
        return f"(select distinct {self.key_list()} from {self._touched}) k"

    @property
    def unique(self) -> list[str]:
        """Fields of which two entities may not have the same values."""
        names = {name for together in self._composite.unique for name in together}
        return [name for name in self.fields if name in names]

    def key_list(self, prefix: str = "") -> str:
        return ", ".join(prefix + self._dialect.column(name) for name in self._composite.key)

    def same(self, one: str, two: str) -> str:
        names = map(self._dialect.column, self._composite.key)
        return " and ".join(f"{one}.{name} = {two}.{name}" for name in names)

    @property
    def joined(self) -> str:
        """The touched keys that the entity has, with all that its sources say of them."""
        words = [self.keys]
        sides = sorted(self._composite.sides, key=lambda side: side.source != self._composite.rows)
        for side in sides:
            alias = self._alias[side.source]
            join = self._dialect.join if side.source == self._composite.rows else "left join"
            words.append(self.join_side(join, side.source, alias))
        return " ".join(words)

    @property
    def key_id(self) -> str:
        return self._dialect.key_id(self._key_texts)

    @property
    def differences(self) -> str | None:
        """SELECT of `COLUMNS`: the discrepancies of the touched keys. None: there can be none."""
        found = [each for field in self._composite.fields for each in self._differences(field)]
        if not found:
            return None

        def chosen(texts: Iterator[str]) -> str:
            cases = " ".join(f"when {at} then {text}" for at, text in enumerate(texts))
            return f"case n.n {cases} end"

        literal = self._dialect.literal
        position = self._dialect.column(POSITION)
        items = [
            self.key_id,
            self._dialect.joined(self._key_texts),
            chosen(literal(one.field) for one in found),
            chosen(literal(one.source) for one in found),
            chosen(literal(one.owner) for one in found),
            chosen(one.owner_value for one in found),
            chosen(one.value for one in found),
            chosen(f"{self._alias[one.owner]}.{position}" for one in found),
            chosen(f"{self._alias[one.source]}.{position}" for one in found),
        ]
        numbers = " union all ".join(f"select {at} as n" for at in range(len(found)))
        return (
            f"select {', '.join(items)} from {self.joined} cross join ({numbers}) n"
            f" where {chosen(one.condition for one in found)}"
        )

    @property
    def _key_texts(self) -> list[str]:
        return [
            self._dialect.text(f"k.{self._dialect.column(name)}", self._columns[name])
            for name in self._composite.key
        ]

    def _value(self, field: OwnedField) -> str:
        if len(field.owners) == 1:
            return self._of(field.owners[0], field.name)
        if field.rule == "first":
            return f"coalesce({', '.join(self._of(one, field.name) for one in field.owners)})"
        cases = " ".join(
            f"when {self._counts(field, one)} then {self._of(one, field.name)}"
            for one in field.owners
        )
        return f"case {cases} end"

    def _counts(self, field: OwnedField, source: str) -> str:
        """Whether the field's value is that of `source`, one of its owners."""
        at = field.owners.index(source)
        parts = [self._is_there(source)]
        if field.rule == "first" and len(field.owners) > 1:
            parts.append(f"{self._of(source, field.name)} is not null")
            parts += [f"{self._of(one, field.name)} is null" for one in field.owners[:at]]
        elif field.rule == "newest":
            time = self._of(source, COMMIT_US)
            for other_at, other in enumerate(field.owners):
                if other != source:
                    later = ">" if other_at < at else ">="
                    is_later = f"{time} {later} {self._of(other, COMMIT_US)}"
                    parts.append(f"({self._is_absent(other)} or {is_later})")
        return " and ".join(parts)

    def _differences(self, field: OwnedField) -> Iterator[_Difference]:
        column = self._columns[field.name]
        for owner in field.owners:
            for side in self._composite.sides:
                if side.source == owner or field.name not in side.fields:
                    continue
                owned, other = self._of(owner, field.name), self._of(side.source, field.name)
                parts = [
                    self._counts(field, owner),
                    self._is_there(side.source),
                    self._dialect.differ(owned, other, column),
                ]
                if field.rule == "first" and side.source in field.owners:
                    parts.append(f"{other} is not null")  # to have no value is allowed to it
                yield _Difference(
                    field.name,
                    owner,
                    side.source,
                    " and ".join(parts),
                    self._dialect.text(owned, column),
                    self._dialect.text(other, column),
                )

    def _of(self, source: str, column: str) -> str:
        return f"{self._alias[source]}.{self._dialect.column(column)}"

    def _is_there(self, source: str) -> str:
        return f"{self._of(source, self._composite.key[0])} is not null"

    def _is_absent(self, source: str) -> str:
        return f"{self._of(source, self._composite.key[0])} is null"
