"""The Kafka sink against a real broker: what a reader of committed messages sees."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import cdc.changes as log
from cdc.changes import TRANSACTIONS, TableChanges
from cdc.schema import Column, TableName, TableSchema
from sinks.kafka import sink as module
from sinks.kafka.settings import KafkaTarget
from sinks.kafka.sink import KafkaSink
from sinks.kafka.source import Source
from sinks.protocol import Checkpoint, Receipts
from tailrace.errors import (
    CheckpointMismatch,
    Fenced,
    RowRefused,
    TargetRefused,
    TargetUnavailable,
)
from tailrace.kafka.errors import Unreachable
from tailrace.kafka.protocol import client_of
from tailrace.kafka.settings import Cluster
from tests.localkafka import LocalKafka, committed, settled
from transforms.model import Replicate
from transforms.router import Router
from transforms.rows import Logged, Places, RowChanges

SCHEMA = TableSchema(
    TableName("shop", "item"),
    (
        Column("id", "integer", "integer", False),
        Column("name", "text", "text"),
        Column("amount", "numeric(12,2)", "numeric"),
    ),
    ("id",),
)
JOURNAL = "journal-1"
SOURCE = Source("postgresql", "erp", "acme")
Change = tuple[str, Sequence[str | None], str | None]
"""Debezium's letter, the row after, the key before where it was another."""


class _Here:
    """Where changes come from."""

    def of(self, seq: Any) -> Places:
        return Places(np.full(len(seq), 7), seq, ["0/1"] * len(seq), np.zeros(len(seq), np.int64))


def changes(*given: Change, unsent: bool = False, base: int = 0) -> list[RowChanges]:
    """As the pipeline routes them; with `unsent` no name was sent."""
    rows = len(given)
    moved = [old is not None for _, _, old in given]
    dies = [letter == "d" for letter, _, _ in given]
    old = [row[0] if gone else key for (_, row, key), gone in zip(given, dies, strict=True)]
    made = TableChanges(
        SCHEMA,
        pa.array([ord(letter) for letter, _, _ in given], pa.uint8()),
        pa.array(range(rows), pa.int32()),
        tuple(
            pa.array([None if letter in "dt" else row[at] for letter, row, _ in given], pa.string())
            for at in range(3)
        ),
        {1: pa.array([True] * rows)} if unsent else {},
        pa.array([int(a or b) for a, b in zip(moved, dies, strict=True)], pa.uint8()),
        (pa.array(old, pa.string()), None, None),
    )
    transactions = pa.RecordBatch.from_pylist(
        [{"first_seq": 0, "position": "0/1566C78", "commit_us": 5, "xid": 9, "origin": None}],
        schema=TRANSACTIONS,
    )
    router = Router([Replicate(tables=("shop.*",))], (), {})
    logged = (Logged(made, base, transactions),)
    routed = router.route(made, base, transactions)
    return [replace(each, logged=logged, origins=_Here()) for each in routed]


def put(key: str, name: str | None, amount: str | None = "1.00", letter: str = "c") -> Change:
    return letter, (key, name, amount), None


class Bus:
    """A broker, and a pipeline that no other test has."""

    def __init__(self, broker: LocalKafka) -> None:
        self.broker = broker
        self.pipeline = broker.name("line")
        self._opened: list[KafkaSink] = []

    @property
    def topic(self) -> str:
        return f"{self.pipeline}.shop.item"

    def sink(self, **settings: Any) -> KafkaSink:
        target = KafkaTarget(
            type="kafka",
            brokers=self.broker.bootstrap,
            topic="{pipeline}.{schema}.{table}",
            **settings,
        )
        self._opened.append(KafkaSink(target, self.pipeline, SOURCE))
        return self._opened[-1]

    def opened(self, **settings: Any) -> KafkaSink:
        sink = self.sink(**settings)
        sink.open(JOURNAL)
        sink.prepare([changes(put("1", "x"))[0].table])
        return sink

    def messages(self, topic: str = "") -> list[tuple[Any, Any, list[tuple[str, bytes]]]]:
        """(key, value, headers) of those that are committed, partition by partition."""
        client = client_of(Cluster(brokers=self.broker.bootstrap))
        settled(client, f"tailrace.{self.pipeline}")
        topic = topic or self.topic
        with closing(client.admin()) as admin:
            count = admin.topics([topic])[topic].partitions
        found = []
        for number in range(count):
            for fetched in committed(client, (topic, number)):
                found += zip(
                    map(_json, fetched.keys.to_pylist()),
                    map(_json, fetched.values.to_pylist()),
                    map(list, fetched.headers),
                    strict=True,
                )
        return found

    def names(self) -> list[str | None]:
        return [value["after"]["name"] for _, value, _ in self.messages()]

    def close(self) -> None:
        for sink in self._opened:
            sink.close()


def _json(text: bytes | None) -> Any:
    return None if text is None else json.loads(text)


def commit(sink: KafkaSink, offset: int, *given: Change) -> None:
    sink.write(changes(*given))
    sink.commit(Checkpoint(JOURNAL, offset, f"0/{offset}"))


