"""Tables that refer to themselves: InnoDB checks each row by itself."""

from __future__ import annotations

import random

import pytest

import sinks.mysql.sink as module
from cdc.schema import TableName
from sinks.conformance import (
    Change,
    apply,
    changes,
    clear,
    delete,
    opened,
    upsert,
)
from sinks.protocol import Sink
from tailrace.errors import TargetRefused
from tests.sinks.maria_harness import MariadbHarness
from transforms.rows import TargetColumn, TargetTable

TREE = TargetTable(
    TableName("shop", "tree"),
    (
        TargetColumn("id", "integer", nullable=False),
        TargetColumn("up", "integer"),
        TargetColumn("also", "integer"),
    ),
    ("id",),
)


@pytest.fixture(params=["sets", "in_order"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", 10**6 if request.param == "in_order" else 0)


def tree(harness: MariadbHarness, null: str = "null") -> Sink:
    opened(harness, TREE).close()
    harness.execute(
        f"alter table shop.tree modify up int {null},"
        " add foreign key (up) references shop.tree (id),"
        " add foreign key (also) references shop.tree (id)"
    )
    return opened(harness, TREE)


def rows(seed: int, count: int) -> list[tuple[str, str | None, str | None]]:
    """Each refers to one of a lower number, or to itself; in any order."""
    chance = random.Random(seed)
    found = [
        (
            str(n),
            str(chance.choice([n, *range(max(0, n - 9), n)])),
            str(chance.randrange(n)) if n % 3 == 1 else None,
        )
        for n in range(count)
    ]
    chance.shuffle(found)
    return found


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("count", [3, 300])
def test_children_may_come_before_their_parents(
    fresh: bool, count: int, maria_harness: MariadbHarness
) -> None:
    sink = tree(maria_harness)
    for seed in range(3):
        given = rows(seed, count)
        apply(sink, 3 * seed + 1, changes(TREE, *(upsert(*row) for row in given), fresh=fresh))
        assert maria_harness.rows(TREE) == set(given)
        gone: list[Change] = [delete(row[0], None, None) for row in given]
        apply(sink, 3 * seed + 2, changes(TREE, *gone))
        assert maria_harness.rows(TREE) == set()


def test_a_long_line_of_parents(maria_harness: MariadbHarness) -> None:
    sink = tree(maria_harness)
    given = [(str(n), str(n + 1) if n < 4999 else None, None) for n in range(5000)]
    apply(sink, 1, changes(TREE, *(upsert(*row) for row in given), fresh=True))
    assert maria_harness.rows(TREE) == set(given)


def test_a_table_that_refers_to_itself_is_cleared(maria_harness: MariadbHarness) -> None:
    sink = tree(maria_harness)
    apply(sink, 1, changes(TREE, *(upsert(*row) for row in rows(1, 50))))
    apply(sink, 2, changes(TREE, clear(), upsert("7", "7", None)))
    assert maria_harness.rows(TREE) == {("7", "7", None)}


def test_rows_that_stay_keep_their_parents(maria_harness: MariadbHarness) -> None:
    """What refers to a deleted row and is not deleted itself is no matter of ours."""
    sink = tree(maria_harness)
    given = [upsert("1", None, None), upsert("2", "1", None), upsert("3", "2", None)]
    apply(sink, 1, changes(TREE, *given))
    with pytest.raises(TargetRefused, match="rows refer to it"):
        sink.write([changes(TREE, delete("1", None, None), delete("2", None, None))])
    sink.rollback()
    assert maria_harness.rows(TREE) == {("1", None, None), ("2", "1", None), ("3", "2", None)}


def test_a_row_that_must_be_its_own_parent_stays(maria_harness: MariadbHarness) -> None:
    """InnoDB lets nobody delete it while the reference may not be NULL."""
    sink = tree(maria_harness, "not null")
    given = [upsert("3", "2", None), upsert("2", "1", None), upsert("1", "1", None)]
    apply(sink, 1, changes(TREE, *given))
    apply(sink, 2, changes(TREE, *(delete(key, None, None) for key in "32")))
    with pytest.raises(TargetRefused, match="clearing: rows refer to it") as raised:
        sink.write([changes(TREE, clear())])
    assert "let its columns be NULL" in (raised.value.fix or "")
    sink.rollback()
    assert maria_harness.rows(TREE) == {("1", "1", None)}
