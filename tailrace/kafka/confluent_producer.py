"""confluent-kafka's transactional producer, a record at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from tailrace.failpoints import failpoint
from tailrace.kafka.batches import by_partition, together
from tailrace.kafka.confluent import REQUEST_S, configuration, translate, translated
from tailrace.kafka.records import MESSAGE_MAX, Ints, Records
from tailrace.kafka.settings import Cluster

BATCH_BYTES = 1_000_000


class ConfluentProducer:
    def __init__(
        self, cluster: Cluster, transactional_id: str, timeout_s: float, compression: str
    ) -> None:
        self._settings = {
            **configuration(cluster),
            "transactional.id": transactional_id,
            "transaction.timeout.ms": int(timeout_s * 1000),
            "compression.type": compression,
            "linger.ms": 5,
            "batch.size": BATCH_BYTES,
            "queue.buffering.max.kbytes": 64 << 10,
            "queue.buffering.max.messages": 100_000,
        }
        self._producer: Any = None
        self._partitions: dict[str, int] = {}
        self._failed: list[Any] = []
        self._begun = False

    def open(self) -> None:
        from confluent_kafka import Producer

        self.close()
        with translated("taking the transactional id over"):
            self._producer = Producer(self._settings)
            self._producer.init_transactions(REQUEST_S)
        self._partitions.clear()

    def begin(self) -> None:
        self._failed.clear()
        self._begun = False

    def produce(
        self,
        topic: str,
        records: Records,
        partition: int | None = None,
        message_max: int = MESSAGE_MAX,
    ) -> None:
        if not self._begun:
            with translated("beginning a transaction"):
                self._producer.begin_transaction()
            self._begun = True
        if partition is not None:
            self._send(topic, records, partition, np.arange(records.count, dtype=np.int32))
            return
        for number, rows in by_partition(records, self._count(topic)):
            if message_max > BATCH_BYTES:
                self._send(topic, records, number, rows)
                continue
            for first, last in together(records, rows, message_max):
                self._send(topic, records, number, rows[first:last])
                self._producer.flush()  # the library has one size of batches for all topics

    def commit(self) -> None:
        if self._begun:
            with translated("committing"):
                self._producer.commit_transaction(REQUEST_S)
            failpoint("deliver.commit_sent")
            if self._failed:
                raise translate(self._failed[0], "writing")

    def abort(self) -> None:
        if self._begun:
            with translated("rolling back"):
                self._producer.abort_transaction(REQUEST_S)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.purge()
        self._producer = None

    def _send(self, topic: str, records: Records, partition: int, rows: Ints) -> None:
        keys, values, producer = records.keys, records.values, self._producer
        header_of = records.header_of
        for row in rows.tolist():
            headers = None
            if records.headers:
                headers = list(records.headers[0 if header_of is None else header_of[row]])
            while True:
                try:
                    producer.produce(
                        topic,
                        value=values[row].as_py(),
                        key=keys[row].as_py(),
                        partition=partition,
                        headers=headers,
                        on_delivery=self._delivered,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.poll(0)
        if self._failed:
            raise translate(self._failed[0], "writing", topic)

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failed.append(error)

    def _count(self, topic: str) -> int:
        if topic not in self._partitions:
            with translated("looking for a topic's partitions", topic):
                found = self._producer.list_topics(topic, REQUEST_S).topics[topic]
            if found.error is not None:
                raise translate(found.error, "looking for a topic's partitions", topic)
            self._partitions[topic] = len(found.partitions)
        return self._partitions[topic]
