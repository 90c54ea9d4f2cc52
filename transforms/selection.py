"""Evaluates a choice of a program's outputs over rows of its source table.

What passes through untouched never enters DuckDB; value maps are looked up in Arrow, on what
DuckDB (or the source) gave as their code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms import columns
from transforms.columns import Flags, Rows
from transforms.engine import Engine, Statement
from transforms.program import Codes, Output

ROW = "n"
"""The column that numbers the rows where a condition leaves some out."""


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL and the source columns it reads."""

    sql: str
    reads: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Selected:
    """`rows`: those that met the condition, ascending; None: all. One array an output.

    `unlisted`: per output with a value map that admits no other codes, the rows with another one.
    `others`: what the SELECT gives beside the outputs.
    """

    rows: Rows | None
    values: tuple[pa.Array, ...]
    unlisted: Mapping[int, Flags]
    others: tuple[pa.Array, ...] = ()

    def within(self, rows: Rows) -> Rows:
        """Those of the `rows` asked for that met the condition."""
        return rows if self.rows is None else rows[self.rows]


class Selection:
    """One SELECT, for given outputs and a condition. Planned once."""

    def __init__(
        self, engine: Engine, outputs: Sequence[Output], condition: Condition | None
    ) -> None:
        self.outputs = tuple(outputs)
        self._condition = condition
        self._computed = [o for o in outputs if o.column is None and o.reads]
        self._constants = engine.constants([o.sql for o in outputs if not o.reads])
        self._maps = {at: _Map(engine, o.codes) for at, o in enumerate(outputs) if o.codes}
        self._needed = {at for output in self._computed for at in output.reads}
        self._needed |= set(condition.reads if condition else ())
        self._numbers = [] if condition is None else [ROW]
        self._where = "" if condition is None else f" WHERE {condition.sql}"
        self._statement = self._prepared(engine)

    @property
    def needed(self) -> tuple[int, ...]:
        """Positions of all source columns that `run` looks at."""
        passed = {output.column for output in self.outputs if output.column is not None}
        return tuple(sorted(passed | self._needed))

    def _prepared(self, engine: Engine) -> Statement | None:
        head, tail = self._select()
        if not head:
            return None
        fields = [(name, pa.int32()) for name in self._numbers]
        fields += [(f"c{at}", columns.TEXT) for at in sorted(self._needed)]
        head, tail = (part.replace("{", "{{").replace("}", "}}") for part in (head, tail))
        return engine.statement(pa.schema(fields), head + "{input}" + tail)

    def _select(self) -> tuple[str, str]:
        """The SELECT up to the name of its input, and after it. Empty: there is nothing to ask."""
        items = [*self._numbers, *(output.sql for output in self._computed)]
        return (f"SELECT {', '.join(items)} FROM " if items else "", self._where)

    def run(self, source: Mapping[int, pa.Array], count: int) -> Selected:
        """`source`: the columns by position, `count` rows each. Errors: EvaluationError."""
        rows: Rows | None = None
        found: list[pa.Array] = []
        if self._statement is not None and count:
            inputs = [source[at] for at in sorted(self._needed)]
            if self._condition is not None:
                inputs.insert(0, pa.array(np.arange(count, dtype=np.int32)))
            found = self._statement.run(inputs)
            if self._condition is not None:
                kept = found.pop(0).to_numpy()
                rows = None if len(kept) == count else kept.astype(np.int64)
                count = len(kept)
        else:
            found = [columns.nulls(0) for _ in self._computed]
        computed = iter(found)
        given = iter(self._constants)
        values: list[pa.Array] = []
        unlisted: dict[int, Flags] = {}
        for at, output in enumerate(self.outputs):
            if not output.reads:
                value = _repeated(next(given), count)
            elif output.column is None:
                value = next(computed)
            else:
                value = source[output.column]
                value = value if rows is None else columns.take(value, rows)
            if at in self._maps:
                value, other = self._maps[at].look_up(value)
                if other is not None:
                    unlisted[at] = other
            values.append(value)
        return Selected(rows, tuple(values), unlisted, tuple(computed))


class _Map:
    """A value map in Arrow: codes, and beside them the texts; then those of NULL and of others."""

    def __init__(self, engine: Engine, codes: Codes) -> None:
        sql = [text for _, text in codes.listed]
        sql += [codes.null or "NULL", codes.other or "NULL"]
        self._codes = pa.array([code for code, _ in codes.listed], columns.TEXT)
        self.texts = pa.array(engine.constants(sql), columns.TEXT)
        self._null = len(codes.listed)
        self._fails = [self._null + n for n, sql in enumerate((codes.null, codes.other)) if not sql]

    def look_up(self, code: pa.Array) -> tuple[pa.Array, Flags | None]:
        """The mapped texts, and the rows with a code that may not be, if any."""
        index = pc.index_in(code, value_set=self._codes)
        if index.null_count:
            # Scalars of its own: of Python's, Arrow looks each time whether there is a pandas.
            null, other = (pa.scalar(self._null + n, pa.int32()) for n in (0, 1))
            index = pc.if_else(index.is_null(), pc.if_else(code.is_null(), null, other), index)
            if self._fails:
                failing = np.isin(index.to_numpy(), self._fails)
                return self.texts.take(index), failing if failing.any() else None
        return self.texts.take(index), None


def _repeated(text: str | None, count: int) -> pa.Array:
    return columns.nulls(count) if text is None else columns.repeated(text, count)
