"""Kills capture and delivery at every named failpoint, under load, and counts what became of it.

``make kill KILLS=50`` ends with
``kill: 50 kills, N operations, 0 lost, 0 doubled, 0 checkpoint regressions``. ``KILL_ENDS`` says
between which databases (``mariadb:postgres``).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.failpoints import NAMES as ALL_NAMES
from tests.kill.databases import ABSENT, KINDS, Database
from tests.kill.load import PAUSE_S, Load

NAMES = tuple(name for name in ALL_NAMES if ".exceptions_" not in name)
"""Those that this load reaches, since no row of it is refused; tests/pipeline has the rest."""
DEADLINE_S = 300
ALIVE_S = 120
"""A process whose failpoint is not reached within this time is killed from outside instead."""


@dataclass(slots=True)
class Outcome:
    kills: dict[str, int] = field(default_factory=dict)
    operations: int = 0
    lost: int = 0
    doubled: int = 0
    regressions: int = 0
    different: int = 0

    def line(self) -> str:
        return (
            f"kill: {sum(self.kills.values())} kills, {self.operations} operations, "
            f"{self.lost} lost, {self.doubled} doubled, {self.regressions} checkpoint regressions"
        )

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.regressions or self.different)


class Worker:
    """One of our two processes, started again and again with another failpoint armed."""

    def __init__(self, project: Path, role: str, name: str) -> None:
        self._command = [
            *(sys.executable, "-m", "tailrace.service", "--project", str(project), role, name)
        ]
        self._log = (project / f"{role}.log").open("ab")
        self.role = role
        self.armed = ""
        self.since = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, failpoint: str = "", nth: int = 1) -> None:
        environment = dict(os.environ)
        if failpoint:
            environment["TAILRACE_FAILPOINTS"] = f"{failpoint}={nth}"
        self.armed = failpoint
        self.since = time.monotonic()
        self.process = subprocess.Popen(self._command, env=environment, stderr=self._log)

    def last_lines(self) -> list[str]:
        return Path(self._log.name).read_text(errors="replace").splitlines()[-15:]

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()


class Watch(threading.Thread):
    """Reads the target's checkpoint all the time: it must never go back."""

    def __init__(self, target: Database) -> None:
        super().__init__()
        self._target = target
        self.ending = threading.Event()
        self.regressions = 0

    def run(self) -> None:
        last = 0
        with closing(self._target.connect()) as connection, connection.cursor() as cursor:
            while not self.ending.wait(0.02):
                try:
                    cursor.execute("select journal_offset from tailrace.checkpoint")
                except ABSENT:
                    continue
                row = cursor.fetchone()
                if row is not None:
                    self.regressions += row[0] < last
                    last = row[0]


def torture(
    kills: int,
    directory: Path,
    *,
    seed: int = 0,
    version: str = "18",
    ends: tuple[str, str] = ("postgres", "postgres"),
) -> Outcome:
    """Run until `kills` processes died, then let the line drain and count."""
    outcome = Outcome()
    with ExitStack() as stack:
        source, target = (
            KINDS[kind](directory / name, version)
            for kind, name in zip(ends, ("source", "target"), strict=True)
        )
        stack.callback(source.stop)
        stack.callback(target.stop)
        source.execute(source.create_source)
        target.execute(target.create_target)
        project = directory / "project"
        _write_project(project, source.source, target.target)
        load = Load(source, seed=seed, pause_s=getattr(target, "pause_s", PAUSE_S))
        watch = Watch(target)
        workers = [Worker(project, "capture", "erp"), Worker(project, "deliver", "line")]
        watch.start()
        try:
            _copy(workers, source, target)
            load.start()
            _kill(workers, kills, random.Random(seed), outcome)
            load.stop()
            _drain(workers, source, target)
        except BaseException:
            for worker in workers:
                print(f"--- {worker.role}:", *worker.last_lines(), sep="\n", file=sys.stderr)
            raise
        finally:
            load.stop()
            watch.ending.set()
            watch.join()
            for worker in workers:
                worker.end()
        outcome.operations = load.operations
        outcome.regressions = watch.regressions
        _count(source, target, outcome)
    return outcome


