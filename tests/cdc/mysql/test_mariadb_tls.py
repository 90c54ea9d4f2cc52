"""A MariaDB source through TLS: small events, huge ones, and silence between them."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cdc.mysql.session import connect
from cdc.mysql.settings import MariadbSource
from cdc.mysql.source import BinlogDatabase
from sinks.conformance import JOURNAL, TABLE, apply, changes, upsert
from sinks.mysql.sink import MariadbSink
from tailrace.errors import SourceUnavailable, TargetUnavailable
from tailrace.service.localmaria import LocalMariadb, binary
from tests.line import DEADLINE_S


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalMariadb, Path]]:
    if shutil.which("openssl") is None or binary() is None:
        pytest.skip("openssl or MariaDB is not installed")
    directory = tmp_path_factory.mktemp("tls")
    key, certificate = directory / "server.key", directory / "server.crt"
    subprocess.run(
        [
            *("openssl", "req", "-new", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    settings = {"ssl_cert": str(certificate), "ssl_key": str(key), "max_allowed_packet": "1G"}
    with LocalMariadb.start(directory / "maria", settings=settings) as server:
        server.execute(
            "create user reader identified by 'p@ss' require ssl",
            "grant replication slave, binlog monitor, select on *.* to reader",
            "create database shop",
            "create table shop.t (id int primary key, v longtext)",
        )
        yield server, certificate


def url(server: LocalMariadb, options: str) -> str:
    return f"mariadb://reader:p%40ss@127.0.0.1:{server.port}/?{options}"


def test_snapshot_and_stream_go_through_tls(secured: tuple[LocalMariadb, Path]) -> None:
    server, certificate = secured
    settings = MariadbSource(
        type="mariadb",
        url=url(server, f"ssl_ca={certificate}&ssl_verify_identity=true"),
        tables=("shop.*",),
    )
    with closing(BinlogDatabase(settings, "tls")) as source:
        with closing(source.snapshot({})) as snapshot:
            list(snapshot.changes())
            position = snapshot.position
        server.execute(
            "insert into shop.t select seq, 'x' from seq_1_to_50000",
            "insert into shop.t values (60000, repeat('long', 5000000))",
            database="shop",
        )
        rows, longest = 0, 0
        with closing(source.stream(position)) as stream:
            assert isinstance(stream._socket, ssl.SSLSocket)
            deadline = time.monotonic() + DEADLINE_S
            for wanted in (50_001, 50_002):
                while rows < wanted:
                    for changes in stream.changes(0.2):
                        rows += changes.rows
                        for table in changes.tables:
                            longest = max(longest, *map(len, table.new[1].to_pylist()))
                    assert time.monotonic() < deadline
                assert sum(changes.rows for changes in stream.changes(0.2)) == 0
                if wanted == 50_001:
                    server.execute("insert into shop.t values (70000, 'after silence')")
    assert longest == 20_000_000


@pytest.mark.parametrize(
    "more", ["", "&ssl_verify_identity=false", "&ssl_verify_identity=true"], ids=lambda text: text
)
def test_a_certificate_that_does_not_hold_is_refused(
    more: str, secured: tuple[LocalMariadb, Path], tmp_path: Path
) -> None:
    server, _ = secured
    other = tmp_path / "other.crt"
    subprocess.run(
        [
            *("openssl", "req", "-new", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048"),
            *("-subj", "/CN=127.0.0.1", "-keyout", str(tmp_path / "key"), "-out", str(other)),
        ],
        check=True,
        capture_output=True,
    )
    with pytest.raises(SourceUnavailable, match=r"(?i)certificate"):
        connect(url(server, f"ssl_ca={other}{more}"))
    with pytest.raises(TargetUnavailable, match=r"(?i)certificate"):
        MariadbSink(url(server, f"ssl_ca={other}{more}"), "line").open(JOURNAL)


def test_a_name_is_verified_where_that_is_asked(secured: tuple[LocalMariadb, Path]) -> None:
    """The certificate is of an address, and the authority has signed it."""
    server, certificate = secured
    by_name = url(server, f"ssl_ca={certificate}").replace("127.0.0.1", "localhost")
    connect(by_name).close()
    with pytest.raises(SourceUnavailable, match=r"(?i)certificate|hostname"):
        connect(f"{by_name}&ssl_verify_identity=true")


@pytest.mark.parametrize("option", ["ssl_ca=/nowhere.pem", "ssl_cert=/nowhere.pem"])
def test_a_file_that_is_not_there_is_named(option: str, secured: tuple[LocalMariadb, Path]) -> None:
    server, _ = secured
    with pytest.raises(SourceUnavailable, match="certificates") as raised:
        connect(url(server, option))
    assert "ssl_ca, ssl_cert and ssl_key in the source's url" in (raised.value.fix or "")
    with pytest.raises(TargetUnavailable, match="certificates"):
        MariadbSink(url(server, option), "line").open(JOURNAL)


def test_a_target_is_written_through_tls(secured: tuple[LocalMariadb, Path]) -> None:
    """In bulk, too, which is agreed on in the same packets that begin TLS."""
    server, certificate = secured
    server.execute(
        "create user writer identified by 'p@ss' require ssl", "grant all on *.* to writer"
    )
    target = f"mariadb://writer:p%40ss@127.0.0.1:{server.port}/"
    sink = MariadbSink(f"{target}?ssl_ca={certificate}&ssl_verify_identity=true", "line")
    sink.open(JOURNAL)
    assert isinstance(sink._connected._sock, ssl.SSLSocket)  # type: ignore[attr-defined]
    assert sink._connected.has_bulk
    sink.prepare([TABLE])
    rows = 20_000
    apply(
        sink, 1, changes(TABLE, *(upsert(str(n), "x" * 50, "1") for n in range(rows)), fresh=True)
    )
    assert server.execute("select count(*), sum(length(code)) from shop.item") == [
        (rows, 50 * rows)
    ]
    sink.close()
