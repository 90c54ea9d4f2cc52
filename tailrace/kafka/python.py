"""kafka-python's part: connections, TLS, SASL, versions and metadata are its own.

Its producer takes a record at a time, which costs more than all the rest of delivery; so batches
are encoded here (`tailrace.kafka.batches`) and sent in requests of its own.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tailrace.kafka.errors import Refused, Superseded, Unreachable
from tailrace.kafka.protocol import Topic, shown_id
from tailrace.kafka.records import MESSAGE_MAX
from tailrace.kafka.settings import Cluster

if TYPE_CHECKING:
    from tailrace.kafka.consumer import PythonConsumer
    from tailrace.kafka.producer import PythonProducer

REQUEST_S = 30.0
CONNECT_S = 10.0
_POLL_S = 0.05
_NO_ID = "0" * 32

_SUPERSEDED = {"ProducerFencedError", "InvalidProducerEpochError", "InvalidProducerIdMappingError"}
_REFUSED = {
    "TopicAuthorizationFailedError",
    "ClusterAuthorizationFailedError",
    "GroupAuthorizationFailedError",
    "TransactionalIdAuthorizationFailedError",
    "SaslAuthenticationFailedError",
    "UnsupportedSaslMechanismError",
    "InvalidTopicError",
    "InvalidConfigurationError",
    "InvalidConfigError",
    "InvalidReplicationFactorError",
    "InvalidPartitionsError",
    "InvalidTransactionTimeoutError",
    "InvalidTxnTimeoutError",
    "PolicyViolationError",
    "MessageSizeTooLargeError",
    "RecordListTooLargeError",
    "UnsupportedVersionError",
    "IncompatibleBrokerVersion",
    "InvalidRecordError",
}


def configuration(cluster: Cluster) -> dict[str, Any]:
    """kafka-python's settings. Errors: Refused where a file of `tls` cannot be read."""
    found: dict[str, Any] = {
        "bootstrap_servers": cluster.brokers.split(","),
        "security_protocol": cluster.security,
        "client_id": "tailrace",
        "request_timeout_ms": int(REQUEST_S * 1000),
        "receive_message_max_bytes": 128 << 20,
        "reconnect_backoff_max_ms": 1000,
    }
    if cluster.tls is not None:
        found["ssl_context"] = _context(cluster)
    if cluster.sasl is not None:
        found["sasl_mechanism"] = cluster.sasl.mechanism
        found["sasl_plain_username"] = cluster.sasl.user
        found["sasl_plain_password"] = cluster.sasl.password
    return found


def _context(cluster: Cluster) -> ssl.SSLContext:
    tls = cluster.tls
    assert tls is not None
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.certificate is not None:  # without a password OpenSSL would ask at the terminal
            context.load_cert_chain(tls.certificate, tls.key, tls.key_password or "")
    except (OSError, ssl.SSLError) as error:
        raise Refused(f"the files of `tls` cannot be used: {error.strerror or error}") from None
    return context


@contextmanager
def translated(doing: str, topic: str | None = None) -> Iterator[None]:
    """kafka-python's errors as ours. Their texts are not shown: they may hold anything."""
    from kafka.errors import KafkaError

    try:
        yield
    except KafkaError as error:
        raise translate(error, doing, topic) from error
    except OSError as error:
        raise Unreachable(f"{doing}: {type(error).__name__}", topic=topic) from error


def translate(error: BaseException, doing: str, topic: str | None = None) -> Exception:
    names = {kind.__name__ for kind in type(error).__mro__}
    text = f"{doing}: {type(error).__name__.removesuffix('Error')}"
    if names & _SUPERSEDED:
        return Superseded(text, topic=topic)
    return (Refused if names & _REFUSED else Unreachable)(text, topic=topic)


