"""Kafka as a target: messages and checkpoint in one transaction of Kafka's.

    begin ─▶ messages … ─▶ checkpoint, receipts (`state`) ─▶ commit

So a reader with isolation.level=read_committed sees each change once. Our transactional id is the
pipeline's: who opens it cuts off whoever had it before.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial

import numpy as np

from sinks.batches import sliced
from sinks.kafka import state as states
from sinks.kafka.messages import Messages, joined, messages, refused
from sinks.kafka.ordering import Counter, Orders
from sinks.kafka.settings import KafkaTarget
from sinks.kafka.source import Source, transaction_name
from sinks.kafka.state import State
from sinks.kafka.topics import Prepared, Topics
from sinks.protocol import NO_RECEIPTS, Checkpoint, Durable, Receipts, Written
from sinks.refusals import already_past, answer_lost, fenced, of_another_journal
from tailrace.errors import TargetRefused, TargetUnavailable
from tailrace.failpoints import failpoint
from tailrace.kafka.batches import Encoder, batch_bytes, sizes
from tailrace.kafka.errors import Refused, Superseded, TransportError, Unreachable
from tailrace.kafka.protocol import Client, Producer, client_of
from tailrace.kafka.records import Records
from tailrace.kafka.settings import cluster_of
from transforms.rows import CLEAR, DELETE, RowChanges, TargetTable

PIECE_ROWS = 8192
HELD_BYTES = 48 << 20
"""What is encoded before any of it is sent: a row that is refused must leave nothing behind. More
than that is encoded twice: first only to see that all of it can be."""


class KafkaSink:
    """One pipeline's connection to its target. May be opened again after `close`.

    `source`: where the changes come from, for Debezium's envelope.
    """

    undoes = True

    def __init__(self, target: KafkaTarget, pipeline: str, source: Source) -> None:
        self._target = target
        self._pipeline = pipeline
        self._source = source
        self._holder = uuid.uuid4().hex
        self._state_topic = states.name_of(pipeline)
        self._client: Client | None = None
        self._producer: Producer | None = None
        self._topics: Topics | None = None
        self._epoch = 0
        self._state = State()
        self._checkpoint = Checkpoint("", 0, "")
        self._in_transaction = False
        self._counter = Counter(partial(transaction_name, source))
        self.system = ""

    def open(self, journal: str) -> Checkpoint:
        self.close()
        with self._translated("opening the target"):
            self._client = client_of(cluster_of(self._target))
            self._encoder = Encoder(self._target.compression)
            with closing(self._client.admin()) as admin:
                self.system = admin.cluster_id()
            if self._epoch:
                self._stays_out(self._read())
            self._producer = producer = self._client.producer(
                self._state_topic, self._target.transaction_s, self._target.compression
            )
            producer.open()
            self._state = state = self._read()
            self._stays_out(state)
            if state.journal not in (None, journal):
                anew = f"delete the topic {self._state_topic} and those that the pipeline wrote"
                raise of_another_journal(self._pipeline, state.journal, journal, anew)
            self._claim(producer, state)
        self._checkpoint = state.checkpoint(journal)
        self._topics = Topics(self._target, self._client, self._pipeline, self._source, journal)
        return self._checkpoint

    def prepare(self, tables: Sequence[TargetTable]) -> None:
        with self._translated("preparing topics"):
            self._opened.prepare(tables, self._state)

    def write(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        pieces = list(_pieces(changes))
        counter = self._counter.copied()
        orders = [self._numbered(counter, piece) for piece in pieces]
        held = sum(self._weight(piece) for piece in pieces) <= HELD_BYTES
        with self._translated("writing"):
            ready = (
                [self._encoded(*one) for one in zip(pieces, orders, strict=True)] if held else []
            )
            for one in () if held else zip(pieces, orders, strict=True):
                self._encoded(*one)
            self._begin()
            failpoint("deliver.staged")
            for at, piece in enumerate(pieces):
                for topic, records in ready[at] if held else self._encoded(piece, orders[at]):
                    self._connected.produce(topic.name, records, message_max=topic.message_max)
        self._counter = counter
        failpoint("deliver.applied")
        return _counted(changes)

    def receipts(self) -> frozenset[str]:
        return self._state.parked(self._checkpoint.journal)

    def commit(self, checkpoint: Checkpoint, receipts: Receipts = NO_RECEIPTS) -> Durable:
        if checkpoint.offset < self._checkpoint.offset:
            raise already_past(self._pipeline, checkpoint.offset)
        producer = self._connected
        values = states.commit_values(checkpoint, receipts)
        values |= self._opened.news(self._state)
        with self._translated("storing the checkpoint"):
            self._begin()
            producer.produce(self._state_topic, states.records(values), 0)
            failpoint("deliver.before_commit")
            try:
                producer.commit()
            except Unreachable as error:
                raise answer_lost(self._pipeline) from error
        self._ended()
        self._checkpoint = checkpoint
        for key, value in values.items():
            if value is None:
                self._state.values.pop(key, None)
            else:
                self._state.values[key] = value
        return Durable(checkpoint)

    def discrepancies(self) -> dict[str, int]:
        return {}

    def rollback(self) -> None:
        if self._in_transaction and self._producer is not None:
            with self._translated("rolling back"):
                self._producer.abort()
        self._ended()

    def close(self) -> None:
        if self._topics is not None:
            self._topics.close()
        if self._producer is not None:
            self._producer.close()
        self._producer = self._topics = self._client = None
        self._ended()

    @property
    def _connected(self) -> Producer:
        assert self._producer is not None, "open the sink first"
        return self._producer

    @property
    def _opened(self) -> Topics:
        assert self._topics is not None, "open the sink first"
        return self._topics

    def _read(self) -> State:
        assert self._client is not None
        with (
            closing(self._client.admin()) as admin,
            closing(self._client.consumer()) as consumer,
        ):
            states.make(admin, self._state_topic, self._target.replication or -1)
            return states.read(consumer, self._state_topic)

    def _stays_out(self, state: State) -> None:
        """A process that comes back after another took over does not take over again."""
        if self._epoch and state.holder != self._holder and state.epoch > self._epoch:
            raise fenced(self._pipeline, self._epoch)

    def _claim(self, producer: Producer, state: State) -> None:
        owner = {"holder": self._holder, "epoch": state.epoch + 1}
        producer.begin()
        producer.produce(self._state_topic, states.records({states.OWNER: owner}), 0)
        producer.commit()
        self._epoch = state.epoch + 1

    def _begin(self) -> None:
        if not self._in_transaction:
            self._connected.begin()
            self._in_transaction = True

    def _ended(self) -> None:
        self._in_transaction = False
        self._counter = Counter(self._counter.named)

    def _numbered(self, counter: Counter, changes: Sequence[RowChanges]) -> Sequence[Orders | None]:
        return counter.number(changes) if self._target.transactions else [None] * len(changes)

    def _encoded(
        self, changes: Sequence[RowChanges], orders: Sequence[Orders | None]
    ) -> list[tuple[Prepared, Records]]:
        """By topic. Errors: RowRefused."""
        parts: dict[str, list[Messages]] = {}
        topics: dict[str, Prepared] = {}
        for change, own in zip(changes, orders, strict=True):
            topic = self._opened.of(change.table)
            found = messages(change, topic.style, own)
            for one in found:
                self._fits(change.table, one, topic.message_max)
            parts.setdefault(topic.name, []).extend(found)
            topics[topic.name] = topic
        return [(topics[name], joined(found)) for name, found in parts.items() if found]

    def _fits(self, table: TargetTable, one: Messages, message_max: int) -> None:
        """Whether brokers take each message, were it alone in its batch. Errors: RowRefused."""
        large = np.flatnonzero(sizes(one.records) > batch_bytes(message_max))
        for row in large.tolist():
            size = self._encoder.alone(one.records, row)
            if size > message_max:
                raise refused(
                    table,
                    f"a message of {size:,} bytes is larger than the topic takes"
                    f" (max.message.bytes {message_max:,})",
                    int(one.seq[row]),
                )

    def _weight(self, changes: Sequence[RowChanges]) -> int:
        return sum(
            self._opened.of(change.table).overhead * change.rows
            + 2 * sum(column.nbytes for column in change.values)
            for change in changes
        )

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """Kafka's errors as a target's. Who is superseded asks the checkpoint's topic why: a broker
        gives up a transaction that took too long in the same words."""
        try:
            yield
        except TransportError as error:
            where: dict[str, object] = {"pipeline": self._pipeline, "topic": error.topic}
            what = f"{doing}: {error.what}"
            if isinstance(error, Superseded) and self._is_taken_over():
                raise fenced(self._pipeline, self._epoch) from error
            if isinstance(error, Refused):
                fix = "tailrace check looks at the cluster, its topics and our rights"
                raise TargetRefused(what, where=where, fix=fix) from error
            raise TargetUnavailable(what, where=where) from error

    def _is_taken_over(self) -> bool:
        try:
            state = self._read()
        except TransportError:
            return False  # opening again will tell
        return state.holder != self._holder and state.epoch > self._epoch


def _pieces(changes: Sequence[RowChanges]) -> Iterator[list[RowChanges]]:
    """The changes in the source's order, in pieces of a few thousand; a table may stand several
    times in one."""
    if not changes:
        return
    order = np.sort(np.concatenate([change.seq.to_numpy() for change in changes]))
    firsts = [0] * len(changes)
    for last in (*order[PIECE_ROWS - 1 :: PIECE_ROWS].tolist(), int(order[-1])):
        piece = []
        for at, change in enumerate(changes):
            end = int(np.searchsorted(change.seq, last, side="right"))
            if end > firsts[at]:
                piece.append(sliced(change, firsts[at], end - firsts[at]))
                firsts[at] = end
        if piece:
            yield piece


def _counted(changes: Sequence[RowChanges]) -> dict[str, Written]:
    counts: dict[str, Written] = {}
    for change in changes:
        written = counts.setdefault(str(change.table.table), Written())
        op = change.op.to_numpy()
        written.deleted += int((op == DELETE).sum())
        written.cleared += int((op == CLEAR).sum())
        written.upserted += int(((op != DELETE) & (op != CLEAR)).sum())
    return counts
