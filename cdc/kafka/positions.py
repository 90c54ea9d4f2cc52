"""Where on the topics: the offset that is read next of each partition. Pure.

    {"erp.sales.orders": [1042, 977], "erp.sales.items": [5]}

by topic, the partitions in order of their numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tailrace.kafka.protocol import Partition


def parse(text: str) -> dict[Partition, int]:
    """Errors: ValueError."""
    found: dict[str, list[int]] = json.loads(text)
    return {
        (topic, number): int(offset)
        for topic, offsets in found.items()
        for number, offset in enumerate(offsets)
    }


def show(offsets: Mapping[Partition, int]) -> str:
    topics: dict[str, list[int]] = {}
    for (topic, number), offset in sorted(offsets.items()):
        assert number == len(topics.setdefault(topic, []))
        topics[topic].append(offset)
    return json.dumps(topics, separators=(",", ":"))
