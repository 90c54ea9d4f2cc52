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
            load = Load(url, rng)
            share = changes // (kills + 1)
            for number in range(kills):
                load.make(share)
                place = PLACES[number % len(PLACES)]
                _killed(line, place, rng.randrange(1, share) if place == "deliver.staged" else 1)
            load.make(changes - kills * share)
            last = line.start("deliver", "line")
            try:
                wanted = sum(map(len, load.made.values()))
                wait_until(lambda: api.state["counts"].get("applied", 0) >= wanted, "the rest", 300)
                wait_until(lambda: line.state("deliver") == "waiting", "the end", 300)
            finally:
                last.terminate()
                last.wait(200)
        finally:
            capture.terminate()
            capture.wait(200)
        return _judged(api, load.made, kills)


class Load:
    """Rows that count their changes; deleted and made again with a number that goes on.

    `made`: by key what was done to it, in order.
    """

    def __init__(self, url: str, rng: random.Random) -> None:
        self._url = url
        self._rng = rng
        self._versions: dict[int, int] = {}
        self._there: set[int] = set()
        self.made: dict[int, list[str]] = {}

    def make(self, changes: int) -> None:
        count = 0
        with psycopg.connect(self._url, autocommit=True) as connection:
            while count < changes:
                with connection.transaction():
                    for _ in range(self._rng.randrange(1, 30)):
                        self._change(connection, self._rng.randrange(KEYS))
                        count += 1

    def _change(self, connection: psycopg.Connection, key: int) -> None:
        done = self.made.setdefault(key, [])
        if key in self._there and self._rng.random() < 0.1:
            connection.execute("delete from shop.item where id = %s", (key,))
            self._there.discard(key)
            done.append("gone")
            return
        version = self._versions[key] = self._versions.get(key, 0) + 1
        connection.execute(
            "insert into shop.item values (%s, %s)"
            " on conflict (id) do update set version = excluded.version",
            (key, version),
        )
        self._there.add(key)
        done.append(str(version))


def _killed(line: Line, place: str, nth: int) -> None:
    process = line.start("deliver", "line", failpoint=f"{place}={nth}")
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
