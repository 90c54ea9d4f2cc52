"""TLS and SASL as an operator declares them, at a broker that takes nothing else."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tailrace.kafka.errors import Refused, TransportError
from tailrace.kafka.protocol import client_of
from tailrace.kafka.settings import Cluster, Sasl, Tls
from tests.broker.test_transport import CLIENTS, made, read, records, values
from tests.conftest import open_directory
from tests.localkafka import LocalKafka, kafka_server


def certificate(directory: Path) -> tuple[str, str]:
    """A server's of its own: (certificate, key) in PEM; the former in the file ca.pem, too."""
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
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return pem, private


@pytest.fixture(scope="module")
def secured() -> Iterator[tuple[LocalKafka, Path]]:
    with open_directory() as directory:
        chain, key = (text.replace("\n", "\\n") for text in certificate(directory))
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        settings = {
            "listeners": "CLIENTS://localhost:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": "CLIENTS://localhost:{port}",
            "inter.broker.listener.name": "CLIENTS",
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.clients.plain.sasl.jaas.config": f'{login} username="admin"'
            ' password="in-side" user_admin="in-side" user_tailrace="se,cret";',
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": chain,
            "ssl.keystore.key": key,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": chain,
        }
        with kafka_server(settings) as broker:
            yield broker, directory / "ca.pem"


def cluster(secured: tuple[LocalKafka, Path], library: Any, password: str = "se,cret") -> Cluster:
    broker, ca = secured
    return Cluster(
        brokers=f"localhost:{broker.port}",
        tls=Tls(ca=str(ca)),
        sasl=Sasl(mechanism="PLAIN", user="tailrace", password=password),
        client=library,
    )


@pytest.mark.parametrize("library", CLIENTS)
def test_it_writes_and_reads_with_tls_and_a_password(
    secured: tuple[LocalKafka, Path], library: Any
) -> None:
    client = client_of(cluster(secured, library))
    topic = made(client, f"secured-{library}", 1)
    producer = client.producer("t-" + topic, 60, "lz4")
    with closing(producer):
        producer.open()
        producer.begin()
        producer.produce(topic, records((b"a", b"1")))
        producer.commit()
    assert values(read(client, (topic, 0))) == [b"1"]


@pytest.mark.parametrize("library", CLIENTS)
def test_what_is_wrong_is_refused_and_the_password_not_shown(
    secured: tuple[LocalKafka, Path], library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"tailrace.kafka.{library.replace('kafka-', '')}.CONNECT_S", 1.5)
    wrong = cluster(secured, library, "another")
    untrusted = wrong.model_copy(update={"tls": Tls()})
    for one in (wrong, untrusted):
        with pytest.raises(TransportError) as raised:
            client_of(one).admin().topics(["x"])
        assert "another" not in f"{raised.value!r} {one!r}"
    missing = wrong.model_copy(update={"tls": Tls(ca="/nowhere.pem")})
    with pytest.raises(Refused if library == "kafka-python" else TransportError):
        client_of(missing).admin()
