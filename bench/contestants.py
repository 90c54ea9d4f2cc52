"""Who is measured: the source's own limit, PostgreSQL's native replication, and Tailrace.

Each has its own slot at the source, made before the work is done, so that each drains the same
log. `drain` returns seconds from its start until the last row is where it belongs: each piece of
work ends with a row in `bench.done`, which is looked for at the target.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import psycopg

from bench import work
from tailrace.service.localpg import LocalPostgres

DEADLINE_S = 900
POLL_S = 0.01


TUNED = {"max_wal_size": "8GB", "checkpoint_timeout": "30min", "autovacuum": "off"}
"""Settings of the PostgreSQL servers: nothing of their own shall run while a clock does."""


def settle(target: LocalPostgres) -> None:
    """Have the target write what it still holds: the next one to be measured must not pay for the
    one before, least of all for a subscription, which does not wait for its commits."""
    target.execute("checkpoint")


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a piece of work: the row that marks it, and the source's position after it."""

    number: int
    lsn: str


class Limit:
    """`pg_recvlogical` into /dev/null: what the source can give at most."""

    name = "pg_recvlogical"
    slot = "bench_limit"

    def __init__(self, source: LocalPostgres) -> None:
        self._source = source
        source.execute(
            f"select pg_create_logical_replication_slot('{self.slot}', 'pgoutput')", "bench"
        )

    def drain(self, work_done: Done) -> float:
        began = time.monotonic()
        subprocess.run(
            [
                str(self._source.bindir / "pg_recvlogical"),
                *("--dbname", self._source.url("bench"), "--slot", self.slot, "--start"),
                *("-o", "proto_version=1", "-o", "publication_names=bench"),
                *("--file", os.devnull, "--endpos", work_done.lsn),
            ],
            check=True,
            timeout=DEADLINE_S,
        )
        return time.monotonic() - began


class Native:
    """A subscription: PostgreSQL's own logical replication."""

    name = "subscription"

    def __init__(self, source: LocalPostgres, target: LocalPostgres) -> None:
        self._source = source
        self._target = target
        target.execute("create database bench_native")
        self._connection = psycopg.connect(target.url("bench_native"), autocommit=True)
        self._connection.execute(work.CREATE.encode())
        source.execute(
            "select pg_create_logical_replication_slot('bench_native', 'pgoutput')", "bench"
        )
        self._connection.execute(
            f"create subscription bench_native connection '{source.url('bench')}' publication bench"
            " with (create_slot = false, slot_name = bench_native, enabled = false,"
            " copy_data = false)".encode()
        )

    def start(self) -> None:
        self._connection.execute("alter subscription bench_native enable")

    def stop(self) -> None:
        """Disable it, and wait until its worker has let go of the slot."""
        self._connection.execute("alter subscription bench_native disable")
        while self._source.execute(
            "select 1 from pg_replication_slots where slot_name = 'bench_native' and active"
        ):
            time.sleep(POLL_S)

    def done(self) -> int:
        return _done(self._connection)

    def drain(self, work_done: Done) -> float:
        began = time.monotonic()
        self.start()
        wait_until(self.done, work_done.number)
        elapsed = time.monotonic() - began
        self.stop()
        return elapsed

    def close(self) -> None:
        self._connection.close()

    @property
    def target_url(self) -> str:
        return self._target.url("bench_native")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds and peak resident bytes of all our processes together."""

    cpu_s: float
    rss_bytes: int


class Target(Protocol):
    """A database that a line writes."""

    @property
    def settings(self) -> str:
        """As YAML."""

    def done(self) -> int:
        """The number of the last work that has arrived."""

    def close(self) -> None: ...


class PostgresTarget:
    def __init__(self, server: LocalPostgres, database: str, more: str = "") -> None:
        """`more`: further settings, as YAML."""
        self._more = more
        server.execute(f"create database {database}")
        self.url = server.url(database)
        self._connection = psycopg.connect(self.url, autocommit=True)

    @property
    def settings(self) -> str:
        return f'{{type: postgres, url: "{self.url}"{self._more}}}'

    def done(self) -> int:
        with suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return _done(self._connection)
        return 0

    def close(self) -> None:
        self._connection.close()


REPLICATE = """    replicate:
      - {tables: [bench.*], into: "{schema}.{table}"}
