"""Records as Kafka's record batches (format 2); `_batches` is the hot part.

A batch: https://kafka.apache.org/documentation/#recordbatch

    base offset 8 · length 4 · leader epoch 4 · magic 1 · crc32c 4 ·
    attributes 2 · last offset delta 4 · base, max timestamp 8 + 8 ·
    producer id 8 · epoch 2 · base sequence 4 · count 4 · records, compressed as one
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace.buffers import column_of
from tailrace.kafka.records import MESSAGE_MAX, Header, Ints, Records
from tailrace.variants import load

_batches: Any = load("tailrace.kafka._batches")
COMPILED: bool = bool(_batches.COMPILED)

BATCH_BYTES = 1 << 20
"""Records of a batch before compression, at the most: enough for compression to pay."""

HEADER = struct.Struct(">qiibI")
_BODY = struct.Struct(">hiqqqhii")
HEAD_BYTES = HEADER.size + _BODY.size
_TRANSACTIONAL = 0x10
_SEQUENCES = 1 << 31

Compress = Callable[[bytes | bytearray], bytes | bytearray]


def _zstd() -> Compress:
    import zstandard

    return zstandard.ZstdCompressor(level=3).compress


def _lz4() -> Compress:
    import lz4.frame

    def compress(data: bytes | bytearray) -> bytes:
        made: bytes = lz4.frame.compress(data, store_size=False, block_linked=False)
        return made

    return compress


_CODECS: dict[str, tuple[int, Callable[[], Compress]]] = {
    "none": (0, lambda: bytes),
    "gzip": (1, lambda: lambda data: gzip.compress(data, 6)),
    "lz4": (3, _lz4),
    "zstd": (4, _zstd),
}


@dataclass(frozen=True, slots=True)
class Producing:
    """Whose batches these are."""

    producer_id: int
    epoch: int


class Encoder:
    """Encodes batches with one compression."""

    def __init__(self, compression: str) -> None:
        import crc32c

        self._codec, codec = _CODECS[compression]
        self._compress = codec()
        self._crc = crc32c.crc32c

    def batches(
        self,
        records: Records,
        rows: Ints,
        producing: Producing,
        sequence: int,
        now_ms: int,
        message_max: int = MESSAGE_MAX,
    ) -> Iterator[tuple[int, bytes]]:
        """`rows` of the records, as (number of records, batch), each no larger than `message_max`;
        where compression decides that, a record is alone. `sequence`: of the first record."""
        keys, values = column_of(records.keys), column_of(records.values)
        sets = [encoded_headers(one) for one in records.headers] or [b"\0"]
        header_of = None if records.header_of is None else _buffer(records.header_of)
        which = _buffer(rows)
        for first, last in together(records, rows, message_max):
            data = _batches.encode(keys, values, sets, header_of, which, first, last)
            count = last - first
            yield count, self._batch(data, count, producing, sequence, now_ms)
            sequence = (sequence + count) % _SEQUENCES

    def alone(self, records: Records, row: int) -> int:
        """Bytes of a batch of this record only."""
        rows = np.array([row], np.int32)
        [(_, batch)] = self.batches(records, rows, Producing(0, 0), 0, 0)
        return len(batch)

    def _batch(
        self, data: bytearray, count: int, producing: Producing, sequence: int, now_ms: int
    ) -> bytes:
        packed = self._compress(data)
        body = _BODY.pack(
            self._codec | _TRANSACTIONAL,
            count - 1,
            now_ms,
            now_ms,
            producing.producer_id,
            producing.epoch,
            sequence,
            count,
        )
        crc = self._crc(packed, self._crc(body))
        length = HEAD_BYTES + len(packed) - 12
        return b"".join((HEADER.pack(0, length, -1, 2, crc), body, packed))


def by_partition(records: Records, partitions: int) -> Iterator[tuple[int, Ints]]:
    """(partition, the rows that go there, in order) for those that get any."""
    everything = np.arange(records.count, dtype=np.int32)
    if partitions == 1 or not records.count:
        yield 0, everything
        return
    found = np.frombuffer(
        _batches.partitions(column_of(records.keys), records.count, partitions), np.int32
    )
    order = np.argsort(found, kind="stable").astype(np.int32)
    cuts = np.searchsorted(found[order], np.arange(partitions + 1))
    for partition in range(partitions):
        if cuts[partition + 1] > cuts[partition]:
            yield partition, order[cuts[partition] : cuts[partition + 1]]


def together(records: Records, rows: Ints, message_max: int) -> Iterator[tuple[int, int]]:
    """(first, last) of those among `rows` that go into one batch."""
    ends = np.cumsum(sizes(records)[rows])
    most = batch_bytes(message_max)
    first = 0
    while first < len(rows):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield first, last
        first = last


def batch_bytes(message_max: int) -> int:
    """Of records whose batch a topic takes even where they do not compress: compressing such adds
    some bytes to each block."""
    return min(BATCH_BYTES, message_max - HEAD_BYTES - 64 - (message_max >> 10))


def sizes(records: Records) -> np.ndarray:
    """Bytes of each record at the most, before compression."""
    found: np.ndarray = _lengths(records.keys) + _lengths(records.values) + _batches.OVERHEAD
    if records.headers:
        sets = np.array([len(encoded_headers(one)) for one in records.headers])
        found = found + (sets[0] if records.header_of is None else sets[records.header_of])
    return found


def encoded_headers(headers: Sequence[Header]) -> bytes:
    """With their count, as they stand at the end of a record."""
    parts = [_varint(len(headers))]
    for name, value in headers:
        raw = name.encode()
        parts += (_varint(len(raw)), raw, _varint(len(value)), value)
    return b"".join(parts)


def decoded(
    data: memoryview, count: int
) -> tuple[
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    pa.BinaryArray,
    pa.BinaryArray,
    Sequence[Sequence[Header]],
]:
    """The `count` records of a batch, decompressed: deltas of offsets and of timestamps, keys,
    values, headers. Errors: ValueError."""
    places, times, keys, values, headers = _batches.decode(pa.py_buffer(data), len(data), count)
    named = [
        tuple((name.decode(), value or b"") for name, value in one) for one in headers or ()
    ] or [()] * count
    return (
        np.frombuffer(places, np.int64),
        np.frombuffer(times, np.int64),
        _binary(count, *keys),
        _binary(count, *values),
        named,
    )


def _binary(count: int, valid: bytearray, offsets: bytearray, data: bytearray) -> pa.BinaryArray:
    flags = np.frombuffer(valid, np.bool_)
    mask = None if flags.all() else pa.py_buffer(np.packbits(flags, bitorder="little"))
    buffers = [mask, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), count, buffers)


def _lengths(array: pa.BinaryArray) -> np.ndarray:
    """Of a value that is NULL a little more than nothing, perhaps."""
    offsets = np.frombuffer(array.buffers()[1], np.int32)
    return np.diff(offsets[array.offset : array.offset + len(array) + 1]).astype(np.int64)


def _buffer(numbers: Ints) -> pa.Buffer:
    return pa.py_buffer(np.ascontiguousarray(numbers, np.int32))


def _varint(number: int) -> bytes:
    left = number << 1
    out = bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    out.append(left)
    return bytes(out)
