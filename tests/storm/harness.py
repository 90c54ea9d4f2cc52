"""A storm of faults at an HTTP target, with delivery killed in it, and a count of what came of it.

The API is another process that knows idempotency keys. It loses answers after it has done what was
asked, refuses for a moment, and answers late; delivery is killed at every failpoint of its own.
Each row counts its changes, so what the API applied says whether any was lost, came twice, or
overtook another of its key.

``make storm`` ends with ``storm: N faults, K kills, C changes, 0 lost, 0 doubled, 0 out of order``.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tailrace.service.localpg import LocalPostgres
from tests.http_api import HttpApi, started
from tests.httprig import point_to
from tests.line import Line, wait_until

PLACES = (
    "deliver.read",
    "deliver.staged",
    "deliver.applied",
    "deliver.before_commit",
    "deliver.commit_sent",
    "deliver.after_commit",
)
KEYS = 40
ALIVE_S = 60
"""A process whose failpoint is not reached within this time is killed from outside instead."""


@dataclass(frozen=True, slots=True)
class Outcome:
    faults: int
    kills: int
    changes: int
    lost: int
    doubled: int
    disordered: int
    repeated: int

    def line(self) -> str:
        return (
            f"storm: {self.faults} faults, {self.kills} kills, {self.changes} changes,"
            f" {self.lost} lost, {self.doubled} doubled, {self.disordered} out of order"
        )

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.disordered)


def storm(
    server: LocalPostgres, database: str, directory: Path, *, changes: int, kills: int, seed: int
) -> Outcome:
    """Make `changes` at the source while delivery is killed `kills` times; then let it finish."""
    rng = random.Random(seed)
    url = server.url(database)
    with started() as api:
        line = Line(directory, url, url)
        point_to(line, api, _SETTINGS)
        server.execute(
            "create schema shop; create table shop.item (id integer primary key, version integer)",
            database,
        )
        capture = line.start("capture", "erp")
        try:
            wait_until(lambda: line.state("capture") == "streaming", "capture")
            api.storm(seed=seed, lose=0.3, reject=0.15, slow=0.02)
            made: dict[int, list[str]] = {}
            load = threading.Thread(target=_load, args=(url, rng, changes, made))
            load.start()
            for number in range(kills):
                place = PLACES[number % len(PLACES)]
                nth = rng.randrange(1, 150) if place == "deliver.staged" else 1
                _killed(line, place, nth)
            load.join()
            last = line.start("deliver", "line")
            try:
                wanted = sum(map(len, made.values()))
                wait_until(lambda: api.state["counts"].get("applied", 0) >= wanted, "the rest", 300)
                wait_until(lambda: line.state("deliver") == "waiting", "the end", 300)
            finally:
                last.terminate()
                last.wait(200)
        finally:
            capture.terminate()
            capture.wait(200)
        return _judged(api, made, kills)


def _load(url: str, rng: random.Random, changes: int, made: dict[int, list[str]]) -> None:
    """Rows that count their changes; deleted and made again with a number that goes on."""
    versions: dict[int, int] = {}
    there: set[int] = set()
    count = 0
    with psycopg.connect(url, autocommit=True) as connection:
        while count < changes:
            with connection.transaction():
                for _ in range(rng.randrange(1, 30)):
                    key = rng.randrange(KEYS)
                    if key in there and rng.random() < 0.1:
                        connection.execute("delete from shop.item where id = %s", (key,))
                        there.discard(key)
                        made.setdefault(key, []).append("gone")
                    else:
                        version = versions[key] = versions.get(key, 0) + 1
                        connection.execute(
                            "insert into shop.item values (%s, %s)"
                            " on conflict (id) do update set version = excluded.version",
                            (key, version),
                        )
                        there.add(key)
                        made.setdefault(key, []).append(str(version))
                    count += 1


def _killed(line: Line, place: str, nth: int) -> None:
    environment = {**os.environ, "TAILRACE_FAILPOINTS": f"{place}={nth}"}
    with (line.directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tailrace.service", "--project", str(line.directory)),
                *("deliver", "line"),
            ],
            stderr=log,
            env=environment,
        )
    try:
        process.wait(ALIVE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _judged(api: HttpApi, made: dict[int, list[str]], kills: int) -> Outcome:
    state = api.state
    came: dict[int, list[str]] = {}
    for one in state["applied"]:
        key = int(one["path"].rpartition("/")[2])
        body = one["body"]
        came.setdefault(key, []).append("gone" if body is None else str(body["version"]))
    lost = doubled = disordered = 0
    for key, wanted in made.items():
        found = came.get(key, [])
        lost += max(0, len(wanted) - len(found))
        doubled += max(0, len(found) - len(wanted))
        disordered += found != wanted
    return Outcome(
        faults=state["counts"]["faults"],
        kills=kills,
        changes=sum(map(len, made.values())),
        lost=lost,
        doubled=doubled,
        disordered=disordered,
        repeated=state["counts"].get("repeated", 0),
    )


_SETTINGS = """\
    retries: {attempts: 100, wait_first_s: 0.01, wait_longest_s: 0.1}
    breaker: {failures: 1000}
    entities:
      item: {put: {url: "/items/{id}"}, delete: {url: "/items/{id}"}}
"""


def main() -> None:
    changes = int(os.environ.get("CHANGES", "2500"))
    kills = int(os.environ.get("KILLS", "18"))
    with tempfile.TemporaryDirectory(prefix="tailrace-storm-") as scratch:
        os.chmod(scratch, 0o755)
        with LocalPostgres.start(Path(scratch, "server")) as server:
            server.execute("create database storm")
            outcome = storm(
                server, "storm", Path(scratch, "project"), changes=changes, kills=kills, seed=1
            )
    print(outcome.line())
    sys.exit(not outcome.clean)


if __name__ == "__main__":
    main()