"""
"""What a pipeline does, as YAML: here the tables as they are."""


class Tailrace:
    """The whole line: supervisor, capture and delivery, running like the servers around it.

    While the work is done its capture process stands still and has no connection, as when the
    network was away; a drain begins with its waking up, and so counts the reconnect.
    """

    name = "tailrace"

    def __init__(
        self,
        target: Target,
        directory: Path,
        source: str,
        cut: Callable[[], object],
        pipeline: str = REPLICATE,
        project: str = "bench",
    ) -> None:
        """`source`: its settings as YAML, and what the `pipeline` does. `cut`: ends capture's
        connection to it. `project`: its name, of which slots have theirs."""
        self.target = target
        self._directory = directory
        self._cut = cut
        directory.mkdir()
        (directory / "tailrace.yml").write_text(
            f"""version: 1
project: {project}
sources:
  erp: {source}
targets:
  hub: {target.settings}
pipelines:
  line:
    source: erp
    target: hub
{pipeline}"""
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.usage = Usage(0, 0)

    @classmethod
    def from_postgres(cls, source: LocalPostgres, target: LocalPostgres, directory: Path) -> Self:
        url = source.url("bench")
        return cls(
            PostgresTarget(target, "bench_tailrace"),
            directory,
            f'{{type: postgres, url: "{url}", tables: [bench.*], publication: bench}}',
            lambda: source.execute(
                "select pg_terminate_backend(active_pid, 10000) from pg_replication_slots"
                " where slot_name like 'tailrace%' and active"
            ),
        )

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tailrace.service", "--project", str(self._directory)),
                    *("run", "--listen", "127.0.0.1:0"),
                ],
                stderr=log,
            )

    def stop(self) -> None:
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        if process.wait(60):
            raise RuntimeError(f"tailrace ended with {process.returncode}: {self._last_words()}")
        self._process = None

    def close(self) -> None:
        if self._process is not None:  # something failed; its workers end with it
            self._process.kill()
            self._process.wait()
        self.target.close()

    def hold(self) -> None:
        """Stop capture in its tracks and cut its connection."""
        os.kill(self._capture_pid(), signal.SIGSTOP)
        self._cut()

    def resume(self) -> None:
        os.kill(self._capture_pid(), signal.SIGCONT)

    def done(self) -> int:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"tailrace has stopped: {self._last_words()}")
        return self.target.done()

    def wait(self, work_done: Done) -> None:
        wait_until(self.done, work_done.number)

    def drain(self, work_done: Done) -> float:
        before = self._cpu_s()
        began = time.monotonic()
        self.resume()
        self.wait(work_done)
        elapsed = time.monotonic() - began
        rss = sum(_peak_rss_bytes(pid) for pid in self._pids())
        self.usage = Usage(self._cpu_s() - before, rss)
        return elapsed

    def _pids(self) -> list[int]:
        assert self._process is not None
        return [self._process.pid, *_children(self._process.pid)]

    def _capture_pid(self) -> int:
        report = self._directory / ".tailrace" / "run" / "capture-erp.json"
        return int(json.loads(report.read_text())["pid"])

    def _cpu_s(self) -> float:
        return sum(cpu_s(pid) for pid in self._pids())

    def _last_words(self) -> str:
        return (self._directory / "log").read_text(errors="replace")[-2000:]


def _done(connection: psycopg.Connection) -> int:
    row = connection.execute("select coalesce(max(number), 0) from bench.done").fetchone()
    assert row is not None
    return int(row[0])


def wait_until(done: Callable[[], int], number: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while done() < number:
        if time.monotonic() > deadline:
            raise TimeoutError(f"work {number} is not done after {DEADLINE_S} s")
        time.sleep(POLL_S)


def _children(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in path.read_text().split()]
    return found


def cpu_s(pid: int) -> float:
    """Of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_rss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
