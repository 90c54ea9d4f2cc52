"""Starts real Kafka brokers on loopback: those that `tests/install_kafka.sh` fetched."""

from __future__ import annotations

import atexit
import itertools
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import pytest

from tailrace.kafka.protocol import Client, Partition
from tailrace.kafka.records import Fetched
from tailrace.service.localserver import LocalServer, free_port

VENV = Path(__file__).parents[1] / ".venv"
JARS = VENV / "kafka"
STAND_IN = "lib/python*/site-packages/noida_db/noida-db"  # below VENV
CLUSTER = "tailrace-test-cluster0"
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.cleaner.backoff.ms": "500",
}
_JAVA = [
    *("java", "-Xmx256m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *("-XX:-UsePerfData", "-Dlog4j2.level=WARN", "-cp", f"{JARS}/*"),
]
_numbers = itertools.count(1)


class LocalKafka(LocalServer):
    """A running Apache Kafka: broker and controller in one process. Use `start`.

    It is killed, not stopped: nobody reads its data afterwards.
    """

    product = "Kafka"
    stop_signal = signal.SIGKILL
    kill_signal = signal.SIGKILL

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def is_apache(self) -> bool:
        return True

    def must_be_apache(self) -> None:
        """For what the broker that stands in cannot do."""
        if not self.is_apache:
            pytest.skip("needs Apache Kafka (make servers, with Maven and Java 17)")

    def name(self, prefix: str = "test") -> str:
        """A name for a topic, a group or a pipeline that no other test has."""
        return f"{prefix}-{next(_numbers)}"

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        scram: Sequence[str] = (),
    ) -> Self:
        """``{port}`` and ``{controller}`` in settings' values are the ports. `scram`: credentials
        as `kafka-storage.sh format --add-scram` takes them."""
        directory.mkdir(parents=True, exist_ok=True)
        server = cls(directory, free_port())
        controller = free_port()
        wanted = {
            **SETTINGS,
            "log.dirs": str(server.data),
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": "PLAINTEXT://127.0.0.1:{port}",
            **(settings or {}),
        }
        properties = directory / "server.properties"
        properties.write_text(
            "".join(f"{key}={value}\n" for key, value in wanted.items())
            .replace("{port}", str(server.port))
            .replace("{controller}", str(controller))
        )
        users = [word for one in scram for word in ("--add-scram", one)]
        format_ = ["format", "-t", CLUSTER, "-c", str(properties), *users]
        server._run([*_JAVA, "kafka.tools.StorageTool", *format_])
        server._launch([*_JAVA, "kafka.Kafka", str(properties)])
        atexit.register(server.stop)
        return server

    def restart(self) -> None:
        """On the same data and port, after `stop`."""
        self._launch([*_JAVA, "kafka.Kafka", str(self.directory / "server.properties")])

    def _answers(self) -> bool:
        """It listens before it serves, so the question is asked of the broker itself.

        ApiVersions 0: https://kafka.apache.org/protocol#The_Messages_ApiVersions
        """
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.sendall(b"\0\0\0\x0a\0\x12\0\0\0\0\0\1\xff\xff")
                return len(probe.recv(4)) > 0
        except OSError:
            return False


class StandIn(LocalKafka):
    """A broker that speaks Kafka's protocol (the PyPI package noida-db)."""

    product = "noida-db"

    @property
    def is_apache(self) -> bool:
        return False

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        scram: Sequence[str] = (),
    ) -> Self:
        directory.mkdir(parents=True, exist_ok=True)
        server = cls(directory, free_port())
        if settings or scram:
            server.must_be_apache()
        server.restart()
        atexit.register(server.stop)
        return server

    def restart(self) -> None:
        [binary] = VENV.glob(STAND_IN)
        self._launch([str(binary), "start", "--only", "kafka", "--kafka-port", str(self.port)])


def settled(client: Client, transactional_id: str) -> None:
    """Wait until the last transaction is complete: a commit is answered before all of it can be
    read. What is still open is given up."""
    producer = client.producer(transactional_id, 60, "none")
    producer.open()
    producer.close()


def committed(client: Client, *partitions: Partition) -> list[Fetched]:
    """All that can be read there."""
    found: list[Fetched] = []
    with closing(client.consumer()) as consumer:
        extent = consumer.extent(partitions)
        consumer.assign({one: first for one, (first, _) in extent.items()})
        while any(consumer.positions()[one] < last for one, (_, last) in extent.items()):
            found += consumer.poll(1)
    return found


@contextmanager
def kafka_server(
    settings: Mapping[str, str] | None = None, scram: Sequence[str] = ()
) -> Iterator[LocalKafka]:
    """A broker of its own, or a skipped test."""
    from tests.conftest import open_directory

    if any(JARS.glob("kafka_*.jar")) and shutil.which("java"):
        kind: type[LocalKafka] = LocalKafka
    elif any(VENV.glob(STAND_IN)):
        kind = StandIn
    else:
        pytest.skip("no Kafka was fetched (make servers)")
    with (
        open_directory() as directory,
        kind.start(directory / "kafka", settings=settings, scram=scram) as found,
    ):
        yield found


@pytest.fixture(scope="session")
def kafka() -> Iterator[LocalKafka]:
    """One for the whole session; a test has topics of its own (`LocalKafka.name`)."""
    with kafka_server() as server:
        yield server
