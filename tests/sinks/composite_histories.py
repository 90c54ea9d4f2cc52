"""Random histories of several sources that feed one entity, and an oracle in plain Python.

The oracle plays each source's events row by row and computes entity and discrepancies from what
the sources hold in the end: it knows nothing of when they arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from cdc.schema import TableName
from tests.sinks.histories import Event, State, Value, key_of, merged
from transforms.composite import Composite, OwnedField, Side, side_name
from transforms.rows import CLEAR, DELETE, PATCH, UPSERT, TargetColumn, TargetTable

COLUMNS = (
    TargetColumn("no", "text", nullable=False),
    TargetColumn("name", "text"),
    TargetColumn("amount", "numeric(12,2)"),
    TargetColumn("phone", "text"),
)
FIELDS = ("name", "amount", "phone")
VALUES = {
    "name": [None, "", "x", "y"],
    "amount": [None, "1", "1.0", "2"],
    "phone": [None, "p", "P"],
}
KEYS_PER_HISTORY = 3


def random_composite(random: Random) -> Composite:
    """Two or three sources; who delivers and who owns what is drawn."""
    sources = ["a", "b", "c"][: random.choice([2, 2, 3])]
    delivered = {source: [name for name in FIELDS if random.random() < 0.75] for source in sources}
    fields = []
    for name in FIELDS:
        by = [source for source in sources if name in delivered[source]]
        if by:
            owners = random.sample(by, random.randint(1, len(by)))
            fields.append(OwnedField(name, random.choice(["first", "newest"]), tuple(owners)))
    return Composite(
        "customer",
        TableName("shop", "customer"),
        COLUMNS,
        ("no",),
        random.choice(sources),
        tuple(Side(s, side_name("customer", s), tuple(delivered[s])) for s in sources),
        tuple(fields),
    )


@dataclass
class Source:
    """One source: what it holds, and its clock, which is its own."""

    name: str
    table: TargetTable
    state: State
    clock: int
    number: int = 0

    def play(self, event: Event) -> None:
        key = key_of(event.table, event.row)
        if event.op == CLEAR:
            self.state.clear()
        elif event.op == DELETE:
            self.state.pop(key, None)
        elif event.op == UPSERT:
            before = self.state.pop(event.old_key or key, None)
            self.state[key] = merged(event.row, before, event.unsent)
        elif key in self.state:
            self.state[key] = merged(event.row, self.state[key], event.unsent)

    def by_name(self, row: Sequence[Value]) -> dict[str, Value]:
        return dict(zip([column.name for column in self.table.columns], row, strict=True))

    def stamped(self, random: Random, row: list[Value]) -> list[Value]:
        self.number += 1
        self.clock += random.choice([0, 0, 0, 1])
        return [*row, str(self.clock), f"{self.name}/{self.number}"]

    def event(self, random: Random, history: int) -> Event:
        """What this source may log next of a history's rows."""
        keys = [f"{history}-{number}" for number in range(KEYS_PER_HISTORY)]
        there = [key for key in keys if (key,) in self.state]
        free = [key for key in keys if key not in there]
        kind = random.choice("iuuumdp" if there else "iiiid")
        key = random.choice(keys if kind in "di" else there)
        names = [column.name for column in self.table.columns[1:-2]]
        row = self.stamped(random, [key, *(random.choice(VALUES[name]) for name in names)])
        some = {at for at in range(1, 1 + len(names)) if random.random() < 0.4}
        if kind == "d":
            return Event(self.table, DELETE, row)
        if kind == "p":
            return Event(self.table, PATCH, row, some)
        if kind == "m" and free:
            row[0] = random.choice(free)
            return Event(self.table, UPSERT, row, some, (key,))
        if kind == "u":
            return Event(self.table, UPSERT, row, some)
        return Event(self.table, UPSERT, row)

    def events(self, random: Random, histories: Sequence[int], clears: bool) -> list[Event]:
        """Of several histories, played; perhaps with a clear among them."""
        found: list[Event] = []
        at = random.randrange(len(histories)) if clears else -1
        for number, history in enumerate(histories):
            if number == at:
                found.append(Event(self.table, CLEAR, [None] * len(self.table.columns)))
                self.play(found[-1])
            for _ in range(random.choice([1, 1, 2, 3])):
                found.append(self.event(random, history))
                self.play(found[-1])
        return found


def sources_of(composite: Composite, random: Random) -> dict[str, Source]:
    return {
        side.source: Source(
            side.source, composite.side_table(side.source), {}, random.choice([0, 0, 5])
        )
        for side in composite.sides
    }


Row = tuple[str | None, ...]


def expected(composite: Composite, sources: dict[str, Source]) -> tuple[set[Row], set[Row]]:
    """(rows of the entity, its discrepancies)"""
    rows, differences = set(), set()
    for (key,) in sources[composite.rows].state:
        said = {
            name: dict(
                zip([c.name for c in source.table.columns], source.state[(key,)], strict=True)
            )
            for name, source in sources.items()
            if (key,) in source.state
        }
        value: dict[str, Value] = {}
        for field in composite.fields:
            owner = _owner(field, said)
            value[field.name] = None if owner is None else said[owner][field.name]
            for source, row in said.items():
                if owner is None or source == owner or field.name not in row:
                    continue
                other = row[field.name]
                excused = field.rule == "first" and source in field.owners and other is None
                if not excused and _comparable(field.name, other) != _comparable(
                    field.name, value[field.name]
                ):
                    differences.add(
                        (
                            *(key, field.name, owner, source),
                            *(_printed(field.name, each) for each in (value[field.name], other)),
                            *(said[each]["tailrace_position"] for each in (owner, source)),
                        )
                    )
        rows.add((key, *(_printed(name, value.get(name)) for name in FIELDS)))
    return rows, differences


def _owner(field: OwnedField, said: dict[str, dict[str, Value]]) -> str | None:
    able = [source for source in field.owners if source in said]
    if field.rule == "newest":
        return max(
            able, key=lambda source: int(said[source]["tailrace_commit_us"] or 0), default=None
        )
    if len(field.owners) > 1:
        able = [source for source in able if said[source][field.name] is not None]
    return able[0] if able else None


def _comparable(name: str, value: Value) -> object:
    return Decimal(value) if name == "amount" and value is not None else value


def _printed(name: str, value: Value) -> Value:
    return f"{Decimal(value):.2f}" if name == "amount" and value is not None else value
