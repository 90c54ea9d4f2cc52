"""What sinks and sources may expect of each client library, against a real broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tailrace.kafka.errors import Superseded, TransportError, Unreachable
from tailrace.kafka.protocol import Client, Partition, client_of
from tailrace.kafka.records import Fetched, Records
from tailrace.kafka.settings import Cluster
from tests.localkafka import LocalKafka, committed, settled
from tests.long import long

CLIENTS = ("kafka-python", "confluent")


@pytest.fixture(params=CLIENTS)
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def client(kafka: LocalKafka, library: Any) -> Client:
    return client_of(Cluster(brokers=kafka.bootstrap, client=library))


@pytest.fixture
def topic(kafka: LocalKafka, client: Client) -> str:
    return made(client, kafka.name(), 1)


def made(client: Client, name: str, partitions: int) -> str:
    admin = client.admin()
    admin.create(name, partitions, -1, {})
    admin.close()
    return name


def records(*pairs: tuple[bytes | None, bytes | None]) -> Records:
    keys, values = zip(*pairs, strict=True)
    return Records(pa.array(keys, pa.binary()), pa.array(values, pa.binary()))


def read(client: Client, *partitions: Partition) -> list[Fetched]:
    """Everything that is committed."""
    settled(client, "t-" + partitions[0][0])
    return committed(client, *partitions)


def values(found: Sequence[Fetched]) -> list[bytes | None]:
    return [value for one in found for value in one.values.to_pylist()]


def test_what_is_committed_is_read_and_nothing_else(client: Client, topic: str) -> None:
    producer = client.producer("t-" + topic, 60, "lz4")
    producer.open()
    producer.begin()
    producer.produce(topic, records((b"a", b"1"), (b"b", None), (None, b"3")))
    producer.commit()
    producer.begin()
    producer.produce(topic, records((b"a", b"aborted")))
    producer.abort()
    producer.begin()
    producer.produce(topic, records((b"a", b"4")))
    producer.produce(topic, records((b"a", b"5")))
    producer.commit()
    producer.begin()
    producer.commit()
    producer.begin()
    producer.produce(topic, records((b"a", b"never committed")))
    producer.close()
    found = read(client, (topic, 0))
    assert values(found) == [b"1", None, b"3", b"4", b"5"]
    assert [key for one in found for key in one.keys.to_pylist()] == [b"a", b"b", None, b"a", b"a"]


@pytest.mark.parametrize("compression", ["lz4", *map(long, ("none", "gzip", "zstd"))])
def test_many_records_keep_their_order(client: Client, topic: str, compression: str) -> None:
    numbers = np.arange(4_000)
    given = Records(
        pa.array(numbers % 7).cast(pa.string()).cast(pa.binary()),
        pa.array([b"%0120d" % number for number in numbers], pa.binary()),
    )
    producer = client.producer("t-" + topic, 60, compression)
    producer.open()
    producer.begin()
    producer.produce(topic, given)
    producer.produce(topic, given)
    producer.commit()
    producer.close()
    assert values(read(client, (topic, 0))) == given.values.to_pylist() * 2


def test_keys_go_where_javas_client_puts_them(kafka: LocalKafka, client: Client) -> None:
    """Kafka's own test of murmur2 (UtilsTest), and one of an empty key."""
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    known |= {b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, b"abc": 479470107}
    topic = made(client, kafka.name(), 7)
    producer = client.producer("t-" + topic, 60, "none")
    producer.open()
    producer.begin()
    producer.produce(topic, records(*((key, b"x") for key in known)))
    producer.produce(topic, records((b"abc", b"x")), partition=6)
    producer.commit()
    producer.close()
    found = read(client, *((topic, number) for number in range(7)))
    where = {(key, one.partition) for one in found for key in one.keys.to_pylist()}
    assert where == {
        *((key, (code & 0x7FFFFFFF) % 7) for key, code in known.items()),
        (b"abc", 6),
    }


