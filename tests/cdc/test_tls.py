"""The same source through TLS, with verify-full and SCRAM: libpq reads the stream then."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from cdc.postgres.settings import PostgresSource
from cdc.postgres.source import Postgres
from cdc.postgres.stream import LibpqTransport
from tailrace.errors import SourceUnavailable
from tailrace.service.localpg import LocalPostgres
from tests.cdc.reader import NAME, TABLES, Reader, read_through, reading, taken, verify
from tests.conftest import Database

PASSWORD = "ge@heim/100%"


@pytest.fixture
def secured(tmp_path: Path, server_path: Path) -> Iterator[tuple[Reader, Path]]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    with LocalPostgres.start(server_path / "pg", version="15") as server:
        authority = _certify(server, tmp_path)
        server.execute("alter system set ssl = 'on'")
        server.execute(TABLES + "create publication dba for table sales.customer, sales.item")
        with reading(Database(server, "postgres")) as reader:
            rules = f"hostssl all {reader.role} 127.0.0.1/32 scram-sha-256\n"
            access = server.data / "pg_hba.conf"
            access.write_text(rules + "host all postgres 127.0.0.1/32 trust\n")
            server.restart()
            server.execute(f"alter role {reader.role} password '{PASSWORD}'")
            yield reader, authority


def _certify(server: LocalPostgres, directory: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself; gives the file to trust."""
    key, certificate = server.data / "server.key", server.data / "server.crt"
    subprocess.run(
        [
            *("openssl", "req", "-new", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    owner = server.data.stat()
    for file in (key, certificate):
        shutil.chown(file, owner.st_uid, owner.st_gid)
        file.chmod(0o600)
    return Path(shutil.copy(certificate, directory / "trusted.crt"))


def source(reader: Reader, authority: Path, password: str = PASSWORD) -> Postgres:
    url = make_conninfo(
        reader.url, password=password, sslmode="verify-full", sslrootcert=str(authority)
    )
    settings = PostgresSource(type="postgres", url=url, tables=("sales.*",), publication="dba")
    return Postgres(settings, NAME)


def test_snapshot_and_stream_go_through_tls(secured: tuple[Reader, Path]) -> None:
    reader, authority = secured
    database = reader.database
    with closing(source(reader, authority)) as opened:
        first = taken(opened)
        assert sum(progress.rows for _, progress in first.sets) == 4
        with closing(opened.stream(first.position)) as stream:
            assert isinstance(stream._transport, LibpqTransport)
    with closing(source(reader, authority)) as opened:
        verify(opened, first.facts, first.position)
        # Rows that come with the answer to START_REPLICATION, in small and in huge messages.
        database.execute(
            "insert into sales.customer select n, 'x' from generate_series(10, 60000) n;"
            "insert into sales.customer values (5, repeat('long', 700000))"
        )
        sets, position = read_through(opened, first.position, database)
        assert sum(changes.rows for changes in sets) == 59_992
        assert max(len(v) for s in sets for v in s.tables[0].new[1].to_pylist()) == 2_800_000
    with closing(source(reader, authority)) as opened:
        verify(opened, first.facts, position)
        database.execute("delete from sales.item")
        sets, _ = read_through(opened, position, database)
        assert sum(changes.rows for changes in sets) == 2


def test_a_certificate_or_password_that_does_not_hold_is_refused(
    secured: tuple[Reader, Path], tmp_path: Path
) -> None:
    reader, authority = secured
    with pytest.raises(SourceUnavailable, match="password authentication failed") as failed:
        source(reader, authority, "wrong@pass")
    assert "wrong@pass" not in str(failed.value)
    stranger = tmp_path / "stranger.crt"
    subprocess.run(
        [
            *("openssl", "req", "-new", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048"),
            *("-subj", "/CN=x", "-keyout", str(tmp_path / "k"), "-out", str(stranger)),
        ],
        check=True,
        capture_output=True,
    )
    with pytest.raises(SourceUnavailable, match="certificate verify failed") as failed:
        source(reader, stranger)
    assert PASSWORD not in str(failed.value)