class Connections:
    """kafka-python's connections to a cluster, with a thread of their own."""

    def __init__(self, cluster: Cluster) -> None:
        from kafka.net.manager import KafkaConnectionManager
        from kafka.net.selector import NetworkSelector

        settings = configuration(cluster)
        self.net = NetworkSelector(client_id=settings["client_id"])
        self.manager = KafkaConnectionManager(
            self.net, max_in_flight_requests_per_connection=64, **settings
        )
        self.net.start()
        try:
            with translated("connecting"):
                self.manager.bootstrap(int(CONNECT_S * 1000))
        except BaseException:
            self.close()
            raise

    def run(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return self.manager.run(work, *arguments)

    async def send(self, request: Any, node: int | None = None) -> Any:
        """A future of the answer, in a list, once the request is on its way.

        Requests to one node go in the order of these calls.
        """
        deadline = time.monotonic() + REQUEST_S
        while node is None and (node := self.manager.least_loaded_node()) is None:
            await self._patience(deadline)
        while True:
            from kafka.errors import NodeNotReadyError

            try:
                connection = self.manager.get_connection(node)
            except NodeNotReadyError:
                await self._patience(deadline)
                continue
            await connection
            if not connection.paused:
                return [connection.send_request(request)]
            await self._patience(deadline, 0.001)

    async def _patience(self, deadline: float, wait_s: float = _POLL_S) -> None:
        if time.monotonic() > deadline:
            raise Unreachable("no connection to a broker")
        await self.net.sleep(wait_s)

    async def ask(self, request: Any, node: int | None = None) -> Any:
        [future] = await self.send(request, node)
        return await future

    def close(self) -> None:
        self.manager.close()
        self.net.stop()
        self.net.close()


class PythonClient:
    def __init__(self, cluster: Cluster) -> None:
        try:
            import crc32c  # noqa: F401
            import kafka
        except ImportError:
            raise Refused("kafka-python is not installed: pip install 'tailrace[kafka]'") from None
        if int(kafka.__version__.split(".")[0]) < 3:
            raise Refused("kafka-python is too old: pip install 'tailrace[kafka]'")
        self._cluster = cluster

    def producer(self, transactional_id: str, timeout_s: float, compression: str) -> PythonProducer:
        from tailrace.kafka.producer import PythonProducer

        return PythonProducer(self._cluster, transactional_id, timeout_s, compression)

    def consumer(self) -> PythonConsumer:
        from tailrace.kafka.consumer import PythonConsumer

        return PythonConsumer(self._cluster)

    def admin(self) -> PythonAdmin:
        return PythonAdmin(self._cluster)


class PythonAdmin:
    def __init__(self, cluster: Cluster) -> None:
        from kafka.admin import KafkaAdminClient

        with translated("connecting"):
            self._admin = KafkaAdminClient(
                bootstrap_timeout_ms=int(CONNECT_S * 1000), **configuration(cluster)
            )

    def cluster_id(self) -> str:
        """From what it met when it connected: `describe_cluster` fails at brokers before 3.7."""
        return str(self._admin._manager.cluster.cluster_id)

    def names(self) -> list[str]:
        with translated("looking at topics"):
            return [str(name) for name in self._admin.list_topics()]

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        if not names:
            return {}
        from kafka.errors import UnknownTopicOrPartitionError, for_code

        with translated("looking at topics"):
            described = self._admin.describe_topics(list(names))
            for one in described:
                if one["error_code"] not in (0, UnknownTopicOrPartitionError.errno):
                    raise for_code(one["error_code"])()
            there = {one["name"]: one for one in described if not one["error_code"]}
            settings = self._settings(list(there))
        return {
            name: Topic(
                name,
                len(topic["partitions"]),
                int(settings[name].get("max.message.bytes", MESSAGE_MAX)),
                "compact" in settings[name].get("cleanup.policy", ""),
                "delete" in settings[name].get("cleanup.policy", ""),
                shown_id(UUID(topic.get("topic_id") or _NO_ID)),
            )
            for name, topic in there.items()
        }

    def _settings(self, names: list[str]) -> dict[str, dict[str, str]]:
        """In a request of our own: the library passes over what we may not see."""
        from kafka.errors import for_code
        from kafka.protocol.admin import DescribeConfigsRequest

        if not names:
            return {}
        kind, keys = 2, ["max.message.bytes", "cleanup.policy"]
        manager = self._admin._manager
        request = DescribeConfigsRequest(
            resources=[(kind, name, keys) for name in names], include_synonyms=False, min_version=0
        )
        found: dict[str, dict[str, str]] = {}
        for result in manager.run(manager.send, request).results:
            if result.error_code:
                raise for_code(result.error_code)()
            found[result.resource_name] = {one.name: str(one.value) for one in result.configs}
        return found

    def create(
        self, name: str, partitions: int, replication: int, settings: Mapping[str, str]
    ) -> None:
        from kafka.errors import TopicAlreadyExistsError

        wanted = {
            name: {
                "num_partitions": partitions,
                "replication_factor": replication,
                "configs": dict(settings),
            }
        }
        with translated("making a topic", name):
            with suppress(TopicAlreadyExistsError):
                self._admin.create_topics(wanted)
            self._admin.wait_for_topics([name])
            self._await_leaders(name)

    def _await_leaders(self, name: str) -> None:
        """A topic is known a moment before its leaders know that they are."""
        from kafka.protocol.consumer import OffsetSpec
        from kafka.structs import TopicPartition

        [topic] = self._admin.describe_topics([name])
        self._admin.list_partition_offsets(
            {
                TopicPartition(name, number): OffsetSpec.LATEST
                for number in range(len(topic["partitions"]))
            }
        )

    def close(self) -> None:
        self._admin.close()
