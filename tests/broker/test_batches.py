"""Batches of records as they are encoded, and read again. No broker."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.kafka import batches
from tailrace.kafka.records import Header, Records

TEXTS = st.one_of(st.none(), st.binary(max_size=200), st.integers(0, 20_000).map(bytes))
HEADERS: tuple[tuple[Header, ...], ...] = ((), (("a", b"1"), ("ä", b"")))
RECORDS = st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 1)), min_size=1, max_size=80)


def encoded(rows: list[tuple[bytes | None, bytes | None, int]]) -> bytes:
    keys, values, which = zip(*rows, strict=True)
    records = Records(
        pa.array(keys, pa.binary()), pa.array(values, pa.binary()), HEADERS, np.array(which, "i4")
    )
    everything = np.arange(len(rows), dtype=np.int32)
    [(_, batch)] = batches.Encoder("none").batches(
        records, everything, batches.Producing(1, 0), 0, 5, 64 << 20
    )
    return batch[batches.HEAD_BYTES :]


@given(RECORDS)
def test_what_is_encoded_is_decoded(rows: list[tuple[bytes | None, bytes | None, int]]) -> None:
    places, times, keys, values, headers = batches.decoded(memoryview(encoded(rows)), len(rows))
    assert places.tolist() == list(range(len(rows)))
    assert not times.any()
    for column in (keys, values):
        column.validate(full=True)
    assert list(zip(keys.to_pylist(), values.to_pylist(), strict=True)) == [r[:2] for r in rows]
    assert list(headers) == [HEADERS[which] for _, _, which in rows]


@given(RECORDS, st.data())
def test_damaged_batches_are_refused_or_read(
    rows: list[tuple[bytes | None, bytes | None, int]], data: st.DataObject
) -> None:
    """Whatever stands there, nothing beside it is read."""
    whole = encoded(rows)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match="not whole"):
        batches.decoded(memoryview(whole[:cut]), len(rows))
    damaged = bytearray(whole)
    damaged[cut] = data.draw(st.integers(0, 255))
    try:
        found = batches.decoded(memoryview(damaged), len(rows))
    except ValueError:
        return
    for column in found[2:4]:
        column.validate(full=True)
