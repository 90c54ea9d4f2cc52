"""Which row a mapping fails for, and why: asked only after it has failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transforms.columns import flags
from transforms.engine import Engine, EvaluationError
from transforms.program import Output, Program
from transforms.selection import Condition, Selected, Selection


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """`row` among those evaluated; `name` of the field, or ``where``; `reason` as in REASONS."""

    row: int
    name: str
    reason: str


def first_fault(
    program: Program,
    engine: Engine,
    outputs: Sequence[Output],
    condition: Condition | None,
    source: Mapping[int, pa.Array],
    count: int,
) -> Fault:
    """The first row that fails, of all outputs."""
    found: list[Fault] = []
    limit = count
    for faults in _each(program, engine, outputs, condition):
        fault = faults.first(source, limit)
        if fault is not None:
            found.append(fault)
            limit = min(limit, fault.row + 1)
    return min(found, key=lambda fault: fault.row, default=Fault(0, "mapping", "otherwise"))


def all_faults(
    program: Program,
    engine: Engine,
    outputs: Sequence[Output],
    condition: Condition | None,
    source: Mapping[int, pa.Array],
    count: int,
) -> list[Fault]:
    """Every row and field that fails."""
    return sorted(
        fault
        for faults in _each(program, engine, outputs, condition)
        for fault in faults.every(source, 0, count)
    )


def _each(
    program: Program, engine: Engine, outputs: Sequence[Output], condition: Condition | None
) -> Iterator[_Faults]:
    """The condition alone, then each output by itself."""
    keys = {key.name for key in program.keys}
    asked = None if condition is None else Selection(engine, (), condition)
    if asked is not None:
        yield _Faults("where", asked, None, None, key=False)
    for output in outputs:
        selection = Selection(engine, (output,), condition)
        yield _Faults(output.name, selection, output, asked, key=output.name in keys)


class _Faults:
    """Finds the faults of one output by halving the rows."""

    def __init__(
        self,
        name: str,
        selection: Selection,
        output: Output | None,
        asked: Selection | None,
        *,
        key: bool,
    ) -> None:
        """`asked`: the condition alone; a row for which it fails is its fault, not the output's."""
        self._name = name
        self._selection = selection
        self._output = output
        self._asked = asked
        self._key = key

    def first(self, source: Mapping[int, pa.Array], count: int) -> Fault | None:
        return next(self.every(source, 0, count), None)

    def every(self, source: Mapping[int, pa.Array], start: int, stop: int) -> Iterator[Fault]:
        """In ascending order."""
        if start == stop:
            return
        try:
            selected = _run(self._selection, source, start, stop)
        except EvaluationError as error:
            if stop - start == 1:
                if not self._asked_fails(source, start):
                    yield Fault(start, self._name, error.reason)
                return
            middle = (start + stop) // 2
            yield from self.every(source, start, middle)
            yield from self.every(source, middle, stop)
        else:
            yield from self._without_error(selected, start, stop)

    def _asked_fails(self, source: Mapping[int, pa.Array], row: int) -> bool:
        if self._asked is None:
            return False
        try:
            _run(self._asked, source, row, row + 1)
        except EvaluationError:
            return True
        return False

    def _without_error(self, selected: Selected, start: int, stop: int) -> Iterator[Fault]:
        if self._output is None:
            return
        rows = np.arange(start, stop) if selected.rows is None else start + selected.rows
        nothing = np.zeros(len(rows), dtype=np.bool_)
        unlisted = selected.unlisted.get(0, nothing)
        empty = flags(selected.values[0].is_null())
        lacking = empty if self._key or self._output.required else nothing
        for at in np.flatnonzero(unlisted | lacking):
            if unlisted[at]:
                yield Fault(int(rows[at]), self._name, "unlisted")
            else:
                yield Fault(int(rows[at]), self._name, "null_key" if self._key else "required")


def _run(selection: Selection, source: Mapping[int, pa.Array], start: int, stop: int) -> Selected:
    part = {at: source[at].slice(start, stop - start) for at in selection.needed}
    return selection.run(part, stop - start)
