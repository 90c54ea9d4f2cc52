"""The fast way through a mapping and its entity's contract: one SELECT for all of it.

It does ahead of its turn what costs less so: casts that several expressions share are done once,
and all rules of the contract are judged at once. So it may fail where the mapping does not. It
gives the values of rows that all are well, or nothing; then the careful way tells what is wrong.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from transforms.contract import Rule
from transforms.engine import Engine, EvaluationError, Statement
from transforms.judge import Judge, delivered
from transforms.program import Output, Program
from transforms.selection import Condition, Selected, Selection

_RESTS_MAX = 100

_CAST = re.compile(r"'(?:[^']|'')*'|CAST\(c\d+ AS [A-Z]+(?:\(\d+,\d+\))?\)")
"""A string constant, or a cast of a source column."""


class Quick(Selection):
    """A selection of rows that keep the contract. Not thread-safe."""

    def __init__(
        self,
        engine: Engine,
        program: Program,
        outputs: Sequence[Output],
        condition: Condition | None,
    ) -> None:
        self._program = program
        self._names = [column.name for column in program.entity.columns]
        self._failures, self._rests = 0, 0.0
        super().__init__(engine, outputs, condition)

    def well(self, source: Mapping[int, pa.Array], count: int) -> Selected | None:
        """As `run`, where nothing fails and no rule is broken; None where it cannot tell.

        After n failures in a row it is not tried for n change sets.
        """
        if self._rests:
            self._rests -= 1
            return None
        try:
            selected = self.run(source, count)
        except EvaluationError:
            self._failures = self._rests = min(self._failures + 1, _RESTS_MAX)
            return None
        self._failures = 0
        if not all(pc.all(verdict).as_py() for verdict in selected.others):
            return None
        values = delivered(self._program, self.outputs, selected.values)
        return None if self._apart.broken(values, len(selected.values[0])) else selected

    def _prepared(self, engine: Engine) -> Statement | None:
        """Rules that read looked up values are judged apart, unless none a map gives breaks them."""
        computed = {output.name for output in self.outputs}
        maps = {self.outputs[at].name: found.texts for at, found in self._maps.items()}
        self._rules: list[Rule] = []
        apart: list[Rule] = []
        for rule in self._program.contract:
            looked_up = [maps[name] for name in rule.reads if name in maps]
            if computed.issuperset(rule.reads) and not looked_up:
                self._rules.append(rule)
            elif len(rule.reads) > 1 or not looked_up:
                apart.append(rule)
            elif Judge(engine, [rule], self._names).broken(dict(zip(rule.reads, looked_up)), len(looked_up[0])):
                apart.append(rule)
        self._apart = Judge(engine, apart, self._names)
        try:
            return super()._prepared(engine)
        except EvaluationError:  # a constant part of a rule, which then fails for every row
            self._rests = math.inf
            return None

    def _select(self) -> tuple[str, str]:
        """From the inside out: source columns and shared casts; texts; what rules read of them."""
        outputs = {output.name: output for output in self.outputs}
        places = {name: f"c{at}" for at, name in enumerate(self._names)}
        texts = {places[output.name]: output.sql for output in self._computed}
        results = [*self._numbers, *texts]
        for name in dict.fromkeys(name for rule in self._rules for name in rule.reads):
            column = outputs[name].column
            if column is not None:
                self._needed.add(column)
            texts[places[name]] = outputs[name].sql if column is None else f"c{column}"
        if self._rules:
            results.append(" AND ".join(f"({rule.fast})" for rule in self._rules))
            results[-1] = f"({results[-1]}) IS NOT FALSE"
        pairs = dict(pair for rule in self._rules for pair in rule.decoded)
        casts, texts = _shared(texts)
        layers = (
            [*self._numbers, *(f"c{at}" for at in sorted(self._needed)), *_named(casts)],
            [*self._numbers, *_named(texts)],
            ["*", *_named(pairs)],
            results,
        )
        head = " FROM (".join(f"SELECT {', '.join(layer)}" for layer in reversed(layers))
        return f"{head} FROM " if results else "", self._where + ")))"


def _named(items: Mapping[str, str]) -> list[str]:
    return [f"{sql} AS {name}" for name, sql in items.items()]


def _shared(texts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Casts of source columns that occur more than once, by a name, and the texts that read them."""
    found = Counter(sql for text in texts.values() for sql in _CAST.findall(text))
    often = [sql for sql, times in found.items() if times > 1 and sql.startswith("CAST")]
    names = {sql: f"s{at}" for at, sql in enumerate(often)}
    shared = {
        place: _CAST.sub(lambda match: names.get(match[0], match[0]), text)
        for place, text in texts.items()
    }
    return {name: sql for sql, name in names.items()}, shared
