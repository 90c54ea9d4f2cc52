"""What every sink must do, as plain functions: each adapter's tests run `CASES`, or `PLAIN_CASES`.

A case gets a `Harness` on an empty target. It writes through the sink only, reads back through
the harness, and asserts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
import pyarrow as pa

from cdc.schema import TableName
from sinks import composite_conformance
from sinks.expecting import raises
from sinks.protocol import Checkpoint, Receipts, Sink
from tailrace.errors import (
    CheckpointMismatch,
    Fenced,
    RowRefused,
    SinkError,
    TargetRefused,
    TargetUnavailable,
)
from transforms.rows import (
    CLEAR,
    DELETE,
    PATCH,
    UPSERT,
    RowChanges,
    TargetColumn,
    TargetTable,
)

JOURNAL = "journal-1"
Row = tuple[str | None, ...]


class Harness(Protocol):
    def sink(self, pipeline: str = "line") -> Sink:
        """A new sink of this pipeline; closed by the harness at the end."""

    def rows(self, table: TargetTable) -> set[Row]:
        """What the target holds, every value as text."""

    def insert(self, table: TargetTable, rows: Sequence[Row]) -> None:
        """Rows of somebody else, in a table made for them."""

    def drop(self, table: TargetTable) -> None: ...


TABLE = TargetTable(
    TableName("shop", "item"),
    (
        TargetColumn("id", "integer", nullable=False),
        TargetColumn("code", "text"),
        TargetColumn("amount", "numeric(12,2)"),
    ),
    ("id",),
)
PAIR = TargetTable(
    TableName("shop", "pair"),
    (
        TargetColumn("a", "integer", nullable=False),
        TargetColumn("b", "text", nullable=False),
        TargetColumn("note", "text"),
    ),
    ("a", "b"),
)

WIDER = TargetTable(TABLE.table, (*TABLE.columns, TargetColumn("later", "date")), TABLE.key)

Change = tuple[int, Row] | tuple[int, Row, Row]
"""(operation, values), or with the key before as a third."""

NOT_SENT = "\0not sent"


def changes(table: TargetTable, *given: Change, first: int = 0, fresh: bool = False) -> RowChanges:
    """Row changes from short tuples, numbered from `first` on; `NOT_SENT` marks such values."""
    values = [item[1] for item in given]
    width = len(table.columns)
    columns = []
    unsent = {}
    for i in range(width):
        texts = [row[i] for row in values]
        flags = [text == NOT_SENT for text in texts]
        columns.append(
            pa.array([None if text == NOT_SENT else text for text in texts], pa.string())
        )
        if any(flags):
            unsent[i] = pa.array(flags)
    old = [item[2] if len(item) == 3 else None for item in given]
    return RowChanges(
        table=table,
        op=pa.array([item[0] for item in given], pa.uint8()),
        seq=pa.array(np.arange(first, first + len(given))),
        values=tuple(columns),
        unsent=unsent,
        old_key=None
        if not any(old)
        else tuple(
            pa.array([None if key is None else key[i] for key in old], pa.string())
            for i in range(len(table.key))
        ),
        fresh=fresh,
        source=str(table.table),
    )


def opened(harness: Harness, *tables: TargetTable) -> Sink:
    sink = harness.sink()
    sink.open(JOURNAL)
    sink.prepare(tables or (TABLE,))
    return sink


def apply(sink: Sink, offset: int, *given: RowChanges) -> None:
    sink.write(given)
    sink.commit(Checkpoint(JOURNAL, offset, f"0/{offset}"))


def upsert(*values: str | None) -> Change:
    return UPSERT, values


def delete(*values: str | None) -> Change:
    return DELETE, values


def clear(width: int = 3) -> Change:
    return CLEAR, (None,) * width


def a_new_pipeline_begins_at_nothing(harness: Harness) -> None:
    assert harness.sink().open(JOURNAL) == Checkpoint(JOURNAL, 0, "")


def rows_and_checkpoint_are_one(harness: Harness) -> None:
    apply(opened(harness), 7, changes(TABLE, upsert("1", "a", "1.50")))
    assert harness.rows(TABLE) == {("1", "a", "1.50")}
    assert harness.sink().open(JOURNAL) == Checkpoint(JOURNAL, 7, "0/7")


def a_rollback_leaves_nothing(harness: Harness) -> None:
    sink = opened(harness)
    sink.write([changes(TABLE, upsert("1", "a", "1"))])
    sink.rollback()
    assert harness.rows(TABLE) == set()
    sink.prepare([TABLE])
    apply(sink, 1, changes(TABLE, upsert("2", "b", "2")))
    assert harness.rows(TABLE) == {("2", "b", "2.00")}


def what_is_not_committed_is_not_there(harness: Harness) -> None:
    sink = opened(harness)
    sink.write([changes(TABLE, upsert("1", "a", "1"))])
    sink.close()
    assert harness.rows(TABLE) == set()
    assert harness.sink().open(JOURNAL).offset == 0


def several_writes_make_one_transaction(harness: Harness) -> None:
    sink = opened(harness)
    for number in range(5):
        sink.write([changes(TABLE, upsert(str(number), "x", "0"), upsert("9", str(number), "0"))])
        assert harness.rows(TABLE) == set()
    sink.commit(Checkpoint(JOURNAL, 5, "0/5"))
    assert harness.rows(TABLE) == {(str(n), "x", "0.00") for n in range(5)} | {("9", "4", "0.00")}


def another_journal_is_refused(harness: Harness) -> None:
    """And does not disturb the process whose journal it is."""
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    raises(CheckpointMismatch, lambda: harness.sink().open("journal-2"))
    apply(sink, 2, changes(TABLE, upsert("2", "b", "2")))


def the_older_process_is_fenced(harness: Harness) -> None:
    older = opened(harness)
    apply(older, 1, changes(TABLE, upsert("1", "a", "1")))
    newer = opened(harness)
    raises(Fenced, lambda: apply(older, 2, changes(TABLE, upsert("2", "b", "2"))))
    apply(newer, 2, changes(TABLE, upsert("3", "c", "3")))
    assert {row[0] for row in harness.rows(TABLE)} == {"1", "3"}


def a_take_over_ends_a_long_transaction_of_the_older(harness: Harness) -> None:
    """It holds the checkpoint, and would hold up the newer one for as long as it likes."""
    older = opened(harness)
    older.write([changes(TABLE, upsert("1", "a", "1"))])
    newer = harness.sink()
    opening = threading.Thread(target=newer.open, args=(JOURNAL,))
    opening.start()
    opening.join(200)
    assert not opening.is_alive()
    raises(TargetUnavailable, lambda: older.commit(Checkpoint(JOURNAL, 1, "0/1")))
    assert harness.rows(TABLE) == set()


def a_fenced_process_stays_out(harness: Harness) -> None:
    """Also when it comes back after its connection was away."""
    older = opened(harness)
    older.close()
    opened(harness)
    raises(Fenced, lambda: older.open(JOURNAL))


def a_process_may_come_back(harness: Harness) -> None:
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    sink.close()
    assert sink.open(JOURNAL).offset == 1
    sink.prepare([TABLE])
    apply(sink, 2, changes(TABLE, upsert("1", "b", "1")))
    assert harness.rows(TABLE) == {("1", "b", "1.00")}


def a_checkpoint_moves_without_rows(harness: Harness) -> None:
    sink = opened(harness)
    assert sink.write([]) == {}
    sink.commit(Checkpoint(JOURNAL, 3, "0/3"))
    assert harness.sink().open(JOURNAL) == Checkpoint(JOURNAL, 3, "0/3")


def the_checkpoint_never_goes_back(harness: Harness) -> None:
    sink = opened(harness)
    apply(sink, 5, changes(TABLE, upsert("1", "a", "1")))
    raises(CheckpointMismatch, lambda: apply(sink, 4, changes(TABLE, upsert("1", "b", "1"))))
    sink.close()
    assert harness.sink().open(JOURNAL).offset == 5
    assert harness.rows(TABLE) == {("1", "a", "1.00")}


def the_last_change_of_a_key_wins(harness: Harness) -> None:
    sink = opened(harness)
    written = sink.write(
        [
            changes(
                TABLE,
                upsert("1", "a", "1"),
                upsert("1", "b", "1"),
                upsert("2", "a", "1"),
                delete("2", None, None),
                delete("3", None, None),
                upsert("3", "back", "1"),
            )
        ]
    )
    sink.commit(Checkpoint(JOURNAL, 1, "0/1"))
    assert harness.rows(TABLE) == {("1", "b", "1.00"), ("3", "back", "1.00")}
    counts = written[str(TABLE.table)]
    assert counts.coalesced + counts.upserted + counts.deleted == 6


def a_new_row_may_be_there_already(harness: Harness) -> None:
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1"), fresh=True))
    apply(sink, 2, changes(TABLE, upsert("1", "b", "1"), upsert("2", "c", "2"), fresh=True))
    assert harness.rows(TABLE) == {("1", "b", "1.00"), ("2", "c", "2.00")}


def a_key_changes(harness: Harness) -> None:
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1"), upsert("2", "b", "2")))
    apply(sink, 2, changes(TABLE, (UPSERT, ("5", "a", "1"), ("1",))))
    assert harness.rows(TABLE) == {("5", "a", "1.00"), ("2", "b", "2.00")}


def two_keys_are_swapped(harness: Harness) -> None:
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "one", "1"), upsert("2", "two", "2")))
    apply(
        sink,
        2,
        changes(
            TABLE,
            (UPSERT, ("9", "one", "1"), ("1",)),
            (UPSERT, ("1", "two", "2"), ("2",)),
            (UPSERT, ("2", "one", "1"), ("9",)),
        ),
    )
    assert harness.rows(TABLE) == {("1", "two", "2.00"), ("2", "one", "1.00")}


def two_keys_are_swapped_with_values_not_sent(harness: Harness) -> None:
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "one", "1"), upsert("2", "two", "2")))
    apply(
        sink,
        2,
        changes(
            TABLE,
            (UPSERT, ("9", NOT_SENT, "1"), ("1",)),
            (UPSERT, ("1", NOT_SENT, "2"), ("2",)),
            (UPSERT, ("2", NOT_SENT, "1"), ("9",)),
        ),
    )
    assert harness.rows(TABLE) == {("1", "two", "2.00"), ("2", "one", "1.00")}


def what_is_not_sent_stays(harness: Harness) -> None:
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "big", "1"), upsert("2", None, "2")))
    apply(sink, 2, changes(TABLE, upsert("1", NOT_SENT, "5"), upsert("2", NOT_SENT, NOT_SENT)))
    assert harness.rows(TABLE) == {("1", "big", "5.00"), ("2", None, "2.00")}


def what_was_sent_earlier_in_the_batch_counts(harness: Harness) -> None:
    apply(
        opened(harness),
        1,
        changes(
            TABLE,
            upsert("1", "first", "1"),
            upsert("1", NOT_SENT, "2"),
            upsert("1", "second", NOT_SENT),
            upsert("1", NOT_SENT, NOT_SENT),
        ),
    )
    assert harness.rows(TABLE) == {("1", "second", "2.00")}


def a_row_partly_sent_must_be_there(harness: Harness) -> None:
    sink = opened(harness)
    error = raises(TargetRefused, lambda: sink.write([changes(TABLE, upsert("1", NOT_SENT, "5"))]))
    assert "not in the target" in str(error)


def a_patch_changes_what_is_there(harness: Harness) -> None:
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    apply(
        sink, 2, changes(TABLE, (PATCH, ("1", "gone", NOT_SENT)), (PATCH, ("2", "gone", NOT_SENT)))
    )
    assert harness.rows(TABLE) == {("1", "gone", "1.00")}


def a_clear_is_a_barrier(harness: Harness) -> None:
    sink = opened(harness, TABLE, PAIR)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")), changes(PAIR, upsert("1", "x", "n")))
    apply(
        sink,
        2,
        changes(TABLE, upsert("2", "b", "1"), clear(), upsert("3", "c", "1"), first=0),
        changes(PAIR, upsert("2", "y", "n"), clear(), upsert("3", "z", "n"), first=10),
    )
    assert harness.rows(TABLE) == {("3", "c", "1.00")}
    assert harness.rows(PAIR) == {("3", "z", "n")}


def every_clear_is_counted(harness: Harness) -> None:
    sink = opened(harness)
    written = sink.write([changes(TABLE, upsert("1", "a", "1"), clear(), clear())])
    assert written[str(TABLE.table)].cleared == 2
    assert written[str(TABLE.table)].upserted == 1


def a_table_changes_its_shape(harness: Harness) -> None:
    """Rows of both shapes stand in one batch; what happened last to a key still wins."""
    sink = opened(harness, WIDER)
    sink.prepare([TABLE])
    apply(
        sink,
        1,
        changes(TABLE, *(upsert(str(n), "old", "1") for n in range(40)), first=0),
        changes(
            WIDER,
            delete("7", None, None, None),
            *(upsert(str(n), "new", "2", "2026-01-01") for n in range(30, 50)),
            first=40,
        ),
    )
    assert harness.rows(WIDER) == {
        *((str(n), "old", "1.00", None) for n in range(30) if n != 7),
        *((str(n), "new", "2.00", "2026-01-01") for n in range(30, 50)),
    }


def many_rows_are_partly_sent(harness: Harness) -> None:
    """Each of the four patterns of what was sent."""
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, *(upsert(str(n), "old", "1") for n in range(80))))
    given = [
        upsert(str(n), "new" if n % 2 else NOT_SENT, "2" if n % 4 < 2 else NOT_SENT)
        for n in range(80)
    ]
    apply(sink, 2, changes(TABLE, *given))
    assert harness.rows(TABLE) == {
        (str(n), "new" if n % 2 else "old", "2.00" if n % 4 < 2 else "1.00") for n in range(80)
    }


def composite_keys(harness: Harness) -> None:
    sink = opened(harness, PAIR)
    apply(sink, 1, changes(PAIR, upsert("1", "23", "p"), upsert("12", "3", "q")))
    apply(sink, 2, changes(PAIR, delete("1", "23", None), upsert("12", "3", "r")))
    assert harness.rows(PAIR) == {("12", "3", "r")}


def difficult_texts(harness: Harness) -> None:
    texts = [
        "",
        "\\N",
        "\\.",
        "NULL",
        "a\tb",
        "a\nb",
        "\r",
        "\\",
        "'",
        '"',
        "äöü😀",
        "x" * 1_000_000,
    ]
    sink = opened(harness)
    for fresh in (True, False):
        given = [upsert(str(n), text, None) for n, text in enumerate(texts)]
        apply(sink, 2 - fresh, changes(TABLE, *given, fresh=not fresh))
        assert harness.rows(TABLE) == {(str(n), text, None) for n, text in enumerate(texts)}


def a_value_that_does_not_convert_is_refused(harness: Harness) -> None:
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    given = [upsert(str(n), "fine", "1") for n in range(20)]
    given[13] = upsert("13", "fine", "s3cret")
    error = raises(TargetRefused, lambda: sink.write([changes(TABLE, *given, first=100)]))
    assert error.seq == 113  # type: ignore[attr-defined]
    assert "s3cret" not in str(error)
    assert str(TABLE.table) in str(error)
    sink.rollback()
    assert harness.rows(TABLE) == {("1", "a", "1.00")}


def a_refused_row_leaves_the_transaction_as_it_was(harness: Harness) -> None:
    """Few rows and many, with a clear among them, partly sent rows, and again and again."""
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    sink.write([changes(TABLE, upsert("2", "b", "2"))])
    many = [upsert(str(n), "new", "3") for n in range(10, 60)]
    for given in (
        [upsert("1", "x", "9"), upsert("2", "x", "none")],
        [upsert("1", "x", "9"), upsert("7", NOT_SENT, "1")],
        [*many, upsert("2", "x", "none")],
        [*many, upsert("7", NOT_SENT, "1")],
        [upsert("1", "x", "9"), clear(), upsert("3", "c", "3"), upsert("4", "d", "none")],
    ):
        for _ in range(2):
            refused = raises(RowRefused, lambda given=given: sink.write([changes(TABLE, *given)]))  # type: ignore[misc]
            assert refused.seq == len(given) - 1  # type: ignore[attr-defined]
    sink.write([changes(TABLE, *many), changes(TABLE, upsert("5", "e", "5"), first=100)])
    sink.commit(Checkpoint(JOURNAL, 2, "0/2"))
    assert harness.rows(TABLE) == {
        ("1", "a", "1.00"),
        ("2", "b", "2.00"),
        ("5", "e", "5.00"),
        *((str(n), "new", "3.00") for n in range(10, 60)),
    }


def what_is_no_row_is_refused_as_such(harness: Harness) -> None:
    """A table that is gone is a matter of the target: no row of it is to blame."""
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    harness.drop(TABLE)
    for rows in (1, 40):
        given = [upsert(str(n), "b", "1") for n in range(rows)]
        error = raises(SinkError, lambda given=given: sink.write([changes(TABLE, *given)]))  # type: ignore[misc]
        assert not isinstance(error, RowRefused)
        sink.rollback()
        sink.close()
        sink.open(JOURNAL)
        harness.insert(TABLE, [])
        sink.prepare([TABLE])
        harness.drop(TABLE)


def a_table_that_has_vanished_is_not_made_anew(harness: Harness) -> None:
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    sink.close()
    harness.drop(TABLE)
    sink.open(JOURNAL)
    error = raises(TargetRefused, lambda: sink.prepare([TABLE]))
    assert "is gone" in str(error)


def receipts_commit_with_the_checkpoint(harness: Harness) -> None:
    sink = opened(harness)
    assert sink.receipts() == frozenset()
    sink.write([changes(TABLE, upsert("1", "a", "1"))])
    sink.commit(Checkpoint(JOURNAL, 1, "0/1"), Receipts(parked=("1-0", "1-7")))
    sink.commit(Checkpoint(JOURNAL, 1, "0/1"), Receipts(("1-7", "2-0"), ("1-0", "9-9")))
    sink.close()
    again = harness.sink()
    again.open(JOURNAL)
    assert again.receipts() == {"1-7", "2-0"}
    again.commit(Checkpoint(JOURNAL, 2, "0/2"), Receipts(released=("1-7", "2-0")))
    assert again.receipts() == frozenset()


def receipts_of_a_transaction_that_ended_are_not_there(harness: Harness) -> None:
    sink = opened(harness)
    apply(sink, 5, changes(TABLE, upsert("1", "a", "1")))
    raises(
        CheckpointMismatch,
        lambda: sink.commit(Checkpoint(JOURNAL, 4, "0/4"), Receipts(parked=("4-0",))),
    )
    sink.close()
    again = harness.sink()
    again.open(JOURNAL)
    assert again.receipts() == frozenset()


def rows_of_others_are_not_touched(harness: Harness) -> None:
    sink = opened(harness)
    sink.close()
    other = TargetTable(TableName("shop", "other"), TABLE.columns, TABLE.key)
    harness.insert(other, [("1", "theirs", "1")])
    sink.open(JOURNAL)
    raises(TargetRefused, lambda: sink.prepare([other]))
    kept = TargetTable(other.table, other.columns, other.key, existing="keep")
    sink.prepare([kept])
    apply(sink, 1, changes(kept, upsert("2", "ours", "2")))
    assert harness.rows(kept) == {("1", "theirs", "1.00"), ("2", "ours", "2.00")}


def a_missing_column_is_named(harness: Harness) -> None:
    sink = opened(harness)
    error = raises(TargetRefused, lambda: sink.prepare([WIDER]))
    assert "later" in str(error)


def unique_values_are_kept_so(harness: Harness) -> None:
    """By an index of the table that is made; of one that is there it is demanded."""
    single = TargetTable(
        TableName("shop", "single"),
        TABLE.columns,
        TABLE.key,
        unique=(("code",), ("code", "amount")),
    )
    sink = opened(harness, single)
    apply(sink, 1, changes(single, upsert("1", "a", "1"), upsert("2", "b", "2")))
    swap = upsert("1", "c", "1"), upsert("2", "a", "2"), upsert("1", "b", "1")
    apply(sink, 2, changes(single, *swap))
    for fresh in (True, False):
        given = changes(single, upsert("3", None, "1"), upsert("4", "b", "3"), first=7, fresh=fresh)
        error = raises(TargetRefused, partial(sink.write, [given]))
        assert error.seq == 8  # type: ignore[attr-defined]
        sink.rollback()
        sink.prepare([single])
    apply(sink, 3, changes(single, upsert("3", None, "1"), upsert("4", None, "1")))
    assert harness.rows(single) == {
        ("1", "b", "1.00"),
        ("2", "a", "2.00"),
        ("3", None, "1.00"),
        ("4", None, "1.00"),
    }
    sink.prepare([single])
    sink.prepare([TABLE])
    error = raises(TargetRefused, lambda: sink.prepare([replace(TABLE, unique=(("code",),))]))
    assert "(code)" in str(error)


def a_large_batch(harness: Harness) -> None:
    sink = opened(harness)
    rows = 20_000
    for offset, fresh in ((1, True), (2, False)):
        numbers = np.arange(rows)
        sink.write(
            [
                RowChanges(
                    TABLE,
                    pa.array(np.full(rows, UPSERT, np.uint8)),
                    pa.array(numbers),
                    (
                        pa.array(numbers).cast(pa.string()),
                        pa.array(np.full(rows, f"batch {offset}")),
                        pa.nulls(rows, pa.string()),
                    ),
                    fresh=fresh,
                )
            ]
        )
        sink.commit(Checkpoint(JOURNAL, offset, "0/1"))
        found = harness.rows(TABLE)
        assert len(found) == rows
        assert {row[1] for row in found} == {f"batch {offset}"}


PLAIN_CASES: tuple[Callable[[Harness], None], ...] = (
    a_new_pipeline_begins_at_nothing,
    rows_and_checkpoint_are_one,
    a_rollback_leaves_nothing,
    what_is_not_committed_is_not_there,
    several_writes_make_one_transaction,
    another_journal_is_refused,
    the_older_process_is_fenced,
    a_take_over_ends_a_long_transaction_of_the_older,
    a_fenced_process_stays_out,
    a_process_may_come_back,
    a_checkpoint_moves_without_rows,
    the_checkpoint_never_goes_back,
    the_last_change_of_a_key_wins,
    a_new_row_may_be_there_already,
    a_key_changes,
    two_keys_are_swapped,
    two_keys_are_swapped_with_values_not_sent,
    what_is_not_sent_stays,
    what_was_sent_earlier_in_the_batch_counts,
    a_row_partly_sent_must_be_there,
    a_patch_changes_what_is_there,
    a_clear_is_a_barrier,
    every_clear_is_counted,
    a_table_changes_its_shape,
    many_rows_are_partly_sent,
    composite_keys,
    difficult_texts,
    a_value_that_does_not_convert_is_refused,
    a_refused_row_leaves_the_transaction_as_it_was,
    what_is_no_row_is_refused_as_such,
    a_table_that_has_vanished_is_not_made_anew,
    receipts_commit_with_the_checkpoint,
    receipts_of_a_transaction_that_ended_are_not_there,
    rows_of_others_are_not_touched,
    a_missing_column_is_named,
    unique_values_are_kept_so,
    a_large_batch,
)
"""What every sink does."""

CASES = (*PLAIN_CASES, *composite_conformance.CASES)
"""The same, and what those do that keep entities which several sources feed."""
