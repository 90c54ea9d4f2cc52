"""Whether a Kafka target can be written, before anything is; creates nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from cdc.findings import Finding
from sinks.kafka.settings import KafkaTarget
from sinks.kafka.state import name_of
from sinks.kafka.topics import misfits
from tailrace.errors import TargetUnavailable
from tailrace.kafka.errors import TransportError
from tailrace.kafka.protocol import client_of
from tailrace.kafka.settings import cluster_of
from transforms.rows import TargetTable


def inspect(
    target: KafkaTarget, tables: Sequence[TargetTable], pipelines: Sequence[str]
) -> list[Finding]:
    """Everything that stands against `pipelines` writing `tables`.

    Errors: TargetUnavailable when nothing can be looked at.
    """
    try:
        with closing(client_of(cluster_of(target)).admin()) as admin:
            there = admin.topics([name_of(pipeline) for pipeline in pipelines])
    except TransportError as error:
        raise TargetUnavailable(f"looking at the target: {error.what}") from error
    found = [
        Finding(
            "error",
            "the topic of a pipeline's checkpoint is not compacted only: Kafka would forget it in"
            " time",
            f"topic {topic.name}",
            f"-- kafka-configs.sh --alter --topic {topic.name} --add-config cleanup.policy=compact",
        )
        for topic in there.values()
        if topic.expires or not topic.is_compacted
    ]
    for table in dict.fromkeys(tables):
        found += _table(table, target)
    return list(dict.fromkeys(found))


def _table(table: TargetTable, target: KafkaTarget) -> Iterator[Finding]:
    for column, type_ in misfits(table, target):
        yield Finding(
            "error",
            f"{type_} has no form in Debezium's envelope here",
            f"{table.table}.{column}",
            "-- map the table without this column, or use `format: json` at the target",
        )
