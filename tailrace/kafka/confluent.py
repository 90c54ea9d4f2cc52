"""confluent-kafka (librdkafka) behind the same protocol: `pip install 'tailrace[confluent]'`.

It takes a record at a time, in C.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tailrace.kafka.errors import Refused, Superseded, TransportError, Unreachable
from tailrace.kafka.protocol import Topic, shown_id
from tailrace.kafka.settings import Cluster

if TYPE_CHECKING:
    from confluent_kafka.admin import TopicDescription

    from tailrace.kafka.confluent_consumer import ConfluentConsumer
    from tailrace.kafka.confluent_producer import ConfluentProducer

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
        raise translate(error.args[0], doing, topic) from error


def translate(error: Any, doing: str, topic: str | None = None) -> TransportError:
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
        from tailrace.kafka.confluent_producer import ConfluentProducer

        return ConfluentProducer(self._cluster, transactional_id, timeout_s, compression)

    def consumer(self) -> ConfluentConsumer:
        from tailrace.kafka.confluent_consumer import ConfluentConsumer

        return ConfluentConsumer(self._cluster)

    def admin(self) -> ConfluentAdmin:
        return ConfluentAdmin(self._cluster)


class ConfluentAdmin:
    def __init__(self, cluster: Cluster) -> None:
        from confluent_kafka.admin import AdminClient

        self._cluster = cluster
        with translated("connecting"):
            self._admin = AdminClient(configuration(cluster))
            self._known = self._admin.list_topics(timeout=CONNECT_S)

    def cluster_id(self) -> str:
        return str(self._known.cluster_id)

    def names(self) -> list[str]:
        with translated("looking at topics"):
            return list(self._admin.list_topics(timeout=CONNECT_S).topics)

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        from confluent_kafka.admin import ConfigResource, ResourceType

        with translated("looking at topics"):
            there = self._described(names)
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
                len(topic.partitions),
                int(settings[name]["max.message.bytes"].value),
                "compact" in settings[name]["cleanup.policy"].value,
                "delete" in settings[name]["cleanup.policy"].value,
                _id(topic),
            )
            for name, topic in there.items()
        }

    def _described(self, names: Sequence[str]) -> dict[str, TopicDescription]:
        """Topics that are there. Errors: KafkaException, where we may not see."""
        from confluent_kafka import KafkaException, TopicCollection

        found: dict[str, TopicDescription] = {}
        if not names:
            return found
        wanted = TopicCollection(list(dict.fromkeys(names)))
        asked = self._admin.describe_topics(wanted, request_timeout=REQUEST_S)
        for name, future in asked.items():
            try:
                found[name] = future.result()
            except KafkaException as error:
                if error.args[0].name() != "UNKNOWN_TOPIC_OR_PART":
                    raise
        return found

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
        consumer = ConfluentClient(self._cluster).consumer()
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


def _id(topic: TopicDescription) -> str:
    id_ = topic.topic_id
    high, low = id_.get_most_significant_bits(), id_.get_least_significant_bits()
    return shown_id(UUID(int=(high % 2**64) << 64 | low % 2**64))
