"""confluent-kafka's consumer, records in columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tailrace.kafka.confluent import REQUEST_S, configuration, translate, translated
from tailrace.kafka.protocol import Partition
from tailrace.kafka.records import Fetched
from tailrace.kafka.settings import Cluster


class ConfluentConsumer:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._consumer: Any = None
        self._in_group = False  # the library asks for one's coordinator all the same
        self._positions: dict[Partition, int] = {}

    def assign(self, offsets: Mapping[Partition, int], group: str | None = None) -> None:
        from confluent_kafka import TopicPartition

        self.close()
        with translated("reading"):
            self._opened(group).assign([TopicPartition(*one, at) for one, at in offsets.items()])
        self._positions = dict(offsets)

    def subscribe(
        self,
        topics: Sequence[str],
        group: str,
        *,
        revoked: Callable[[Sequence[Partition]], None],
        assigned: Callable[[Sequence[Partition]], Mapping[Partition, int]],
    ) -> None:
        def came(consumer: Any, partitions: list[Any]) -> None:
            offsets = assigned([_named(one) for one in partitions])
            for one in partitions:
                if _named(one) in offsets:
                    one.offset = offsets[_named(one)]
            consumer.assign(partitions)

        def gone(consumer: Any, partitions: list[Any]) -> None:
            revoked([_named(one) for one in partitions])
            for one in partitions:
                self._positions.pop(_named(one), None)

        self.close()
        with translated("joining the group"):
            self._opened(group).subscribe(
                list(topics), on_assign=came, on_revoke=gone, on_lost=gone
            )

    def poll(self, timeout_s: float, records_max: int = 10_000) -> list[Fetched]:
        consumer = self._opened()
        found: dict[Partition, list[Any]] = defaultdict(list)
        with translated("reading"):
            messages = consumer.consume(1, timeout_s)
            if messages:
                messages += consumer.consume(records_max - 1, min(0.05, timeout_s))
        for message in messages:
            self._sort(message, found)
        return [_fetched(partition, records) for partition, records in found.items()]

    def _sort(self, message: Any, found: dict[Partition, list[Any]]) -> None:
        partition = (message.topic(), message.partition())
        error = message.error()
        if error is None:
            found[partition].append(message)
            self._positions[partition] = message.offset() + 1
        elif error.name() == "_PARTITION_EOF":
            self._positions[partition] = message.offset()
        elif error.name() != "GROUP_AUTHORIZATION_FAILED" or self._in_group:
            raise translate(error, "reading", message.topic())

    def extent(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        from confluent_kafka import IsolationLevel, TopicPartition
        from confluent_kafka.admin import AdminClient, OffsetSpec

        admin = AdminClient(configuration(self._cluster))
        wanted = {TopicPartition(*one): one for one in partitions}
        ends: list[dict[Partition, int]] = []
        with translated("asking for offsets"):
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
                answers = admin.list_offsets(
                    dict.fromkeys(wanted, spec),
                    isolation_level=IsolationLevel.READ_COMMITTED,
                    request_timeout=REQUEST_S,
                )
                ends.append(
                    {_named(one): future.result().offset for one, future in answers.items()}
                )
        return {one: (ends[0][one], ends[1][one]) for one in partitions}

    def positions(self) -> dict[Partition, int]:
        return dict(self._positions)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        from confluent_kafka import TopicPartition

        with translated("storing offsets"):
            self._opened().commit(
                offsets=[TopicPartition(*one, at) for one, at in offsets.items()],
                asynchronous=False,
            )

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = None

    def _opened(self, group: str | None = None) -> Any:
        if self._consumer is None:
            from confluent_kafka import Consumer

            self._in_group = group is not None
            self._consumer = Consumer(
                {
                    **configuration(self._cluster),
                    "group.id": group or "tailrace",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                }
            )
        return self._consumer


def _named(one: Any) -> Partition:
    return (one.topic, one.partition)


def _fetched(partition: Partition, records: list[Any]) -> Fetched:
    return Fetched(
        topic=partition[0],
        partition=partition[1],
        offsets=np.fromiter((one.offset() for one in records), np.int64, len(records)),
        next_offset=records[-1].offset() + 1,
        timestamps_ms=np.fromiter((one.timestamp()[1] for one in records), np.int64, len(records)),
        keys=pa.array([one.key() for one in records], pa.binary()),
        values=pa.array([one.value() for one in records], pa.binary()),
        headers=[one.headers() or [] for one in records],
    )
