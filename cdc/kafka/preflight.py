"""Whether topics can be read, before they are; and which tables are on them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping

from cdc.changes import ChangeSet
from cdc.findings import Finding
from cdc.kafka.cluster import Brokers, partitions_of, translated
from cdc.kafka.decode import Decoder
from cdc.kafka.envelope import WITH_SCHEMA, undecodable
from cdc.kafka.settings import KafkaDebeziumSource
from cdc.kafka.shapes import table_of
from cdc.schema import TableName, TableSchema
from tailrace.errors import DecodeError
from tailrace.kafka.protocol import Partition, Topic
from tailrace.kafka.records import Fetched

SAMPLE_RECORDS = 4
"""Of each partition's end: a row, perhaps behind tombstones."""
SAMPLE_S = 10.0


def inspect(
    settings: KafkaDebeziumSource, brokers: Brokers
) -> tuple[list[Finding], list[TableSchema]]:
    """(what is wrong, the tables of which messages are there). Errors: SourceUnavailable."""
    topics = brokers.topics()
    if not topics:
        finding = Finding(
            "error",
            "no topic that holds rows matches",
            ", ".join(settings.topics),
            "-- name topics that Debezium writes rows to (PREFIX.SCHEMA.TABLE), and let this user"
            " describe and read them",
        )
        return [finding], []
    extent = brokers.extent(partitions_of(topics))
    found = list(_beginnings(settings, topics, extent))
    schemas: dict[TableName, TableSchema] = {}
    try:
        for changes in sampled(settings, brokers, topics, extent):
            for table in changes.tables:
                schemas[table.schema.table] = table.schema
    except DecodeError as error:
        place = f"{error.where.get('topic')}/{error.where.get('partition')}"
        found.append(Finding("error", error.what, place, f"-- {error.fix}"))
    return found, [schemas[name] for name in sorted(schemas)]


def _beginnings(
    settings: KafkaDebeziumSource,
    topics: Mapping[str, Topic],
    extent: Mapping[Partition, tuple[int, int]],
) -> Iterator[Finding]:
    for name, topic in sorted(topics.items()):
        lost = sum(extent[name, number][0] for number in range(topic.partitions))
        if lost:  # compaction alone moves no beginning
            yield Finding(
                "warning" if settings.incomplete == "accept" else "error",
                f"Kafka has deleted the first {lost} offset(s): rows that only they held are not"
                " on the topic any more",
                name,
                "-- have Debezium send its snapshot again, with retention.ms=-1 or"
                " cleanup.policy=compact; or declare `incomplete: accept`",
            )


def refuse_absent(settings: KafkaDebeziumSource, fetched: Fetched) -> None:
    """Errors: DecodeError where a declared column is not in the last message: it would be NULL."""
    messages = [one for one in fetched.values.to_pylist() if one is not None]
    if not messages or messages[-1].startswith(WITH_SCHEMA):
        return
    try:
        message = json.loads(messages[-1])
        table, row = table_of(message["source"]), message["after"] or message["before"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return  # what it is, the decoder says
    if not isinstance(row, dict):
        return  # a document, which has what fields it likes
    absent = [name for name in settings.declared.get(table, ()) if name not in row]
    if absent:
        raise undecodable(
            fetched,
            -1,
            f"messages of {table} have no field {', '.join(absent)}, which is declared",
            f"they have {', '.join(row)}: correct `columns` of this source",
        )


def sampled(
    settings: KafkaDebeziumSource,
    brokers: Brokers,
    topics: Mapping[str, Topic],
    extent: Mapping[Partition, tuple[int, int]],
) -> Iterator[ChangeSet]:
    """The last rows of each topic. Errors: DecodeError, SourceUnavailable."""
    ends = {one: end for one, (first, end) in extent.items() if end > first}
    starts = {one: max(extent[one][0], end - SAMPLE_RECORDS) for one, end in ends.items()}
    if not starts:
        return
    decoder = Decoder(settings, {}, topics)
    consumer = brokers.client.consumer()
    deadline = time.monotonic() + SAMPLE_S
    try:
        with translated("reading a sample"):
            consumer.assign(starts)
        while time.monotonic() < deadline:
            with translated("reading a sample"):
                fetched = consumer.poll(0.5)
                at = consumer.positions()
            for one in fetched:
                refuse_absent(settings, one)
            found = decoder.change_set(fetched, "{}") if fetched else None
            if found is not None:
                yield found
            if all(at.get(one, 0) >= end for one, end in ends.items()):
                return
    finally:
        consumer.close()
