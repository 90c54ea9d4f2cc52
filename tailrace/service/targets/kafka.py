"""A Kafka cluster as a target."""

from __future__ import annotations

from collections.abc import Sequence

from cdc.findings import Finding
from cdc.patterns import Patterns
from sinks.kafka.settings import KafkaTarget
from sinks.protocol import Line, Sink
from tailrace.service.targets.adapter import Delivery, TargetAdapter
from tailrace.service.targets.origin import database

_RIGHTS = """\
-- Target {name}: a Kafka cluster. Who writes there needs, of its ACLs: Describe, DescribeConfigs,
-- Create, Read and Write on its topics and on tailrace.PIPELINE, and Describe and Write on the
-- transactional ids tailrace.PIPELINE ({pipelines}).
"""


class KafkaAdapter(TargetAdapter[KafkaTarget]):
    keeps_existing = True

    def script(self, name: str, writes: Patterns, pipelines: Sequence[str]) -> str:
        return _RIGHTS.format(name=name, pipelines=", ".join(pipelines))

    def look(self, lines: Sequence[Line]) -> list[Finding]:
        from sinks.kafka.preflight import inspect

        return inspect(self.settings, lines)

    def sink(self, delivery: Delivery) -> Sink:
        from sinks.kafka.sink import KafkaSink
        from sinks.kafka.source import Source

        if delivery.source.type == "postgres":
            source = Source("postgresql", delivery.source_name, database(delivery.fact))
        else:
            assert delivery.source.type != "kafka-debezium", "refused by config.brokers"
            source = Source(delivery.source.type, delivery.source_name)
        return KafkaSink(self.settings, delivery.pipeline, source)
