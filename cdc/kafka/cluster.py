"""A cluster, as this source looks at it: which topics hold rows, and how far they reach."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from cdc.kafka.names import rows_topics
from cdc.kafka.settings import KafkaDebeziumSource
from tailrace.errors import SourceUnavailable
from tailrace.kafka.errors import Refused, TransportError
from tailrace.kafka.protocol import Admin, Client, Consumer, Partition, Topic, client_of
from tailrace.kafka.settings import cluster_of

log = logging.getLogger("tailrace.kafka-debezium")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Errors: SourceUnavailable; also where a broker refuses, since rights may be given."""
    try:
        yield
    except TransportError as error:
        fix = "see what the broker allows this user" if isinstance(error, Refused) else None
        raise SourceUnavailable(
            f"{doing}: {error.what}", where={"topic": error.topic}, fix=fix
        ) from None


class Brokers:
    """Connections are made when they are needed. Errors of all methods: SourceUnavailable."""

    def __init__(self, settings: KafkaDebeziumSource) -> None:
        self._settings = settings
        with translated("connecting to Kafka"):
            self.client: Client = client_of(cluster_of(settings))
        self._admin: Admin | None = None
        self._asking: Consumer | None = None
        self._telling: Consumer | None = None
        self._told = True

    def cluster_id(self) -> str:
        with translated("asking for the cluster"):
            return self._opened().cluster_id()

    def topics(self) -> dict[str, Topic]:
        """Those of the source's that hold rows."""
        with translated("looking at topics"):
            names = rows_topics(self._opened().names(), self._settings.topics)
            return self._opened().topics(names)

    def extent(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """(first offset, offset behind the last committed record) of each."""
        if not partitions:
            return {}
        with translated("asking for offsets"):
            if self._asking is None:
                self._asking = self.client.consumer()
            return self._asking.extent(partitions)

    def tell(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Store offsets under the group's name. What stands against it is said once, and no more:
        the journal knows."""
        try:
            if self._telling is None:
                self._telling = self.client.consumer()
                self._telling.assign(offsets, group)
            self._telling.commit(offsets)
            self._told = True
        except TransportError as error:
            if self._told:
                log.warning(
                    "the group's offsets are not stored, which only monitoring needs",
                    extra={"group": group, "error": error.what},
                )
            self._told = False
            if self._telling is not None:
                self._telling.close()
            self._telling = None

    def refuse_new(self, partitions: Collection[Partition]) -> None:
        """Errors: SourceUnavailable, so that reading begins again with them."""
        if partitions:
            topic, number = min(partitions)
            raise SourceUnavailable(
                "topics or partitions were added; reading goes on with them",
                where={"topic": topic, "partition": number},
            )

    def close(self) -> None:
        for one in (self._admin, self._asking, self._telling):
            if one is not None:
                one.close()
        self._admin = self._asking = self._telling = None

    def _opened(self) -> Admin:
        if self._admin is None:
            self._admin = self.client.admin()
        return self._admin


def partitions_of(topics: Mapping[str, Topic]) -> list[Partition]:
    return [(topic.name, number) for topic in topics.values() for number in range(topic.partitions)]
