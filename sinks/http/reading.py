"""Row changes as the changes that are sent, one by one, in the source's order."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

import pyarrow as pa
import pyarrow.compute as pc

from sinks.batches import sliced
from sinks.http.identity import digest
from sinks.http.plan import Plan
from sinks.rowtext import as_text
from tailrace.errors import RowRefused
from transforms.rows import UPSERT, RowChanges

READ_ROWS = 1024
"""Rows turned into Python values at once."""

Values = tuple[str | None, ...]


@dataclass(slots=True, eq=False, repr=False)
class Change:
    """One row change. `key` is the row's now, `old_key` the one it had where it moved.

    entry, number   its place in the journal, the same for ever
    missing         columns that are not sent
    before          the values before where the log has them, by column
    created         the API has not had it: the source says that it is new, or it was not admitted
    slot            the target table; of several rows there that are of one change, each its own
    name            its idempotency key
    attempt         how many requests of other contents or with another answer came before it
    over            older changes of the key that it stands for
    refused         why the API does not take it; `settled`: it answered so for good
    """

    plan: Plan
    seq: int
    op: int
    entry: int
    number: int
    values: Values
    key: Values
    old_key: Values | None
    missing: frozenset[int]
    before: Mapping[int, str | None] | None
    created: bool
    source: str
    digest: int
    slot: str = ""
    name: str = ""
    attempt: int = 0
    over: list[Change] = field(default_factory=list)
    refused: RowRefused | None = None
    settled: bool = False

    @property
    def target(self) -> str:
        return self.plan.name

    @property
    def place(self) -> dict[str, object]:
        """Where an error about this row is."""
        return {
            "table": self.plan.name,
            "source_table": self.source or None,
            "key_columns": ", ".join(self.plan.table.key),
        }


def in_order(changes: Sequence[RowChanges], plans: Mapping[str, Plan]) -> Iterator[Change]:
    """The rows of all of `changes`, by `seq`. `plans`: by target table."""
    rows = (_rows(one, plans[str(one.table.table)]) for one in changes)
    for _, together in groupby(heapq.merge(*rows, key=attrgetter("seq")), attrgetter("seq")):
        found: Counter[str] = Counter()
        for change in together:
            number = found[change.target]
            found[change.target] += 1
            change.slot = f"{change.target}#{number}" if number else change.target
            yield change


def _rows(change: RowChanges, plan: Plan) -> Iterator[Change]:
    for first in range(0, change.rows, READ_ROWS):
        yield from _read(sliced(change, first, min(READ_ROWS, change.rows - first)), plan)


def _read(change: RowChanges, plan: Plan) -> Iterator[Change]:
    assert change.origins is not None, "whoever delivers says where changes come from"
    places = change.origins.of(change.seq.to_numpy())
    values = _tuples(change.values)
    unsent = {i: flags.to_pylist() for i, flags in change.unsent.items()}
    old_keys = None if change.old_key is None else _tuples(change.old_key)
    before = None if change.before is None else _Before(change)
    created = None if change.created is None else change.created.to_pylist()
    if created is not None and change.entered is not None and plan.admits:
        created = pc.or_(change.created, change.entered).to_pylist()
    key_indexes = change.table.key_indexes
    for n, (seq, op) in enumerate(zip(change.seq.to_pylist(), change.op.to_pylist(), strict=True)):
        old = None if old_keys is None or op != UPSERT else old_keys[n]
        moved = old if old is not None and old[0] is not None else None
        missing = frozenset(i for i, flags in unsent.items() if flags[n])
        yield Change(
            plan=plan,
            seq=seq,
            op=op,
            entry=int(places.entry[n]),
            number=int(places.number[n]),
            values=values[n],
            key=tuple(values[n][i] for i in key_indexes),
            old_key=moved,
            missing=missing,
            before=None if before is None or moved else before.of(n),
            created=created is not None and bool(created[n]),
            source=change.source,
            digest=digest(op, values[n], moved, sorted(missing)),
        )


class _Before:
    def __init__(self, change: RowChanges) -> None:
        assert change.before is not None
        self._known = change.before.known.to_pylist()
        self._columns = {
            at: as_text(column).to_pylist() for at, column in change.before.values.items()
        }

    def of(self, row: int) -> dict[int, str | None] | None:
        if not self._known[row]:
            return None
        return {at: column[row] for at, column in self._columns.items()}


def _tuples(columns: Sequence[pa.Array]) -> list[Values]:
    return list(zip(*(as_text(column).to_pylist() for column in columns), strict=True))
