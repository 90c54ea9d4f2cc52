"""Random histories of several sources whose records are recognised, and an oracle in plain Python.

The oracle knows nothing of the order in which sources arrive: it takes what they hold in the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from random import Random

from cdc.schema import TableName
from tests.sinks.histories import Event
from transforms.composite import Composite, OwnedField, Side, side_name
from transforms.matching import Call, Field, MatchRule, MatchValue
from transforms.rows import CLEAR, DELETE, UPSERT, TargetColumn

Record = tuple[str, str]
"""(source, key)"""

COLUMNS = (
    TargetColumn("id", "text", nullable=False),
    TargetColumn("name", "text"),
    TargetColumn("tax", "text"),
    TargetColumn("mail", "text"),
    TargetColumn("zip", "text"),
)
FIELDS = ("name", "tax", "mail", "zip")
MAIL = MatchValue(
    Call("lower", (Call("btrim", (Field("mail"),)),)), ("mail",), text=True, bare=False
)
RULES = (
    MatchRule(0, "tax", (MatchValue(Field("tax"), ("tax",), text=True, bare=True),)),
    MatchRule(1, "lower(trim(mail))", (MAIL,)),
    MatchRule(
        2,
        "name, zip",
        (
            MatchValue(Field("name"), ("name",), text=True, bare=True),
            MatchValue(Field("zip"), ("zip",), text=True, bare=True),
        ),
    ),
)


def customer(sources: Iterable[str], rows: str) -> Composite:
    sides = tuple(Side(each, side_name("customer", each), FIELDS) for each in sources)
    owners = (rows, *(side.source for side in sides if side.source != rows))
    return Composite(
        "customer",
        TableName("shop", "customer"),
        COLUMNS,
        ("id",),
        rows,
        sides,
        tuple(OwnedField(name, "first", owners) for name in FIELDS),
        match=RULES,
    )


Values = dict[str, str | None]


def meets(one: Values, two: Values) -> bool:
    def mail(row: Values) -> str | None:
        return (row["mail"] or "").strip().lower() or None

    return bool(
        (one["tax"] and one["tax"] == two["tax"])
        or (mail(one) and mail(one) == mail(two))
        or (one["name"] and one["zip"] and (one["name"], one["zip"]) == (two["name"], two["zip"]))
    )


@dataclass
class Hub:
    """What the sources hold."""

    composite: Composite
    held: dict[Record, Values] = field(default_factory=dict)
    numbers: int = 0

    def row(self, source: str, key: str, values: Values, old: str | None = None) -> Event:
        self.numbers += 1
        table = self.composite.side_table(source)
        row = [key, *(values[name] for name in FIELDS), str(self.numbers), f"{source}/0"]
        if old is not None:
            self.held.pop((source, old), None)
        self.held[source, key] = dict(values)
        return Event(table, UPSERT, row, old_key=None if old is None else (old,))

    def gone(self, source: str, key: str) -> Event:
        self.held.pop((source, key), None)
        table = self.composite.side_table(source)
        return Event(table, DELETE, [key] + [None] * (len(table.columns) - 1))

    def cleared(self, source: str) -> Event:
        for record in [each for each in self.held if each[0] == source]:
            del self.held[record]
        table = self.composite.side_table(source)
        return Event(table, CLEAR, [None] * len(table.columns))

    def matches(self) -> set[frozenset[Record]]:
        """Records of different worlds never match."""
        worlds: dict[str, list[Record]] = {}
        for record in self.held:
            worlds.setdefault(record[1].split(".")[0], []).append(record)
        return {
            frozenset((one, two))
            for records in worlds.values()
            for one, two in combinations(records, 2)
            if one[0] != two[0] and meets(self.held[one], self.held[two])
        }

    def clusters(self) -> set[frozenset[Record]]:
        """Records connected by matches."""
        group_of = {record: {record} for record in self.held}
        for one, two in self.matches():
            if group_of[one] is not group_of[two]:
                group_of[one] |= group_of[two]
                for record in group_of[two]:
                    group_of[record] = group_of[one]
        return {frozenset(group) for group in group_of.values()}

    def ambiguous(self) -> bool:
        """Whether some cluster holds two records of one source."""
        return any(len({source for source, _ in group}) < len(group) for group in self.clusters())


def values(random: Random, world: int, people: int) -> Values:
    """Of one of so many people, some of it unknown."""
    person = f"{world}.{random.randrange(people)}"

    def maybe(text: str) -> str | None:
        return text if random.random() < 0.6 else random.choice([None, ""])

    return {
        "name": f"n{person}",
        "tax": maybe(f"t{person}"),
        "mail": maybe(random.choice([f"M{person}@x ", f"m{person}@X"])),
        "zip": maybe(f"z{person}"),
    }
