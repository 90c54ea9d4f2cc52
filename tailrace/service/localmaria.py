"""Starts real MariaDB servers on loopback, for the tests.

The binaries are the system's (Debian: ``mariadb-server``).
"""

from __future__ import annotations

import atexit
import getpass
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import pymysql

from tailrace.errors import TailraceError
from tailrace.service.localserver import LocalServer, free_port

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


class LocalMariadb(LocalServer):
    """A running server. Use `start`."""

    product = "MariaDB"
    stop_signal = signal.SIGTERM
    kill_signal = signal.SIGKILL

    @classmethod
    def start(cls, directory: Path, *, settings: Mapping[str, str | None] | None = None) -> Self:
        """Make a data directory in `directory` (created) and start a server on it.

        A setting of None is left out. Errors: TailraceError with the end of the server's log.
        """
        directory.mkdir(parents=True, exist_ok=True)
        server = cls(directory, free_port())
        # A server that starts removes the temporary tables of others in its tmpdir.
        temporary = directory / "tmp"
        temporary.mkdir(exist_ok=True)
        wanted = {**SETTINGS, "tmpdir": str(temporary), **(settings or {})}
        (directory / "my.cnf").write_text(
            "[mariadbd]\n"
            + "".join(f"{key} = {value}\n" for key, value in wanted.items() if value is not None)
        )
        found = binary()
        if found is None:
            raise TailraceError("no MariaDB on this system", fix="apt install mariadb-server")
        where = [f"--defaults-file={directory / 'my.cnf'}", f"--datadir={server.data}"]
        user = f"--user={getpass.getuser()}"
        server._run(
            [
                *("mariadb-install-db", *where, user),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
            ]
        )
        server._launch(
            [*(str(found), *where, user), f"--port={server.port}", f"--socket={directory / 'sock'}"]
        )
        atexit.register(server.stop)
        return server

    def url(self, user: str = "root", password: str = "") -> str:
        """For a user, whose password is quoted as a URL asks for."""
        name = f"{user}:{quote(password, safe='')}" if password else user
        return f"{self.product.lower()}://{name}@127.0.0.1:{self.port}/"

    def connect(self, database: str | None = None, **more: Any) -> pymysql.Connection[Any]:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            database=database,
            autocommit=True,
            charset="utf8mb4",
            ssl_disabled=True,  # it would load all of the system's certificates each time
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

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except pymysql.OperationalError:
            return False
        return True