def _copy(workers: list[Worker], source: Database, target: Database) -> None:
    """Have the first snapshot done: one that starts over writes again what it had written."""
    for worker in workers:
        worker.start()
    for marker in (2 * 10**15, 2 * 10**15 + 1):  # the second is not in the snapshot any more
        _arrives(marker, workers, source, target)
    _end_for_good(workers)


def _kill(workers: list[Worker], kills: int, chance: random.Random, outcome: Outcome) -> None:
    """Until `kills` died, and of each role a fourth of that: enough for each failpoint's turn."""
    plans = {worker.role: _plan(worker.role, chance) for worker in workers}
    died = dict.fromkeys(plans, 0)
    for worker in workers:
        worker.start(*next(plans[worker.role]))
    while sum(died.values()) < kills or min(died.values()) < kills // 4:
        for worker in workers:
            assert worker.process is not None
            if worker.process.poll() is None:
                if time.monotonic() - worker.since > ALIVE_S:
                    worker.process.kill()
                    worker.process.wait()
                    worker.armed = "from outside"
                else:
                    continue
            if worker.process.returncode != -signal.SIGKILL:
                raise RuntimeError(
                    f"{worker.role} ended with {worker.process.returncode}, armed {worker.armed}"
                )
            outcome.kills[worker.armed] = outcome.kills.get(worker.armed, 0) + 1
            died[worker.role] += 1
            worker.start(*next(plans[worker.role]))
        time.sleep(0.02)
    _end_for_good(workers)  # what still runs is armed


def _end_for_good(workers: list[Worker]) -> None:
    for worker in workers:
        assert worker.process is not None
        worker.process.kill()
        worker.process.wait()


def _plan(role: str, chance: random.Random) -> Iterator[tuple[str, int]]:
    """Every failpoint of the role in turn, reached after a random number of passes."""
    names = [name for name in NAMES if name.startswith(role)]
    while True:
        chance.shuffle(names)
        for name in names:
            yield name, chance.choice((1, 2, 5))


def _drain(workers: list[Worker], source: Database, target: Database) -> None:
    for worker in workers:
        worker.start()
    _arrives(10**15, workers, source, target)


def _arrives(marker: int, workers: list[Worker], source: Database, target: Database) -> None:
    """A row of no operation, through the whole line."""
    source.execute(f"insert into shop.ledger values ({marker}, -1, 'end')")
    deadline = time.monotonic() + DEADLINE_S
    while not target.execute(f"select 1 from shop.ledger where id = {marker}"):
        for worker in workers:
            assert worker.process is not None
            if worker.process.poll() is not None:
                raise RuntimeError(f"{worker.role} ended with {worker.process.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError("the line did not drain")
        time.sleep(0.1)


def _count(source: Database, target: Database, outcome: Outcome) -> None:
    committed = {row[0] for row in source.execute("select id from shop.ledger where lane >= 0")}
    applied = target.execute("select id, count(*) from counted.applied where id < 1e15 group by id")
    outcome.lost = len(committed - {row[0] for row in applied})
    outcome.doubled = sum(row[1] > 1 for row in applied)
    if len(committed) != outcome.operations:
        raise AssertionError("the load miscounted its own operations")
    for table, columns in (("ledger", "id, lane, note"), ("account", "id, balance, memo")):
        query = f"select {columns} from shop.{table}"
        outcome.different += len(set(source.execute(query)) ^ set(target.execute(query)))


def _write_project(project: Path, source: str, target: str) -> None:
    project.mkdir()
    (project / "tailrace.yml").write_text(
        f"""version: 1
project: kill
sources:
  erp: {source}
targets:
  hub: {target}
pipelines:
  line:
    source: erp
    target: hub
    replicate:
      - {{tables: [shop.*], into: "{{schema}}.{{table}}"}}
"""
    )


def main() -> None:
    kills = int(os.environ.get("KILLS", "50"))
    with tempfile.TemporaryDirectory(prefix="tailrace-kill-") as scratch:
        os.chmod(scratch, 0o755)
        seed = int(os.environ.get("KILL_SEED", "0"))
        source, _, target = os.environ.get("KILL_ENDS", "postgres:postgres").partition(":")
        outcome = torture(kills, Path(scratch), seed=seed, ends=(source, target))
    for name, count in sorted(outcome.kills.items()):
        print(f"{name:24}{count:5}")
    print(outcome.line())
    sys.exit(0 if outcome.clean else 1)


if __name__ == "__main__":
    main()
