"""kafka-python's consumer, records in columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from tailrace.kafka.errors import Unreachable
from tailrace.kafka.protocol import Partition
from tailrace.kafka.python import CONNECT_S, REQUEST_S, configuration, translated
from tailrace.kafka.records import Fetched
from tailrace.kafka.settings import Cluster

_FETCH_BYTES = 8 << 20


class PythonConsumer:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._consumer: Any = None

    def assign(self, offsets: Mapping[Partition, int], group: str | None = None) -> None:
        self.close()
        consumer = self._opened(group)
        with translated("reading"):
            consumer.assign([_partition(one) for one in offsets])
            for one, offset in offsets.items():
                consumer.seek(_partition(one), offset)

    def subscribe(
        self,
        topics: Sequence[str],
        group: str,
        *,
        revoked: Callable[[Sequence[Partition]], None],
        assigned: Callable[[Sequence[Partition]], Mapping[Partition, int]],
    ) -> None:
        self.close()
        consumer = self._opened(group)
        with translated("joining the group"):
            consumer.subscribe(topics=list(topics), listener=_listener(consumer, revoked, assigned))

    def poll(self, timeout_s: float, records_max: int = 10_000) -> list[Fetched]:
        with translated("reading"):
            found = self._opened().poll(timeout_ms=int(timeout_s * 1000), max_records=records_max)
            return [
                Fetched(
                    topic=partition.topic,
                    partition=partition.partition,
                    offsets=np.concatenate([one.offsets for one in chunks]),
                    next_offset=chunks[-1].next_offset,
                    timestamps_ms=np.concatenate([one.timestamps_ms for one in chunks]),
                    keys=pa.concat_arrays([one.keys for one in chunks]),
                    values=pa.concat_arrays([one.values for one in chunks]),
                    headers=list(chain.from_iterable(one.headers for one in chunks)),
                )
                for partition, chunks in found.items()
                if chunks
            ]

    def extent(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        consumer = self._opened()
        wanted = [_partition(one) for one in partitions]
        deadline = time.monotonic() + REQUEST_S
        while True:
            try:
                with translated("asking for offsets"):
                    first, last = consumer.beginning_offsets(wanted), consumer.end_offsets(wanted)
                return {tuple(one): (first[one], last[one]) for one in wanted}
            except KeyError:  # of a topic that it has not heard of yet
                if time.monotonic() > deadline:
                    raise Unreachable("asking for offsets: an unknown topic") from None
                time.sleep(0.05)

    def positions(self) -> dict[Partition, int]:
        consumer = self._opened()
        with translated("asking for positions"):
            return {tuple(one): consumer.position(one) for one in consumer.assignment()}

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        from kafka.structs import OffsetAndMetadata

        with translated("storing offsets"):
            self._opened().commit(
                {
                    _partition(one): OffsetAndMetadata(offset, "", -1)
                    for one, offset in offsets.items()
                }
            )

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=2000)
        self._consumer = None

    def _opened(self, group: str | None = None) -> Any:
        if self._consumer is None:
            from kafka import KafkaConsumer

            from tailrace.kafka.fetching import Columns

            with translated("connecting"):
                self._consumer = KafkaConsumer(
                    group_id=group,
                    enable_auto_commit=False,
                    auto_offset_reset="earliest",
                    isolation_level="read_committed",
                    allow_auto_create_topics=False,
                    max_partition_fetch_bytes=_FETCH_BYTES,
                    metrics_enabled=False,
                    bootstrap_timeout_ms=int(CONNECT_S * 1000),
                    **configuration(self._cluster),
                )
                self._consumer._fetcher.PartitionRecords = Columns
        return self._consumer


def _partition(one: Partition) -> Any:
    from kafka.structs import TopicPartition

    return TopicPartition(*one)


def _listener(
    consumer: Any,
    revoked: Callable[[Sequence[Partition]], None],
    assigned: Callable[[Sequence[Partition]], Mapping[Partition, int]],
) -> Any:
    from kafka.consumer.subscription_state import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_revoked(self, gone: Sequence[Any]) -> None:
            revoked([tuple(one) for one in gone])

        def on_partitions_assigned(self, came: Sequence[Any]) -> None:
            offsets = assigned([tuple(one) for one in came])
            for one in came:
                if tuple(one) in offsets:
                    consumer.seek(one, offsets[tuple(one)])

    return Listener()
