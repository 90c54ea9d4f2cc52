"""TLS, SASL and rights as an operator declares them, at a broker that takes nothing else."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)

from sinks.kafka.preflight import inspect
from sinks.kafka.settings import KafkaTarget
from sinks.kafka.sink import KafkaSink
from sinks.protocol import Checkpoint, Line
from tailrace.errors import TargetRefused
from tailrace.kafka.errors import Refused, TransportError
from tailrace.kafka.protocol import client_of
from tailrace.kafka.python import configuration
from tailrace.kafka.settings import Cluster, Sasl, Tls
from tailrace.service.localserver import free_port
from tests.broker.test_transport import CLIENTS, made, read, records, values
from tests.conftest import open_directory
from tests.localkafka import LocalKafka, kafka_server
from tests.long import long
from tests.sinks.test_kafka_sink import JOURNAL, SOURCE, changes, put

KEY_PASSWORD = "of-the-key"


def certificate(directory: Path) -> tuple[str, str]:
    """A server's of its own: (certificate, key) in PEM; and as files, ca.pem and key.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM).decode()
    (directory / "ca.pem").write_text(pem)
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(KEY_PASSWORD.encode()),
        )
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return pem, private


@dataclass(frozen=True, slots=True)
class Secured:
    """A broker with two listeners: passwords over TLS, and TLS that asks for a certificate.
    `directory`: has ca.pem, whom to trust and who we are at once, and key.pem, which is encrypted
    with `KEY_PASSWORD`."""

    broker: LocalKafka
    directory: Path
    mutual: int

    def login(
        self,
        library: Any,
        mechanism: Any = "PLAIN",
        user: str = "tailrace",
        password: str = "se,cret",
    ) -> Cluster:
        return Cluster(
            brokers=f"localhost:{self.broker.port}",
            tls=Tls(ca=str(self.directory / "ca.pem")),
            sasl=Sasl(mechanism=mechanism, user=user, password=password),
            client=library,
        )

    def shown(self, library: Any, **more: str) -> Cluster:
        """With a certificate, where `more` says so."""
        tls = Tls(ca=str(self.directory / "ca.pem"), **more)
        return Cluster(brokers=f"localhost:{self.mutual}", tls=tls, client=library)


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    with open_directory() as directory:
        chain, key = (text.replace("\n", "\\n") for text in certificate(directory))
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        mutual = free_port()
        settings = {
            "listeners": "CLIENTS://localhost:{port},"
            f"MUTUAL://localhost:{mutual},CONTROLLER://127.0.0.1:{{controller}}",
            "advertised.listeners": f"CLIENTS://localhost:{{port}},MUTUAL://localhost:{mutual}",
            "inter.broker.listener.name": "CLIENTS",
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT",
            "listener.name.mutual.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.clients.plain.sasl.jaas.config": f'{login} username="admin"'
            ' password="in-side" user_admin="in-side" user_tailrace="se,cret";',
            "listener.name.clients.scram-sha-256.sasl.jaas.config": scram,
            "listener.name.clients.scram-sha-512.sasl.jaas.config": scram,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:admin;User:ANONYMOUS;User:tailrace;User:CN=localhost",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": chain,
            "ssl.keystore.key": key,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": chain,
        }
        users = [
            f"SCRAM-SHA-{size}=[name={user},password=of-{user}-{size}]"
            for user in ("tailrace", "granted", "stranger")
            for size in (256, 512)
        ]
        with kafka_server(settings, users) as broker:
            yield Secured(broker, directory, mutual)


def round_trip(cluster: Cluster, topic: str) -> None:
    client = client_of(cluster)
    made(client, topic, 1)
    with closing(client.producer("t-" + topic, 60, "lz4")) as producer:
        producer.open()
        producer.begin()
        producer.produce(topic, records((b"a", b"1")))
        producer.commit()
    assert values(read(client, (topic, 0))) == [b"1"]


@pytest.mark.parametrize(
    ("library", "mechanism"),
    [
        *(("kafka-python", "PLAIN"), ("kafka-python", "SCRAM-SHA-256")),
        *(("kafka-python", "SCRAM-SHA-512"), ("confluent", "SCRAM-SHA-512")),
        *(long("confluent", "PLAIN"), long("confluent", "SCRAM-SHA-256")),
    ],
)
def test_it_writes_and_reads_with_tls_and_a_password(
    secured: Secured, library: Any, mechanism: str
) -> None:
    password = "se,cret" if mechanism == "PLAIN" else f"of-tailrace-{mechanism[-3:]}"
    cluster = secured.login(library, mechanism, password=password)
    round_trip(cluster, f"secured-{library}-{mechanism}")


@pytest.mark.parametrize("library", CLIENTS)
def test_it_writes_and_reads_with_a_certificate(secured: Secured, library: Any) -> None:
    who = {
        "certificate": str(secured.directory / "ca.pem"),
        "key": str(secured.directory / "key.pem"),
        "key_password": KEY_PASSWORD,
    }
    round_trip(secured.shown(library, **who), f"shown-{library}")


