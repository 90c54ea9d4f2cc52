"""Recorded messages of a genuine Debezium, as they are fetched from topics."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.changes import ChangeSet
from cdc.kafka.decode import Decoder
from cdc.kafka.names import rows_topics
from cdc.kafka.settings import KafkaDebeziumSource
from tailrace.kafka.records import Fetched

RECORDED = Path(
    os.environ.get("TAILRACE_TEST_DEBEZIUM", Path(__file__).parents[2] / "debezium" / "recorded")
)
"""`make test-debezium` records anew, elsewhere."""
NAMES = sorted(path.name.removesuffix(".jsonl.gz") for path in RECORDED.glob("*.gz"))

Event = dict[str, Any]
Said = tuple[str, bytes | None, bytes | None]
"""Topic, key, value."""


def records(name: str) -> list[Said]:
    """(topic, key, value) in the order in which Debezium said them."""
    found = []
    for line in gzip.decompress((RECORDED / f"{name}.jsonl.gz").read_bytes()).splitlines():
        one = json.loads(line)
        key, value = (None if one[k] is None else one[k].encode() for k in ("key", "value"))
        found.append((one["topic"], key, value))
    return found


def fetched(given: list[Said], first: int = 0) -> list[Fetched]:
    """Of the topics that hold rows, one partition each."""
    topics: dict[str, list[tuple[bytes | None, bytes | None]]] = {}
    for topic, key, value in given:
        topics.setdefault(topic, []).append((key, value))
    return [
        Fetched(
            topic,
            0,
            np.arange(first, first + len(rows)),
            first + len(rows),
            np.zeros(len(rows), np.int64),
            pa.array([key for key, _ in rows], pa.binary()),
            pa.array([value for _, value in rows], pa.binary()),
        )
        for topic, rows in topics.items()
        if topic in rows_topics(topics, ["*"])
    ]


def settings(**more: Any) -> KafkaDebeziumSource:
    return KafkaDebeziumSource(
        **{
            "type": "kafka-debezium",
            "brokers": "localhost:9092",
            "topics": ("erp.*",),
            "tables": ("shop.*",),
            **more,
        }
    )


def decoded(name: str, **more: Any) -> ChangeSet:
    found = Decoder(settings(**more), {}, {}).change_set(fetched(records(name)), "{}")
    assert found is not None
    return found


def events(changes: ChangeSet) -> Iterator[Event]:
    """In order of `seq`: table, operation, and the row as texts, without what was not sent."""
    found: dict[int, Event] = {}
    for table in changes.tables:
        names = [column.name for column in table.schema.columns]
        for n, (seq, op) in enumerate(
            zip(table.seq.to_pylist(), table.op.to_pylist(), strict=True)
        ):
            gone = {i for i, flags in table.unsent.items() if flags[n].as_py()}
            new = {
                name: _text(values[n].as_py())
                for i, (name, values) in enumerate(zip(names, table.new, strict=True))
                if i not in gone
            }
            old = {
                name: _text(values[n].as_py())
                for name, values in zip(names, table.old or (), strict=False)
                if values is not None and chr(op) == "d"
            }
            found[seq] = {
                "table": table.schema.table.name,
                "op": chr(op),
                "new": new,
                "old": old,
                "key": table.schema.key,
            }
    assert sorted(found) == list(range(len(found)))
    return iter([found[seq] for seq in sorted(found)])


def _text(value: object) -> str | None:
    return None if value is None else str(value)
