"""The fast way through a mapping and its entity's contract: one SELECT for all of it.

It does ahead of its turn what costs less so: casts that several expressions share are done once,
and all rules of the contract are judged at once. So it may fail where the mapping does not, and it
only tells whether all is well; where not, `transforms.evaluate` takes each thing in its turn.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

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

    def tried(self, source: Mapping[int, pa.Array], count: int) -> Selected | None:
        """As `run`; None where something fails.

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
        return selected

    def well(self, selected: Selected) -> bool:
        """Whether all rows keep the contract."""
        if not all(pc.all(verdict).as_py() for verdict in selected.others):
            return False
        values = delivered(self._program, self.outputs, selected.values)
        return not self._apart.broken(values, len(selected.values[0]))

    def _prepared(self, engine: Engine) -> Statement | None:
        """Rules over looked up values are judged apart, unless nothing that a map gives breaks
        them."""
        maps = {self.outputs[at].name: found.texts for at, found in self._maps.items()}
        computed = {output.name for output in self.outputs} - maps.keys()
        self._rules = [rule for rule in self._program.contract if computed.issuperset(rule.reads)]
        apart = []
        for rule in self._program.contract:
            if rule not in self._rules:
                given = {name: maps[name] for name in rule.reads if name in maps}
                count = len(next(iter(given.values()), ()))
                alone = len(given) == len(rule.reads) == 1
                if not alone or Judge(engine, [rule], self._names).broken(given, count):
                    apart.append(rule)
        self._apart = Judge(engine, apart, self._names)
        try:
            return super()._prepared(engine)
        except EvaluationError:  # a constant part of a rule, which then fails for every row
            self._rests = math.inf
            return None

    def _select(self) -> tuple[str, str]:
        """Inside out: source columns, shared casts; numbers; texts; what rules read; results."""
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
        decoded = dict(pair for rule in self._rules for pair in rule.decoded)
        numbers: dict[str, str] = {}
        for output in self._computed:
            place = places[output.name]
            value, number = place.replace("c", "v"), place.replace("c", "x")
            if output.number is not None and value in decoded:
                numbers[number] = output.number
                texts[place] = f"CAST({number} AS VARCHAR)"
                decoded[value] = decoded[value].replace(f"CAST({place} AS", f"CAST({number} AS")
        casts, (numbers, texts) = _shared(numbers, texts)
        layers = (
            [*self._numbers, *(f"c{at}" for at in sorted(self._needed)), *_named(casts)],
            ["*", *_named(numbers)],
            [*self._numbers, *numbers, *_named(texts)],
            ["*", *_named(decoded)],
            results,
        )
        head = " FROM (".join(f"SELECT {', '.join(layer)}" for layer in reversed(layers))
        return f"{head} FROM " if results else "", self._where + "))))"


def _named(items: Mapping[str, str]) -> list[str]:
    return [f"{sql} AS {name}" for name, sql in items.items()]


def _shared(*parts: Mapping[str, str]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Casts of source columns that occur more than once, by name, and the parts that read them."""
    found = Counter(cast for part in parts for sql in part.values() for cast in _CAST.findall(sql))
    often = [cast for cast, times in found.items() if times > 1 and cast.startswith("CAST")]
    names = {cast: f"s{at}" for at, cast in enumerate(often)}
    shared = [
        {place: _CAST.sub(lambda cast: names.get(cast[0], cast[0]), sql) for place, sql in items}
        for items in (part.items() for part in parts)
    ]
    return {name: cast for cast, name in names.items()}, shared
