"""Whether a Kafka target can be written, before anything is; creates nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from cdc.findings import Finding
from sinks.kafka import state as states
from sinks.kafka.refusals import holds_messages, of_others, refuse_shared, vanished
from sinks.kafka.settings import KafkaTarget
from sinks.kafka.state import State
from sinks.kafka.topics import misfits, topic_of
from sinks.protection import findings
from sinks.protocol import Line
from tailrace.errors import TargetRefused, TargetUnavailable
from tailrace.kafka.errors import Refused, TransportError
from tailrace.kafka.protocol import Client, Topic, client_of
from tailrace.kafka.settings import cluster_of
from transforms.rows import TargetTable

_RIGHTS = (
    "-- see to `sasl` and `tls`, and grant Describe, DescribeConfigs, Create, Read and Write on the"
    " topics and on tailrace.PIPELINE, Describe and Write on the transactional id"
)


def inspect(target: KafkaTarget, lines: Sequence[Line]) -> list[Finding]:
    """Everything that stands against `lines`.

    Errors: TargetUnavailable when nothing can be looked at.
    """
    found, planned = _planned(target, lines)
    try:
        found += _looked_at(client_of(cluster_of(target)), lines, planned)
    except Refused as error:
        what = f"the cluster refuses us: {error.what}"
        found.append(Finding("error", what, error.topic or target.brokers, _RIGHTS))
    except TransportError as error:
        raise TargetUnavailable(f"looking at the target: {error.what}") from error
    for line in lines:
        for table in line.tables:
            found += _types(table, target)
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Planned:
    """A table's topic."""

    line: Line
    table: TargetTable
    topic: str


def _planned(target: KafkaTarget, lines: Sequence[Line]) -> tuple[list[Finding], list[_Planned]]:
    """Which topics are to be written; names that can be none, and topics that are written twice."""
    found: list[Finding] = []
    planned: list[_Planned] = []
    first: dict[str, _Planned] = {}
    for line in lines:
        for table in line.tables:
            try:
                topic = topic_of(target.topic, table.table, line.pipeline, line.source)
            except TargetRefused as refused:
                found.append(_finding(table, refused))
                continue
            one = _Planned(line, table, topic)
            planned.append(one)
            other = first.setdefault(topic, one)
            found += _shared(one, other)
    return found, planned


def _shared(one: _Planned, other: _Planned) -> Iterator[Finding]:
    if one.line == other.line:
        try:
            refuse_shared(one.table, one.topic, other.table.table)
        except TargetRefused as refused:
            yield _finding(one.table, refused)
    elif one.table.existing != "keep":
        yield Finding(
            "error",
            f"pipelines {other.line.pipeline} and {one.line.pipeline} would both write topic"
            f" {one.topic}, whose keys would be mistaken for each other's",
            str(one.table.table),
            "-- put {pipeline} or {source} into `topic` at the target; or, where that is meant,"
            " existing: keep",
        )


def _looked_at(
    client: Client, lines: Sequence[Line], planned: Sequence[_Planned]
) -> Iterator[Finding]:
    names = {line.pipeline: states.name_of(line.pipeline) for line in lines}
    with closing(client.admin()) as admin:
        there = admin.topics(sorted({*names.values(), *(one.topic for one in planned)}))
    known: dict[str, State] = {}
    for pipeline, name in names.items():
        if name in there:
            yield from _checkpoint(there[name])
            with closing(client.consumer()) as consumer:
                known[pipeline] = states.read(consumer, name)
    for one in planned:
        yield from _topic(client, one, there.get(one.topic), known.get(one.line.pipeline, State()))


def _checkpoint(topic: Topic) -> Iterator[Finding]:
    if topic.expires or not topic.is_compacted:
        yield Finding(
            "error",
            "the topic of a pipeline's checkpoint is not compacted only: Kafka would forget it in"
            " time",
            f"topic {topic.name}",
            f"-- kafka-configs.sh --alter --topic {topic.name} --add-config cleanup.policy=compact",
        )


def _topic(client: Client, one: _Planned, topic: Topic | None, state: State) -> Iterator[Finding]:
    """As `topics.Topics.prepare` would find it."""
    if state.is_known(one.topic):
        if topic is None:
            yield _finding(one.table, vanished(one.table, one.topic))
        yield from findings(one.table, state.protection(one.topic) or {})
    elif topic is not None and one.table.existing != "keep":
        with closing(client.consumer()) as consumer:
            if holds_messages(consumer, topic):
                yield _finding(one.table, of_others(one.table, one.topic))


def _types(table: TargetTable, target: KafkaTarget) -> Iterator[Finding]:
    for column, type_ in misfits(table, target):
        yield Finding(
            "error",
            f"{type_} has no form in Debezium's envelope here",
            f"{table.table}.{column}",
            "-- map the table without this column, or use `format: json` at the target",
        )


def _finding(table: TargetTable, refused: TargetRefused) -> Finding:
    return Finding("error", refused.what, str(table.table), f"-- {refused.fix}")
