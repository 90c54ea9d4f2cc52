"""Finds each row's line in the looked up tables and puts its columns behind the row's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms import columns
from transforms.columns import Flags, Rows
from transforms.diagnose import output_faults
from transforms.engine import Engine, EvaluationError
from transforms.lookups.program import LookupProgram
from transforms.lookups.tables import LookupTable, LookupTables
from transforms.selection import Selection


@dataclass(frozen=True, slots=True)
class Failing:
    """Rows that a lookup fails for; `reason` as in REASONS."""

    alias: str
    reason: str
    rows: Rows


@dataclass(slots=True)
class Found:
    """What was looked up for a change set: columns by position, which of their values were not
    sent, and the rows that have nothing to go on with."""

    columns: dict[int, pa.Array] = field(default_factory=dict)
    unsent: dict[int, Flags] = field(default_factory=dict)
    failing: list[Failing] = field(default_factory=list)


class Lookups:
    """The lookups of one program. Not thread-safe."""

    def __init__(
        self, programs: Sequence[LookupProgram], tables: LookupTables, engine: Engine
    ) -> None:
        self._joins = [_Join(program, tables, engine) for program in programs]

    def run(
        self, values: Sequence[pa.Array], unsent: Mapping[int, Flags], present: Rows, count: int
    ) -> Found:
        """Look up the rows `present`. `values` are the columns, `count` rows each."""
        found = Found()
        for join in self._joins:
            join.run(values, unsent, present, count, found)
        return found


class _Join:
    def __init__(self, program: LookupProgram, tables: LookupTables, engine: Engine) -> None:
        self._program = program
        self._tables = tables
        self._engine = engine
        self._codes = Selection(engine, program.codes, None)
        self._keys = Selection(engine, program.keys, None)
        self._index: tuple[int, pa.Array, Flags, bool] | None = None

    def run(
        self,
        values: Sequence[pa.Array],
        unsent: Mapping[int, Flags],
        present: Rows,
        count: int,
        found: Found,
    ) -> None:
        program = self._program
        table = self._tables[program.table]
        absent = np.zeros(count, np.bool_)
        for at in program.reads:
            absent |= unsent.get(at, False)
        asked = present[~absent[present]]
        codes, asked, failing = self._coded(values, asked)
        for reason in sorted(set(failing.values())):
            rows = np.array([row for row, why in failing.items() if why == reason], np.int64)
            found.failing.append(Failing(program.alias, reason, rows))
        keys, doubled, is_whole = self._indexed(table)
        lines = np.full(count, -1, np.int64)
        has_code = columns.flags(codes.is_valid())
        place = pc.fill_null(pc.index_in(codes, value_set=keys), -1).to_numpy()
        place = np.where(has_code, place, -1)
        lines[asked] = place
        missing = asked[has_code & (place < 0)]
        if not is_whole:  # it may be one of the lines that are not known
            self._note(found, "unread", missing)
            missing = missing[:0]
        self._note(found, "missing", missing if program.missing.action == "exception" else [])
        self._note(found, "ambiguous", asked[(place >= 0) & doubled[place]] if len(keys) else [])
        index = pa.array(lines, mask=lines < 0)
        filled = np.zeros(count, np.bool_)
        filled[missing] = program.missing.value is not None
        for at in program.columns:
            texts, unknown = table.column(at)
            column = texts.take(index)
            if filled.any():
                assert program.missing.value is not None
                constant = columns.repeated(program.missing.value, count)
                column = columns.where(filled, constant, column)
            if unknown is not None:
                self._note(found, "unread", asked[(place >= 0) & unknown[place]])
            found.columns[program.first + at] = column
            if absent.any():
                found.unsent[program.first + at] = absent

    def _note(self, found: Found, reason: str, rows: Rows | list[int]) -> None:
        if len(rows):
            found.failing.append(Failing(self._program.alias, reason, np.asarray(rows, np.int64)))

    def _coded(
        self, values: Sequence[pa.Array], rows: Rows
    ) -> tuple[pa.Array, Rows, dict[int, str]]:
        """The codes of those rows for which they can be computed, and why others fail."""
        source = {at: columns.take(values[at], rows) for at in self._codes.needed}
        failing: dict[int, str] = {}
        try:
            selected = self._codes.run(source, len(rows))
        except EvaluationError:
            for code in self._program.codes:
                failing |= output_faults(self._engine, code, source, np.arange(len(rows)))
            sound = np.setdiff1d(np.arange(len(rows)), list(failing))
            failing = {int(rows[row]): reason for row, reason in failing.items()}
            source = {at: columns.take(column, sound) for at, column in source.items()}
            rows = rows[sound]
            selected = self._codes.run(source, len(rows))
        return _one(selected.values), rows, failing

    def _indexed(self, table: LookupTable) -> tuple[pa.Array, Flags, bool]:
        """What each line is found by, whether another one is found by the same, and whether it is
        known of all."""
        if self._index is None or self._index[0] != table.version:
            is_whole = all(table.column(at)[1] is None for at in self._keys.needed)
            source = {at: table.column(at)[0] for at in self._keys.needed}
            keys = _one(self._keys.run(source, len(table)).values)
            first = pc.index_in(keys, value_set=keys).to_numpy(zero_copy_only=False)
            doubled = np.zeros(len(keys), np.bool_)
            later = first != np.arange(len(keys))
            doubled[later] = True
            doubled[first[later].astype(np.int64)] = True
            self._index = (table.version, keys, doubled, is_whole)
        return self._index[1:]


def _one(parts: Sequence[pa.Array]) -> pa.Array:
    """Several texts as one that tells them apart; NULL where one is."""
    if len(parts) == 1:
        return parts[0]
    lengths = [pc.cast(pc.binary_length(part), columns.TEXT) for part in parts[:-1]]
    return pc.binary_join_element_wise(*lengths, *parts, ":")