@pytest.mark.parametrize("library", CLIENTS)
def test_without_a_certificate_or_its_password_nothing_is_read_or_asked(
    secured: Secured, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In particular nobody is asked for a password at a terminal."""
    monkeypatch.setattr(f"tailrace.kafka.{library.replace('kafka-', '')}.CONNECT_S", 1.5)
    with pytest.raises(TransportError):
        client_of(secured.shown(library)).admin().topics(["x"])
    file = str(secured.directory / "ca.pem")
    for more in ({}, {"key_password": "wrong"}):
        who = {"certificate": file, "key": str(secured.directory / "key.pem"), **more}
        with pytest.raises(Refused if library == "kafka-python" else TransportError) as raised:
            client_of(secured.shown(library, **who)).admin()
        assert "wrong" not in f"{raised.value!r}"


@pytest.mark.parametrize("library", CLIENTS)
def test_what_is_wrong_is_refused_and_the_password_not_shown(
    secured: Secured, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"tailrace.kafka.{library.replace('kafka-', '')}.CONNECT_S", 1.5)
    wrong = secured.login(library, password="another")
    scrammed = secured.login(library, "SCRAM-SHA-512", password="another")
    untrusted = wrong.model_copy(update={"tls": Tls()})
    for one in (wrong, scrammed, untrusted):
        with pytest.raises(TransportError) as raised:
            client_of(one).admin().topics(["x"])
        assert "another" not in f"{raised.value!r} {one!r}"
    missing = wrong.model_copy(update={"tls": Tls(ca="/nowhere.pem")})
    with pytest.raises(Refused if library == "kafka-python" else TransportError):
        client_of(missing).admin()


RIGHTS = {
    ResourceType.TOPIC: ("DESCRIBE", "DESCRIBE_CONFIGS", "CREATE", "READ", "WRITE"),
    ResourceType.TRANSACTIONAL_ID: ("DESCRIBE", "WRITE"),
}
"""Those that docs/kafka.md names."""


def grant(secured: Secured, pipeline: str, *but: tuple[ResourceType, str]) -> None:
    """To the user `granted`, all but these, of a pipeline's topics and transactional id."""
    prefixed = ACLResourcePatternType.PREFIXED
    acls = [
        ACL(
            "User:granted",
            "*",
            ACLOperation[operation],
            ACLPermissionType.ALLOW,
            ResourcePattern(kind, name, prefixed),
        )
        for kind, operations in RIGHTS.items()
        for operation in operations
        if (kind, operation) not in but
        for name in (pipeline, f"tailrace.{pipeline}")
    ]
    admin = KafkaAdminClient(**configuration(secured.login("kafka-python")))
    with closing(admin):
        assert not admin.create_acls(acls)["failed"]


def sink(secured: Secured, pipeline: str, library: Any, user: str = "granted") -> KafkaSink:
    return KafkaSink(target(secured, library, user), pipeline, SOURCE)


def target(secured: Secured, library: Any, user: str = "granted") -> KafkaTarget:
    of = secured.login(library, "SCRAM-SHA-512", user, f"of-{user}-512")
    return KafkaTarget(
        type="kafka",
        brokers=of.brokers,
        tls=of.tls,
        sasl=of.sasl,
        client=library,
        topic="{pipeline}.{table}",
    )


[PUT] = changes(put("1", "a"))


def deliver(one: KafkaSink, *offsets: int) -> None:
    """Up to each of these offsets, by a process of its own."""
    for offset in offsets:
        one.open(JOURNAL)
        one.prepare([PUT.table])
        one.write([PUT])
        one.commit(Checkpoint(JOURNAL, offset, "0/1"))


@pytest.mark.parametrize("library", CLIENTS)
def test_the_rights_that_the_manual_names_suffice(secured: Secured, library: Any) -> None:
    pipeline = secured.broker.name("granted")
    grant(secured, pipeline)
    line = Line(pipeline, "erp", (PUT.table,), Path("/nowhere"))
    with closing(sink(secured, pipeline, library)) as one:
        for offset in (1, 2):
            assert inspect(target(secured, library), [line]) == []
            deliver(one, offset)


@pytest.mark.parametrize("library", ["kafka-python", long("confluent")])
@pytest.mark.parametrize(
    "lacks",
    [
        *((ResourceType.TOPIC, right) for right in RIGHTS[ResourceType.TOPIC]),
        (ResourceType.TRANSACTIONAL_ID, "WRITE"),
    ],
    ids=lambda lacks: f"{lacks[0].name}-{lacks[1]}",
)
def test_a_right_that_lacks_pauses_and_names_it(
    secured: Secured, library: Any, lacks: tuple[ResourceType, str]
) -> None:
    pipeline = secured.broker.name("lacking")
    implied = ((ResourceType.TOPIC, "READ"), (ResourceType.TOPIC, "WRITE"))
    grant(secured, pipeline, lacks, *(implied if lacks[1] == "DESCRIBE" else ()))
    with (
        closing(sink(secured, pipeline, library)) as one,
        pytest.raises(TargetRefused, match=r"(?i)authorization.?failed") as raised,
    ):
        deliver(one, 1, 2)  # the checkpoint is read at the second
    assert "tailrace check" in str(raised.value.fix)


@pytest.mark.parametrize("library", CLIENTS)
def test_check_says_that_we_may_not_see_a_topic(secured: Secured, library: Any) -> None:
    line = Line("lines", "erp", (PUT.table,), Path("/nowhere"))
    [finding] = inspect(target(secured, library, "stranger"), [line])
    assert "authorization" in finding.what.lower()
    assert "Describe, DescribeConfigs, Create" in finding.fix