def test_headers_arrive(client: Client, topic: str) -> None:
    given = Records(
        pa.array([b"k"] * 3, pa.binary()),
        pa.array([b"v"] * 3, pa.binary()),
        headers=((), (("a", b"1"), ("ä", b""))),
        header_of=np.array([1, 0, 1], np.int32),
    )
    producer = client.producer("t-" + topic, 60, "none")
    producer.open()
    producer.begin()
    producer.produce(topic, given)
    producer.commit()
    producer.close()
    found = [list(headers) for one in read(client, (topic, 0)) for headers in one.headers]
    assert found == [[("a", b"1"), ("ä", b"")], [], [("a", b"1"), ("ä", b"")]]


def test_the_older_of_two_producers_writes_nothing_more(client: Client, topic: str) -> None:
    older, newer = (client.producer("t-" + topic, 60, "none") for _ in range(2))
    older.open()
    older.begin()
    older.produce(topic, records((b"a", b"older")))
    newer.open()
    newer.begin()
    newer.produce(topic, records((b"a", b"newer")))
    newer.commit()
    with pytest.raises(Superseded):
        older.commit()
    older.close()
    newer.close()
    assert values(read(client, (topic, 0))) == [b"newer"]


def test_a_topic_says_what_it_takes(kafka: LocalKafka, client: Client) -> None:
    kafka.must_be_apache()
    name, other = kafka.name(), kafka.name()
    admin = client.admin()
    admin.create(name, 3, 1, {"max.message.bytes": "5000", "cleanup.policy": "compact"})
    admin.create(name, 9, 1, {})
    assert admin.cluster_id() == "tailrace-test-cluster0"
    found = admin.topics([name, other])
    assert list(found) == [name]
    assert (found[name].partitions, found[name].message_max) == (3, 5000)
    assert found[name].is_compacted
    admin.close()


def test_a_cluster_that_is_not_there_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, library: Any
) -> None:
    monkeypatch.setattr(f"tailrace.kafka.{library.replace('kafka-', '')}.CONNECT_S", 0.5)
    with pytest.raises(TransportError) as raised:
        client_of(Cluster(brokers="127.0.0.1:1", client=library)).admin()
    assert "connecting" in str(raised.value)


def test_a_group_shares_partitions_and_reads_on_where_it_is_told(
    kafka: LocalKafka, client: Client
) -> None:
    topic, group = made(client, kafka.name(), 2), kafka.name("group")
    producer = client.producer("t-" + topic, 60, "none")
    producer.open()
    producer.begin()
    for number in range(2):
        pairs = [(b"k", b"%d/%d" % (number, at)) for at in range(4)]
        producer.produce(topic, records(*pairs), partition=number)
    producer.commit()
    producer.close()
    seen: list[str] = []
    consumer = client.consumer()
    consumer.subscribe(
        [topic],
        group,
        revoked=lambda gone: seen.append(f"revoked {sorted(gone)}"),
        assigned=lambda came: {(topic, 0): 2},
    )
    found: list[bytes | None] = []
    while len(found) < 6:
        found += values(consumer.poll(5))
    assert sorted(map(str, found)) == sorted(
        map(str, [b"0/2", b"0/3", b"1/0", b"1/1", b"1/2", b"1/3"])
    )
    consumer.commit({(topic, 0): 3, (topic, 1): 4})
    consumer.close()
    again = client.consumer()
    again.subscribe([topic], group, revoked=lambda gone: None, assigned=lambda came: {})
    found = []
    while not found:
        found += values(again.poll(5))
    assert found == [b"0/3"]
    again.close()


def test_a_topic_of_which_a_broker_cannot_tell_now_is_not_taken_for_gone(
    kafka: LocalKafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = client_of(Cluster(brokers=kafka.bootstrap, client="kafka-python")).admin()
    library = admin._admin  # type: ignore[attr-defined]
    for code in (5, 3):  # no leader yet; not there
        said = [{"name": topic, "error_code": code, "partitions": []}]
        monkeypatch.setattr(library, "describe_topics", lambda names, said=said: said)
        if code == 3:
            assert admin.topics([topic]) == {}
            continue
        with pytest.raises(Unreachable, match="LeaderNotAvailable"):
            admin.topics([topic])
    admin.close()
