"""What every sink must do with entities that several sources feed; part of `sinks.conformance`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from cdc.schema import TableName
from sinks.composite_sql import DIFFERENCES
from sinks.expecting import raises
from sinks.protocol import Checkpoint, Sink
from tailrace.errors import RowRefused, TargetRefused
from transforms.composite import Composite, OwnedField, Side
from transforms.ownership import Rule
from transforms.rows import CLEAR, DELETE, PATCH, UPSERT, RowChanges, TargetColumn, TargetTable

if TYPE_CHECKING:
    from sinks.conformance import Harness

Row = tuple[str | None, ...]
Given = tuple[object, ...]
"""(operation, key, {field: value}, commit time), the time also as the position; with the key before
as a fifth."""

COLUMNS = (
    TargetColumn("no", "text", nullable=False),
    TargetColumn("name", "text"),
    TargetColumn("phone", "text"),
    TargetColumn("amount", "numeric(12,2)"),
    TargetColumn("spare", "text"),
)


def customer(
    *, phone: tuple[Rule, tuple[str, ...]] = ("first", ("crm",)), rows: str = "erp"
) -> Composite:
    """Fed by erp (all fields) and crm (phone and amount)."""
    return Composite(
        "customer",
        TableName("shop", "customer"),
        COLUMNS,
        ("no",),
        rows,
        (
            Side("crm", TableName("tailrace", "customer__crm"), ("phone", "amount")),
            Side("erp", TableName("tailrace", "customer__erp"), ("name", "phone", "amount")),
        ),
        (
            OwnedField("name", "first", ("erp",)),
            OwnedField("phone", *phone),
            OwnedField("amount", "first", ("erp",)),
        ),
    )


def of(composite: Composite, source: str, *given: Given, first: int = 0) -> RowChanges:
    """Changes of a side table."""
    table = composite.side_table(source)
    names = composite.side(source).fields
    rows = [(*one, None)[:5] for one in given]
    columns = [[row[1] for row in rows]]
    columns += [[row[2].get(name) for row in rows] for name in names]  # type: ignore[attr-defined]
    unsent = {
        at: pa.array([row[0] == PATCH and name not in row[2] for row in rows])  # type: ignore[operator]
        for at, name in enumerate(names, start=1)
        if any(row[0] == PATCH for row in rows)
    }
    times = pa.array([row[3] for row in rows], pa.int64())
    return RowChanges(
        table,
        pa.array([row[0] for row in rows], pa.uint8()),
        pa.array(range(first, first + len(rows)), pa.int64()),
        (*(pa.array(column, pa.string()) for column in columns), times, times.cast(pa.string())),
        unsent,
        (pa.array([row[4] for row in rows], pa.string()),) if any(row[4] for row in rows) else None,
        source=source,
    )


class Two:
    """A pipeline of each source."""

    def __init__(self, harness: Harness, composite: Composite) -> None:
        self.harness = harness
        self.composite = composite
        self.sinks: dict[str, Sink] = {}
        self._offsets = {"erp": 0, "crm": 0}
        for source in self._offsets:
            self.sinks[source] = harness.sink(source)
            self.sinks[source].open(f"journal-{source}")
            self.sinks[source].prepare([*composite.tables])

    def write(self, source: str, *given: Given) -> dict[str, int]:
        """Returns the discrepancies that the commit left."""
        self.sinks[source].write([of(self.composite, source, *given)])
        return self.commit(source)

    def commit(self, source: str) -> dict[str, int]:
        self._offsets[source] += 1
        offset = self._offsets[source]
        checkpoint = Checkpoint(f"journal-{source}", offset, f"0/{offset}")
        self.sinks[source].commit(checkpoint)
        return dict(self.sinks[source].discrepancies())

    @property
    def customers(self) -> set[Row]:
        return self.harness.rows(self.composite.whole)

    @property
    def differences(self) -> set[Row]:
        return differences_of(self.harness)


def differences_of(harness: Harness) -> set[Row]:
    """(key, field, owner, source, owner's value, value, owner's position, position)"""
    names = ("entity_key", "field", "owner", "source", "owner_value", "value")
    columns = (TargetColumn(name, "text") for name in (*names, "owner_position", "position"))
    return harness.rows(TargetTable(DIFFERENCES, tuple(columns), ("entity_key",)))


def each_field_comes_from_its_owner(harness: Harness) -> None:
    two = Two(harness, customer())
    two.write("crm", (UPSERT, "1", {"phone": "c1", "amount": "7"}, 10))
    assert two.customers == set()
    found = two.write("erp", (UPSERT, "1", {"name": "n1", "phone": "e1", "amount": "5"}, 20))
    assert two.customers == {("1", "n1", "c1", "5.00", None)}
    assert two.differences == {
        ("1", "phone", "crm", "erp", "c1", "e1", "10", "20"),
        ("1", "amount", "erp", "crm", "5.00", "7.00", "20", "10"),
    }
    assert found == {"customer": 2}


def what_agrees_by_value_is_no_discrepancy(harness: Harness) -> None:
    two = Two(harness, customer())
    two.write("erp", (UPSERT, "1", {"name": "n", "phone": None, "amount": "5"}, 1))
    two.write("crm", (UPSERT, "1", {"phone": None, "amount": "5.00"}, 2))
    assert two.differences == set()
    found = two.write("crm", (UPSERT, "1", {"phone": "c", "amount": "5.0"}, 3))
    assert found == {"customer": 1}
    assert two.differences == {("1", "phone", "crm", "erp", "c", None, "3", "1")}
    found = two.write("erp", (UPSERT, "1", {"name": "n", "phone": "c", "amount": "5"}, 4))
    assert found == {"customer": 0}
    assert two.differences == set()


def a_delete_removes_what_its_source_owns(harness: Harness) -> None:
    two = Two(harness, customer())
    two.write("erp", (UPSERT, "1", {"name": "n", "phone": "e", "amount": "5"}, 1))
    two.write("crm", (UPSERT, "1", {"phone": "c", "amount": "6"}, 2))
    assert two.write("crm", (DELETE, "1", {}, 3)) == {"customer": 0}
    assert two.customers == {("1", "n", None, "5.00", None)}
    two.write("crm", (UPSERT, "1", {"phone": "c2", "amount": "5"}, 4))
    two.write("erp", (DELETE, "1", {}, 5))
    assert two.customers == set()
    assert two.differences == set()
    two.write("erp", (UPSERT, "1", {"name": "again", "phone": "c2", "amount": "5"}, 6))
    assert two.customers == {("1", "again", "c2", "5.00", None)}


def a_key_moves_at_one_source(harness: Harness) -> None:
    two = Two(harness, customer())
    two.write("erp", (UPSERT, "1", {"name": "n", "phone": "c", "amount": "5"}, 1))
    two.write("crm", (UPSERT, "1", {"phone": "c", "amount": "5"}, 2))
    two.write("erp", (UPSERT, "2", {"name": "n", "phone": "c", "amount": "5"}, 3, "1"))
    assert two.customers == {("2", "n", None, "5.00", None)}
    two.write("crm", (UPSERT, "2", {"phone": "d", "amount": "5"}, 4, "1"))
    assert two.customers == {("2", "n", "d", "5.00", None)}
    assert two.differences == {("2", "phone", "crm", "erp", "d", "c", "4", "3")}


def a_mark_counts_as_any_value(harness: Harness) -> None:
    """A PATCH, as of a soft delete."""
    two = Two(harness, customer())
    two.write("erp", (UPSERT, "1", {"name": "n", "phone": "c", "amount": "5"}, 1))
    two.write("crm", (UPSERT, "1", {"phone": "c", "amount": "5"}, 2))
    two.write("erp", (PATCH, "1", {"name": "gone"}, 3), (PATCH, "9", {"name": "gone"}, 3))
    assert two.customers == {("1", "gone", "c", "5.00", None)}


def a_clear_of_one_source(harness: Harness) -> None:
    two = Two(harness, customer())
    rows = [(UPSERT, str(n), {"name": "n", "phone": "e", "amount": "5"}, 1) for n in range(40)]
    two.write("erp", *rows)
    two.write("crm", *((UPSERT, str(n), {"phone": "c", "amount": "5"}, 2) for n in range(30, 50)))
    assert len(two.differences) == 10
    two.write("crm", (CLEAR, None, {}, 3), (UPSERT, "39", {"phone": "d", "amount": "5"}, 3))
    assert two.customers == {
        (str(n), "n", "d" if n == 39 else None, "5.00", None) for n in range(40)
    }
    assert two.differences == {("39", "phone", "crm", "erp", "d", "e", "3", "1")}
    assert two.write("erp", (CLEAR, None, {}, 4)) == {"customer": 0}
    assert two.customers == set()
    assert two.differences == set()


def the_first_with_a_value(harness: Harness) -> None:
    two = Two(harness, customer(phone=("first", ("crm", "erp"))))
    two.write("erp", (UPSERT, "1", {"name": "n", "phone": "e", "amount": "5"}, 1))
    assert two.customers == {("1", "n", "e", "5.00", None)}
    two.write("crm", (UPSERT, "1", {"phone": None, "amount": "5"}, 2))
    assert two.customers == {("1", "n", "e", "5.00", None)}
    assert two.differences == set()
    two.write("crm", (UPSERT, "1", {"phone": "c", "amount": "5"}, 3))
    assert two.customers == {("1", "n", "c", "5.00", None)}
    assert two.differences == {("1", "phone", "crm", "erp", "c", "e", "3", "1")}


def the_newest(harness: Harness) -> None:
    """By the commit time at the source, not by what came last."""
    two = Two(harness, customer(phone=("newest", ("crm", "erp"))))
    two.write("erp", (UPSERT, "1", {"name": "n", "phone": "e", "amount": "5"}, 10))
    two.write("crm", (UPSERT, "1", {"phone": "c", "amount": "5"}, 5))
    assert two.customers == {("1", "n", "e", "5.00", None)}
    two.write("crm", (UPSERT, "1", {"phone": "c", "amount": "5"}, 10))
    assert two.customers == {("1", "n", "c", "5.00", None)}
    two.write("erp", (UPSERT, "1", {"name": "n", "phone": None, "amount": "5"}, 11))
    assert two.customers == {("1", "n", None, "5.00", None)}
    assert two.differences == {("1", "phone", "erp", "crm", None, "c", "11", "10")}


def other_rules_change_what_is_there(harness: Harness) -> None:
    two = Two(harness, customer())
    two.write("erp", *((UPSERT, str(n), {"name": "n", "phone": "e"}, 1) for n in range(3)))
    two.write("crm", *((UPSERT, str(n), {"phone": "c"}, 2) for n in range(2)))
    for sink in two.sinks.values():
        sink.close()
    two = Two(harness, customer(phone=("first", ("erp",))))
    two._offsets = {"erp": 5, "crm": 5}
    two.write("crm", (UPSERT, "9", {"phone": "c"}, 3))
    assert two.customers == {(str(n), "n", "e", None, None) for n in range(3)}
    assert two.differences == {
        (str(n), "phone", "erp", "crm", "e", "c", "1", "2") for n in range(2)
    }


def a_unique_value_changes_hands(harness: Harness) -> None:
    """Among rows that stay, and from one that goes to one that comes."""
    two = Two(harness, replace(customer(), unique=(("name",),)))
    two.write("erp", *((UPSERT, key, {"name": key}, 1) for key in "abc"))
    two.write(
        "erp",
        (UPSERT, "a", {"name": "x"}, 2),
        (UPSERT, "b", {"name": "a"}, 2),
        (UPSERT, "a", {"name": "b"}, 2),
        (DELETE, "c", {}, 2),
        (UPSERT, "d", {"name": "c"}, 2),
    )
    assert {(row[0], row[1]) for row in two.customers} == {("a", "b"), ("b", "a"), ("d", "c")}
    rows = [(UPSERT, str(n), {"name": str(n)}, 3) for n in range(40)]
    rows[17] = (UPSERT, "17", {"name": "c"}, 3)
    sink = two.sinks["erp"]
    raises(RowRefused, lambda: sink.write([of(two.composite, "erp", *rows)]))
    sink.write([of(two.composite, "erp", *rows[:17])])  # nothing of it was left
    two.commit("erp")
    assert len(two.customers) == 3 + 17


def two_pipelines_write_one_row(harness: Harness) -> None:
    """The second waits for the first, and computes from what that has committed."""
    two = Two(harness, customer())
    rows = [of(two.composite, "erp", (UPSERT, "1", {"name": "n", "phone": "e", "amount": "5"}, 1))]
    two.sinks["erp"].write(rows)
    second = threading.Thread(
        target=two.write, args=("crm", (UPSERT, "1", {"phone": "c", "amount": "6"}, 2))
    )
    second.start()
    second.join(0.5)  # it would be done by then if it did not wait
    two.commit("erp")
    second.join(200)
    assert not second.is_alive()
    assert two.customers == {("1", "n", "c", "5.00", None)}
    assert two.sinks["crm"].discrepancies() == {"customer": 2}


def what_is_rolled_back_is_not_computed(harness: Harness) -> None:
    two = Two(harness, customer())
    two.write("erp", (UPSERT, "1", {"name": "n", "phone": "e", "amount": "5"}, 1))
    sink = two.sinks["erp"]
    sink.write([of(two.composite, "erp", (UPSERT, "1", {"name": "other"}, 2))])
    sink.rollback()
    sink.prepare(two.composite.tables)
    assert two.customers == {("1", "n", None, "5.00", None)}
    two.write("crm", (UPSERT, "1", {"phone": "c", "amount": "5"}, 3))
    two.write("erp", (UPSERT, "2", {"name": "m", "phone": "e", "amount": "5"}, 4))
    assert two.customers == {("1", "n", "c", "5.00", None), ("2", "m", None, "5.00", None)}


def one_source_does_not_write_what_is_computed(harness: Harness) -> None:
    """The side tables would no longer tell what is there."""
    two = Two(harness, customer())
    two.write("erp", (UPSERT, "1", {"name": "n"}, 1))
    table = two.composite.whole
    alone = TargetTable(table.table, table.columns, table.key)
    other = harness.sink("other")
    other.open("journal-other")
    refused = raises(TargetRefused, lambda: other.prepare([alone]))
    assert "computed from what several sources say of customer" in str(refused)


def rows_of_one_source_are_not_taken_for_computed(harness: Harness) -> None:
    """They would be removed, since no side table has them."""
    composite = customer()
    alone = TargetTable(composite.table, composite.columns, composite.key)
    sink = harness.sink("erp")
    sink.open("journal-erp")
    sink.prepare([alone])
    values = [pa.array([text]) for text in ("1", "n", "p", "5", "s")]
    sink.write([RowChanges(alone, pa.array([UPSERT], pa.uint8()), pa.array([0]), tuple(values))])
    sink.commit(Checkpoint("journal-erp", 1, "0/1"))
    refused = raises(TargetRefused, lambda: sink.prepare(composite.tables))
    assert "several feed it now" in str(refused)


CASES: tuple[Callable[[Harness], None], ...] = (
    each_field_comes_from_its_owner,
    what_agrees_by_value_is_no_discrepancy,
    a_delete_removes_what_its_source_owns,
    a_key_moves_at_one_source,
    a_mark_counts_as_any_value,
    a_clear_of_one_source,
    the_first_with_a_value,
    the_newest,
    a_unique_value_changes_hands,
    two_pipelines_write_one_row,
    other_rules_change_what_is_there,
    what_is_rolled_back_is_not_computed,
    one_source_does_not_write_what_is_computed,
    rows_of_one_source_are_not_taken_for_computed,
)
