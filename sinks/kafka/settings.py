"""What an operator declares of a Kafka target (`targets:` in tailrace.yml)."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from sinks.settings import TargetSettings
from tailrace.kafka.settings import Brokers, Client, Sasl, Tls, is_topic

_PLACES = ("source", "pipeline", "schema", "table")
_PLACE = re.compile(r"\{([^{}]*)\}")


def _template(text: str) -> str:
    unknown = [name for name in _PLACE.findall(text) if name not in _PLACES]
    if unknown or not is_topic(_PLACE.sub("x", text)):
        raise ValueError(
            "a topic's name has letters, digits, . _ and -, and may have {source}, {pipeline},"
            " {schema} and {table}"
        )
    if "{table}" not in text:
        raise ValueError("a topic's name has {table} in it: each table has a topic of its own")
    return text


class KafkaTarget(TargetSettings):
    """A Kafka cluster (2.5 or newer) that is written.

    brokers      host:port, some of the cluster's, with commas between them
    tls, sasl    how to reach it; without `tls` nothing is encrypted
    client       the library that speaks to it
    topic        what a table's topic is called
    format       ``debezium`` (its envelope), ``json`` (the row) or ``cloudevents``
    schemas      of `debezium`: whether each message has its schema with it
    decimals     of `debezium`: as its decimal.handling.mode
    transactions of `debezium`: whether each event says of which transaction it is, as with its
                 provide.transaction.metadata
    tombstones   of `debezium`: whether a delete is followed by a message without a value
    schema_header  a header of this name has the version of the table's shape, in each message
    partitions, replication  of topics that Tailrace makes; replication is the cluster's by default
    compression  of batches of messages
    transaction_s  how long a transaction may stay open before the broker gives it up; the default
                   is the most that brokers allow by default
    """

    type: Literal["kafka"]
    brokers: Brokers
    tls: Tls | None = None
    sasl: Sasl | None = None
    client: Client = "kafka-python"
    topic: Annotated[str, AfterValidator(_template)] = "{source}.{schema}.{table}"
    format: Literal["debezium", "json", "cloudevents"] = "debezium"
    schemas: bool = False
    decimals: Literal["precise", "string", "double"] = "precise"
    transactions: bool = False
    tombstones: bool = True
    schema_header: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 1
    replication: Annotated[int, Field(ge=1, le=100)] | None = None
    compression: Literal["none", "lz4", "zstd", "gzip"] = "lz4"
    transaction_s: Annotated[int, Field(ge=10, le=86_400)] = 900

    @model_validator(mode="after")
    def _is_of_the_format(self) -> KafkaTarget:
        idle = {"schemas", "decimals", "transactions", "tombstones"} & self.model_fields_set
        if self.format != "debezium" and idle:
            raise ValueError(f"{min(idle)} is of format: debezium; {self.format} has no such thing")
        return self
