"""Judges rows by their entity's contract: one SELECT gives the first rule that each one breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transforms import columns
from transforms.contract import Rule
from transforms.diagnose import Asked
from transforms.engine import Engine, EvaluationError, Statement
from transforms.expressions.sql import REASONS
from transforms.program import Output, Program


@dataclass(frozen=True, slots=True)
class Broken:
    """`row` breaks the rule called `name`. `reason` and `problem` as in `Rule`, or why the rule
    cannot be computed for it."""

    row: int
    name: str
    reason: str
    problem: str


class Judge:
    """The rules of one entity. `fields`: all of the entity's, in its order."""

    def __init__(self, engine: Engine, rules: Sequence[Rule], fields: Sequence[str]) -> None:
        self._engine = engine
        self._rules = tuple(rules)
        self._positions = {name: at for at, name in enumerate(fields)}
        self._known: dict[frozenset[str], tuple[tuple[Rule, ...], tuple[str, ...]]] = {}

    def broken(self, values: Mapping[str, pa.Array], count: int) -> list[Broken]:
        """The first rule that each row breaks, by row. `values`: the fields that are sent."""
        rules, reads = self._judged(frozenset(values))
        if not rules or not count:
            return []
        try:
            found = self._statement(rules, reads).run([values[name] for name in reads])
        except EvaluationError:
            return self._one_by_one(rules, values, count)
        number = found[0].to_numpy()
        return [
            Broken(row, rule.name, rule.reason, rule.problem)
            for row in np.flatnonzero(number).tolist()
            for rule in (rules[number[row] - 1],)
        ]

    def _judged(self, sent: frozenset[str]) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
        """The rules that read nothing else, and what they read."""
        if sent not in self._known:
            rules = tuple(rule for rule in self._rules if sent.issuperset(rule.reads))
            reads = {name for rule in rules for name in rule.reads}
            self._known[sent] = rules, tuple(name for name in self._positions if name in reads)
        return self._known[sent]

    def _statement(self, rules: Sequence[Rule], reads: Sequence[str]) -> Statement:
        whens = " ".join(
            f"WHEN ({rule.fast}) IS FALSE THEN {number}" for number, rule in enumerate(rules, 1)
        )
        names = [f"c{self._positions[name]}" for name in reads]
        pairs = dict(pair for rule in rules for pair in rule.decoded)
        inner = ", ".join([*names, *(f"{sql} AS {name}" for name, sql in pairs.items())])
        select = f"SELECT CAST(CASE {whens} ELSE 0 END AS INTEGER) FROM (SELECT {inner} FROM "
        select = select.replace("{", "{{").replace("}", "}}") + "{input})"
        schema = pa.schema([(name, columns.TEXT) for name in names])
        return self._engine.statement(schema, select)

    def _one_by_one(
        self, rules: Sequence[Rule], values: Mapping[str, pa.Array], count: int
    ) -> list[Broken]:
        """Rule by rule, since one cannot be computed for some row."""
        source = {self._positions[name]: column for name, column in values.items()}
        rows = np.arange(count)
        found: list[Broken] = []
        for rule in rules:
            reads = [self._positions[name] for name in rule.reads]
            breaks, failing = Asked(self._engine, f"(({rule.sql}) IS FALSE)", reads).run(
                source, rows
            )
            found += [
                Broken(row, rule.name, rule.reason, rule.problem) for row in rows[breaks].tolist()
            ]
            found += [
                Broken(row, rule.name, reason, REASONS[reason]) for row, reason in failing.items()
            ]
            rows = np.setdiff1d(rows, [broken.row for broken in found])
        return sorted(found, key=lambda broken: broken.row)


def judge_of(program: Program, engine: Engine) -> Judge:
    return Judge(engine, program.contract, [column.name for column in program.entity.columns])


def delivered(
    program: Program, outputs: Sequence[Output], values: Sequence[pa.Array]
) -> dict[str, pa.Array]:
    """What the contract is judged on: the fields that a mapping gives, by name."""
    found = {output.name: value for output, value in zip(outputs, values, strict=True)}
    if program.soft is not None and len(values):
        name = program.target.columns[program.soft].name
        found[name] = columns.repeated("false", len(values[0]))
    return found
