"""What MariaDB and MySQL hold after a random history is what its changes one by one would leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sinks.mysql.ordered as ordered
import sinks.mysql.sink as module
from cdc.schema import TableName
from sinks.conformance import NOT_SENT, Change, changes, opened, upsert
from sinks.mysql.names import quoted_list, quoted_table
from sinks.mysql.session import query
from tailrace.errors import TargetRefused
from tests.sinks.histories import NAMES, State, Target, ends_where_the_source_ended, key_of
from tests.sinks.maria_harness import MariadbHarness
from transforms.rows import DELETE, PATCH, UPSERT, RowChanges, TargetColumn, TargetTable


class MariadbTarget(Target):
    def __init__(self, harness: MariadbHarness) -> None:
        super().__init__(harness.sink())
        self._connection = harness.server.connect()
        self._connection.autocommit(True)

    def fill(self, states: dict[TableName, State]) -> None:
        with self._connection.cursor() as cursor:
            for name, state in states.items():
                cursor.execute(f"delete from {quoted_table(name)}")
                for row in state.values():
                    places = ", ".join(["%s"] * len(row))
                    cursor.execute(f"insert into {quoted_table(name)} values ({places})", row)

    def states(self) -> dict[TableName, State]:
        found: dict[TableName, State] = {}
        with self._connection.cursor() as cursor:
            for name, table in NAMES.items():
                columns = quoted_list(column.name for column in table.columns)
                cursor.execute(f"select {columns} from {quoted_table(name)}")
                found[name] = {key_of(table, row): list(row) for row in cursor.fetchall()}
        return found

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def target(maria_harness: MariadbHarness) -> Iterator[MariadbTarget]:
    made = MariadbTarget(maria_harness)
    yield made
    made.close()
    maria_harness.execute("drop database s")


@pytest.mark.parametrize("singly_max", [0, 1000], ids=["sets", "in_order"])
def test_the_target_ends_where_the_source_ended(
    singly_max: int, target: MariadbTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", singly_max)
    ends_where_the_source_ended(target, 60)


STRICT = TargetTable(
    TableName("shop", "strict"),
    tuple(TargetColumn(name, "integer") for name in ("id", "place", "amount")),
    ("id",),
)


@st.composite
def batches(draw: st.DrawFn) -> list[RowChanges]:
    """What no source may have gone through, of few keys and places, so that they meet. An amount of
    9 is refused, and so is a word."""
    keys = st.sampled_from(["1", "2", "3", "4", "5"])
    places = st.sampled_from([None] * 8 + ["1", "2", NOT_SENT])
    amounts = st.sampled_from(["1"] * 20 + ["9", "x", NOT_SENT])
    made = []
    last = "1"
    for _ in range(draw(st.integers(1, 3))):
        fresh = draw(st.booleans())
        given: list[Change] = []
        for _ in range(draw(st.integers(1, 6))):
            values = draw(keys), draw(places), draw(amounts)
            op = UPSERT if fresh else draw(st.sampled_from([UPSERT] * 4 + [DELETE, PATCH]))
            if fresh:
                given.append((UPSERT, (values[0], None, values[2].replace(NOT_SENT, "2"))))
            elif op == UPSERT and draw(st.booleans()):
                given.append((op, values, (draw(st.sampled_from([last, last, "1", "2"])),)))
            else:
                given.append((op, values))
            last = values[0]
        first = sum(one.rows for one in made)
        made.append(changes(STRICT, *given, first=first, fresh=fresh))
    return made


def test_sent_together_rows_fare_as_one_by_one(
    maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each to its end or to the same refusal of the same row."""
    sink = opened(maria_harness, STRICT)
    maria_harness.execute(
        "alter table shop.strict add unique (place), add constraint small check (amount < 9)"
    )
    sink.write([changes(STRICT, *(upsert(key, place, "1") for key, place in ("11", "32")))])
    sink.savepoint("begin")

    def outcome(given: Sequence[RowChanges]) -> Any:
        try:
            told: object = sink.in_order(given)
        except TargetRefused as refused:
            told = (type(refused), refused.seq, refused.where, str(refused))  # type: ignore[attr-defined]
        rows = query(sink._connected, "select * from shop.strict order by id")
        sink.undo("begin")
        return told, rows if isinstance(told, dict) else None

    moving_on = [upsert("7", None, "1"), *((UPSERT, (n, None, "1"), (o,)) for o, n in ("78", "89"))]

    @settings(max_examples=100, deadline=None)
    @example([changes(STRICT, *moving_on)], 256)
    @given(batches(), st.sampled_from([2, 256]))
    def fare_alike(given: list[RowChanges], piece: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ordered, "PIECE_ROWS", piece)
            together = outcome(given)
            patch.setattr(ordered, "TRIES_MAX", 0)
            assert outcome(given) == together

    fare_alike()
