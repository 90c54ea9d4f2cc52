"""Changes of a source table → changes of an entity's table, by one compiled mapping.

For each row the question is what stands at the target before and after it:

    change   before: was it ours?         after: does it meet `where`?
    c, r     no                           yes: UPSERT         no: filtered
    u        as far as the identity says  yes: UPSERT         no: removed if it was ours
    d        as far as the identity says  removed if it was ours
    t        every row of the source is gone: CLEAR

*Ours* is what meets the part of `where` that reads identity columns only (`Program.mine`): of a
row that is gone the log carries nothing else. So an update that never was ours removes nothing.
*Removed* means what `on_delete` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import pyarrow as pa

import cdc.changes as change
from cdc.changes import TableChanges
from transforms import columns
from transforms.assemble import Removals, Upserts, assembled
from transforms.columns import Flags, Rows
from transforms.diagnose import all_faults, lacking
from transforms.engine import Engine, EvaluationError
from transforms.faults import Faults
from transforms.judge import delivered, judge_of
from transforms.lookups.evaluate import Lookups
from transforms.lookups.tables import LookupTables
from transforms.program import Output, Program
from transforms.quick import Quick
from transforms.rows import RowChanges
from transforms.selection import Condition, Selected, Selection


@dataclass(frozen=True, slots=True)
class _After:
    """The rows that meet `where` (their numbers in the change set) and the values they get."""

    rows: Rows
    keys: tuple[pa.Array, ...]
    fields: tuple[pa.Array, ...]
    unsent: Mapping[int, Flags]  # field number → rows where it is left as it is


class Evaluation:
    """Runs one program. `sole`: no other mapping writes its target."""

    def __init__(
        self,
        program: Program,
        engine: Engine,
        *,
        sole: bool,
        tables: LookupTables | None = None,
    ) -> None:
        """`tables`: the looked up ones. Errors: EvaluationError where a constant of the mapping
        does not convert."""
        self.program = program
        self._lookups = None
        if program.lookups and tables is not None:
            self._lookups = Lookups(program.lookups, tables, engine)
        self._engine = engine
        self._sole = sole
        self._where = (
            None if program.where is None else Condition(program.where, program.where_reads)
        )
        mine = None if program.mine is None else Condition(program.mine, program.identity)
        self._mine = mine
        self._selections: dict[tuple[Output, ...], tuple[Quick, Selection]] = {}
        self._gone = Selection(engine, program.keys, mine)
        self._judge = judge_of(program, engine)
        self._select(program.fields)

    def _select(self, fields: tuple[Output, ...]) -> tuple[Quick, Selection]:
        """The selection of the key and some of the fields, in the fast and the careful way."""
        if fields not in self._selections:
            outputs = (*self.program.keys, *fields)
            self._selections[fields] = (
                Quick(self._engine, self.program, outputs, self._where),
                Selection(self._engine, outputs, self._where),
            )
        return self._selections[fields]

    def run(self, changes: TableChanges, base: int) -> list[RowChanges]:
        """Errors: RowError, with all rows that cannot be mapped."""
        faults = Faults(self.program, changes)
        operations = columns.operations(changes)
        values: Sequence[pa.Array]
        values, unsent = columns.completed(changes)
        clears = operations == change.TRUNCATE
        if clears.any():
            self._may_clear(changes, clears, faults)
        deleted = operations == change.DELETE
        present = np.flatnonzero(~(clears | deleted))
        if self._lookups is not None:
            values, present = self._looked_up(self._lookups, values, unsent, present, faults)
        after = self._after(changes, values, unsent, present, faults)
        upserts, removals = self._before(changes, values, operations, after, faults)
        faults.check()
        cleared = np.flatnonzero(clears)
        if self.program.on_delete.action == "ignore":
            removals, cleared = Removals.empty(), cleared[:0]
        return assembled(self.program, changes, base, upserts, removals, cleared)

    def _looked_up(
        self,
        lookups: Lookups,
        values: Sequence[pa.Array],
        unsent: dict[int, Flags],
        present: Rows,
        faults: Faults,
    ) -> tuple[list[pa.Array], Rows]:
        """`values` with the columns of lookups, and the rows that have what they look up.

        Where a row that `where` leaves out finds nothing is no matter.
        """
        found = lookups.run(values, unsent, present, len(values[0]))
        width = max([len(values), *(at + 1 for at in found.columns)])
        nothing = columns.nulls(len(values[0]))
        wide = [*values, *[nothing] * (width - len(values))]
        for at, column in found.columns.items():
            wide[at] = column
        unsent |= found.unsent
        for failing in found.failing:
            faults.add_reason(self._meeting(wide, unsent, failing.rows, faults), failing)
        return wide, present[faults.sound(present)]

    @cached_property
    def _meets(self) -> Selection:
        return Selection(self._engine, (), self._where)

    def _meeting(
        self,
        values: Sequence[pa.Array],
        unsent: Mapping[int, Flags],
        rows: Rows,
        faults: Faults,
    ) -> Rows:
        """Those of the rows that meet `where`, as far as it is known without lookups."""
        if self._where is None or self.program.reads_lookups:
            return rows
        for at in self._where.reads:
            if at in unsent:
                rows = rows[~unsent[at][rows]]
        source = {at: columns.take(values[at], rows) for at in self._meets.needed}
        return self._run(self._meets, self._where, source, rows, faults)[0]

    def _after(
        self,
        changes: TableChanges,
        values: Sequence[pa.Array],
        unsent: Mapping[int, Flags],
        present: Rows,
        faults: Faults,
    ) -> _After:
        """Evaluate the rows that exist after their change."""
        _, selection = self._select(self.program.fields)
        reads = {at for output in selection.outputs for at in output.reads}
        reads |= set(self.program.where_reads)
        missing = {at: mask for at, mask in unsent.items() if at in reads and mask[present].any()}
        if not missing:
            return self._evaluated(values, present, self.program.fields, faults)
        return self._by_pattern(values, missing, present, faults)

    def _by_pattern(
        self,
        values: Sequence[pa.Array],
        missing: Mapping[int, Flags],
        present: Rows,
        faults: Faults,
    ) -> _After:
        """The same where some values were not sent: rows with the same of them at once."""
        fields = self.program.fields
        marks = np.stack([mask[present] for mask in missing.values()], axis=1)
        patterns, group = np.unique(marks, axis=0, return_inverse=True)
        found: list[_After] = []
        for number, pattern in enumerate(patterns):
            rows = present[group.ravel() == number]
            absent = {at for at, lacks in zip(missing, pattern, strict=True) if lacks}
            self._can_do_without(values, absent, rows, faults)
            rows = rows[faults.sound(rows)]
            sent = tuple(field for field in fields if not absent & set(field.reads))
            part = self._evaluated(values, rows, sent, faults)
            given = iter(part.fields)
            count = len(part.rows)
            found.append(
                _After(
                    part.rows,
                    part.keys,
                    tuple(
                        next(given) if field in sent else columns.nulls(count) for field in fields
                    ),
                    {at: np.full(count, field not in sent) for at, field in enumerate(fields)},
                )
            )
        return _merged(found, len(fields))

    def _can_do_without(
        self, values: Sequence[pa.Array], absent: set[int], rows: Rows, faults: Faults
    ) -> None:
        """Faults where something needs a value that was not sent.

        A field that reads only such values is left as it is at the target; one that also reads
        others cannot be computed.
        """
        for name, reads in (
            ("where", self.program.where_reads),
            *((output.name, output.reads) for output in self.program.keys),
        ):
            if absent & set(reads):
                self._unsent(name, absent & set(reads), rows, faults)
                return
        for field in self.program.fields:
            if absent & set(field.reads) and not absent >= set(field.reads):
                kept = self._evaluated(values, rows, (), faults).rows
                self._unsent(field.name, absent & set(field.reads), kept, faults)

    def _evaluated(
        self,
        values: Sequence[pa.Array],
        rows: Rows,
        fields: tuple[Output, ...],
        faults: Faults,
    ) -> _After:
        """Of the rows without a fault."""
        quick, selection = self._select(fields)
        whole = len(rows) == len(values[0])
        source = {
            at: values[at] if whole else columns.take(values[at], rows) for at in selection.needed
        }
        selected = quick.tried(source, len(rows))
        kept, found = self._run(selection, self._where, source, rows, faults, selected)
        if selected is None or not quick.well(selected):
            kept, found = self._keeping_contract(selection, kept, found, faults)
        keys = len(self.program.keys)
        return _After(kept, found[:keys], found[keys:], {})

    def _run(
        self,
        selection: Selection,
        condition: Condition | None,
        source: Mapping[int, pa.Array],
        rows: Rows,
        faults: Faults,
        selected: Selected | None = None,
    ) -> tuple[Rows, tuple[pa.Array, ...]]:
        """The rows that meet the condition, and their values, without those that have a fault.

        `selected`: where they are known already.
        """
        try:
            selected = selected or selection.run(source, len(rows))
        except EvaluationError:
            found = all_faults(
                self.program, self._engine, selection.outputs, condition, source, len(rows)
            )
            faults.add_all(rows, found)
            sound = faults.sound(rows)
            source = {at: columns.take(column, sound) for at, column in source.items()}
            rows = rows[sound]
            selected = self._again(selection, source, rows, faults)
            return selected.within(rows), selected.values
        kept = selected.within(rows)
        lacks = lacking(self.program, selection.outputs, selected)
        if not lacks:
            return kept, selected.values
        faults.add_all(rows, lacks)
        return _only(faults.sound(kept), kept, selected.values)

    def _keeping_contract(
        self, selection: Selection, rows: Rows, values: tuple[pa.Array, ...], faults: Faults
    ) -> tuple[Rows, tuple[pa.Array, ...]]:
        """The same without the rows that break the entity's contract."""
        broken = self._judge.broken(delivered(self.program, selection.outputs, values), len(rows))
        if not broken:
            return rows, values
        faults.add_broken(rows, broken)
        return _only(faults.sound(rows), rows, values)

    def _again(
        self, selection: Selection, source: Mapping[int, pa.Array], rows: Rows, faults: Faults
    ) -> Selected:
        """The rows that are sound each by itself, together. Errors: RowError."""
        try:
            return selection.run(source, len(rows))
        except EvaluationError:
            raise faults.error(
                f"mapping {self.program.name}: no single row fails, but all of them together do",
                {},
                "it needs too much memory for one change set: simplify its expressions",
                0,
            ) from None

    def _before(
        self,
        changes: TableChanges,
        values: Sequence[pa.Array],
        operations: np.ndarray,
        after: _After,
        faults: Faults,
    ) -> tuple[Upserts, Removals]:
        """Which rows leave the target, under which key; and the key that moved rows had."""
        updated = operations == change.UPDATE
        known = columns.has_old(changes)
        stays = np.zeros(changes.rows, dtype=np.bool_)
        stays[after.rows] = True
        moved = self._moved(changes, values, updated & known)
        asked = np.flatnonzero((operations == change.DELETE) | (updated & ~stays) | (moved & stays))
        asked = asked[faults.sound(asked)]
        if not len(asked):
            return Upserts(
                after.rows, after.keys, after.fields, after.unsent, None
            ), Removals.empty()
        asked = asked[self._old_known(changes, asked, known, faults)]
        source = {at: self._old(changes, values, at, asked, known) for at in self.program.identity}
        rows, keys = self._run(self._gone, self._mine, source, asked, faults)
        leaves = ~stays[rows]
        removed = np.flatnonzero(leaves)
        removals = Removals(rows[removed], tuple(columns.take(key, removed) for key in keys))
        old_key = _old_keys(after, rows, ~leaves, keys)
        return Upserts(after.rows, after.keys, after.fields, after.unsent, old_key), removals

    def _moved(self, changes: TableChanges, values: Sequence[pa.Array], known: Flags) -> Flags:
        """Updates that changed the identity."""
        if changes.old is None or not known.any():
            return np.zeros(changes.rows, dtype=np.bool_)
        pairs = [(changes.old[at], values[at]) for at in self.program.identity]
        differ = [columns.different(old, new) for old, new in pairs if old is not None]
        return known & reduce(np.logical_or, differ, np.zeros(changes.rows, dtype=np.bool_))

    def _old_known(self, changes: TableChanges, rows: Rows, known: Flags, faults: Faults) -> Rows:
        """Places of the rows whose identity before the change is known; faults for the others."""
        here = known[rows]
        deleted = columns.operations(changes)[rows] == change.DELETE
        lacking = deleted & ~here
        absent = {
            at for at in self.program.identity if changes.old is None or changes.old[at] is None
        }
        if absent:
            lacking |= here
        if lacking.any():
            self._unsent("key", absent or set(self.program.identity), rows[lacking], faults)
        return np.flatnonzero(~lacking)

    def _old(
        self,
        changes: TableChanges,
        values: Sequence[pa.Array],
        at: int,
        rows: Rows,
        known: Flags,
    ) -> pa.Array:
        """An identity column before the change; where the log is silent it did not change."""
        new = columns.take(values[at], rows)
        old = None if changes.old is None else changes.old[at]
        return new if old is None else columns.where(known[rows], columns.take(old, rows), new)

    def _may_clear(self, changes: TableChanges, clears: Flags, faults: Faults) -> None:
        """Errors: RowError where a TRUNCATE cannot be applied."""
        action = self.program.on_delete.action
        if action == "ignore":
            return
        why = None
        if action != "delete":
            why = f"on_delete: {action} needs the keys of the rows"
        elif not self._sole:
            why = "other mappings write this target, too"
        elif self.program.target.existing == "keep":
            why = "it would also remove rows that the target held before (existing: keep)"
        if why is not None:
            raise faults.error(
                f"a TRUNCATE of {self.program.source} cannot be applied: {why}",
                {"target": str(self.program.target.table)},
                "delete the rows with DELETE, or say on_delete: ignore",
                int(changes.seq[int(np.argmax(clears))].as_py()),
            )

    def _unsent(self, name: str, absent: set[int], rows: Rows, faults: Faults) -> None:
        names = ", ".join(self.program.column(at) for at in sorted(absent))
        faults.add(
            rows,
            name,
            "unsent",
            f"the log does not carry {names}, a large value that did not change",
            f"ALTER TABLE {self.program.source} REPLICA IDENTITY FULL",
        )


