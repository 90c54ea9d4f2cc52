"""Debezium's `transaction` block: which transaction an event is of, and the how manyeth event.

    {"id":"571:53195829","total_order":1,"data_collection_order":1}

Counted are the events of tables that are written as they are, in the source's order: a change of
key is two. A transaction is always written from its first change on, since checkpoints move over
whole ones only; so its numbers are the same after any restart. What is replayed from the desk, or
is of a snapshot, has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

import cdc.changes as log
from sinks.kafka.facts import Facts, Ints, is_copy, runs
from transforms.rows import RowChanges

Name = Callable[[str, int | None], str | None]
"""A transaction's name from its position and number; None where it has none."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Of each change the first of its events; `name` is an index into `names`, -1 without one."""

    names: Sequence[str]
    name: Ints
    total: Ints
    in_table: Ints

    def of(self, rows: Ints | slice) -> Orders:
        return Orders(self.names, self.name[rows], self.total[rows], self.in_table[rows])


@dataclass(slots=True)
class Counter:
    """Of one target transaction: how far the last of the source's has been counted."""

    named: Name
    name: str = ""
    total: int = 0
    in_table: dict[str, int] = field(default_factory=dict)

    def copied(self) -> Counter:
        return Counter(self.named, self.name, self.total, dict(self.in_table))

    def number(self, changes: Sequence[RowChanges]) -> list[Orders | None]:
        """Of changes that follow those before; of several tables, of each a part in order."""
        parts = [self._named(change) for change in changes]
        names = list(dict.fromkeys(name for part in parts if part for name in part[0]))
        where = {name: at for at, name in enumerate(names)}
        found: list[Orders | None] = []
        events = []
        for change, part in zip(changes, parts, strict=True):
            if part is None:
                found.append(None)
                continue
            own, index = part
            to_all = np.array([*(where[name] for name in own), -1])
            nothing = np.zeros(change.rows, np.int64)
            found.append(Orders(names, to_all[index], nothing, nothing.copy()))
            events.append(1 + _moved(change))
        numbered = [
            (change, one) for change, one in zip(changes, found, strict=True) if one is not None
        ]
        if names:
            self._count(names, numbered, events)
        return found

    def _named(self, change: RowChanges) -> tuple[list[str], Ints] | None:
        """(names, of each change an index into them or -1)."""
        if not is_copy(change):
            return None
        names: list[str] = []
        index = np.full(change.rows, -1)
        for part, facts in runs(change):
            at = np.searchsorted(change.seq.to_numpy(), part.seq.to_numpy())
            index[at] = self._named_run(facts, names)
        return names, index

    def _named_run(self, facts: Facts, names: list[str]) -> Ints:
        if facts.replayed or not facts.transactions.num_rows:
            return np.full(len(facts.letters), -1)
        first, last = int(facts.transaction.min()), int(facts.transaction.max())
        places = np.full(last - first + 1, -1)
        some = facts.transactions.slice(first, last - first + 1).to_pydict()
        for at, (position, xid) in enumerate(zip(some["position"], some["xid"], strict=True)):
            name = self.named(position, xid)
            if name is not None:
                places[at] = len(names)
                names.append(name)
        return np.where(facts.letters == log.READ, -1, places[facts.transaction - first])

    def _count(
        self,
        names: Sequence[str],
        numbered: Sequence[tuple[RowChanges, Orders]],
        events: Sequence[Ints],
    ) -> None:
        seq = np.concatenate([change.seq.to_numpy() for change, _ in numbered])
        name = np.concatenate([orders.name for _, orders in numbered])
        many = np.concatenate(events)
        tables = [str(change.table.table) for change, _ in numbered]
        number = np.repeat(np.arange(len(tables)), [change.rows for change, _ in numbered])
        total, in_table = np.zeros(len(seq), np.int64), np.zeros(len(seq), np.int64)
        before = self.name, self.total, self.in_table
        order = np.flatnonzero(name >= 0)
        order = order[np.argsort(seq[order], kind="stable")]
        if not len(order):
            return
        last = names[name[order[-1]]]
        self.total = _ranked(order, name, many, total, names, before[0], before[1])
        self.in_table = dict(before[2]) if last == before[0] else {}
        for table in dict.fromkeys(tables):
            own = [at for at, one in enumerate(tables) if one == table]
            mine = order[np.isin(number[order], own)]
            count = _ranked(mine, name, many, in_table, names, before[0], before[2].get(table, 0))
            if len(mine) and names[name[mine[-1]]] == last:
                self.in_table[table] = count
        self.name = last
        at = 0
        for change, orders in numbered:
            orders.total[:] = total[at : at + change.rows]
            orders.in_table[:] = in_table[at : at + change.rows]
            at += change.rows


def _ranked(
    order: Ints,
    name: Ints,
    many: Ints,
    into: Ints,
    names: Sequence[str],
    open_: str,
    counted: int,
) -> int:
    """Number the changes of `order` within their transactions, from 1 on, or behind the `counted`
    of the one that is open. Returns how many events the last transaction has by then."""
    if not len(order):
        return 0
    ends = np.cumsum(many[order])
    of = name[order]
    firsts = np.flatnonzero(np.concatenate([[True], of[1:] != of[:-1]]))
    bases = np.concatenate([[0], ends])[firsts]
    if names[of[0]] == open_:
        bases[0] -= counted
    base = np.repeat(bases, np.diff(np.concatenate([firsts, [len(order)]])))
    into[order] = ends - many[order] - base + 1
    return int(ends[-1] - bases[-1])


def _moved(change: RowChanges) -> Ints:
    """1 where the key moved."""
    if change.old_key is None:
        return np.zeros(change.rows, np.int64)
    moved: Ints = (~change.old_key[0].is_null().to_numpy(zero_copy_only=False)).astype(np.int64)
    return moved
