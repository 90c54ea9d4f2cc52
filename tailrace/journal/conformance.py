"""What every journal must do, as tests that each adapter runs.

A test module subclasses `JournalConformance` and says how its journal is opened; pytest then
collects the tests from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa
import pytest

from cdc.changes import CREATE, TRANSACTIONS, ChangeSet, TableChanges
from cdc.schema import Column, TableName, TableSchema
from tailrace.errors import JournalError
from tailrace.journal.protocol import Extent, JournalReader, JournalWriter

ORDERS = TableSchema(
    TableName("sales", "orders"),
    (Column("id", "bigint", "bigint", nullable=False), Column("note", "text", "text")),
    key=("id",),
)
READ_BYTES = 1 << 20


def change_set(
    rows: int = 1,
    *,
    first: int = 0,
    position: str = "0/1",
    part: int = 0,
    complete: bool = True,
    schema: TableSchema = ORDERS,
) -> ChangeSet:
    """Inserts of `rows` rows with ids from `first` on, in one transaction that begins in part 0."""
    ids = pa.array([str(first + i) for i in range(rows)], pa.string())
    notes = pa.array([f"note {first + i}" for i in range(rows)], pa.string())
    opening = [[0], [position], [0], [1], [None]] if part == 0 else [[]] * 5
    return ChangeSet(
        tables=(
            TableChanges(
                schema=schema,
                op=pa.array([CREATE] * rows, pa.uint8()),
                seq=pa.array(range(rows), pa.int32()),
                new=(ids, notes),
            ),
        ),
        transactions=pa.record_batch(
            [pa.array(v, f.type) for v, f in zip(opening, TRANSACTIONS, strict=True)],
            schema=TRANSACTIONS,
        ),
        position=position,
        complete=complete,
        part=part,
    )


def assert_same(got: ChangeSet, expected: ChangeSet) -> None:
    """The same changes in the same arrays, whatever their buffers."""
    assert (got.position, got.complete, got.part) == (
        expected.position,
        expected.complete,
        expected.part,
    )
    assert got.transactions.equals(expected.transactions)
    assert len(got.tables) == len(expected.tables)
    for ours, theirs in zip(got.tables, expected.tables, strict=True):
        assert ours.schema == theirs.schema
        assert _columns(ours) == _columns(theirs)


def _columns(table: TableChanges) -> dict[str, object]:
    columns: dict[str, pa.Array | None] = {
        "op": table.op,
        "seq": table.seq,
        "old_kind": table.old_kind,
        "replaced": table.replaced,
        **{f"new {i}": array for i, array in enumerate(table.new)},
        **{f"unsent {i}": array for i, array in table.unsent.items()},
        **{f"old {i}": array for i, array in enumerate(table.old or ())},
    }
    return {
        "has old": table.old is not None,
        **{name: a if a is None else (str(a.type), a.to_pylist()) for name, a in columns.items()},
    }


class JournalConformance:
    """Subclasses say how a journal is opened, the same one each time within a test."""

    def open_writer(self) -> JournalWriter:
        raise NotImplementedError

    def open_reader(self, name: str = "reader") -> JournalReader:
        raise NotImplementedError

    @pytest.fixture
    def writer(self) -> Iterator[JournalWriter]:
        with self.open_writer() as writer:
            yield writer

    @pytest.fixture
    def reader(self, writer: JournalWriter) -> Iterator[JournalReader]:
        with closing(self.open_reader()) as reader:
            yield reader

    def test_a_new_journal_is_empty(self, writer: JournalWriter, reader: JournalReader) -> None:
        assert writer.position is None
        assert reader.position is None
        assert writer.facts() == {}
        assert list(reader.read(0, bytes_max=READ_BYTES)) == []
        extent = reader.extent()
        assert (extent.first, extent.last, extent.oldest_us) == (0, 0, 0)

    def test_its_id_stays(self) -> None:
        with self.open_writer() as writer:
            journal_id = writer.id
        with self.open_writer() as writer, closing(self.open_reader()) as reader:
            assert writer.id == reader.id == journal_id

    def test_what_is_appended_is_read(self, writer: JournalWriter, reader: JournalReader) -> None:
        sets = [change_set(n, first=10 * n, position=f"0/{n}") for n in (1, 5, 3000)]
        last = writer.append(sets[:2])
        last = writer.append(sets[2:])
        entries = reader.read(0, bytes_max=READ_BYTES)
        assert [entry.offset for entry in entries] == [last - 2, last - 1, last]
        for entry, changes in zip(entries, sets, strict=True):
            assert_same(entry.changes, changes)
            assert entry.bytes > 0
            assert entry.stored_us > 1_600_000_000_000_000
        extent = reader.extent()
        assert (extent.first, extent.last) == (last - 2, last)
        assert extent.bytes > 0
        assert extent.oldest_us == entries[0].stored_us

    def test_a_read_goes_on_after_an_offset(
        self, writer: JournalWriter, reader: JournalReader
    ) -> None:
        for n in range(1, 6):
            writer.append([change_set(position=f"0/{n}")])
        seen = []
        after = 0
        while entries := reader.read(after, bytes_max=1):
            assert len(entries) == 1
            seen.append(entries[0].changes.position)
            after = entries[0].offset
        assert seen == ["0/1", "0/2", "0/3", "0/4", "0/5"]

    def test_a_read_stops_beyond_its_bytes(
        self, writer: JournalWriter, reader: JournalReader
    ) -> None:
        writer.append([change_set(100, position=f"0/{n}") for n in range(1, 5)])
        size = reader.read(0, bytes_max=1)[0].bytes
        assert len(reader.read(0, bytes_max=2 * size)) in (2, 3)

    def test_the_position_follows_complete_sets(self, writer: JournalWriter) -> None:
        writer.append([change_set(position="0/1")])
        assert writer.position == "0/1"
        writer.append([change_set(position="0/2", complete=False)])
        assert writer.position == "0/1"
        writer.append([change_set(position="0/2", part=1)])
        assert writer.position == "0/2"

    def test_a_position_without_changes(self, writer: JournalWriter, reader: JournalReader) -> None:
        writer.append(position="0/5")
        assert (writer.position, reader.position) == ("0/5", "0/5")
        writer.append([change_set(position="0/6")])
        assert (writer.position, reader.position) == ("0/6", "0/6")
        writer.append([change_set(position="0/7")], position="0/8")
        assert (writer.position, reader.position) == ("0/8", "0/8")

    def test_positions_last(self) -> None:
        with self.open_writer() as writer:
            writer.append([change_set(position="0/6")])
            writer.append(position="0/9")
        with self.open_writer() as writer:
            assert writer.position == "0/9"
            writer.append([change_set(position="0/10")])
        with self.open_writer() as writer:
            assert writer.position == "0/10"

    def test_facts(self, writer: JournalWriter, reader: JournalReader) -> None:
        writer.append(facts={"slot": "one", "timeline": "1"})
        writer.append([change_set()], facts={"slot": "two"})
        expected = {"slot": "two", "timeline": "1"}
        assert writer.facts() == reader.facts() == expected
        assert reader.get("slot") == writer.get("slot") == "two"
        assert reader.get("nothing") is None

    def test_readers_see_the_parts_of_a_transaction(
        self, writer: JournalWriter, reader: JournalReader
    ) -> None:
        writer.append([change_set(complete=False)])
        writer.append([change_set(part=1, complete=False)])
        parts = [entry.changes for entry in reader.read(0, bytes_max=READ_BYTES)]
        assert [(c.part, c.complete) for c in parts] == [(0, False), (1, False)]

    def test_opening_cuts_an_unfinished_transaction(self) -> None:
        with self.open_writer() as writer:
            kept = writer.append([change_set(position="0/1")])
            cut = writer.append([change_set(n, part=n, complete=False) for n in range(3)])
        with self.open_writer() as writer, closing(self.open_reader()) as reader:
            assert writer.position == "0/1"
            assert [e.offset for e in reader.read(0, bytes_max=READ_BYTES)] == [kept]
            assert writer.append([change_set(position="0/2")]) > cut
            assert reader.read(cut, bytes_max=READ_BYTES)[0].changes.position == "0/2"

    def test_a_transaction_may_begin_anew(
        self, writer: JournalWriter, reader: JournalReader
    ) -> None:
        writer.append([change_set(position="0/1")])
        tried = writer.append([change_set(complete=False), change_set(part=1, complete=False)])
        again = writer.append([change_set(7, position="0/2")])
        assert again > tried
        entries = reader.read(0, bytes_max=READ_BYTES)
        assert [(e.changes.position, e.changes.rows) for e in entries] == [("0/1", 1), ("0/2", 7)]
        assert [e.offset for e in reader.read(tried, bytes_max=READ_BYTES)] == [again]

    def test_parts_come_in_order(self, writer: JournalWriter, reader: JournalReader) -> None:
        begun = writer.append([change_set(complete=False)])
        for wrong in (
            [change_set(part=2)],
            [change_set(part=1, complete=False), change_set(part=3)],
            [change_set(part=1, complete=False), change_set(part=0)],
        ):
            with pytest.raises(JournalError, match="part"):
                writer.append(wrong)
        assert reader.extent().last == begun
        assert writer.append([change_set(part=1)]) == begun + 1

    def test_an_append_is_all_or_nothing(
        self, writer: JournalWriter, reader: JournalReader
    ) -> None:
        def failing() -> Iterator[ChangeSet]:
            yield change_set(5000, position="0/1")
            raise LookupError

        with pytest.raises(LookupError):
            writer.append(failing(), facts={"half": "stored"})
        assert writer.position is None
        assert reader.facts() == {}
        assert list(reader.read(0, bytes_max=READ_BYTES)) == []
        writer.append([change_set(5000, position="0/2")])
        assert [e.changes.position for e in reader.read(0, bytes_max=READ_BYTES)] == ["0/2"]

    def test_clearing_drops_entries_and_position(
        self, writer: JournalWriter, reader: JournalReader
    ) -> None:
        first = writer.append([change_set(position="0/1")], facts={"kept": "yes"})
        last = writer.append([change_set(5000, position="0/2")])
        writer.clear()
        assert (writer.position, reader.position) == (None, None)
        assert writer.facts() == {"kept": "yes"}
        for after in (0, first, last):
            assert list(reader.read(after, bytes_max=READ_BYTES)) == []
        again = writer.append([change_set(position="0/3")])
        assert again > last
        for after in (0, first, last):
            assert [e.offset for e in reader.read(after, bytes_max=READ_BYTES)] == [again]

    def test_clearing_ends_an_unfinished_transaction(self, writer: JournalWriter) -> None:
        writer.append([change_set(complete=False)])
        writer.clear()
        writer.append([change_set(position="0/1")])
        assert writer.position == "0/1"

    def test_pruning_stops_at_the_slowest_reader(
        self, writer: JournalWriter, reader: JournalReader
    ) -> None:
        offsets = [writer.append([change_set(position=f"0/{n}")]) for n in range(10)]
        dropped = prune_all(writer, [offsets[8], offsets[3], offsets[5]])
        assert dropped == 4
        assert reader.extent().first == offsets[4]
        assert [e.offset for e in reader.read(offsets[3], bytes_max=READ_BYTES)] == offsets[4:]
        with pytest.raises(JournalError, match=f"{offsets[2] + 1} to {offsets[3]} were pruned"):
            reader.read(offsets[2], bytes_max=READ_BYTES)

    def test_nothing_is_pruned_that_is_wanted(
        self, writer: JournalWriter, reader: JournalReader
    ) -> None:
        last = writer.append([change_set(position=f"0/{n}") for n in range(10)])
        whole = reader.extent()
        for checkpoints in ([], [0], [last, 0], [last + 1]):
            assert prune_all(writer, checkpoints) == 0
        assert writer.prune(checkpoints=[last], keep_s=3600, keep_bytes=1 << 30) == 0
        assert _held(reader.extent()) == _held(whole)

    def test_an_unfinished_transaction_is_never_pruned(
        self, writer: JournalWriter, reader: JournalReader
    ) -> None:
        writer.append([change_set(position="0/1")])
        begun = writer.append([change_set(complete=False)])
        assert prune_all(writer, [begun]) == 1
        assert reader.extent().first == begun

    def test_pruning_by_size_drops_the_oldest(
        self, writer: JournalWriter, reader: JournalReader
    ) -> None:
        last = writer.append([change_set(20_000, position=f"0/{n}") for n in range(10)])
        size = reader.read(0, bytes_max=1)[0].bytes
        dropped = writer.prune(checkpoints=[last], keep_s=3600, keep_bytes=int(2.5 * size))
        assert dropped in (7, 8)
        assert reader.extent().last == last

    def test_the_position_survives_pruning_everything(self) -> None:
        with self.open_writer() as writer, closing(self.open_reader()) as reader:
            last = writer.append([change_set(position="0/1"), change_set(position="0/2")])
            assert prune_all(writer, [last]) == 2
            assert (writer.position, reader.position) == ("0/2", "0/2")
        with self.open_writer() as writer, closing(self.open_reader()) as reader:
            assert (writer.position, reader.position) == ("0/2", "0/2")
            assert writer.append([change_set(position="0/3")]) > last
            assert reader.position == "0/3"
            assert [e.changes.position for e in reader.read(last, bytes_max=1)] == ["0/3"]

    def test_a_reader_beyond_the_end_is_refused(
        self, writer: JournalWriter, reader: JournalReader
    ) -> None:
        last = writer.append([change_set()])
        with pytest.raises(JournalError, match=f"offset {last + 1}, the journal ends at {last}"):
            reader.read(last + 1, bytes_max=READ_BYTES)

    def test_a_set_without_rows(self, writer: JournalWriter, reader: JournalReader) -> None:
        """The end of a huge transaction may come after its last full set."""
        nothing = pa.RecordBatch.from_pylist([], schema=TRANSACTIONS)
        begun = change_set(position="0/1", complete=False)
        end = ChangeSet((), nothing, "0/2", part=1)
        writer.append([begun, end])
        assert_same(reader.read(0, bytes_max=READ_BYTES)[1].changes, end)
        assert writer.position == "0/2"

    def test_waiting(self, writer: JournalWriter, reader: JournalReader) -> None:
        reader.read(0, bytes_max=READ_BYTES)
        assert not reader.wait(0)
        writer.append([change_set()])
        assert reader.wait(200)
        assert len(reader.read(0, bytes_max=READ_BYTES)) == 1
        assert not reader.wait(0)

    def test_two_readers_are_both_woken(self, writer: JournalWriter, reader: JournalReader) -> None:
        with closing(self.open_reader("other")) as other:
            for each in (reader, other):
                each.read(0, bytes_max=READ_BYTES)
            writer.append([change_set()])
            assert reader.wait(200)
            assert other.wait(200)


def prune_all(writer: JournalWriter, checkpoints: list[int]) -> int:
    """Prune with nothing kept until a call drops nothing."""
    dropped = 0
    while count := writer.prune(checkpoints=checkpoints, keep_s=0, keep_bytes=0):
        dropped += count
    return dropped


def _held(extent: Extent) -> tuple[int, int, int]:
    return extent.first, extent.last, extent.oldest_us
