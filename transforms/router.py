"""What delivery asks: where do the changes of a source table go, and what do they become?

A router belongs to one pipeline. For each version of a source table it works out once which rules
apply (a copy as it is, any number of mappings) and evaluates them set by set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from cdc.changes import TableChanges
from cdc.schema import TableName, TableSchema
from tailrace.errors import TransformError
from transforms.compile import compile_mapping
from transforms.disjoint import Part, same_key
from transforms.engine import Engine, EvaluationError
from transforms.evaluate import Evaluation
from transforms.expressions.sql import REASONS
from transforms.model import Entity, Replicate
from transforms.model import Mapping as MappingModel
from transforms.replicate import copy_of, replicate
from transforms.rows import DELETE, PATCH, UPSERT, RowChanges, TargetTable
from transforms.rules import rule_for

Counts = dict[tuple[str, str], dict[str, int]]
"""(source table, target table) → outcome → rows."""


@dataclass(frozen=True)
class _Route:
    """What becomes of one version of a source table. `settled`: targets of several mappings with
    one key, between which a row may move."""

    copy: TargetTable | None
    evaluations: tuple[Evaluation, ...]
    settled: frozenset[TableName]

    @property
    def targets(self) -> list[TargetTable]:
        """In the order in which they are made: an entity before the part of it that is written."""
        found = [] if self.copy is None else [self.copy]
        for evaluation in self.evaluations:
            found += [evaluation.program.entity, evaluation.program.target]
        return list(dict.fromkeys(found))


class Router:
    """Turns changes of source tables into changes of target tables. Not thread-safe.

    The mappings are expected to be checked; one that does not fit a table any more (its columns
    changed) is a TransformError when that table's changes arrive.
    """

    def __init__(
        self,
        rules: Sequence[Replicate],
        mappings: Sequence[MappingModel],
        entities: Mapping[str, Entity],
    ) -> None:
        self._rules = tuple(rules)
        self._mappings = tuple(mappings)
        self._entities = entities
        self._engine = Engine()
        self._routes: dict[str, _Route] = {}
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

    def target_tables(self, schema: TableSchema) -> list[TargetTable]:
        """The tables that changes of this table write, in the order in which to make them.

        Of an entity first the whole, then, where a mapping delivers only some of its fields, the
        table as its row changes name it. Errors: TransformError.
        """
        return self._route(schema).targets

    def route(self, changes: TableChanges, seq_base: int) -> list[RowChanges]:
        """The changes of target tables that these make. Errors: TransformError (RowError)."""
        if not changes.rows:
            return []
        route = self._route(changes.schema)
        found: list[RowChanges] = []
        if route.copy is not None:
            copied = replicate(changes, route.copy, seq_base)
            self._count(changes, route.copy, copied)
            found += copied
        mapped = []
        for evaluation in route.evaluations:
            rows = evaluation.run(changes, seq_base)
            self._count(changes, evaluation.program.target, rows)
            mapped += rows
        return found + (self._settle(changes, route, mapped) if route.settled else mapped)

    def take_counts(self) -> Counts:
        """Rows since the last call: received = filtered + emitted."""
        counts = {key: dict(value) for key, value in self._counts.items()}
        self._counts.clear()
        return counts

    def close(self) -> None:
        self._routes.clear()
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _count(
        self, changes: TableChanges, target: TargetTable, rows: Sequence[RowChanges]
    ) -> None:
        counts = self._counts[str(changes.schema.table), str(target.table)]
        emitted = sum(item.rows for item in rows)
        counts["received"] += changes.rows
        counts["emitted"] += emitted
        counts["filtered"] += changes.rows - emitted

    def _route(self, schema: TableSchema) -> _Route:
        route = self._routes.get(schema.version)
        if route is None:
            route = self._routes[schema.version] = self._planned(schema)
        return route

    def _planned(self, schema: TableSchema) -> _Route:
        rule = rule_for(schema.table, self._rules)
        copy = None if rule is None else copy_of(schema, rule)
        parts = [
            Part(mapping, loc, rows, schema)
            for mapping in self._mappings
            for loc, rows in mapping.parts
        ]
        writers = [part.rows.target for part in parts]
        evaluations: list[Evaluation] = []
        for mapping in self._mappings:
            if mapping.source == schema.table:
                evaluations += self._compiled(mapping, schema, writers)
        here = [part for part in parts if part.mapping.source == schema.table]
        settled = frozenset(
            first.rows.target
            for at, first in enumerate(here)
            for second in here[at + 1 :]
            if first.rows.target == second.rows.target and same_key(first, second)
        )
        return _Route(copy, tuple(evaluations), settled)

    def _compiled(
        self, mapping: MappingModel, schema: TableSchema, writers: Sequence[TableName]
    ) -> list[Evaluation]:
        programs, errors = compile_mapping(mapping, self._entities, schema)
        if errors:
            raise TransformError(
                f"mapping {mapping.mapping} does not fit {schema.table}: {errors[0].what}",
                where={"table": str(schema.table)},
                fix=errors[0].fix or "mend the mapping: tailrace check shows all of it",
            )
        try:
            return [
                Evaluation(program, self._engine, sole=writers.count(program.target.table) == 1)
                for program in programs
            ]
        except EvaluationError as error:
            raise TransformError(
                f"mapping {mapping.mapping} has a constant that does not convert:"
                f" {REASONS[error.reason]}",
                where={"table": str(schema.table)},
                fix="mend the mapping: tailrace check shows where",
            ) from None

    def _settle(
        self, changes: TableChanges, route: _Route, mapped: Sequence[RowChanges]
    ) -> list[RowChanges]:
        """A row that moves from one mapping to another of the same target and key is not removed.

        Both see one change: the one removes the entity, the other puts it there. Where the key
        stays, only the latter is meant.
        """
        settled: list[RowChanges] = []
        for rows in mapped:
            others = [
                other
                for other in mapped
                if other is not rows
                and rows.table.table in route.settled
                and other.table.table == rows.table.table
            ]
            taken_over = [_put_in_place(other) for other in others]
            kept = _without(rows, np.concatenate(taken_over)) if taken_over else rows
            if kept.rows < rows.rows:
                counts = self._counts[str(changes.schema.table), str(rows.table.table)]
                counts["emitted"] -= rows.rows - kept.rows
                counts["filtered"] += rows.rows - kept.rows
            if kept.rows:
                settled.append(kept)
        return settled


def _put_in_place(rows: RowChanges) -> np.ndarray:
    """The seq of upserts whose key did not change."""
    puts = rows.op.to_numpy() == UPSERT
    if rows.old_key is not None:
        puts &= rows.old_key[0].is_null().to_numpy(zero_copy_only=False)
    found: np.ndarray = rows.seq.to_numpy()[puts]
    return found


def _without(rows: RowChanges, taken_over: np.ndarray) -> RowChanges:
    removes = np.isin(rows.op.to_numpy(), (DELETE, PATCH))
    keep = ~(removes & np.isin(rows.seq.to_numpy(), taken_over))
    if keep.all():
        return rows
    mask = pa.array(keep)
    return replace(
        rows,
        op=rows.op.filter(mask),
        seq=rows.seq.filter(mask),
        values=tuple(value.filter(mask) for value in rows.values),
        unsent={at: flags.filter(mask) for at, flags in rows.unsent.items()},
        old_key=None if rows.old_key is None else tuple(key.filter(mask) for key in rows.old_key),
    )