@pytest.fixture
def bus(kafka: LocalKafka) -> Iterator[Bus]:
    with closing(Bus(kafka)) as found:
        yield found


def test_messages_and_checkpoint_are_one(bus: Bus) -> None:
    sink = bus.opened()
    assert sink.open(JOURNAL) == Checkpoint(JOURNAL, 0, "")
    sink.prepare([changes(put("1", "x"))[0].table])
    commit(sink, 1, put("1", "a"))
    sink.write(changes(put("2", "rolled back")))
    sink.rollback()
    sink.write(changes(put("3", "b")))
    sink.write(changes(put("4", "c")))
    sink.commit(Checkpoint(JOURNAL, 2, "0/2"), Receipts(parked=("1-0", "1-7")))
    sink.commit(Checkpoint(JOURNAL, 2, "0/2"), Receipts(("1-8",), ("1-0", "9-9")))
    sink.write(changes(put("5", "never committed")))
    sink.close()
    again = bus.sink()
    assert again.open(JOURNAL) == Checkpoint(JOURNAL, 2, "0/2")
    assert again.receipts() == {"1-7", "1-8"}
    assert bus.names() == ["a", "b", "c"]
    with pytest.raises(CheckpointMismatch):
        again.commit(Checkpoint(JOURNAL, 1, "0/1"))
    with pytest.raises(CheckpointMismatch) as raised:
        bus.sink().open("another journal")
    assert "delete the topic tailrace." in str(raised.value.fix)


def test_the_older_process_is_fenced_and_stays_out(bus: Bus) -> None:
    older, newer = bus.opened(), bus.sink()
    older.write(changes(put("1", "older")))
    newer.open(JOURNAL)
    newer.prepare([changes(put("1", "x"))[0].table])
    with pytest.raises(Fenced):
        older.commit(Checkpoint(JOURNAL, 1, "0/1"))
    with pytest.raises(Fenced):
        older.open(JOURNAL)
    commit(newer, 1, put("1", "newer"))
    newer.close()
    newer.open(JOURNAL)
    newer.prepare([changes(put("1", "x"))[0].table])
    commit(newer, 2, put("1", "newer again"))
    assert bus.names() == ["newer", "newer again"]


def test_what_a_broker_gives_up_is_no_other_process(bus: Bus) -> None:
    """Our own transactional id begun anew, as after a transaction that took too long."""
    sink = bus.opened()
    sink.write(changes(put("1", "lost")))
    client = client_of(Cluster(brokers=bus.broker.bootstrap))
    other = client.producer(f"tailrace.{bus.pipeline}", 60, "none")
    other.open()
    other.close()
    with pytest.raises(TargetUnavailable):
        sink.commit(Checkpoint(JOURNAL, 1, "0/1"))
    assert sink.open(JOURNAL).offset == 0
    sink.prepare([changes(put("1", "x"))[0].table])
    commit(sink, 1, put("1", "written again"))
    assert bus.names() == ["written again"]


