"""Which topic each table has, whether it can be written, and how its messages look."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from cdc.schema import TableName
from sinks.kafka.debezium import Debezium
from sinks.kafka.messages import Format
from sinks.kafka.plain import CloudEvents, Plain
from sinks.kafka.refusals import holds_messages, of_others, refuse_shared, vanished
from sinks.kafka.settings import KafkaTarget
from sinks.kafka.source import Source
from sinks.kafka.state import TOPIC, State
from sinks.kafka.values import NotRepresentable, field_of
from sinks.protection import key_refusal
from tailrace.errors import TargetRefused
from tailrace.kafka.protocol import Client, Topic
from tailrace.kafka.records import Header
from tailrace.kafka.settings import is_topic
from transforms.rows import TargetTable


@dataclass(frozen=True, slots=True)
class Prepared:
    """`overhead`: about how many bytes a message has beyond its row."""

    name: str
    message_max: int
    style: Format
    overhead: int


def topic_of(template: str, table: TableName, pipeline: str, source: str) -> str:
    """Its name. Errors: TargetRefused where it can be none."""
    name = (
        template.replace("{source}", source)
        .replace("{pipeline}", pipeline)
        .replace("{schema}", table.schema)
        .replace("{table}", table.name)
    )
    if not is_topic(name):
        raise TargetRefused(
            f"{name} cannot be the name of a topic",
            where={"table": str(table), "topic": name},
            fix="name the table with `into` in letters, digits, . _ and - only",
        )
    return name


def shape_version(table: TargetTable) -> str:
    """Sixteen hex digits that change with the columns and their types."""
    text = "\n".join(f"{one.name} {one.type} {one.nullable}" for one in table.columns)
    return hashlib.sha256(f"{text}\n{table.key}".encode()).hexdigest()[:16]


def misfits(table: TargetTable, target: KafkaTarget) -> list[tuple[str, str]]:
    """(column, type) of what the target's format has no form for."""
    found = []
    for column in table.columns if target.format == "debezium" else ():
        try:
            field_of(column, target.decimals)
        except NotRepresentable as refused:
            found.append((column.name, str(refused)))
    return found


class Topics:
    """Of one open sink."""

    def __init__(
        self, target: KafkaTarget, client: Client, pipeline: str, source: Source, journal: str
    ) -> None:
        self._target = target
        self._client = client
        self._pipeline = pipeline
        self._source = source
        self._journal = journal
        self._prepared: dict[TargetTable, Prepared] = {}
        self._writes: dict[str, TableName] = {}
        self._protections: dict[str, dict[str, str]] = {}

    def prepare(self, tables: Sequence[TargetTable], state: State) -> None:
        """Errors: TargetRefused; TransportError."""
        new = [table for table in dict.fromkeys(tables) if table not in self._prepared]
        if not new:
            return
        names = {table: self._name(table) for table in new}
        for table, name in names.items():
            refuse_shared(table, name, self._writes.setdefault(name, table.table))
        with closing(self._client.admin()) as admin:
            there = admin.topics(list(dict.fromkeys(names.values())))
            for table, name in names.items():
                refusal = key_refusal(table, state.protection(name) or {})
                if refusal is not None and state.is_known(name):
                    raise refusal
                if name not in there:
                    if state.is_known(name):
                        raise vanished(table, name)
                    admin.create(name, self._target.partitions, self._target.replication or -1, {})
                    there |= admin.topics([name])
                elif not state.is_known(name):
                    self._refuse_others(table, there[name])
                self._prepared[table] = self._of(table, there[name])
                known = self._protections.setdefault(name, dict(state.protection(name) or {}))
                known |= {column.name: column.protected for column in table.columns}
                self._protections[name] = {column: how for column, how in known.items() if how}

    def of(self, table: TargetTable) -> Prepared:
        return self._prepared[table]

    def news(self, state: State) -> dict[str, dict[str, Any]]:
        """What `state` does not say yet: that a topic is ours, how its columns are protected."""
        return {
            TOPIC + name: {"protected": dict(known)}
            for name, known in self._protections.items()
            if known != state.protection(name)
        }

    def close(self) -> None:
        self._prepared.clear()

    def _name(self, table: TargetTable) -> str:
        return topic_of(self._target.topic, table.table, self._pipeline, self._source.name)

    def _of(self, table: TargetTable, topic: Topic) -> Prepared:
        style = self._style(table, topic.name)
        overhead = 600 + 120 * len(table.columns) * (5 if self._target.schemas else 1)
        return Prepared(topic.name, topic.message_max, style, overhead)

    def _style(self, table: TargetTable, name: str) -> Format:
        target = self._target
        headers: list[Header] = []
        if target.schema_header is not None:
            headers.append((target.schema_header, shape_version(table).encode()))
        if target.format == "json":
            return Plain(table, headers)
        if target.format == "cloudevents":
            place = f"/tailrace/{self._pipeline}/{table.table}"
            return CloudEvents(table, headers, place, self._journal)
        for column, type_ in misfits(table, target):
            raise TargetRefused(
                f"{type_} has no form in Debezium's envelope here",
                where={"table": str(table.table), "column": column},
                fix="map the table without this column, or use `format: json`",
            )
        return Debezium(
            table,
            name,
            self._source,
            schemas=target.schemas,
            decimals=target.decimals,
            tombstones=target.tombstones,
            headers=headers,
        )

    def _refuse_others(self, table: TargetTable, topic: Topic) -> None:
        if table.existing == "keep":
            return
        with closing(self._client.consumer()) as consumer:
            if holds_messages(consumer, topic):
                raise of_others(table, topic.name)
