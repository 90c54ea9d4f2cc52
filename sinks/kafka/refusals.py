"""What stands against writing a topic, in the words of `check` and of a run."""

from __future__ import annotations

from cdc.schema import TableName
from tailrace.errors import TargetRefused
from tailrace.kafka.protocol import Consumer, Topic
from transforms.rows import TargetTable


def refuse_shared(table: TargetTable, topic: str, other: TableName) -> None:
    """Their keys would be mistaken for each other's. Errors: TargetRefused."""
    if other == table.table:
        return
    raise TargetRefused(
        f"{table.table} and {other} would be written to one topic",
        where={"table": str(table.table), "topic": topic},
        fix="put what tells them apart into the name (`topic` at the target, `into` at the"
        " table), such as {schema}",
    )


def of_others(table: TargetTable, topic: str) -> TargetRefused:
    return TargetRefused(
        f"topic {topic} holds messages that are not ours",
        where={"table": str(table.table), "topic": topic},
        fix="name another topic (`topic` at the target, `into` at the table); or, to write"
        " behind them, existing: keep",
    )


def vanished(table: TargetTable, name: str) -> TargetRefused:
    return TargetRefused(
        f"topic {name} was written by this pipeline and is gone",
        where={"table": str(table.table), "topic": name},
        fix="its messages will not be sent again: make the topic anew, by hand, to go on without"
        " them; or copy everything anew",
    )


def holds_messages(consumer: Consumer, topic: Topic) -> bool:
    """Committed ones: those of a transaction of ours that ended are nobody's."""
    extent = consumer.extent([(topic.name, number) for number in range(topic.partitions)])
    consumer.assign({one: first for one, (first, _) in extent.items()})
    while any(consumer.positions()[one] < last for one, (_, last) in extent.items()):
        if consumer.poll(1.0, 1):
            return True
    return False
