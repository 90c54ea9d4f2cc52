"""What a mapping would make of given rows: shown side by side, counted, nothing written.

Here row values are the point, since the operator asked to see them; those of classed fields are
masked unless that is asked for, too. Nothing of this is logged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa

import cdc.changes as change
from cdc.changes import TableChanges
from transforms import columns
from transforms.compile import compile_mapping
from transforms.diagnose import Asked, Fault, all_faults
from transforms.engine import Engine
from transforms.entity import Entity
from transforms.expressions.sql import REASONS
from transforms.judge import delivered, judge_of
from transforms.lookups.evaluate import Lookups
from transforms.lookups.tables import LookupTables
from transforms.model import Mapping as MappingModel
from transforms.program import Output, Program
from transforms.protect.shown import class_of, source_classes, veiled
from transforms.selection import Condition, Selection

Values = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """A source row beside what it becomes. `failures`: field (or ``where``) and why, in words."""

    outcome: Literal["mapped", "filtered", "failed"]
    source: Values
    mapped: Values | None
    failures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """One of a mapping's rows over a sample.

    `failures` counts rows by (field, why in words); `unlisted` counts, per field with a value map,
    the codes that it does not list (None is NULL).
    """

    name: str
    target: str
    rows: tuple[PreviewRow, ...]
    failures: Mapping[tuple[str, str], int]
    unlisted: Mapping[str, Mapping[str | None, int]]

    def count(self, outcome: str) -> int:
        return sum(row.outcome == outcome for row in self.rows)


def preview(
    mapping: MappingModel,
    entities: Mapping[str, Entity],
    sample: TableChanges,
    *,
    lookups: Sequence[TableChanges] = (),
    others: Sequence[MappingModel] = (),
    reveal: bool = False,
) -> list[Preview]:
    """One preview for each of the mapping's rows. `sample` holds existing rows (operation r), and
    `lookups` all those of each looked up table. `others`: the mappings of its pipeline.

    Without `reveal` personal and secret fields, and the source columns they are computed from, are
    masked.

    Errors: MappingError, the first of what `check` would show.
    """
    tables = LookupTables({lookup.source for lookup in mapping.lookups.values()})
    for changes in lookups:
        tables.apply(changes)
    programs, errors = compile_mapping(mapping, entities, sample.schema, tables.schemas, others)
    if errors:
        raise errors[0]
    engine = Engine()
    try:
        veil = _Veil(programs, reveal=reveal)
        return [_preview(program, engine, sample, veil, tables) for program in programs]
    finally:
        engine.close()


class _Veil:
    """Masks what `programs` read and make; with `reveal` nothing."""

    def __init__(self, programs: Sequence[Program], *, reveal: bool) -> None:
        self._reveal = reveal
        self._sources = {} if reveal else source_classes(programs)

    def source(self, name: str, values: pa.Array) -> pa.Array:
        return veiled(values, self._sources.get(name))

    def field(self, program: Program, output: Output, values: pa.Array) -> pa.Array:
        field_class = None if self._reveal else class_of(program, output)
        return veiled(values, field_class, program.target.columns[output.index].mask)


def _preview(
    program: Program, engine: Engine, sample: TableChanges, veil: _Veil, tables: LookupTables
) -> Preview:
    gone = (change.DELETE, change.TRUNCATE)
    present = np.flatnonzero(~np.isin(columns.operations(sample), gone))
    source = {at: columns.take(column, present) for at, column in enumerate(sample.new)}
    outputs = (*program.keys, *program.fields)
    condition = None if program.where is None else Condition(program.where, program.where_reads)
    faults = _looked_up(program, engine, tables, source, condition, len(present))
    failed = {fault.row for fault in faults}
    found = all_faults(program, engine, outputs, condition, source, len(present))
    faults += [fault for fault in found if fault.row not in failed]
    sound = np.setdiff1d(np.arange(len(present)), [fault.row for fault in faults])
    rest = {at: columns.take(column, sound) for at, column in source.items()}
    selected = Selection(engine, outputs, condition).run(rest, len(sound))
    kept = sound if selected.rows is None else sound[selected.rows]
    values = delivered(program, outputs, selected.values)
    broken = judge_of(program, engine).broken(values, len(kept))
    made = zip(outputs, selected.values, strict=True)
    mapped = _rows({o.name: veil.field(program, o, v) for o, v in made}, len(kept))
    became = dict(zip(kept.tolist(), mapped, strict=True))
    names = [column.name for column in sample.schema.columns]
    before = _rows(
        {name: veil.source(name, source[at]) for at, name in enumerate(names)}, len(present)
    )
    failures: dict[int, list[tuple[str, str]]] = {}
    reasons = [(fault.row, fault.name, REASONS[fault.reason]) for fault in faults]
    reasons += [(int(kept[at.row]), at.name, at.problem) for at in broken]
    for row, name, reason in reasons:
        failures.setdefault(row, []).append((name, reason))
    return Preview(
        program.name,
        str(program.target.table),
        tuple(
            _row(values, became.get(at), tuple(failures.get(at, ())))
            for at, values in enumerate(before)
        ),
        Counter((name, reason) for _, name, reason in reasons),
        _unlisted(program, engine, source, faults, veil),
    )


def _looked_up(
    program: Program,
    engine: Engine,
    tables: LookupTables,
    source: dict[int, pa.Array],
    condition: Condition | None,
    count: int,
) -> list[Fault]:
    """Put the columns of lookups behind the row's own; rows that they fail for."""
    found = Lookups(program.lookups, tables, engine).run(
        list(source.values()), {}, np.arange(count), count
    )
    source |= found.columns
    faults = [
        Fault(int(row), failing.alias, failing.reason)
        for failing in found.failing
        for row in failing.rows
    ]
    if condition is None or program.reads_lookups or not faults:
        return faults
    test = Asked(engine, f"(({condition.sql}) IS TRUE)", condition.reads)
    met, _ = test.run(source, np.arange(count))
    return [fault for fault in faults if met[fault.row]]


def _row(
    source: Values, mapped: Values | None, failures: tuple[tuple[str, str], ...]
) -> PreviewRow:
    outcome: Literal["mapped", "filtered", "failed"]
    outcome = "failed" if failures else "filtered" if mapped is None else "mapped"
    return PreviewRow(outcome, source, None if failures else mapped, failures)


def _rows(table: Mapping[str, pa.Array], count: int) -> list[Values]:
    lists = {name: array.to_pylist() for name, array in table.items()}
    return [{name: values[at] for name, values in lists.items()} for at in range(count)]


def _unlisted(
    program: Program,
    engine: Engine,
    source: Mapping[int, pa.Array],
    faults: list[Fault],
    veil: _Veil,
) -> dict[str, Counter[str | None]]:
    """The codes of rows that failed for them."""
    found: dict[str, Counter[str | None]] = {}
    for output in program.fields:
        rows = [
            fault.row
            for fault in faults
            if fault.name == output.name and fault.reason == "unlisted"
        ]
        if not rows:
            continue
        codes = Selection(engine, (replace(output, codes=None),), None)
        part = {at: columns.take(source[at], np.array(rows)) for at in codes.needed}
        unlisted = codes.run(part, len(rows)).values[0]
        found[output.name] = Counter(veil.field(program, output, unlisted).to_pylist())
    return found
