"""The mappings of a pipeline at work: which apply to a source table, and what they make of it.

Apart from `router`, since DuckDB and sqlglot cost memory that a pipeline of mere copies does not
need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from cdc.changes import TableChanges
from cdc.schema import TableName, TableSchema
from tailrace.errors import TransformError
from transforms.compile import compile_mapping
from transforms.composite import Composite
from transforms.disjoint import Part, same_key
from transforms.engine import Engine, EvaluationError
from transforms.entity import Entity
from transforms.errors import RowError
from transforms.evaluate import Evaluation
from transforms.expressions.sql import REASONS
from transforms.faults import together
from transforms.lookups.tables import LookupTables, not_captured
from transforms.model import Mapping as MappingModel
from transforms.program import Program
from transforms.rows import DELETE, PATCH, UPSERT, RowChanges, TargetTable
from transforms.sides import beside


@dataclass(frozen=True)
class _Plan:
    """The mappings of one version of a source table. `settled`: targets of several of them with one
    key, between which a row may move."""

    evaluations: tuple[Evaluation, ...]
    settled: frozenset[TableName]


class Mapped:
    """Evaluates a pipeline's mappings. Not thread-safe.

    What goes into one of `composites` is written to the side table of `source`.
    """

    def __init__(
        self,
        mappings: Sequence[MappingModel],
        entities: Mapping[str, Entity],
        source: str = "",
        composites: Mapping[TableName, Composite] = MappingProxyType({}),
        others: Sequence[MappingModel] = (),
    ) -> None:
        """`others`: mappings that are not run here, and make what these refer to."""
        self._mappings = tuple(mappings)
        self._others = tuple(others)
        self._looked_up: dict[TableName, list[TableName]] = {}
        for mapping in mappings:
            for lookup in mapping.lookups.values():
                self._looked_up.setdefault(mapping.source, []).append(lookup.source)
        self.lookups = LookupTables({one for named in self._looked_up.values() for one in named})
        self._entities = entities
        self._source = source
        self._composites = composites
        self._engine = Engine()
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def looks_up(self, table: TableName) -> bool:
        """Whether rows of this table are joined with looked up ones."""
        return table in self._looked_up

    def targets(self, schema: TableSchema) -> list[TargetTable]:
        """In the order in which they are made: an entity before the part of it that is written, and
        before both what it refers to.

        Errors: TransformError where a mapping does not fit the table.
        """
        found = []
        for evaluation in self._plan(schema).evaluations:
            program = evaluation.program
            for whole in (*program.parents, program.entity):
                composite = self._composites.get(whole.table)
                found += [whole] if composite is None else composite.tables
            found.append(self._target(program))
        return found

    @property
    def shared(self) -> list[TargetTable]:
        """The tables of the composites that are written."""
        written = {rows.target for mapping in self._mappings for _, rows in mapping.parts}
        composites = [one for name, one in self._composites.items() if name in written]
        return [table for composite in composites for table in composite.tables]

    def receivers(self, schema: TableSchema) -> list[TableName]:
        """The table that each mapping writes, in order. Errors: as `targets`."""
        return [self._target(one.program).table for one in self._plan(schema).evaluations]

    def run(
        self, changes: TableChanges, base: int, transactions: pa.RecordBatch | None = None
    ) -> list[tuple[TargetTable, list[RowChanges]]]:
        """What each mapping makes of the changes.

        Errors: TransformError; a RowError names the rows that any of the mappings cannot take.
        """
        plan = self._plan(changes.schema)
        found: list[tuple[TargetTable, list[RowChanges]]] = []
        failed: list[RowError] = []
        for evaluation in plan.evaluations:
            try:
                found.append((evaluation.program.target, evaluation.run(changes, base)))
            except RowError as error:
                if not error.faults:
                    raise
                failed.append(error)
        if failed:
            raise together(failed) from None
        if plan.settled:
            found = _settle(found, plan.settled)
        if not self._composites:
            return found
        targets = [self._target(evaluation.program) for evaluation in plan.evaluations]
        return [
            (target, [beside(rows, target, base, transactions) for rows in made])
            for target, (_, made) in zip(targets, found, strict=True)
        ]

    def _target(self, program: Program) -> TargetTable:
        """What a mapping writes: the entity's table, or its source's side of it."""
        composite = self._composites.get(program.target.table)
        if composite is None:
            return program.target
        side = composite.side_table(self._source, program.target.columns)
        return replace(side, refs=program.target.refs)

    def _placed(self, program: Program) -> Program:
        """With its references to where this target has what they refer to."""
        refs = tuple(
            (at, one.placed(self._composites.get(one.table), self._source))
            for at, one in program.target.refs
        )
        return replace(program, target=replace(program.target, refs=refs)) if refs else program

    def close(self) -> None:
        self._plans.clear()
        self._engine.close()

    def _plan(self, schema: TableSchema) -> _Plan:
        """It is made anew where a looked up table has another shape."""
        shapes = [self._shape(one) for one in self._looked_up.get(schema.table, ())]
        plan = self._plans.get(version := (schema.version, *shapes))
        if plan is None:
            plan = self._plans[version] = self._planned(schema)
        return plan

    def _shape(self, table: TableName) -> str:
        schema = self.lookups[table].schema
        return "" if schema is None else schema.version

    def _planned(self, schema: TableSchema) -> _Plan:
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
        return _Plan(tuple(evaluations), settled)

    def _compiled(
        self, mapping: MappingModel, schema: TableSchema, writers: Sequence[TableName]
    ) -> list[Evaluation]:
        for lookup in mapping.lookups.values():
            if lookup.source not in self.lookups.schemas:
                raise not_captured(lookup.source)
        programs, errors = compile_mapping(
            mapping, self._entities, schema, self.lookups.schemas, (*self._mappings, *self._others)
        )
        if errors:
            raise TransformError(
                f"mapping {mapping.mapping} does not fit {schema.table}: {errors[0].what}",
                where={"table": str(schema.table)},
                fix=errors[0].fix or "mend the mapping: tailrace check shows all of it",
            )
        try:
            return [
                Evaluation(
                    self._placed(program if not sole else _admitting(program)),
                    self._engine,
                    sole=sole,
                    tables=self.lookups,
                )
                for program in programs
                for sole in (writers.count(program.target.table) == 1,)
            ]
        except EvaluationError as error:
            raise TransformError(
                f"mapping {mapping.mapping} has a constant that does not convert:"
                f" {REASONS[error.reason]}",
                where={"table": str(schema.table)},
                fix="mend the mapping: tailrace check shows where",
            ) from None


def _admitting(program: Program) -> Program:
    """With tables that say which rows are there: no other mapping has a say in it."""
    return replace(
        program,
        target=replace(program.target, admits=program.admits),
        entity=replace(program.entity, admits=program.admits),
    )


def _settle(
    mapped: list[tuple[TargetTable, list[RowChanges]]], settled: frozenset[TableName]
) -> list[tuple[TargetTable, list[RowChanges]]]:
    """A row that moves from one mapping to another of the same target and key is not removed.

    Both see one change: the one removes the entity, the other puts it there. Where the key stays,
    only the latter is meant.
    """
    result: list[tuple[TargetTable, list[RowChanges]]] = []
    for at, (target, changes) in enumerate(mapped):
        taken_over = [
            _put_in_place(rows)
            for other, (table, others) in enumerate(mapped)
            if other != at and table.table == target.table and target.table in settled
            for rows in others
        ]
        if taken_over:
            seq = np.concatenate(taken_over)
            changes = [kept for rows in changes if (kept := _without(rows, seq)).rows]
        result.append((target, changes))
    return result


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
