"""Starts real MySQL servers on loopback: the one that `make servers` unpacked, see
`tests/install_mysql.sh`."""

from __future__ import annotations

import atexit
import getpass
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from tailrace.service.localmaria import LocalMariadb
from tailrace.service.localserver import free_port

BINARY = Path(__file__).parents[1] / ".venv" / "mysql" / "mysqld"
SETTINGS = {
    "bind_address": "127.0.0.1",
    "mysqlx": "OFF",
    "secure_file_priv": "",
    "log_bin": "binlog",
    "server_id": "1",
    "gtid_mode": "ON",
    "enforce_gtid_consistency": "ON",
    "binlog_row_metadata": "FULL",
    "innodb_buffer_pool_size": "128M",
    "cte_max_recursion_depth": "100000000",
    "innodb_redo_log_capacity": "256M",
}


class LocalMysql(LocalMariadb):
    """A running server. Use `start`."""

    product = "MySQL"

    @classmethod
    def start(cls, directory: Path, *, settings: Mapping[str, str | None] | None = None) -> Self:
        directory.mkdir(parents=True, exist_ok=True)
        server = cls(directory, free_port())
        wanted = {**SETTINGS, **(settings or {})}
        (directory / "my.cnf").write_text(
            "[mysqld]\n"
            + "".join(f"{key} = {value}\n" for key, value in wanted.items() if value is not None)
        )
        mysqld = [
            *(str(BINARY), f"--defaults-file={directory / 'my.cnf'}"),
            *(f"--datadir={server.data}", f"--user={getpass.getuser()}"),
        ]
        server._run([*mysqld, "--initialize-insecure"])
        server._launch([*mysqld, f"--port={server.port}", f"--socket={directory / 'sock'}"])
        atexit.register(server.stop)
        return server


@contextmanager
def mysql_server(settings: Mapping[str, str | None] | None = None) -> Iterator[LocalMysql]:
    """A server of its own, or a skipped test."""
    if not BINARY.exists():
        pytest.skip("no MySQL server was unpacked (make servers)")
    from tests.conftest import open_directory

    with (
        open_directory() as directory,
        LocalMysql.start(directory / "mysql", settings=settings) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def mysql() -> Iterator[LocalMysql]:
    """One for the whole session; a test makes databases of its own."""
    with mysql_server() as server:
        yield server
