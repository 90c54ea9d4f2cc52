"""Starts real MariaDB servers on loopback, for the tests.

The binaries are the system's (Debian: ``mariadb-server``). A server lives in a directory of its
own, listens on a port of its own, and dies with the process that started it.
"""

from __future__ import annotations

import atexit
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql

from tailrace.errors import TailraceError

START_S = 60
SETTINGS = {
    "bind_address": "127.0.0.1",
    "log_bin": "binlog",
    "server_id": "1",
    "binlog_format": "ROW",
    "binlog_row_metadata": "FULL",
    "innodb_buffer_pool_size": "128M",
    "innodb_log_file_size": "256M",
    "character_set_server": "utf8mb4",
}


def binary() -> Path | None:
    """Where `mariadbd` is, None where it is not installed."""
    found = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/libexec")
    return Path(found) if found else None


class LocalMariadb:
    """A running server. Use `start`; `stop` or the end of the process ends it."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, directory: Path, *, settings: Mapping[str, str | None] | None = None) -> Self:
        """Make a data directory in `directory` (created) and start a server on it.

        A setting of None is left out. Errors: TailraceError with the end of the server's log.
        """
        directory.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            server = cls(directory, probe.getsockname()[1])
        wanted = {**SETTINGS, **(settings or {})}
        (directory / "my.cnf").write_text(
            "[mariadbd]\n"
            + "".join(f"{key} = {value}\n" for key, value in wanted.items() if value is not None)
        )
        made = subprocess.run(
            [
                *("mariadb-install-db", f"--defaults-file={directory / 'my.cnf'}"),
                *(f"--datadir={server.data}", "--auth-root-authentication-method=normal"),
                *("--skip-test-db", f"--user={getpass.getuser()}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise TailraceError(f"mariadb-install-db failed: {made.stderr.strip()[-500:]}")
        server._launch()
        atexit.register(server.stop)
        return server

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def connect(self, database: str | None = None, **more: Any) -> pymysql.Connection[Any]:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            database=database,
            autocommit=True,
            charset="utf8mb4",
            **more,
        )

    def execute(self, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Rows of the last statement."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def stop(self) -> None:
        """Shut down; kill what does not stop. Idempotent."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(30)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)
        self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        atexit.unregister(self.stop)

    def _launch(self) -> None:
        found = binary()
        if found is None:
            raise TailraceError("no MariaDB on this system", fix="apt install mariadb-server")
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(found), f"--defaults-file={self.directory / 'my.cnf'}"),
                    *(f"--datadir={self.data}", f"--port={self.port}"),
                    *(f"--socket={self.directory / 'sock'}", f"--user={getpass.getuser()}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = (self.directory / "log").read_text(errors="replace")[-1000:]
                raise TailraceError(f"MariaDB does not start: {tail}")
            with suppress(pymysql.OperationalError):
                self.connect().close()
                return
            time.sleep(0.05)