def _only(
    places: Rows, rows: Rows, values: Sequence[pa.Array]
) -> tuple[Rows, tuple[pa.Array, ...]]:
    return rows[places], tuple(columns.take(value, places) for value in values)


def _merged(parts: Sequence[_After], fields: int) -> _After:
    """Parts of a change set put together, in its order."""
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    return _After(
        rows[order],
        tuple(
            columns.take(columns.joined(column), order)
            for column in zip(*(part.keys for part in parts), strict=True)
        ),
        tuple(
            columns.take(columns.joined([part.fields[at] for part in parts]), order)
            for at in range(fields)
        ),
        {
            at: mask
            for at in range(fields)
            if (mask := np.concatenate([part.unsent[at] for part in parts])[order]).any()
        },
    )


def _old_keys(
    after: _After, rows: Rows, moves: Flags, keys: Sequence[pa.Array]
) -> tuple[pa.Array, ...] | None:
    """The key that rows had before, where it is another one; None if that is nowhere."""
    if not moves.any():
        return None
    place = np.full(len(after.rows), -1, dtype=np.int64)
    place[np.searchsorted(after.rows, rows[moves])] = np.flatnonzero(moves)
    index = pa.array(place, mask=place < 0)
    old = [key.take(index) for key in keys]
    differ = reduce(
        np.logical_or,
        (columns.different(before, now) for before, now in zip(old, after.keys, strict=True)),
    )
    changed = differ & (place >= 0)
    if not changed.any():
        return None
    nothing = columns.nulls(len(after.rows))
    return tuple(columns.where(changed, key, nothing) for key in old)