def test_a_lost_answer_is_looked_up(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = bus.opened()
    sink.write(changes(put("1", "a")))
    producer = sink._connected
    real = producer.commit

    def loses() -> None:
        real()
        raise Unreachable("committing: the answer was lost")

    monkeypatch.setattr(producer, "commit", loses)
    with pytest.raises(TargetUnavailable, match="checkpoint will tell"):
        sink.commit(Checkpoint(JOURNAL, 1, "0/1"))
    assert sink.open(JOURNAL).offset == 1
    assert bus.names() == ["a"]


@pytest.mark.parametrize("held", [module.HELD_BYTES, 0], ids=["held", "encoded twice"])
def test_a_message_too_large_is_refused_and_leaves_nothing(
    bus: Bus, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", held)
    monkeypatch.setattr(module, "PIECE_ROWS", 2)
    sink = bus.opened()
    sink.write(changes(put("1", "a")))
    noise = "".join(map(chr, np.random.default_rng(1).integers(0x4E00, 0x9000, 900_000)))
    for _ in range(2):
        with pytest.raises(RowRefused, match="larger than the topic takes") as raised:
            sink.write(changes(*(put(str(n), "b") for n in range(5)), put("9", noise), base=100))
        assert raised.value.seq == 105
    sink.write(changes(put("2", "x" * 3_000_000)))  # compresses
    sink.commit(Checkpoint(JOURNAL, 1, "0/1"))
    assert [len(name or "") for name in bus.names()] == [1, 3_000_000]


def test_a_value_without_a_form_is_refused(bus: Bus) -> None:
    sink = bus.opened()
    with pytest.raises(RowRefused, match="amount") as raised:
        sink.write(changes(put("1", "a"), put("2", "b", "NaN"), base=10))
    assert raised.value.seq == 11
    assert "NaN" not in str(raised.value)
    commit(sink, 1, put("1", "a"))
    assert bus.names() == ["a"]


def test_topics_of_others_and_topics_that_are_gone(bus: Bus) -> None:
    client = client_of(Cluster(brokers=bus.broker.bootstrap))
    with closing(client.admin()) as admin:
        admin.create(bus.topic, 1, -1, {})
    producer = client.producer(bus.topic, 60, "none")
    producer.open()
    producer.begin()
    from tailrace.kafka.records import Records

    theirs = Records(pa.array([b"1"], pa.binary()), pa.array([b"theirs"], pa.binary()))
    producer.produce(bus.topic, theirs)
    producer.commit()
    producer.close()
    settled(client, bus.topic)
    with pytest.raises(TargetRefused, match="not ours"):
        bus.opened()
    other = Bus(bus.broker)
    commit(other.opened(), 1, put("1", "a"))
    other.close()
    from kafka.admin import KafkaAdminClient

    with closing(KafkaAdminClient(bootstrap_servers=bus.broker.bootstrap)) as admin:
        admin.delete_topics([other.topic])
    with pytest.raises(TargetRefused, match="is gone"):
        other.opened()
    other.close()


def test_keys_move_rows_die_and_tables_are_cleared(bus: Bus) -> None:
    sink = bus.opened(schema_header="shape")
    sink.write(
        changes(
            put("1", "a"),
            ("u", ("2", "a", "1.00"), "1"),
            ("u", ("2", "b", "1.00"), None),
            ("d", ("2", None, None), None),
        )
    )
    sink.write(changes(("t", (None, None, None), None), base=10))
    sink.write(changes(put("3", None), unsent=True, base=20))
    sink.commit(Checkpoint(JOURNAL, 1, "0/1"))
    found = bus.messages()
    shape = found[0][2]
    assert [(key and key["id"], value and value["op"]) for key, value, _ in found] == [
        *((1, "c"), (1, "d"), (1, None), (2, "c"), (2, "u"), (2, "d"), (2, None)),
        *((None, "t"), (3, "c")),
    ]
    assert [headers for _, _, headers in found[:4]] == [
        shape,
        [*shape, ("__debezium.newkey", b'{"id":2}')],
        [*shape, ("__debezium.newkey", b'{"id":2}')],
        [*shape, ("__debezium.oldkey", b'{"id":1}')],
    ]
    assert found[5][1]["before"] == {"id": 2, "name": None, "amount": None}
    assert found[8][1]["after"]["name"] == "__debezium_unavailable_value"
    assert found[0][1]["source"]["lsn"] == 0x1566C78
    assert (found[0][1]["source"]["txId"], found[0][1]["transaction"]) == (9, None)
    assert [name for name, _ in shape] == ["shape"]


def test_a_key_has_one_partition(bus: Bus) -> None:
    sink = bus.opened(partitions=3)
    given = [put(str(n % 20), str(n), letter="u") for n in range(200)]
    sink.write(changes(*given[:100]))
    sink.write(changes(*given[100:], base=100))
    sink.commit(Checkpoint(JOURNAL, 1, "0/1"))
    seen: dict[int, list[int]] = {}
    for key, value, _ in bus.messages():
        seen.setdefault(key["id"], []).append(int(value["after"]["name"]))
    assert seen == {key: list(range(key, 200, 20)) for key in range(20)}


def test_rows_as_they_are(bus: Bus) -> None:
    sink = bus.opened(format="json")
    commit(sink, 1, put("1", "a"), ("d", ("1", None, None), None))
    sink.write(changes(put("2", None), unsent=True))
    sink.commit(Checkpoint(JOURNAL, 2, "0/2"))
    assert [(key, value) for key, value, _ in bus.messages()] == [
        ({"id": 1}, {"id": 1, "name": "a", "amount": "1.00"}),
        ({"id": 1}, None),
        ({"id": 2}, {"id": 2, "amount": "1.00"}),
    ]


def test_rows_as_cloudevents(bus: Bus) -> None:
    sink = bus.opened(format="cloudevents")
    commit(sink, 1, put("1", "a"), ("d", ("1", None, None), None))
    (_, made, headers), (_, gone, _) = bus.messages()
    assert headers == [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    assert made == {
        "specversion": "1.0",
        "source": f"/tailrace/{bus.pipeline}/shop.item",
        "id": f"{JOURNAL}-7-0",
        "type": "item.created",
        "time": "1970-01-01T00:00:00.000000Z",
        "datacontenttype": "application/json",
        "data": {"id": 1, "name": "a", "amount": "1.00"},
    }
    assert (gone["type"], gone["data"]) == ("item.deleted", {"id": 1})


def test_schemas_go_with_messages(bus: Bus) -> None:
    commit(bus.opened(schemas=True, decimals="string"), 1, put("1", "a"))
    [(key, value, _)] = bus.messages()
    assert key["payload"] == {"id": 1}
    assert value["payload"]["after"] == {"id": 1, "name": "a", "amount": "1.00"}
    fields = {one["field"]: one for one in value["schema"]["fields"]}
    assert fields["after"]["fields"][2] == {"type": "string", "optional": True, "field": "amount"}
    assert value["schema"]["name"] == f"{bus.topic}.Envelope"


def test_copied_rows_are_read() -> None:
    [made] = changes(put("1", "a", letter="r"))
    from sinks.kafka.facts import runs

    [(_, facts)] = runs(made)
    assert facts.letters.tolist() == [log.READ]
