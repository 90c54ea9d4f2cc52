"""What an operator declares of a source whose changes are on Kafka topics, in Debezium's format."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from cdc.kafka.declared import parse_type
from cdc.patterns import Pattern, Patterns, some_included
from cdc.schema import TableName
from tailrace.kafka.settings import Cluster

Decimals = Literal["precise", "string", "double"]
Times = Literal[
    "adaptive",
    "adaptive_time_microseconds",
    "connect",
    "isostring",
    "microseconds",
    "nanoseconds",
]
UNAVAILABLE = "__debezium_unavailable_value"

_TOPIC = re.compile(r"[A-Za-z0-9._*?-]{1,249}")


def _topic(text: str) -> str:
    if "${" not in text and not _TOPIC.fullmatch(text):
        raise ValueError("a topic's name has letters, digits and . _ -; * and ? stand for others")
    return text


def _table(text: str) -> str:
    if Pattern.parse(text).exact is None:
        raise ValueError("one table is named here, schema.table")
    return text


def _type(text: str) -> str:
    parse_type(text)
    return text


Types = Annotated[dict[str, Annotated[str, AfterValidator(_type)]], Field(min_length=1)]


class KafkaDebeziumSource(Cluster):
    """Topics that any Debezium connector writes.

    topics       patterns of names; Debezium's own topics (heartbeats, transactions, schema changes)
                 are passed over
    tables       patterns of tables, as the messages name them
    group        under which Kafka is told how far we are; the journal alone decides where to go on
    columns      of tables whose messages carry no schema: their types
    decimals, times  how the connector is set, for messages without a schema
    updates      of MongoDB: `full` where the connector looks documents up, so that an update
                 without its document is of one that has been deleted since
    unavailable  what stands for a value that the source did not send
    incomplete   what to do with topics whose beginning Kafka has deleted, at the first start
    """

    type: Literal["kafka-debezium"]
    topics: Annotated[tuple[Annotated[str, AfterValidator(_topic)], ...], Field(min_length=1)]
    tables: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(some_included)]
    group: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    columns: dict[Annotated[str, AfterValidator(_table)], Types] = Field(default_factory=dict)
    decimals: Decimals = "precise"
    times: Times = "adaptive"
    updates: Literal["any", "full"] = "any"
    unavailable: Annotated[str, Field(min_length=1)] = UNAVAILABLE
    incomplete: Literal["refuse", "accept"] = "refuse"

    retain_max: ClassVar[int] = 0
    """Kafka holds nothing for us: it keeps its topics as long as its own settings say."""
    heartbeat_s: ClassVar[float] = 10.0

    @property
    def declared(self) -> dict[TableName, dict[str, str]]:
        """`columns` by their tables."""
        tables = {Pattern.parse(name).exact: types for name, types in self.columns.items()}
        return {table: types for table, types in tables.items() if table is not None}

    @property
    def patterns(self) -> Patterns:
        return Patterns.parse(self.tables)
