"""What became of the rows of a batch, by target table, and whether it adds up.

    received + replayed = written + coalesced + unchanged + filtered + parked

`replayed` are rows that come from the desk again; `parked` those that go to it, to wait behind
others included. So, since delivery began: received = written + coalesced + unchanged + filtered +
discarded + what is parked now less what was parked at the beginning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from sinks.protocol import Written

Outcomes = dict[str, Counter[str]]
"""Target table → outcome → rows."""

TAKEN = ("received", "replayed")
GIVEN = ("written", "coalesced", "unchanged", "filtered", "parked")


class Tally:
    """Of one batch, until it is committed or given up."""

    def __init__(self) -> None:
        self._rows: Outcomes = {}

    def clear(self) -> None:
        self._rows = {}

    def add(self, tables: Iterable[str], outcome: str, rows: int) -> None:
        """`rows` may be negative: what the router has counted, and is not so after all."""
        for table in tables:
            self._rows.setdefault(table, Counter())[outcome] += rows

    def taken(
        self,
        routed: Mapping[tuple[str, str], Mapping[str, int]],
        written: Mapping[str, Written],
    ) -> Outcomes:
        """All outcomes of the batch; forgets them."""
        for (_, target), counts in routed.items():
            for outcome, rows in counts.items():
                if outcome != "emitted":
                    self.add((target,), outcome, rows)
        for target, one in written.items():
            self.add((target,), "written", one.upserted + one.deleted + one.cleared)
            self.add((target,), "coalesced", one.coalesced)
            self.add((target,), "unchanged", one.unchanged)
        outcomes, self._rows = self._rows, {}
        return outcomes


def imbalances(outcomes: Outcomes) -> Iterator[str]:
    """A sentence for each table whose rows do not add up."""
    for table, rows in outcomes.items():
        taken = sum(rows[name] for name in TAKEN)
        given = sum(rows[name] for name in GIVEN)
        if any(rows[name] for name in TAKEN) and taken != given:
            yield f"{table}: {taken} rows came, {given} are accounted for"
