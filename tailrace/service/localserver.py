"""What the servers that we start for ourselves have in common: their process."""

from __future__ import annotations

import atexit
import ctypes
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from tailrace.errors import TailraceError

START_S = 180
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class LocalServer:
    """A server in a directory and on a port of its own.

    It ends with `stop`, with the end of this process, and on Linux also when this process is
    killed; for that it must be started from a thread that lives as long as the process.
    """

    product: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    kill_signal: ClassVar[signal.Signals]

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Shut down; kill what does not stop. Idempotent."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.send_signal(self.kill_signal)
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

    def _answers(self) -> bool:
        """Whether it takes connections."""
        raise NotImplementedError

    def _run(self, command: list[str], **how: Any) -> None:
        """A tool that prepares the data. Errors: TailraceError with the end of what it said."""
        ran = subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, check=False, **how
        )
        if ran.returncode:
            tool = Path(command[0]).name
            raise TailraceError(f"{tool} failed: {ran.stderr.strip()[-500:]}")

    def _launch(self, command: list[str], **how: Any) -> None:
        """Errors: TailraceError with the end of the server's log."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we then stop the server
                preexec_fn=self._end_with_parent,
                **how,
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = (self.directory / "log").read_text(errors="replace")[-1000:]
                raise TailraceError(f"{self.product} does not start: {tail}")
            time.sleep(0.05)

    def _end_with_parent(self) -> None:
        """Have Linux stop the server when its parent dies, however it dies (prctl(2))."""
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, self.stop_signal)


def free_port() -> int:
    """Below the ports that systems give to connections, or one of these could take it before the
    server does."""
    while True:
        port = 16_384 + secrets.randbelow(16_384)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
