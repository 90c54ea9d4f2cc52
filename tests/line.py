"""A whole project in a directory, run as an operator runs it: by the command, in processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pymysql

from cdc.mysql.settings import arguments

DEADLINE_S = 200
"""Within which something comes on any machine: what is awaited comes, or never."""


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {deadline_s} s for {what}")
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def kind_of(url: str) -> str:
    """The `type` of a source or target."""
    return url.partition(":")[0].replace("postgresql", "postgres")


def place_of(url: str) -> str:
    """``url: …``, or ``path: …`` of ``sqlite:FILE``."""
    kind, _, path = url.partition(":")
    return f'path: "{path}"' if kind in ("sqlite", "duckdb") else f'url: "{url}"'


def settings_of(target: str) -> str:
    """As YAML."""
    if target.startswith("{"):
        return target
    return f"{{type: {kind_of(target)}, {place_of(target)}}}"


class Line:
    """`tailrace run` of a project with one source, one target and one pipeline.

    `target` is a URL, or a target's settings as YAML in braces.
    """

    def __init__(
        self,
        directory: Path,
        source: str,
        target: str,
        *,
        tables: str = "shop.*",
        rules: str = '- {tables: [shop.*], into: "{schema}.{table}"}',
        more: str = "",
        pipeline: str = "line",
        environment: dict[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.source = source
        self.target = target
        self.pipeline = pipeline
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(exist_ok=True)
        (directory / "tailrace.yml").write_text(
            f"""version: 1
project: test{os.getpid()}
sources:
  erp:
    type: {kind_of(source)}
    url: "{source}"
    tables: [{tables}]
    {f"slot: {self.slot}" if source.startswith("postgres") else ""}
    {more}
targets:
  hub: {settings_of(target)}
pipelines:
  {pipeline}:
    source: erp
    target: hub
    replicate:
      {rules}
"""
        )

    @property
    def slot(self) -> str:
        return re.sub(
            r"[^a-z0-9_]", "_", f"slot_{self.source.rpartition('/')[2].partition('?')[0]}"
        )

    def command(self, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tailrace.service", "--project", self.directory, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
            env={**os.environ, **self._environment},
            **more,
        )

    def start(self, *arguments: str, failpoint: str = "") -> subprocess.Popen[bytes]:
        """`failpoint`: where it kills itself, ``NAME=NTH``."""
        armed = {"TAILRACE_FAILPOINTS": failpoint} if failpoint else {}
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "tailrace.service", "--project", str(self.directory)),
                    *arguments,
                ],
                stderr=log,
                env={**os.environ, **self._environment, **armed},
            )

    def __enter__(self) -> Self:
        self._process = self.start("run", "--listen", "127.0.0.1:0")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if error is not None:
            print(self.log[-4000:])

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def stop(self) -> int:
        process = self.process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        return process.wait(DEADLINE_S)

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def report(self, role: str, name: str = "") -> dict[str, Any]:
        name = name or {"capture": "erp", "deliver": self.pipeline}[role]
        with suppress(FileNotFoundError, ValueError):
            path = self.directory / ".tailrace" / "run" / f"{role}-{name}.json"
            found: dict[str, Any] = json.loads(path.read_text())
            return found
        return {"state": "none", "facts": {}, "pid": 0, "error": None}

    def state(self, role: str, name: str = "") -> str:
        return str(self.report(role, name)["state"])

    def desk(self) -> dict[str, Any]:
        """What `exceptions list` says."""
        shown = self.command("exceptions", "list", "-o", "json")
        assert shown.returncode == 0, shown.stderr
        found: dict[str, Any] = json.loads(shown.stdout)
        return found

    def written(self) -> int:
        """Rows, as delivery counts them."""
        return int(self.report("deliver")["facts"].get("rows", {}).get("written", 0))

    def kill(self, role: str) -> bool:
        """SIGKILL the process of this role; False where there is none at this moment."""
        pid = self.report(role)["pid"]
        if not pid:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def get(self, path: str) -> tuple[int, str]:
        """What `run` serves there: (status, body)."""
        ports = re.findall(r"serving.*?\"address\": \"127\.0\.0\.1:(\d+)\"", self.log)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports[-1]}{path}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def streams(self) -> None:
        wait_until(lambda: self.state("capture") == "streaming", "streaming")

    def write_mark(self, table: str, mark: str) -> None:
        with psycopg.connect(self.source, autocommit=True) as connection:
            connection.execute(f"insert into {table} values (%s)".encode(), (mark,))

    def arrives(self, table: str = "shop.mark") -> None:
        """Write a mark at the source and wait until it is at the target."""
        mark = str(time.monotonic_ns())
        self.write_mark(table, mark)
        query = f"select 1 from {table} where mark = '{mark}'"
        what = f"the mark to arrive; log: {self.log[-1500:]}"
        if not self.target.startswith("postgres"):
            wait_until(lambda: self._asks_mariadb(query), what)
            return
        with psycopg.connect(self.target, autocommit=True) as connection:

            def there() -> bool:
                with suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                    return connection.execute(query.encode()).fetchone() is not None
                return False

            wait_until(there, what)

    def _asks_mariadb(self, query: str) -> bool:
        with closing(pymysql.connect(**arguments(self.target))) as connection:
            cursor = connection.cursor()
            with suppress(pymysql.ProgrammingError, pymysql.OperationalError):  # not there yet
                return cursor.execute(query) == 1
        return False


def do(url: str, *statements: str) -> list[Any]:
    """At a PostgreSQL; the rows of the last statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def content(url: str, table: str) -> list[str]:
    """Every row of a table as text, sorted."""
    options = "-c TimeZone=UTC -c DateStyle=ISO -c extra_float_digits=1"
    with psycopg.connect(url, options=options) as connection:
        query = f'select t::text as row from {table} t order by t::text collate "C"'
        rows = connection.execute(query.encode())
        return [row[0] for row in rows]
