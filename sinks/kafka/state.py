"""What the cluster knows of a pipeline: a compacted topic of its own, ``tailrace.NAME``.

    "checkpoint"      {"journal":…,"offset":…,"position":…}
    "owner"           {"holder":…,"epoch":…}: which process writes
    "parked ID"       {"journal":…}: a receipt, see `sinks.protocol.Receipts`
    "topic NAME"      {"protected":{COLUMN:…}}: a topic that the pipeline writes, and how its
                      columns are protected

All of it is written by the pipeline's transactional producer: what belongs to messages in the
transaction of these messages. The topic is the truth; nothing of it is kept elsewhere.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from sinks.protocol import Checkpoint, Receipts
from tailrace.kafka.errors import Unreachable
from tailrace.kafka.protocol import Admin, Consumer
from tailrace.kafka.records import Records

SETTINGS = {
    "cleanup.policy": "compact",
    "segment.bytes": str(4 << 20),
    "min.cleanable.dirty.ratio": "0.1",
    "retention.ms": "-1",
}
"""Small segments, since only finished ones are compacted, and all of it is read at each start."""
READ_S = 60.0

CHECKPOINT, OWNER, PARKED, TOPIC = "checkpoint", "owner", "parked ", "topic "


def name_of(pipeline: str) -> str:
    return f"tailrace.{pipeline}"


@dataclass(slots=True)
class State:
    """The last value of each key."""

    values: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        return int(self.values.get(OWNER, {}).get("epoch", 0))

    @property
    def holder(self) -> str:
        return str(self.values.get(OWNER, {}).get("holder", ""))

    @property
    def journal(self) -> str | None:
        found = self.values.get(CHECKPOINT)
        return None if found is None else str(found["journal"])

    def checkpoint(self, journal: str) -> Checkpoint:
        found = self.values.get(CHECKPOINT)
        if found is None:
            return Checkpoint(journal, 0, "")
        return Checkpoint(journal, int(found["offset"]), str(found["position"]))

    def parked(self, journal: str) -> frozenset[str]:
        return frozenset(
            key.removeprefix(PARKED)
            for key, value in self.values.items()
            if key.startswith(PARKED) and value.get("journal") == journal
        )

    def is_known(self, topic: str) -> bool:
        return TOPIC + topic in self.values

    def protection(self, topic: str) -> Mapping[str, str] | None:
        """Of its protected columns, see `sinks.protection`; None where it is not ours yet."""
        known = self.values.get(TOPIC + topic)
        return None if known is None else known.get("protected", {})


def make(admin: Admin, topic: str, replication: int) -> None:
    """The topic, where it is absent. Errors: TransportError."""
    if topic not in admin.topics([topic]):
        admin.create(topic, 1, replication, SETTINGS)


def read(consumer: Consumer, topic: str) -> State:
    """What is committed in it. Errors: TransportError."""
    partition = (topic, 0)
    first, last = consumer.extent([partition])[partition]
    state = State()
    if last <= first:
        return state
    consumer.assign({partition: first})
    deadline = time.monotonic() + READ_S
    while consumer.positions().get(partition, first) < last:
        for fetched in consumer.poll(1.0):
            for key, value in zip(
                fetched.keys.to_pylist(), fetched.values.to_pylist(), strict=True
            ):
                if value is None:
                    state.values.pop(key.decode(), None)
                else:
                    state.values[key.decode()] = json.loads(value)
        if time.monotonic() > deadline:
            raise Unreachable("reading the checkpoint takes too long", topic=topic)
    return state


def records(values: Mapping[str, dict[str, Any] | None]) -> Records:
    """None removes a key."""
    return Records(
        pa.array([key.encode() for key in values], pa.binary()),
        pa.array(
            [
                None if value is None else json.dumps(value, separators=(",", ":")).encode()
                for value in values.values()
            ],
            pa.binary(),
        ),
    )


def commit_values(checkpoint: Checkpoint, receipts: Receipts) -> dict[str, dict[str, Any] | None]:
    found: dict[str, dict[str, Any] | None] = {PARKED + one: None for one in receipts.released}
    found |= {PARKED + one: {"journal": checkpoint.journal} for one in receipts.parked}
    found[CHECKPOINT] = {
        "journal": checkpoint.journal,
        "offset": checkpoint.offset,
        "position": checkpoint.position,
    }
    return found
