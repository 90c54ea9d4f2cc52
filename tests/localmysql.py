"""Starts real MySQL servers on loopback: the one that `make servers` unpacked, see
`tests/install_server.sh`."""

from __future__ import annotations

import atexit
import getpass
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import pymysql
import pytest

from cdc.mysql.settings import arguments
from tailrace.service.localmaria import LocalMariadb
from tailrace.service.localserver import free_port

BINARY = Path(__file__).parents[1] / ".venv" / "mysql" / "mysqld"
INITIALIZED = BINARY.with_name("initialized")
"""The data directory of a server that has not run yet."""
ELSEWHERE = "TAILRACE_TEST_MYSQL_URL"
"""The environment's variable that names a server to use instead: mysql://user:password@host:port/,
for a user with all rights. What must start, kill or configure a server skips itself there."""
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
    # What is committed survives the server's own end, and no test takes the power from it.
    "innodb_flush_log_at_trx_commit": "2",
    "sync_binlog": "0",
}


SHARED: list[LocalMariadb] = []
"""The servers that the session's tests use one after another."""


class LocalMysql(LocalMariadb):
    """A running server. Use `start`."""

    product = "MySQL"

    @property
    def is_ours(self) -> bool:
        """Whether a test may start, kill and configure it."""
        return True

    def must_be_ours(self) -> None:
        if not self.is_ours:
            pytest.skip(f"the server of {ELSEWHERE} is not ours to configure")

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
        server._initialize(mysqld)
        server._launch([*mysqld, f"--port={server.port}", f"--socket={directory / 'sock'}"])
        atexit.register(server.stop)
        return server

    def _initialize(self, mysqld: list[str]) -> None:
        """By a copy of what was made once for all: to make it takes seconds of disk."""
        if INITIALIZED.exists():
            self._copy(INITIALIZED, self.data)
            return
        self._run([*mysqld, "--initialize-insecure"])
        (self.data / "auto.cnf").unlink()  # the name of this one server
        copy = INITIALIZED.with_suffix(f".{os.getpid()}")
        self._copy(self.data, copy)
        try:
            copy.rename(INITIALIZED)
        except OSError:  # somebody else was first
            shutil.rmtree(copy)

    def _copy(self, old: Path, new: Path) -> None:
        self._run(["cp", "-r", "--sparse=always", str(old), str(new)])


class MysqlElsewhere(LocalMysql):
    """A server that somebody else runs."""

    def __init__(self, url: str) -> None:
        self._arguments = arguments(url)
        query = urlsplit(url).query
        self._options = f"?{query}" if query else ""
        super().__init__(Path(), self._arguments["port"])

    def url(self, user: str = "", password: str = "") -> str:
        known = self._arguments
        name, secret = (user, password) if user else (known["user"], known["password"])
        account = f"{quote(name)}:{quote(secret, safe='')}" if secret else quote(name)
        return f"mysql://{account}@{known['host']}:{known['port']}/{self._options}"

    def connect(self, database: str | None = None, **more: Any) -> pymysql.Connection[Any]:
        return pymysql.connect(
            **{**self._arguments, "database": database},
            autocommit=True,
            charset="utf8mb4",
            **more,
        )

    @property
    def is_ours(self) -> bool:
        return False

    @property
    def data(self) -> Path:
        self.must_be_ours()
        raise NotImplementedError


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
    if url := os.environ.get(ELSEWHERE):
        yield MysqlElsewhere(url)
        return
    with mysql_server() as server:
        SHARED.append(server)
        yield server
        SHARED.remove(server)
