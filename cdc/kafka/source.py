"""A source whose changes Debezium has written to Kafka.

The journal alone says where to go on: partitions are assigned to us, never shared out by a group,
so nobody's joining or leaving can lose or double a record. Under the group's name Kafka is told how
far we are, for those who watch its lag.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence

from cdc.changes import ROWS_MAX, ChangeSet
from cdc.findings import refuse_errors
from cdc.kafka import positions
from cdc.kafka.cluster import Brokers, partitions_of, translated
from cdc.kafka.continuity import made_anew, verify_extent, verify_topics
from cdc.kafka.decode import Decoder
from cdc.kafka.preflight import inspect
from cdc.kafka.settings import KafkaDebeziumSource
from cdc.protocol import START_OVER, SnapshotProgress, SourceState
from cdc.schema import TableName
from tailrace.errors import ContinuityError
from tailrace.kafka.protocol import Consumer, Partition, Topic

log = logging.getLogger("tailrace.kafka-debezium")

CLUSTER = "kafka.cluster"
"""The fact that names the cluster of the topics."""
TOPICS = "kafka.topics"
"""The fact that holds the id of each topic: JSON, {topic: id}."""
PATTERNS = "kafka.patterns"
"""The fact that says how a delete is written on each topic (`cdc.kafka.tombstones`)."""
DELETES = "kafka.deletes"
"""The fact that says of which partitions a delete was read last (`cdc.kafka.tombstones`)."""
KEYS = "kafka.keys"
"""The fact that holds the keys' columns of each table: JSON, [[schema, name, [column, …]], …]."""


class KafkaDebezium:
    """Implements `cdc.protocol.Source`. Errors of every method: SourceUnavailable."""

    def __init__(self, settings: KafkaDebeziumSource, name: str) -> None:
        self._settings = settings
        self._group = settings.group or name
        self._brokers = Brokers(settings)
        self._keys: dict[TableName, tuple[str, ...]] = {}
        self._patterns = self._deletes = "{}"
        self._stream: KafkaStream | None = None

    def verify(self, facts: Mapping[str, str], position: str) -> None:
        """Errors: ContinuityError where the topics do not hold our position."""
        self._keys = keys_of(facts)
        self._patterns = facts.get(PATTERNS, "{}")
        self._deletes = facts.get(DELETES, "{}")
        if (cluster := self._brokers.cluster_id()) != facts.get(CLUSTER):
            raise ContinuityError(
                "the topics are on another cluster than those that were read",
                where={"cluster": cluster, "journal_cluster": facts.get(CLUSTER)},
                fix=f"write the right brokers into the source; or {START_OVER}",
            )
        offsets = positions.parse(position)
        verify_topics(offsets, self._brokers.topics(), json.loads(facts.get(TOPICS, "{}")))
        verify_extent(offsets, self._brokers.extent(list(offsets)))

    def snapshot(self, previous: Mapping[str, str]) -> KafkaSnapshot:
        """Rows that were there before come as Debezium's own snapshot, on the topics.

        Errors: PreflightError.
        """
        findings, _ = inspect(self._settings, self._brokers)
        refuse_errors(findings)
        topics = self._brokers.topics()
        extent = self._brokers.extent(partitions_of(topics))
        first = {one: begin for one, (begin, _) in extent.items()}
        self._keys, self._patterns, self._deletes = {}, "{}", "{}"
        facts = {CLUSTER: self._brokers.cluster_id(), TOPICS: shown_ids(topics)}
        return KafkaSnapshot(positions.show(first), facts)

    def stream(self, position: str) -> KafkaStream:
        """After `verify` or `snapshot`."""
        offsets = positions.parse(position)
        topics = self._brokers.topics()
        for partition in partitions_of(topics):
            offsets.setdefault(partition, 0)  # made since; all of it is new
        verify_extent(offsets, self._brokers.extent(list(offsets)))
        self._stream = KafkaStream(
            self._settings,
            self._brokers,
            self._group,
            offsets,
            topics,
            self._keys,
            self._patterns,
            self._deletes,
        )
        return self._stream

    def heartbeat(self) -> None:
        """Nothing is held for us."""

    def state(self) -> SourceState:
        """Lag as bytes of the records that wait, by what those that were read had on average.

        Errors: SourceUnavailable when topics or partitions have been added: reading begins anew,
        with them.
        """
        topics = self._brokers.topics()
        extent = self._brokers.extent(partitions_of(topics))
        ends = {one: end for one, (_, end) in extent.items()}
        lag = 0
        if self._stream is not None:
            self._stream.expect(topics, extent)
            lag = self._stream.lag_bytes(ends)
        return SourceState(positions.show(ends), lag_bytes=lag, held_bytes=0, room_bytes=None)

    def give_up(self) -> None:
        """Nothing to let go of."""

    def close(self) -> None:
        self._brokers.close()


