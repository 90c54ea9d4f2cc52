"""What delivery asks: where do the changes of a source table go, and what do they become?

A router belongs to one pipeline: some tables are copied as they are, some are mapped to entities,
some both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from cdc.changes import TableChanges
from cdc.schema import TableName, TableSchema
from transforms.before import with_before
from transforms.composite import Composite
from transforms.entity import Entity
from transforms.model import Mapping as MappingModel
from transforms.model import Replicate
from transforms.replicate import copy_of, replicate
from transforms.rows import RowChanges, TargetTable
from transforms.rules import rule_for

if TYPE_CHECKING:
    from transforms.lookups.tables import LookupTables
    from transforms.mapped import Mapped
    from transforms.protect.protection import Protection

Counts = dict[tuple[str, str], dict[str, int]]
"""(source table, target table) → outcome → rows."""


class Router:
    """Turns changes of source tables into changes of target tables. Not thread-safe.

    The mappings are expected to be checked; one that does not fit a table any more (its columns
    changed) is a TransformError when that table's changes arrive. `entities` are as the `source` is
    held to them; `composites` are, by table, those that other sources feed, too.
    """

    def __init__(
        self,
        rules: Sequence[Replicate],
        mappings: Sequence[MappingModel],
        entities: Mapping[str, Entity],
        protection: Protection | None = None,
        *,
        source: str = "",
        composites: Mapping[TableName, Composite] = MappingProxyType({}),
        tells_before: bool = False,
    ) -> None:
        """`protection`: what the target demands of entities; None: their fields pass.
        `tells_before`: with what the log says of rows before, which costs a second evaluation."""
        self._rules = tuple(rules)
        self._mappings = tuple(mappings)
        if protection is not None:
            composites = {
                table: protection.composite(composite) for table, composite in composites.items()
            }
        self._mapped = _mapped(mappings, entities, source, composites)
        self._protection = protection
        self._tells_before = tells_before
        self._copies: dict[str, TargetTable | None] = {}
        self._counts: Counts = defaultdict(lambda: {"received": 0, "filtered": 0, "emitted": 0})

    @property
    def can_clear(self) -> bool:
        """Whether a TRUNCATE, also the one that opens a snapshot, can be applied everywhere.

        Where not, a snapshot is to be delivered without it, and only when it is complete.
        """
        if any(rule.existing == "keep" for rule in self._rules):
            return False
        targets = [rows.target for mapping in self._mappings for _, rows in mapping.parts]
        return all(
            rows.on_delete.action == "ignore"
            or (
                rows.on_delete.action == "delete"
                and mapping.existing == "refuse"
                and targets.count(rows.target) == 1
            )
            for mapping in self._mappings
            for _, rows in mapping.parts
        )

    @property
    def lookups(self) -> LookupTables | None:
        """The tables that mappings look up, as of what was routed last; None: there are none."""
        return self._mapped.lookups if self._mapped is not None and self._mapped.lookups else None

    def looks_up(self, table: TableName) -> bool:
        """Whether rows of this source table are joined with looked up ones."""
        return self._mapped is not None and self._mapped.looks_up(table)

    def target_tables(self, schema: TableSchema) -> list[TargetTable]:
        """The tables that changes of this table write, in the order in which to make them.

        Of an entity first the whole (with several sources also all side tables), then, where a
        mapping delivers only some of its fields, the table as its row changes name it.
        Errors: TransformError.
        """
        copy = self._copy(schema)
        found = [] if copy is None else [copy]
        if self._mapped is not None:
            found += map(self._protected_table, self._mapped.targets(schema))
        return list(dict.fromkeys(found))

    @property
    def shared_tables(self) -> list[TargetTable]:
        """Those of the entities that other sources feed, too; they hang on no source table."""
        return [] if self._mapped is None else list(map(self._protected_table, self._mapped.shared))

    def receivers(self, schema: TableSchema) -> list[TableName]:
        """The target table of each rule and mapping that counts changes of this table as received.

        A table that two mappings write stands there twice. Errors: TransformError.
        """
        copy = self._copy(schema)
        found = [] if copy is None else [copy.table]
        return found if self._mapped is None else found + self._mapped.receivers(schema)

    def route(
        self, changes: TableChanges, seq_base: int, transactions: pa.RecordBatch | None = None
    ) -> list[RowChanges]:
        """The changes of target tables that these make. Errors: TransformError (RowError).

        `transactions`: those of the change set; needed where other sources feed an entity, too.
        """
        if not changes.rows:
            return []
        made = self._made(changes, seq_base, transactions)
        for target, rows in made:
            self._count(changes, target, rows)
        found = [each for _, rows in made for each in rows]
        if not self._tells_before:
            return found
        return with_before(changes, found, seq_base, lambda old: self._flat(old, seq_base))

    def _made(
        self, changes: TableChanges, seq_base: int, transactions: pa.RecordBatch | None
    ) -> list[tuple[TargetTable, list[RowChanges]]]:
        made: list[tuple[TargetTable, list[RowChanges]]] = []
        copy = self._copy(changes.schema)
        if copy is not None:
            made.append((copy, replicate(changes, copy, seq_base)))
        if self._mapped is not None:
            made += self._protected(self._mapped.run(changes, seq_base, transactions))
        return made

    def _flat(self, changes: TableChanges, seq_base: int) -> list[RowChanges]:
        """Nothing where rows are looked up: those of then may not be there any more."""
        if self.looks_up(changes.schema.table):
            return []
        return [each for _, rows in self._made(changes, seq_base, None) for each in rows]

    def take_counts(self) -> Counts:
        """Rows since the last call: received = filtered + emitted."""
        counts = {key: dict(value) for key, value in self._counts.items()}
        self._counts.clear()
        return counts

    def close(self) -> None:
        if self._mapped is not None:
            self._mapped.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _protected_table(self, table: TargetTable) -> TargetTable:
        return table if self._protection is None else self._protection.table(table)

    def _protected(
        self, made: list[tuple[TargetTable, list[RowChanges]]]
    ) -> list[tuple[TargetTable, list[RowChanges]]]:
        if self._protection is None:
            return made
        return [(target, list(map(self._protection.rows, rows))) for target, rows in made]

    def _count(
        self, changes: TableChanges, target: TargetTable, rows: Sequence[RowChanges]
    ) -> None:
        counts = self._counts[str(changes.schema.table), str(target.table)]
        emitted = sum(item.rows for item in rows)
        counts["received"] += changes.rows
        counts["emitted"] += emitted
        counts["filtered"] += changes.rows - emitted

    def _copy(self, schema: TableSchema) -> TargetTable | None:
        version = schema.version
        if version not in self._copies:
            rule = rule_for(schema.table, self._rules)
            self._copies[version] = None if rule is None else copy_of(schema, rule)
        return self._copies[version]


def _mapped(
    mappings: Sequence[MappingModel],
    entities: Mapping[str, Entity],
    source: str,
    composites: Mapping[TableName, Composite],
) -> Mapped | None:
    """None without mappings: then DuckDB is not even imported."""
    if not mappings:
        return None
    from transforms.mapped import Mapped

    return Mapped(mappings, entities, source, composites)
