"""Deletes of which compaction has left the tombstone alone. Pure.

Debezium says a delete and puts a tombstone, a message without a value, behind it, so that
compaction takes away all that was said of the key: the delete itself, too, and later the tombstone.
One that stands alone is the delete then. It has a key and no more; how rows of its topic are read,
and of which table they are, is known of a row that came before it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from cdc.kafka.documents import CONNECTOR
from cdc.kafka.envelope import undecodable
from cdc.kafka.groups import Group
from cdc.kafka.keys import KEY_FORMAT, fields_of_key
from cdc.kafka.shapes import Shape, Shapes
from cdc.schema import TableName
from tailrace.kafka.protocol import Partition
from tailrace.kafka.records import Fetched

_OF_TABLE = ("connector", "db", "schema", "table", "collection")
Pattern = tuple[str, dict[str, Any]]
"""What stands before the payload of a topic's messages, and their `source` as far as it says the
table and how to read it."""

Deleted = tuple[int, str]
"""A delete's offset, and a digest of its key."""


class Tombstones:
    """Of all topics. `patterns`: of those of which rows were read before, JSON as `shown`;
    `deletes`: JSON as `last`."""

    def __init__(self, patterns: str = "{}", deletes: str = "{}") -> None:
        self._patterns: dict[str, Pattern | None] = {
            topic: None if one is None else (one[0], one[1])
            for topic, one in json.loads(patterns).items()
        }
        self._of: dict[str, tuple[Shape, TableName]] = {}
        self._met: dict[Partition, Deleted | None] = {
            (topic, int(number)): (offset, digest)
            for topic, parts in json.loads(deletes).items()
            for number, (offset, digest) in parts.items()
        }
        self._known = frozenset(self._patterns)
        self.shown = patterns

    @property
    def last(self) -> str:
        """The deletes that were read last of their partitions, behind which a tombstone may come:
        JSON, {topic: {partition: [offset, digest of the key]}}."""
        found: dict[str, dict[str, Deleted]] = {}
        for (topic, number), one in sorted(self._met.items()):
            if one is not None:
                found.setdefault(topic, {})[str(number)] = one
        return json.dumps(found)

    def learn(
        self, topic: str, shape: Shape, table: TableName, message: bytes, payload: bytes
    ) -> None:
        """Of a topic's row. Where a topic has rows of several tables, tombstones are of any."""
        if self._of.get(topic, (None, None))[0] is shape and self._of[topic][1] == table:
            return
        said = json.loads(payload)["source"]
        source = {name: said[name] for name in _OF_TABLE if name in said}
        if isinstance(said.get("txId"), str):
            source["txId"] = ""  # none, but a text
        head = message[: len(message) - len(payload) - 1] if len(message) > len(payload) else b""
        made = head.decode(), source
        known = self._patterns.get(topic, made)
        is_other = known is None or _table(known) != _table(made)
        self._of[topic] = (shape, table)
        self._patterns[topic] = None if is_other else made
        self.shown = json.dumps(self._patterns, sort_keys=True, ensure_ascii=False)

    def deletes(self, fetched: Fetched, shapes: Shapes) -> Group | None:
        """A delete for each tombstone that has lost its own, as far as rows of the topic were ever
        read. Errors: DecodeError."""
        place = (fetched.topic, fetched.partition)
        is_known = place in self._met or fetched.topic in self._known
        before = self._met.get(place)
        alone: list[int] = []
        if fetched.values.null_count:
            keys = fetched.keys.to_pylist()
            for index in np.flatnonzero(fetched.values.is_null()).tolist():
                if keys[index] is None:
                    continue
                is_behind = _is_behind(fetched, index) if index else _is_of(before, fetched)
                if not is_behind:
                    alone.append(index)
        if fetched.count:
            self._met[place] = _deleted(fetched, fetched.count - 1)
        if not alone or fetched.topic not in self._patterns:
            return None
        pattern = self._patterns[fetched.topic]
        if pattern is None and not is_known:
            alone = [index for index in alone if index]  # its delete may be what we began behind
        if not alone:
            return None
        if pattern is None:
            raise undecodable(fetched, alone[0], _OF_SEVERAL, _ONE_EACH)
        payloads = [_delete(fetched, index, pattern[1]) for index in alone]
        message = payloads[0] if not pattern[0] else pattern[0].encode() + payloads[0] + b"}"
        return shapes.split(message)[0], alone, payloads


_OF_SEVERAL = (
    "a tombstone stands without its delete, which compaction has taken away, on a topic of several"
    " tables: of which of them it is, is not known"
)
_ONE_EACH = (
    "give each table a topic of its own, or do not compact this one (cleanup.policy=delete), and"
    " have the connector send its snapshot again"
)


def _delete(fetched: Fetched, index: int, source: Mapping[str, Any]) -> bytes:
    """The payload. Errors: DecodeError."""
    row = fields_of_key(fetched.keys[index].as_py())
    if row is None:
        raise undecodable(fetched, index, "the key of a tombstone is no JSON", KEY_FORMAT)
    said = {
        "before": None if source.get("connector") == CONNECTOR else row,
        "after": None,
        "source": {**source, "ts_ms": int(fetched.timestamps_ms[index])},
        "op": "d",
    }
    return json.dumps(said).encode()


def _table(pattern: Pattern) -> list[Any]:
    return [pattern[1].get(name) for name in _OF_TABLE[1:]]


def _is_behind(fetched: Fetched, index: int) -> bool:
    """Whether the tombstone is of the delete that stands before it; between them may be the end of
    a transaction."""
    if fetched.keys[index].as_py() != fetched.keys[index - 1].as_py():
        return False
    if fetched.offsets[index] - fetched.offsets[index - 1] > 1:
        return _deleted(fetched, index - 1) is not None
    value = fetched.values[index - 1].as_py()
    return value is not None and _DELETE.search(value) is not None


def _is_of(last: Deleted | None, fetched: Fetched) -> bool:
    """The same of the first that was fetched."""
    if last is None or last[0] >= int(fetched.offsets[0]):
        return False
    return last[1] == _digest(fetched.keys[0].as_py())


def _deleted(fetched: Fetched, index: int) -> Deleted | None:
    """None where it is something else than a delete."""
    value, key = fetched.values[index].as_py(), fetched.keys[index].as_py()
    if value is None or key is None or _DELETE.search(value) is None:
        return None
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        return None
    said = said.get("payload", said) if isinstance(said, dict) else None
    if not isinstance(said, dict) or said.get("op") != "d":
        return None  # a column's name and value
    return int(fetched.offsets[index]), _digest(key)


def _digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:32]


_DELETE = re.compile(rb'"op"\s*:\s*"d"')
