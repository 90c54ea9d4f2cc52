"""Fetched batches in columns, in place of kafka-python's object a record.

Its fetcher keeps what it does well: sessions, leaders, positions, who was assigned what. Only the
records of a partition's answer are unpacked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError

from tailrace.kafka.batches import decoded
from tailrace.kafka.records import Header

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one batch; `next_offset` is behind the batch."""

    offsets: Longs
    timestamps_ms: Longs
    keys: pa.BinaryArray
    values: pa.BinaryArray
    headers: Sequence[Sequence[Header]]
    next_offset: int

    def cut(self, begin: int, end: int) -> Chunk:
        offsets = self.offsets[begin:end]
        is_last = end >= len(self.offsets)
        return Chunk(
            offsets,
            self.timestamps_ms[begin:end],
            self.keys.slice(begin, end - begin),
            self.values.slice(begin, end - begin),
            self.headers[begin:end],
            self.next_offset if is_last else int(offsets[-1]) + 1,
        )


class Taken(list[Chunk]):
    """Chunks; its length is that of their records, which is what the fetcher counts."""

    records = 0

    def __len__(self) -> int:
        return self.records


class Columns(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What a partition's answer holds, taken in chunks."""

    _left: Chunk | None = None

    def take(self, n: int) -> Taken:
        self._maybe_raise_next_inline_exception()
        taken = Taken()
        try:
            while taken.records < n:
                chunk = self._left or next(self.record_iterator, None)
                if chunk is None:
                    break
                some = chunk.cut(0, n - taken.records)
                rest = chunk.cut(len(some.offsets), len(chunk.offsets))
                self._left = rest if len(rest.offsets) else None
                self.next_fetch_offset = some.next_offset
                taken.append(some)
                taken.records += len(some.offsets)
        except Exception as error:
            if not taken.records:
                raise
            self._next_inline_exception = error  # of the next call
        return taken

    def _maybe_skip_record(self, record: Chunk) -> bool:
        return False  # what came before our offset was cut off already

    def _unpack_records(self, tp: Any, records: Any, *_: Any) -> Iterator[Chunk]:
        batch = records.next_batch()
        while batch is not None:
            if not batch.validate_crc():
                raise CorruptRecordError(f"a batch at offset {batch.base_offset} is damaged")
            chunk = None if self._is_passed_over(batch) else self._chunk(batch)
            if chunk is not None and len(chunk.offsets):
                yield chunk
            self.next_fetch_offset = batch.next_offset
            batch = records.next_batch()
        self.drain()

    def _is_passed_over(self, batch: Any) -> bool:
        """Markers, and records of transactions that were aborted."""
        if batch.magic < 2:
            raise CorruptRecordError("records of a format before Kafka 0.11 are not read")
        self.leader_epoch = batch.leader_epoch
        if not batch.has_producer_id():
            return bool(batch.is_control_batch)
        self._consume_aborted_transactions_up_to(batch.last_offset)
        if self._contains_abort_marker(batch):
            self.aborted_producer_ids.discard(batch.producer_id)
        return bool(batch.is_control_batch or self._is_batch_aborted(batch))

    def _chunk(self, batch: Any) -> Chunk:
        """Its records from our offset on."""
        batch._maybe_uncompress()
        data = memoryview(batch._buffer)[batch._pos :]
        try:
            places, times, keys, values, headers = decoded(data, batch.records_count)
        except ValueError as error:
            raise CorruptRecordError(f"a batch at {batch.base_offset}: {error}") from None
        offsets = batch.base_offset + places
        appended = batch.timestamp_type == batch.LOG_APPEND_TIME
        times = (
            np.full(len(places), batch.max_timestamp)
            if appended
            else (batch.first_timestamp + times)
        )
        chunk = Chunk(offsets, times, keys, values, headers, batch.next_offset)
        begin = int(np.searchsorted(offsets, self.fetch_offset))
        return chunk.cut(begin, len(offsets))
