"""Which rows a mapping fails for, and why: asked only after it has failed.

DuckDB's TRY tells, for all rows at once, which of them fail: ``TRY(x IS NULL)`` is NULL for those
and for no others. What it makes of them is believed only after the others have passed as they are
evaluated in earnest; where they do not, the rows that fail are found by halving.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms import columns
from transforms.columns import Flags, Rows
from transforms.engine import Engine, EvaluationError
from transforms.expressions.sql import MARK
from transforms.program import Output, Program
from transforms.selection import ROW, Condition, Selected, Selection

_MARKED = re.compile(rf"'{MARK}(\w+)'")

ALONE_MAX = 64
"""Rows whose failure is DuckDB's own, not marked with a reason, are asked for it one by one, which
takes 1 to 20 ms each; those beyond get a reason that holds for each of them."""


Answers = npt.NDArray[np.int8]
_FAILED, _TRUE = -1, 1


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """`row` among those evaluated; `name` of the field, or ``where``; `reason` as in REASONS."""

    row: int
    name: str
    reason: str


def all_faults(
    program: Program,
    engine: Engine,
    outputs: Sequence[Output],
    condition: Condition | None,
    source: Mapping[int, pa.Array],
    count: int,
) -> list[Fault]:
    """Every row and field that fails, by row, then in the order of the outputs."""
    rows: Rows = np.arange(count)
    found: list[Fault] = []
    if condition is not None:
        test = f"(({condition.sql}) IS TRUE)"
        met, failing = Asked(engine, test, condition.reads).run(source, rows)
        found += [Fault(row, "where", reason) for row, reason in failing.items()]
        rows = rows[met]
    keys = {key.name for key in program.keys}
    for output in outputs:
        found += _of_output(engine, output, source, rows, key=output.name in keys)
    return sorted(found, key=lambda fault: fault.row)


def lacking(program: Program, outputs: Sequence[Output], selected: Selected) -> list[Fault]:
    """Rows without a key or a required value, or with a code that is not listed, as `all_faults`
    of what has been evaluated."""
    rows = selected.rows
    found: list[Fault] = []
    for at, (output, value) in enumerate(zip(outputs, selected.values, strict=True)):
        key = at < len(program.keys)
        if at in selected.unlisted or (value.null_count and (key or output.required)):
            faults = _of_values(output, value, selected.unlisted.get(at), key=key)
            found += faults if rows is None else [replace(f, row=int(rows[f.row])) for f in faults]
    return sorted(found, key=lambda fault: fault.row)


def _of_output(
    engine: Engine, output: Output, source: Mapping[int, pa.Array], rows: Rows, *, key: bool
) -> list[Fault]:
    found: list[Fault] = []
    selection = Selection(engine, (output,), None)
    try:
        selected = _run(selection, source, rows)
    except EvaluationError:
        failing = output_faults(engine, output, source, rows)
        found += [Fault(row, output.name, reason) for row, reason in failing.items()]
        rows = np.setdiff1d(rows, list(failing))
        selected = _run(selection, source, rows)
    lacks = _of_values(output, selected.values[0], selected.unlisted.get(0), key=key)
    return found + [replace(fault, row=int(rows[fault.row])) for fault in lacks]


def output_faults(
    engine: Engine, output: Output, source: Mapping[int, pa.Array], rows: Rows
) -> dict[int, str]:
    """The rows for which an output cannot be computed, and why."""
    asked = Asked(engine, f"(({output.sql}) IS NOT NULL)", output.reads)
    return asked.run(source, rows)[1]


def _of_values(output: Output, value: pa.Array, other: Flags | None, *, key: bool) -> list[Fault]:
    nothing = np.zeros(len(value), dtype=np.bool_)
    unlisted = nothing if other is None else other
    absent = columns.flags(value.is_null()) if key or output.required else nothing
    why = "null_key" if key else "required"
    return [
        Fault(int(at), output.name, "unlisted" if unlisted[at] else why)
        for at in np.flatnonzero(unlisted | absent)
    ]


class Asked:
    """A test of rows that fails for some of them. Errors never: what fails is the answer."""

    def __init__(self, engine: Engine, test: str, reads: Sequence[int]) -> None:
        """`test`: SQL that is true or false, never NULL, where it does not fail."""
        self._engine = engine
        self._test = test
        self._reads = tuple(reads)

    def run(self, source: Mapping[int, pa.Array], rows: Rows) -> tuple[Flags, dict[int, str]]:
        """The rows for which it is true, as flags, and the reason of each that fails."""
        try:
            return self.select(self._test, source, rows) == _TRUE, {}
        except EvaluationError:
            answers = self._tried(self._test, source, rows).copy()
        failing = self._reasons(source, rows[answers == _FAILED])
        rest = np.flatnonzero(answers != _FAILED)
        answers[rest], overlooked = self._halved(source, rows[rest])
        return answers == _TRUE, failing | overlooked

    def _reasons(self, source: Mapping[int, pa.Array], rows: Rows) -> dict[int, str]:
        """Why each of the rows fails.

        A row fails for what is marked with a reason if it does not fail once that gives NULL.
        """
        found: dict[int, str] = {}
        test = self._test
        for reason in dict.fromkeys(_MARKED.findall(self._test)):
            test = test.replace(f"'{MARK}{reason}'", "NULL")
            if len(rows):
                fails = self._tried(test, source, rows) == _FAILED
                found |= dict.fromkeys(rows[~fails].tolist(), reason)
                rows = rows[fails]
        for row in rows[:ALONE_MAX]:
            try:
                self.select(self._test, source, np.array([row]))
            except EvaluationError as error:
                found[int(row)] = error.reason
            else:
                found[int(row)] = "otherwise"
        return found | dict.fromkeys(rows[ALONE_MAX:].tolist(), "otherwise")

    def _tried(self, test: str, source: Mapping[int, pa.Array], rows: Rows) -> Answers:
        try:
            return self.select(f"coalesce(CAST(TRY({test}) AS TINYINT), {_FAILED})", source, rows)
        except EvaluationError:  # a constant part of it, which fails for every row
            return np.full(len(rows), _FAILED, np.int8)

    def select(self, test: str, source: Mapping[int, pa.Array], rows: Rows) -> Answers:
        """Errors: EvaluationError."""
        item = f"CAST({test} AS TINYINT)".replace("{", "{{").replace("}", "}}")
        fields = [(ROW, pa.int64()), *((f"c{at}", columns.TEXT) for at in self._reads)]
        select = f"SELECT {item} FROM " + "{input}"
        statement = self._engine.statement(pa.schema(fields), select)
        inputs = [pa.array(rows), *(columns.take(source[at], rows) for at in self._reads)]
        found: Answers = statement.run(inputs)[0].to_numpy()
        return found

    def _halved(self, source: Mapping[int, pa.Array], rows: Rows) -> tuple[Answers, dict[int, str]]:
        if not len(rows):
            return np.empty(0, np.int8), {}
        try:
            return self.select(self._test, source, rows), {}
        except EvaluationError as error:
            if len(rows) == 1:
                return np.array([_FAILED]), {int(rows[0]): error.reason}
        middle = len(rows) // 2
        left, here = self._halved(source, rows[:middle])
        right, there = self._halved(source, rows[middle:])
        return np.concatenate([left, right]), here | there


def _run(selection: Selection, source: Mapping[int, pa.Array], rows: Rows) -> Selected:
    part = {at: columns.take(source[at], rows) for at in selection.needed}
    return selection.run(part, len(rows))
