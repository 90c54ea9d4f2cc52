"""Records in columns, on their way to a topic or from one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int32]
Header = tuple[str, bytes]
MESSAGE_MAX = 1_048_588
"""Kafka's default of `max.message.bytes`, for brokers that do not say."""


@dataclass(frozen=True, slots=True)
class Records:
    """Records for one topic, in order.

    keys, values  binary, one each a record; a value that is NULL is a tombstone
    headers       the different sets of headers; `header_of` is the index of each record's, None
                  where all have the first of them, or none
    """

    keys: pa.BinaryArray
    values: pa.BinaryArray
    headers: Sequence[Sequence[Header]] = ()
    header_of: Ints | None = None

    @property
    def count(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Consecutive records of one partition, with the offsets they have there.

    offsets        ascending, with gaps where records were compacted, aborted or are markers
    next_offset    where to read on
    timestamps_ms  since 1970 UTC, as the producer or the broker said
    headers        one a record
    """

    topic: str
    partition: int
    offsets: npt.NDArray[np.int64]
    next_offset: int
    timestamps_ms: npt.NDArray[np.int64]
    keys: pa.BinaryArray
    values: pa.BinaryArray
    headers: Sequence[Sequence[Header]] = field(default=(), repr=False)

    @property
    def count(self) -> int:
        return len(self.offsets)
