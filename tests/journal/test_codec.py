"""Change sets survive the codec exactly; damaged bytes never do."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.changes import OLD_KEY, OLD_NONE, OLD_ROW, REPLACED, TRANSACTIONS, ChangeSet, TableChanges
from cdc.schema import Column, TableName, TableSchema
from tailrace.errors import JournalCorrupt
from tailrace.journal.codec import TYPES, Payload, decode, encode
from tailrace.journal.conformance import ORDERS, assert_same, change_set

VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.text(),
    pa.large_string(): st.text(),
    pa.binary(): st.binary(),
    pa.large_binary(): st.binary(),
    pa.bool_(): st.booleans(),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
    **{
        getattr(pa, f"int{bits}")(): st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        for bits in (8, 16, 32, 64)
    },
    **{getattr(pa, f"uint{bits}")(): st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}


def round_trip(changes: ChangeSet) -> ChangeSet:
    schemas = {table.schema.version: table.schema for table in changes.tables}
    payload = encode(changes)
    joined = payload.joined()
    assert len(joined) == payload.size
    return decode(joined, schemas.__getitem__, payload.checksum)


def test_every_type_has_values_here() -> None:
    assert set(VALUES) == set(TYPES.values())


@st.composite
def arrays(draw: st.DrawFn, kind: pa.DataType, rows: int) -> pa.Array:
    """Of `rows` values, often a slice out of a longer one."""
    before, after = draw(st.integers(0, 9)), draw(st.integers(0, 3))
    size = before + rows + after
    values = draw(st.lists(st.none() | VALUES[kind], min_size=size, max_size=size))
    return pa.array(values, kind).slice(before, rows)


@st.composite
def tables(draw: st.DrawFn) -> TableChanges:
    rows = draw(st.integers(0, 12))
    kinds = draw(st.lists(st.sampled_from(list(VALUES)), max_size=5))
    places = list(range(len(kinds)))
    names = draw(
        st.lists(st.text(min_size=1), min_size=len(kinds), max_size=len(kinds), unique=True)
    )
    unsent = draw(st.lists(st.sampled_from(places), unique=True)) if places else []
    old = None
    if draw(st.booleans()):
        old = tuple(draw(st.none() | arrays(kind, rows)) for kind in kinds)
    flags = st.lists(st.booleans(), min_size=rows, max_size=rows)
    old_kinds = st.lists(
        st.sampled_from([OLD_NONE, OLD_KEY, OLD_ROW]), min_size=rows, max_size=rows
    )
    ops = st.lists(st.sampled_from(b"cudtr"), min_size=rows, max_size=rows)
    return TableChanges(
        schema=TableSchema(
            TableName(draw(st.text()), draw(st.text())),
            tuple(Column(name, "text", "text") for name in names),
            tuple(names[:1]),
        ),
        op=pa.array(draw(ops), pa.uint8()),
        seq=pa.array(range(rows), pa.int32()),
        new=tuple(draw(arrays(kind, rows)) for kind in kinds),
        unsent={index: pa.array(draw(flags), pa.bool_()) for index in unsent},
        old_kind=draw(st.none() | old_kinds.map(lambda kinds: pa.array(kinds, pa.uint8()))),
        old=old,
        replaced=draw(st.none() | replaced(rows)),
    )


@st.composite
def replaced(draw: st.DrawFn, rows: int) -> pa.ListArray:
    """Often a slice out of a longer one."""
    before = draw(st.integers(0, 5))
    value = st.fixed_dictionaries(
        {"column": st.integers(-(2**15), 2**15 - 1), "value": st.none() | st.text()}
    )
    lists = st.none() | st.lists(value, max_size=3)
    values = draw(st.lists(lists, min_size=before + rows, max_size=before + rows))
    return pa.array(values, REPLACED).slice(before)


@st.composite
def change_sets(draw: st.DrawFn) -> ChangeSet:
    bigint = st.integers(-(2**63), 2**63 - 1)
    transactions = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "first_seq": st.integers(0, 2**31 - 1),
                    "position": st.text(),
                    "commit_us": bigint,
                    "xid": st.none() | bigint,
                    "origin": st.none() | st.text(),
                }
            ),
            max_size=4,
        )
    )
    return ChangeSet(
        tables=tuple(draw(st.lists(tables(), max_size=3))),
        transactions=pa.RecordBatch.from_pylist(transactions, schema=TRANSACTIONS),
        position=draw(st.text()),
        complete=draw(st.booleans()),
        part=draw(st.integers(0, 2**32 - 1)),
    )


@settings(deadline=None)
@given(change_sets())
def test_round_trip(changes: ChangeSet) -> None:
    assert_same(round_trip(changes), changes)


def test_what_text_may_hold() -> None:
    texts = ["", None, "ä", "日本語", "a\x00b", "🙂" * 1000, "\ufeff", "NULL", " " * 7]
    size = len(texts)
    note = pa.array(texts, pa.string())
    changes = ChangeSet(
        (
            TableChanges(
                schema=ORDERS,
                op=pa.array(b"cudtr"[i % 5] for i in range(size)).cast(pa.uint8()),
                seq=pa.array(range(size), pa.int32()),
                new=(note, note.slice(0)),
                unsent={1: pa.array([True] * size)},
                old_kind=pa.array([OLD_KEY] * size, pa.uint8()),
                old=(note, None),
            ),
        ),
        change_set().transactions,
        "0/1",
    )
    got = round_trip(changes)
    assert_same(got, changes)
    assert got.tables[0].new[0].to_pylist() == texts


def test_decoding_copies_nothing() -> None:
    payload = encode(change_set(1000))
    joined = pa.py_buffer(payload.joined())
    table = decode(joined, lambda _: ORDERS, payload.checksum).tables[0]
    for array in (table.op, *table.new):
        for buffer in filter(None, array.buffers()):
            assert joined.address <= buffer.address < joined.address + joined.size


def _damaged(payload: Payload) -> list[bytes]:
    """Every bit flipped, every length shorter, some longer."""
    whole = payload.joined()
    flipped = []
    for place in range(8 * len(whole)):
        bits = bytearray(whole)
        bits[place // 8] ^= 1 << place % 8
        flipped.append(bytes(bits))
    return [*flipped, *(whole[:size] for size in range(len(whole))), whole + bytes(8)]


def test_no_damage_goes_unnoticed() -> None:
    payload = encode(change_set(2))
    for damaged in _damaged(payload):
        with pytest.raises(JournalCorrupt):
            decode(damaged, lambda _: ORDERS, payload.checksum)


def test_garbage_is_refused() -> None:
    choice = random.Random(4)
    for _ in range(500):
        garbage = choice.randbytes(choice.randrange(300))
        with pytest.raises(JournalCorrupt):
            decode(garbage, lambda _: ORDERS, int.from_bytes(garbage[:4], "little"))


def test_a_sound_payload_in_the_wrong_place_is_refused() -> None:
    here, there = encode(change_set(2)), encode(change_set(3))
    with pytest.raises(JournalCorrupt, match="checksum"):
        decode(there.joined(), lambda _: ORDERS, here.checksum)


def test_a_schema_that_is_missing() -> None:
    payload = encode(change_set())
    schemas: dict[str, TableSchema] = {}
    with pytest.raises(JournalCorrupt):
        decode(payload.joined(), schemas.__getitem__, payload.checksum)


@pytest.mark.parametrize(
    "make",
    [
        lambda: pa.array([1], pa.decimal128(5, 2)),
        lambda: pa.array(["a"]).dictionary_encode(),
        lambda: pa.array([[1]]),
        lambda: pa.nulls(1),
    ],
    ids=["decimal", "dictionary", "list", "null"],
)
def test_other_types_are_refused_when_written(make: Callable[[], pa.Array]) -> None:
    plain = change_set().tables[0]
    table = TableChanges(ORDERS, plain.op, plain.seq, (plain.new[0], make()))
    with pytest.raises(TypeError, match="Arrow type"):
        encode(ChangeSet((table,), change_set().transactions, "0/1"))


def test_arrays_that_do_not_fit_are_refused_when_written() -> None:
    plain = change_set(2).tables[0]
    one_column = TableChanges(ORDERS, plain.op, plain.seq, plain.new[:1])
    ragged = TableChanges(ORDERS, plain.op, plain.seq, (plain.new[0], plain.new[1].slice(1)))
    for table in (one_column, ragged):
        with pytest.raises((TypeError, ValueError)):
            encode(ChangeSet((table,), change_set().transactions, "0/1"))
    with pytest.raises(TypeError, match="TRANSACTIONS"):
        encode(ChangeSet((), pa.record_batch([pa.array([1])], names=["a"]), "0/1"))


def test_what_format_1_wrote_is_read() -> None:
    """`format_1.bin` was written before rows before stood in change sets as what was replaced."""
    stored = (Path(__file__).parent / "format_1.bin").read_bytes()
    got = decode(stored, lambda _: ORDERS, 839469818)
    first, second = got.tables
    assert first.op.to_pylist() == list(b"cuudt")
    assert first.old_kind is not None
    assert first.old_kind.to_pylist() == [OLD_NONE, OLD_KEY, OLD_ROW, OLD_KEY, OLD_NONE]
    assert [column and column.to_pylist() for column in first.old or ()] == [
        [None, "7", "3", "4", None],
        [None, None, "before", None, None],
    ]
    assert first.unsent[1].to_pylist() == [False, True, False, False, False]
    assert first.replaced is None
    assert [column.to_pylist() for column in second.new] == [["9"], [None]]
    assert (got.position, got.complete, got.part) == ("0-1-6", True, 3)
