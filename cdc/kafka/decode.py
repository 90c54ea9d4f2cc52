"""Fetched records to a change set: rows in columns, in one order, by transactions. Pure.

Of one partition the order is kept. Partitions are put into one order by the time at which their
source committed; what has one transaction's name and stands together is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.arrays import transactions
from cdc.changes import ChangeSet
from cdc.kafka.envelope import undecodable
from cdc.kafka.groups import Group, Parsed, parsed_group, parsed_groups
from cdc.kafka.keys import key_columns
from cdc.kafka.messages import Ints, commit_times, transaction_names
from cdc.kafka.rows import Rows, table_changes
from cdc.kafka.settings import KafkaDebeziumSource
from cdc.kafka.shapes import NO_ENVELOPE, Shape, Shapes
from cdc.kafka.tombstones import Tombstones
from cdc.schema import TableName
from tailrace.kafka.protocol import Topic
from tailrace.kafka.records import Fetched

_OPS = frozenset("cudtr")
_KNOWN = _OPS | {"m"}
"""With messages of the application's own in the log (pg_logical_emit_message), which are passed
over."""


class Decoder:
    """`keys`: of tables known before. It learns the keys of others from messages' keys. `patterns`,
    `deletes`: what it knew when it ended."""

    def __init__(
        self,
        settings: KafkaDebeziumSource,
        keys: Mapping[TableName, tuple[str, ...]],
        topics: Mapping[str, Topic],
        patterns: str = "{}",
        deletes: str = "{}",
    ) -> None:
        self._settings = settings
        self._patterns = settings.patterns
        self._shapes: dict[str, Shapes] = {}
        self._topics = topics
        self.keys = dict(keys)
        self._tombstones = Tombstones(patterns, deletes)

    @property
    def patterns(self) -> str:
        """What is to be known at the next start: JSON."""
        return self._tombstones.shown

    @property
    def deletes(self) -> str:
        """As `patterns`."""
        return self._tombstones.last

    def change_set(self, fetched: Sequence[Fetched], position: str) -> ChangeSet | None:
        """None where there are no rows in it. Errors: DecodeError."""
        found: list[Rows] = []
        order: list[Ints] = []
        labels: list[str] = []
        moments: list[Ints] = []
        first = 0
        for part, one in enumerate(fetched):
            rows = list(self._rows(one, first))
            found += rows
            times = np.zeros(one.count, np.int64)
            names = np.full(one.count, "", object)
            for some in rows:
                places = some.at - first
                times[places] = commit_times(some.parsed)
                names[places] = transaction_names(some.parsed)
            moments.append(times)
            labels += names.tolist()
            order.append(
                np.stack([_order_of(one, times), np.full(one.count, part), np.arange(one.count)])
            )
            first += one.count
        if not found:
            return None
        times, parts, indexes = np.concatenate(order, axis=1)
        is_row = np.zeros(first, bool)
        for some in found:
            is_row[some.at] = True
        sequence = np.lexsort((indexes, parts, times))
        sequence = sequence[is_row[sequence]]
        seq = np.full(first, -1, np.int64)
        seq[sequence] = np.arange(len(sequence))
        tables = tuple(
            table_changes(some, seq[some.at], self._settings.unavailable) for some in found
        )
        named = _transactions(
            fetched, sequence, [labels[i] for i in sequence], np.concatenate(moments)[sequence]
        )
        return ChangeSet(tables, transactions(named), position)

    def _rows(self, fetched: Fetched, first: int) -> Iterator[Rows]:
        shapes = self._shapes.setdefault(fetched.topic, Shapes(self._settings))
        for group, parsed in parsed_groups(fetched, shapes):
            shape, indexes, payloads = group
            for rows in self._sorted(fetched, first, group, parsed):
                index = int(rows.at[0]) - first
                message, payload = fetched.values[index].as_py(), payloads[indexes.index(index)]
                self._tombstones.learn(fetched.topic, shape, rows.table, message, payload)
                yield rows
        gone = self._tombstones.deletes(fetched, shapes)
        if gone is not None:
            yield from self._sorted(fetched, first, gone, parsed_group(fetched, gone))

    def _sorted(
        self,
        fetched: Fetched,
        first: int,
        group: Group,
        read: Parsed,
    ) -> Iterator[Rows]:
        """By their tables, without what is no row. Errors: DecodeError."""
        envelope, indexes, payloads = group
        parsed, tables = read
        at = np.array(indexes)
        ops = parsed.column("op").to_pylist()
        wrong = next((n for n, op in enumerate(ops) if op not in _KNOWN), None)
        if wrong is not None:
            what = f"the operation {ops[wrong]!r} is not known"
            raise undecodable(fetched, indexes[wrong], what, NO_ENVELOPE)
        absent = envelope.absent(payloads, parsed)
        for index, table, op in zip(indexes, tables, ops, strict=True):
            if not table.name and op in _OPS:
                raise undecodable(
                    fetched, index, "a message does not say which table it is of", NO_ENVELOPE
                )
        for table in dict.fromkeys(tables):
            if not self._patterns.matches(table):
                continue
            keep = np.array(
                [one == table and op in _OPS for one, op in zip(tables, ops, strict=True)]
            )
            if not keep.any():
                continue
            mine, some = at[keep], pa.array(keep)
            chosen = parsed if keep.all() else parsed.filter(some).combine_chunks()
            op = [one for one, kept in zip(ops, keep, strict=True) if kept]
            if "t" in op:
                self._verify_one_partition(fetched, table, int(mine[op.index("t")]))
            key = self._key(fetched, envelope, table, mine[np.array([one != "t" for one in op])])
            if key is None:
                continue  # a TRUNCATE of a table of which no row has come yet
            _verify(fetched, envelope, chosen, op, key, mine)
            lacks = {column: flags[keep] for column, flags in absent.items()}
            yield Rows(table, envelope, key, chosen, op, mine + first, fetched, first, lacks)

    def _verify_one_partition(self, fetched: Fetched, table: TableName, row: int) -> None:
        """A truncate has no key, so it stands on any of a topic's partitions. Errors: DecodeError
        where that leaves open which rows of the others it takes away."""
        topic = self._topics.get(fetched.topic)
        if topic is not None and topic.partitions > 1:
            raise undecodable(
                fetched,
                row,
                f"a TRUNCATE of {table} stands on a topic of {topic.partitions} partitions: which"
                " rows on the others it takes away is not known",
                "give the topics of tables that are truncated one partition, or let the connector"
                " leave truncates out (skipped.operations=t), and have it send its snapshot again"
                " to a topic made anew",
            )

    def _key(
        self, fetched: Fetched, shape: Shape, table: TableName, rows: Ints
    ) -> tuple[str, ...] | None:
        """Names of the key's columns, as the keys of these messages have them."""
        if len(rows):
            self.keys[table] = key_columns(fetched, shape, table, rows)
        return self.keys.get(table)


