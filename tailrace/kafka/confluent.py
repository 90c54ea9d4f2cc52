"""confluent-kafka (librdkafka) behind the same protocol: `pip install 'tailrace[confluent]'`.

It takes a record at a time, in C.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from tailrace.kafka.batches import by_partition
from tailrace.kafka.errors import Refused, Superseded, TransportError, Unreachable
from tailrace.kafka.protocol import Partition, Topic
from tailrace.kafka.records import Fetched, Ints, Records
from tailrace.kafka.settings import Cluster

REQUEST_S = 30.0
CONNECT_S = 10.0
_SUPERSEDED = {
    "_FENCED",
    "PRODUCER_FENCED",
    "INVALID_PRODUCER_EPOCH",
    "INVALID_PRODUCER_ID_MAPPING",
}
_REFUSED = {
    "TOPIC_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    "_AUTHENTICATION",
    "SASL_AUTHENTICATION_FAILED",
    "_INVALID_ARG",
    "_SSL",
    "TOPIC_EXCEPTION",
    "INVALID_CONFIG",
    "INVALID_REPLICATION_FACTOR",
    "INVALID_PARTITIONS",
    "INVALID_TRANSACTION_TIMEOUT",
    "POLICY_VIOLATION",
    "MSG_SIZE_TOO_LARGE",
    "UNSUPPORTED_VERSION",
    "INVALID_RECORD",
}


def configuration(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = {
        "bootstrap.servers": cluster.brokers,
        "security.protocol": cluster.security,
        "client.id": "tailrace",
        "log_level": 0,
        "message.max.bytes": 128 << 20,
        "reconnect.backoff.max.ms": 1000,
    }
    if (tls := cluster.tls) is not None:
        files = {
            "ssl.ca.location": tls.ca,
            "ssl.certificate.location": tls.certificate,
            "ssl.key.location": tls.key or tls.certificate,
            "ssl.key.password": tls.key_password,
        }
        found |= {key: value for key, value in files.items() if value is not None}
    if cluster.sasl is not None:
        found["sasl.mechanism"] = cluster.sasl.mechanism
        found["sasl.username"] = cluster.sasl.user
        found["sasl.password"] = cluster.sasl.password
    return found


@contextmanager
def translated(doing: str, topic: str | None = None) -> Iterator[None]:
    from confluent_kafka import KafkaException

    try:
        yield
    except KafkaException as error:
        raise _translate(error.args[0], doing, topic) from error


def _translate(error: Any, doing: str, topic: str | None = None) -> TransportError:
    name = error.name()
    if name in _SUPERSEDED:
        return Superseded(f"{doing}: {name}", topic=topic)
    return (Refused if name in _REFUSED else Unreachable)(f"{doing}: {name}", topic=topic)


class ConfluentClient:
    def __init__(self, cluster: Cluster) -> None:
        try:
            import confluent_kafka  # noqa: F401
        except ImportError:
            raise Refused(
                "confluent-kafka is not installed: pip install 'tailrace[confluent]'"
            ) from None
        self._cluster = cluster

    def producer(
        self, transactional_id: str, timeout_s: float, compression: str
    ) -> ConfluentProducer:
        return ConfluentProducer(self._cluster, transactional_id, timeout_s, compression)

    def consumer(self) -> ConfluentConsumer:
        return ConfluentConsumer(self._cluster)

    def admin(self) -> ConfluentAdmin:
        return ConfluentAdmin(self._cluster)


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
            "batch.size": 1_000_000,
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

    def produce(self, topic: str, records: Records, partition: int | None = None) -> None:
        if not self._begun:
            with translated("beginning a transaction"):
                self._producer.begin_transaction()
            self._begun = True
        if partition is not None:
            self._send(topic, records, partition, np.arange(records.count, dtype=np.int32))
            return
        for number, rows in by_partition(records, self._count(topic)):
            self._send(topic, records, number, rows)

    def commit(self) -> None:
        if self._begun:
            with translated("committing"):
                self._producer.commit_transaction(REQUEST_S)
            if self._failed:
                raise _translate(self._failed[0], "writing")

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
            raise _translate(self._failed[0], "writing", topic)

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failed.append(error)

    def _count(self, topic: str) -> int:
        if topic not in self._partitions:
            with translated("looking for a topic's partitions", topic):
                found = self._producer.list_topics(topic, REQUEST_S).topics[topic]
            if found.error is not None:
                raise _translate(found.error, "looking for a topic's partitions", topic)
            self._partitions[topic] = len(found.partitions)
        return self._partitions[topic]


class ConfluentConsumer:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._consumer: Any = None
        self._positions: dict[Partition, int] = {}

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        from confluent_kafka import TopicPartition

        with translated("reading"):
            self._opened().assign([TopicPartition(*one, at) for one, at in offsets.items()])
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
        else:
            raise _translate(error, "reading", message.topic())

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


class ConfluentAdmin:
    def __init__(self, cluster: Cluster) -> None:
        from confluent_kafka.admin import AdminClient

        self._cluster = cluster
        with translated("connecting"):
            self._admin = AdminClient(configuration(cluster))
            self._known = self._admin.list_topics(timeout=CONNECT_S)

    def cluster_id(self) -> str:
        return str(self._known.cluster_id)

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        from confluent_kafka.admin import ConfigResource, ResourceType

        with translated("looking at topics"):
            known = self._admin.list_topics(timeout=CONNECT_S).topics
            there = [name for name in names if name in known]
            if not there:
                return {}
            asked = self._admin.describe_configs(
                [ConfigResource(ResourceType.TOPIC, name) for name in there],
                request_timeout=REQUEST_S,
            )
            settings = {resource.name: future.result() for resource, future in asked.items()}
        return {
            name: Topic(
                name,
                len(known[name].partitions),
                int(settings[name]["max.message.bytes"].value),
                "compact" in settings[name]["cleanup.policy"].value,
            )
            for name in there
        }

    def create(
        self, name: str, partitions: int, replication: int, settings: Mapping[str, str]
    ) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import NewTopic

        wanted = NewTopic(name, partitions, replication, config=dict(settings))
        with translated("making a topic", name):
            [future] = self._admin.create_topics([wanted], operation_timeout=REQUEST_S).values()
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                    raise
        self._await_leaders(name)

    def _await_leaders(self, name: str) -> None:
        consumer = ConfluentConsumer(self._cluster)
        deadline = time.monotonic() + REQUEST_S
        while True:
            with translated("looking at topics"):
                topic = self._admin.list_topics(name, CONNECT_S).topics[name]
            try:
                if topic.error is None and topic.partitions:
                    consumer.extent([(name, number) for number in topic.partitions])
                    return
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def close(self) -> None:
        pass
