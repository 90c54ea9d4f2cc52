"""A transactional producer over kafka-python's connections.

    InitProducerId ─▶ AddPartitionsToTxn ─▶ Produce … ─▶ EndTxn

https://kafka.apache.org/protocol. A batch is never sent twice: what fails ends the transaction, and
whoever wrote it begins again at its checkpoint. So sequence numbers only count.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from tailrace.failpoints import failpoint
from tailrace.kafka.batches import Encoder, Producing, by_partition
from tailrace.kafka.errors import Unreachable
from tailrace.kafka.protocol import Partition
from tailrace.kafka.python import REQUEST_S, Connections, translated
from tailrace.kafka.records import MESSAGE_MAX, Ints, Records
from tailrace.kafka.settings import Cluster

REQUEST_BYTES = 4 << 20
IN_FLIGHT = 4
"""Requests on the way at once: enough to keep a broker busy while the next one is encoded."""
_AGAIN_S = 0.005
"""The markers of a transaction take a moment longer than the answer to its commit."""
_PASSING = {
    "ConcurrentTransactionsError",
    "CoordinatorLoadInProgressError",
    "CoordinatorNotAvailableError",
    "NotCoordinatorError",
    "CoordinatorLoadingError",
}


class PythonProducer:
    def __init__(
        self, cluster: Cluster, transactional_id: str, timeout_s: float, compression: str
    ) -> None:
        self._cluster = cluster
        self._id = transactional_id
        self._timeout_ms = int(timeout_s * 1000)
        self._encoder = Encoder(compression)
        self._connections: Connections | None = None
        self._producing = Producing(-1, -1)
        self._sequences: dict[Partition, int] = {}
        self._leaders: dict[str, dict[int, int]] = {}
        self._added: set[Partition] = set()
        self._flight: list[Any] = []
        self._coordinator: int | None = None

    def open(self) -> None:
        from kafka.protocol.producer import InitProducerIdRequest

        self.close()
        self._connections = Connections(self._cluster)
        answer = self._of_coordinator(
            "taking the transactional id over",
            lambda: InitProducerIdRequest(
                transactional_id=self._id,
                transaction_timeout_ms=self._timeout_ms,
                producer_id=-1,
                producer_epoch=-1,
                max_version=5,
            ),
            lambda answer: answer.error_code,
        )
        self._producing = Producing(answer.producer_id, answer.producer_epoch)
        self._sequences.clear()
        self._leaders.clear()

    def begin(self) -> None:
        self._added.clear()

    def produce(
        self,
        topic: str,
        records: Records,
        partition: int | None = None,
        message_max: int = MESSAGE_MAX,
    ) -> None:
        leaders = self._leaders_of(topic)
        parts: list[tuple[int, Ints]] = list(
            by_partition(records, 1 if partition is not None else len(leaders))
        )
        if partition is not None:
            parts = [(partition, rows) for _, rows in parts]
        self._add(topic, [number for number, _ in parts])
        with translated("writing", topic):
            for node, batches in self._requests(topic, records, parts, leaders, message_max):
                self._send(topic, node, batches)

    def commit(self) -> None:
        self._settle()
        self._end(committed=True)

    def abort(self) -> None:
        self._settle()  # a batch that comes late would be the next transaction's
        self._end(committed=False)

    def close(self) -> None:
        if self._connections is not None:
            self._connections.close()
        self._connections = self._coordinator = None
        self._flight.clear()

    @property
    def _connected(self) -> Connections:
        assert self._connections is not None, "open the producer first"
        return self._connections

    def _requests(
        self,
        topic: str,
        records: Records,
        parts: list[tuple[int, Ints]],
        leaders: dict[int, int],
        message_max: int,
    ) -> Iterator[tuple[int, dict[int, bytes]]]:
        """(node, partition → batch) for each request, of which a partition is in once."""
        now_ms = time.time_ns() // 1_000_000
        waiting: dict[int, dict[int, bytes]] = {}
        for number, rows in parts:
            node = leaders[number]
            sequence = self._sequences.get((topic, number), 0)
            for count, batch in self._encoder.batches(
                records, rows, self._producing, sequence, now_ms, message_max
            ):
                self._sequences[topic, number] = (
                    self._sequences.get((topic, number), 0) + count
                ) % (1 << 31)
                mine = waiting.setdefault(node, {})
                if number in mine or sum(map(len, mine.values())) + len(batch) > REQUEST_BYTES:
                    if mine:
                        yield node, mine
                    mine = waiting[node] = {}
                mine[number] = batch
        yield from ((node, batches) for node, batches in waiting.items() if batches)

    def _send(self, topic: str, node: int, batches: dict[int, bytes]) -> None:
        from kafka.protocol.producer import ProduceRequest

        while len(self._flight) >= IN_FLIGHT:
            self._await_oldest()
        data = ProduceRequest.TopicProduceData
        request = ProduceRequest(
            transactional_id=self._id,
            acks=-1,
            timeout_ms=int(REQUEST_S * 1000),
            topic_data=[
                data(
                    name=topic,
                    partition_data=[
                        data.PartitionProduceData(index=number, records=batch)
                        for number, batch in batches.items()
                    ],
                )
            ],
            min_version=3,
            max_version=9,
        )
        connections = self._connected
        [future] = connections.run(connections.send, request, node)
        self._flight.append((topic, future))

    def _await_oldest(self) -> None:
        topic, future = self._flight.pop(0)
        with translated("writing", topic):
            answer = self._connected.run(_value_of, future)
            for of_topic in answer.responses:
                for one in of_topic.partition_responses:
                    _raise_for(one.error_code)

    def _settle(self) -> None:
        while self._flight:
            self._await_oldest()

    def _add(self, topic: str, partitions: list[int]) -> None:
        from kafka.protocol.producer import AddPartitionsToTxnRequest

        new = [number for number in partitions if (topic, number) not in self._added]
        if not new:
            return
        self._of_coordinator(
            "beginning a transaction",
            lambda: AddPartitionsToTxnRequest(
                v3_and_below_transactional_id=self._id,
                v3_and_below_producer_id=self._producing.producer_id,
                v3_and_below_producer_epoch=self._producing.epoch,
                v3_and_below_topics=[
                    AddPartitionsToTxnRequest.AddPartitionsToTxnTopic(name=topic, partitions=new)
                ],
                max_version=3,
            ),
            _worst,
        )
        self._added.update((topic, number) for number in new)

    def _end(self, *, committed: bool) -> None:
        from kafka.protocol.producer import EndTxnRequest

        if not self._added:
            return
        self._of_coordinator(
            "committing" if committed else "rolling back",
            lambda: EndTxnRequest(
                transactional_id=self._id,
                producer_id=self._producing.producer_id,
                producer_epoch=self._producing.epoch,
                committed=committed,
                max_version=3,
            ),
            lambda answer: answer.error_code,
            "deliver.commit_sent" if committed else "",
        )
        self._added.clear()

    def _of_coordinator(
        self, doing: str, request: Callable[[], Any], code: Callable[[Any], int], sent: str = ""
    ) -> Any:
        """Ask the transaction's coordinator until it is neither elsewhere nor busy.

        `sent`: the failpoint that is passed before an answer is read.
        """
        with translated(doing):
            return self._connected.run(self._asked, request, code, sent)

    async def _asked(
        self, request: Callable[[], Any], code: Callable[[Any], int], sent: str
    ) -> Any:
        from kafka.errors import for_code

        connections = self._connected
        deadline = time.monotonic() + REQUEST_S
        while True:
            if self._coordinator is None:
                self._coordinator = await self._find_coordinator(deadline)
            [future] = await connections.send(request(), self._coordinator)
            failpoint(sent)
            answer = await future
            error = for_code(code(answer))
            if code(answer) == 0:
                return answer
            if error.__name__ not in _PASSING or time.monotonic() > deadline:
                raise error()
            if error.__name__ != "ConcurrentTransactionsError":
                self._coordinator = None
            await connections.net.sleep(_AGAIN_S)

    async def _find_coordinator(self, deadline: float) -> int:
        from kafka.errors import for_code
        from kafka.protocol.metadata import CoordinatorType, FindCoordinatorRequest

        connections = self._connected
        kind = CoordinatorType.TRANSACTION
        while True:
            answer = await connections.ask(
                FindCoordinatorRequest(
                    key=self._id, key_type=kind.value, coordinator_keys=[self._id]
                )
            )
            [found] = answer.coordinators if answer.version >= 4 else [answer]
            if found.error_code == 0:
                node: int = connections.manager.cluster.add_coordinator(
                    found, kind, self._id, synthesize_node_id=False
                )
                return node
            error = for_code(found.error_code)
            if error.__name__ not in _PASSING or time.monotonic() > deadline:
                raise error()
            await connections.net.sleep(0.05)

    def _leaders_of(self, topic: str) -> dict[int, int]:
        if topic not in self._leaders:
            with translated("looking for a topic's leaders", topic):
                self._leaders[topic] = self._connected.run(self._find_leaders, topic)
        return self._leaders[topic]

    async def _find_leaders(self, topic: str) -> dict[int, int]:
        from kafka.errors import for_code
        from kafka.protocol.metadata import MetadataRequest

        connections = self._connected
        deadline = time.monotonic() + REQUEST_S
        while True:
            answer = await connections.ask(
                MetadataRequest(
                    topics=[MetadataRequest.MetadataRequestTopic(name=topic)],
                    allow_auto_topic_creation=False,
                    max_version=9,
                )
            )
            [found] = answer.topics
            leaders = {one.partition_index: one.leader_id for one in found.partitions}
            if found.error_code == 0 and leaders and min(leaders.values()) >= 0:
                return leaders
            if time.monotonic() > deadline:
                raise (
                    for_code(found.error_code)()
                    if found.error_code
                    else Unreachable("a partition has no leader", topic=topic)
                )
            await connections.net.sleep(0.05)


async def _value_of(future: Awaitable[Any]) -> Any:
    return await future


def _worst(answer: Any) -> int:
    """The first error of a partition; one that is only said because of another comes last."""
    codes = [
        one.partition_error_code
        for topic in answer.results_by_topic_v3_and_below
        for one in topic.results_by_partition
        if one.partition_error_code
    ]
    not_attempted = 55
    return min(codes, key=lambda code: code == not_attempted) if codes else 0


def _raise_for(code: int) -> None:
    from kafka.errors import for_code

    if code:
        raise for_code(code)()