def _order_of(fetched: Fetched, times: Ints) -> Ints:
    """Commit times that do not go back. A tombstone has Kafka's time, which is later than its
    delete was: no later than what comes behind it was that."""
    is_none = fetched.values.is_null().to_numpy(zero_copy_only=False)
    if is_none.any():
        behind = np.where(is_none | (times == 0), np.iinfo(np.int64).max, times)
        times = np.minimum(times, np.minimum.accumulate(behind[::-1])[::-1])
    found: Ints = np.maximum.accumulate(times)
    return found


def _verify(
    fetched: Fetched,
    envelope: Shape,
    parsed: pa.Table,
    ops: Sequence[str],
    key: tuple[str, ...],
    rows: Ints,
) -> None:
    """Errors: DecodeError where a row that has to be there is not."""
    names = {one.column.name for one in envelope.fields}
    if missing := [name for name in key if name not in names]:
        raise undecodable(
            fetched,
            int(rows[0]),
            f"the key has {', '.join(missing)}, which the row has not",
            "declare all columns of the key; or take transformations out of the connector",
        )
    after = parsed.column("after").is_valid().to_pylist()
    before = parsed.column("before").is_valid().to_pylist()
    for index, op, has_after, has_before in zip(rows, ops, after, before, strict=True):
        if (op in "cru" and not has_after) or (op == "d" and not has_before):
            what = f"a message with operation {op!r} has no row"
            raise undecodable(fetched, int(index), what, NO_ENVELOPE)
    if (fault := envelope.fault(parsed)) is not None:
        row, what, fix = fault
        raise undecodable(fetched, int(rows[row]), what, fix)


def _transactions(
    fetched: Sequence[Fetched], rows: Ints, labels: Sequence[str], times: Ints
) -> list[tuple[Any, ...]]:
    """Rows for `cdc.arrays.transactions`; each row of which nothing is said is one of its own."""
    places = [(one.topic, one.partition, int(offset)) for one in fetched for offset in one.offsets]
    found: list[tuple[Any, ...]] = []
    previous = ""
    for seq, (row, label) in enumerate(zip(rows.tolist(), labels, strict=True)):
        if label and label == previous:
            continue
        previous = label
        topic, partition, offset = places[row]
        xid = int(label) if label.isdigit() and len(label) < 19 else None
        position = f"{topic}/{partition}@{offset}"
        found.append((seq, position, int(times[seq]), xid, None))
    return found