class KafkaSnapshot:
    """No rows of its own: the topics are read from their beginning."""

    def __init__(self, position: str, facts: Mapping[str, str]) -> None:
        self.position = position
        self.facts = facts

    def changes(self) -> Iterator[tuple[ChangeSet, SnapshotProgress]]:
        return iter(())

    def close(self) -> None:
        """Nothing is open."""


class KafkaStream:
    """The topics from these offsets on."""

    def __init__(
        self,
        settings: KafkaDebeziumSource,
        brokers: Brokers,
        group: str,
        offsets: dict[Partition, int],
        topics: Mapping[str, Topic],
        keys: Mapping[TableName, tuple[str, ...]],
        patterns: str,
        deletes: str,
    ) -> None:
        self._brokers = brokers
        self._group = group
        self._offsets = offsets
        self._ids = shown_ids(topics)
        self._decoder = Decoder(settings, keys, topics, patterns, deletes)
        self._records = self._bytes = 0
        self._consumer: Consumer = brokers.client.consumer()
        with translated("reading"):
            self._consumer.assign(offsets)

    @property
    def position(self) -> str:
        return positions.show(self._offsets)

    @property
    def facts(self) -> Mapping[str, str]:
        return {
            KEYS: shown_keys(self._decoder.keys),
            TOPICS: self._ids,
            PATTERNS: self._decoder.patterns,
            DELETES: self._decoder.deletes,
        }

    @property
    def at_rest(self) -> bool:
        return True

    def changes(self, timeout_s: float) -> Iterator[ChangeSet]:
        """One set of what has come. Errors: ContinuityError where records are missing."""
        with translated("reading"):
            fetched = self._consumer.poll(timeout_s, ROWS_MAX)
        if not fetched:
            return
        for one in fetched:
            partition = (one.topic, one.partition)
            expected = self._offsets[partition]
            if int(one.offsets[0]) != expected:  # compacted, a marker, or a gap
                if int(one.offsets[0]) < expected:
                    raise made_anew(partition, expected, int(one.offsets[0]))
                verify_extent({partition: expected}, self._brokers.extent([partition]))
            self._offsets[partition] = one.next_offset
            self._records += one.count
            self._bytes += one.values.nbytes
        found = self._decoder.change_set(fetched, self.position)
        if found is not None:
            yield found

    def reply_wanted(self) -> bool:
        return False

    def acknowledge(self, position: str) -> None:
        """Tell the group. Where others are in it, Kafka refuses; nothing of ours depends on it."""
        self._brokers.tell(self._group, positions.parse(position))

    def expect(
        self, topics: Mapping[str, Topic], extent: Mapping[Partition, tuple[int, int]]
    ) -> None:
        """Errors: SourceUnavailable, ContinuityError."""
        verify_topics(self._offsets, topics, json.loads(self._ids))
        self._brokers.refuse_new(set(extent) - set(self._offsets))
        verify_extent(self._offsets, extent)

    def lag_bytes(self, ends: Mapping[Partition, int]) -> int:
        waiting = sum(max(end - self._offsets.get(one, 0), 0) for one, end in ends.items())
        return waiting * self._bytes // max(self._records, 1)

    def close(self) -> None:
        self._consumer.close()


def keys_of(facts: Mapping[str, str]) -> dict[TableName, tuple[str, ...]]:
    return {
        TableName(schema, name): tuple(columns)
        for schema, name, columns in json.loads(facts.get(KEYS, "[]"))
    }


def shown_keys(keys: Mapping[TableName, Sequence[str]]) -> str:
    return json.dumps([[one.schema, one.name, list(keys[one])] for one in sorted(keys)])


def shown_ids(topics: Mapping[str, Topic]) -> str:
    return json.dumps({name: topics[name].id for name in sorted(topics)})
