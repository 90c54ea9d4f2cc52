"""Topics that Debezium writes, as a source."""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import closing

from cdc.changes import TableChanges
from cdc.findings import Finding
from cdc.kafka.settings import KafkaDebeziumSource
from cdc.protocol import Source
from cdc.removal import Removal
from cdc.schema import TableName, TableSchema
from tailrace.errors import ConfigError
from tailrace.service.sources.adapter import SourceAdapter

_RIGHTS = """\
-- Source {name}: topics of Kafka, {topics}. Where the cluster has ACLs its user needs DESCRIBE,
-- READ and DESCRIBE_CONFIGS on them, DESCRIBE on the cluster, and READ on the group {group}.
"""


class DebeziumAdapter(SourceAdapter[KafkaDebeziumSource]):
    @property
    def _group(self) -> str:
        return self.settings.group or self.ours

    def open(self, needs: Mapping[TableName, Set[TableName]]) -> Source:
        from cdc.kafka.source import KafkaDebezium

        return KafkaDebezium(self.settings, self.ours)

    def look(self) -> tuple[list[Finding], list[TableSchema]]:
        from cdc.kafka.cluster import Brokers
        from cdc.kafka.preflight import inspect

        with closing(Brokers(self.settings)) as brokers:
            return inspect(self.settings, brokers)

    def tables(self) -> list[TableSchema]:
        return self.look()[1]

    def sample(self, table: TableName, rows: int) -> TableChanges:
        raise ConfigError(
            "preview reads a sample of a table, and this source has topics",
            fix="write examples beside the mapping (tailrace mapping test), or deliver into a file",
        )

    def script(self, name: str) -> str:
        topics = ", ".join(self.settings.topics)
        return _RIGHTS.format(name=name, topics=topics, group=self._group)

    def question(self, name: str, also: str) -> str:
        return f"Nothing of ours is at {name} but offsets of its group{also}. Go on?"

    def remove(self) -> Removal:
        return Removal((), (f"group {self._group}: Kafka forgets it by itself",), "", ())
