"""Rules of protection at work: tables and row changes of entities, as one target may see them.

Applied after mappings and contracts, which judge what is true, and before anything leaves for the
target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from transforms.columns import TEXT
from transforms.composite import Composite
from transforms.protect.hashes import hashed
from transforms.protect.keys import Key, key_id, parsed
from transforms.protect.masks import masked
from transforms.protect.model import Protect, Rule
from transforms.rows import RowChanges, TargetColumn, TargetTable

Change = Callable[[pa.Array], pa.Array]

_SAMPLE = 1024
"""Values looked at to see whether they repeat."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """`kept`: the columns that are written, by their place before; `changed`: what becomes of the
    values of some of these; `keys`: the same of the key's columns, in key order."""

    table: TargetTable
    kept: tuple[int, ...]
    changed: Mapping[int, Change]
    keys: tuple[Change | None, ...]


class Protection:
    """The rules of one target with their keys. Not thread-safe.

    The rules are expected to be checked against the entities (see `config.protection`).
    """

    def __init__(self, rules: Protect, keys: Mapping[str, Key]) -> None:
        self._rules = rules
        self._keys = keys
        self._plans: dict[TargetTable, _Plan | None] = {}
        self._keyed: dict[Rule, tuple[Change, str]] = {}

    def table(self, table: TargetTable) -> TargetTable:
        """The table as it is at the target: without columns that are dropped."""
        plan = self._plan(table)
        return table if plan is None else plan.table

    def composite(self, composite: Composite) -> Composite:
        """The plan with the columns as they are at the target, so that each pipeline says the same
        of tables that others write."""
        table = self.table(composite.whole)
        return replace(composite, columns=table.columns, unique=table.unique)

    def rows(self, rows: RowChanges) -> RowChanges:
        """The same changes with protected values. *Not sent* stays so, and NULL stays NULL."""
        plan = self._plan(rows.table)
        if plan is None:
            return rows
        place = {before: at for at, before in enumerate(plan.kept)}
        return replace(
            rows,
            table=plan.table,
            values=tuple(_changed(plan.changed.get(at), rows.values[at]) for at in plan.kept),
            unsent={place[at]: flags for at, flags in rows.unsent.items() if at in place},
            old_key=None if rows.old_key is None else tuple(map(_changed, plan.keys, rows.old_key)),
        )

    def _plan(self, table: TargetTable) -> _Plan | None:
        if table not in self._plans:
            self._plans[table] = self._planned(table)
        return self._plans[table]

    def _planned(self, table: TargetTable) -> _Plan | None:
        """None: nothing of the table is protected."""
        kept: list[int] = []
        columns: list[TargetColumn] = []
        changed: dict[int, Change] = {}
        for at, column in enumerate(table.columns):
            rule = self._rule(column)
            if rule.action == "drop":
                continue
            if rule.action != "pass":
                changed[at], how = self._change(rule, column)
                column = replace(column, protected=how)
            kept.append(at)
            columns.append(column)
        if not changed and len(kept) == len(table.columns):
            return None
        keys = tuple(changed.get(at) for at in table.key_indexes)
        names = {column.name for column in columns}
        unique = tuple(together for together in table.unique if names.issuperset(together))
        refs = tuple((kept.index(at), one) for at, one in table.refs if at in kept)
        protected = replace(table, columns=tuple(columns), unique=unique, refs=refs)
        return _Plan(protected, tuple(kept), changed, keys)

    def _rule(self, column: TargetColumn) -> Rule:
        if column.field_class is None:
            return Rule(action="pass")
        return self._rules.rule(column.field_class)

    def _change(self, rule: Rule, column: TargetColumn) -> tuple[Change, str]:
        """What becomes of the values, and how that is called."""
        if rule.action == "mask":
            return partial(masked, type_=column.type, style=column.mask), f"mask {column.mask}"
        if rule not in self._keyed:
            assert rule.key is not None
            self._keyed[rule] = _keyed(rule, self._keys[rule.key])
        return self._keyed[rule]


def _keyed(rule: Rule, key: Key) -> tuple[Change, str]:
    current = parsed(key.current)
    if rule.action == "hash":
        return partial(_each_once, partial(hashed, key=current)), f"hash {key_id(current)}"
    from transforms.protect.tokens import Tokeniser  # the library is loaded only where it is used

    tokeniser = Tokeniser(current, [parsed(written) for written in key.previous])
    return partial(_each_once, tokeniser.tokens), f"tokenise {tokeniser.key_id}"


def _each_once(change: Change, values: pa.Array) -> pa.Array:
    """Distinct values are computed once, where values seem to repeat."""
    texts = values.cast(TEXT)
    sample = texts.slice(0, _SAMPLE)
    if 2 * pc.count_distinct(sample).as_py() > len(sample):
        return change(texts)
    encoded = texts.dictionary_encode()
    return change(encoded.dictionary).take(encoded.indices)


def _changed(change: Change | None, values: pa.Array) -> pa.Array:
    return values if change is None else change(values)
