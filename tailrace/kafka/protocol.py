"""What sinks and sources ask of a Kafka client library, and no more.

Errors of all methods: `tailrace.kafka.errors`. Nothing here is thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from tailrace.kafka.records import MESSAGE_MAX, Fetched, Records
from tailrace.kafka.settings import Cluster

Partition = tuple[str, int]
"""A topic's name and the number of one of its partitions."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is. `message_max` is the size of a batch of records that it takes, in bytes,
    as compressed; `is_compacted`: it may forget records whose key came again; `expires`: it
    forgets old ones, too; `id`: a UUID's 32 digits, of no other topic, not even of one of the same
    name later, and empty where brokers give none (before Kafka 2.8)."""

    name: str
    partitions: int
    message_max: int
    is_compacted: bool
    expires: bool
    id: str = ""


def shown_id(found: UUID) -> str:
    """A topic's id; zeros are none."""
    return found.hex if found.int else ""


class Producer(Protocol):
    """Writes in transactions, on behalf of one transactional id.

    begin ─▶ produce … ─▶ commit | abort. After an error only `close` may follow.
    """

    def open(self) -> None:
        """Take the transactional id over: an open transaction of an older producer is aborted, one
        whose commit has begun is finished first, and the older can write nothing any more."""

    def begin(self) -> None: ...
    def produce(
        self,
        topic: str,
        records: Records,
        partition: int | None = None,
        message_max: int = MESSAGE_MAX,
    ) -> None:
        """Send, each record to the partition of its key (Kafka's default: murmur2), or all to one.

        May return before the broker has them; `commit` waits for all. Of one partition the order
        is kept. `message_max`: the topic's; no record may be larger, alone in its batch.
        """

    def commit(self) -> None:
        """Errors: Unreachable when it did not happen or its answer was lost. `open` settles it."""

    def abort(self) -> None: ...
    def close(self) -> None:
        """Idempotent; an open transaction is left for the broker to abort."""


class Consumer(Protocol):
    """Reads committed records only."""

    def assign(self, offsets: Mapping[Partition, int], group: str | None = None) -> None:
        """Read these partitions, from these offsets on, on our own. `commit` then stores offsets
        under `group`."""

    def subscribe(
        self,
        topics: Sequence[str],
        group: str,
        *,
        revoked: Callable[[Sequence[Partition]], None],
        assigned: Callable[[Sequence[Partition]], Mapping[Partition, int]],
    ) -> None:
        """Share these topics with the group's other consumers.

        `revoked` is called before partitions go to others: what was read of them is to be finished
        or forgotten. `assigned` returns from where to read those that came; one it does not name is
        read from the group's committed offset, or from the beginning. Both are called in `poll`.
        """

    def poll(self, timeout_s: float, records_max: int = 10_000) -> list[Fetched]:
        """What has come, per partition; nothing after `timeout_s`."""

    def extent(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """(first offset, offset behind the last committed record) of each."""

    def positions(self) -> dict[Partition, int]:
        """Where each assigned partition will be read next, behind markers and aborted records."""

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Store where the group is, for others to see."""

    def close(self) -> None: ...


class Admin(Protocol):
    """Looks at topics, and makes them."""

    def cluster_id(self) -> str: ...
    def names(self) -> list[str]:
        """Of all topics that we may see."""

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        """Those that are there."""

    def create(
        self, name: str, partitions: int, replication: int, settings: Mapping[str, str]
    ) -> None:
        """Make a topic, unless it is there; it can be written to afterwards. A `replication` of -1
        leaves it to the cluster."""

    def close(self) -> None: ...


class Client(Protocol):
    """A client library."""

    def producer(self, transactional_id: str, timeout_s: float, compression: str) -> Producer:
        """`timeout_s`: how long a transaction may stay open. `compression`: ``none``, ``lz4``,
        ``zstd`` or ``gzip``."""

    def consumer(self) -> Consumer: ...
    def admin(self) -> Admin: ...


def client_of(cluster: Cluster) -> Client:
    """The library that the settings ask for. Errors: Refused, with what to install."""
    if cluster.client == "confluent":
        from tailrace.kafka.confluent import ConfluentClient

        return ConfluentClient(cluster)
    from tailrace.kafka.python import PythonClient

    return PythonClient(cluster)
