"""A source under load, whose every committed operation is written down and can be counted.

`ledger` gets one row an operation and never changes; `account` is updated, deleted, re-inserted
and renamed by the same transactions. At the target a trigger logs each application of a ledger
row: idempotent writes would hide a doubled one, a log does not.
"""

from __future__ import annotations

import random
import threading
from contextlib import closing
from typing import Any

from tests.kill.databases import Database

PAUSE_S = 0.03
"""The longest pause between two transactions of a thread."""


class Load:
    """Threads that commit transactions until `stop`."""

    def __init__(
        self, source: Database, *, lanes: int = 2, seed: int = 0, pause_s: float = PAUSE_S
    ) -> None:
        self._source = source
        self._lanes = lanes
        self._seed = seed
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self.committed = [0] * lanes

    @property
    def operations(self) -> int:
        """Ledger rows committed so far."""
        return sum(self.committed)

    def start(self) -> None:
        for lane in range(self._lanes):
            thread = threading.Thread(target=self._run, args=(lane,))
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self, lane: int) -> None:
        chance = random.Random(self._seed * 1000 + lane)
        number = 0
        try:
            with closing(self._source.connect()) as connection, connection.cursor() as cursor:
                while not self._stopping.is_set():
                    size = chance.choice((1, 1, 1, 2, 5, 40))
                    cursor.execute("begin")
                    for _ in range(size):
                        number += 1
                        operate(cursor, self._source.upsert, chance, lane, number)
                    aborts = chance.random() < 0.1
                    cursor.execute("rollback" if aborts else "commit")
                    if aborts:
                        number -= size
                    else:
                        self.committed[lane] += size
                    self._stopping.wait(chance.random() * self._pause_s)
        except BaseException as error:
            self._errors.append(error)


def operate(cursor: Any, upsert: str, chance: random.Random, lane: int, number: int) -> None:
    """One ledger row, and one change of this lane's accounts that belongs to it."""
    cursor.execute(
        "insert into shop.ledger values (%s, %s, %s)",
        (number * 100 + lane, lane, f"operation {number}"),
    )
    account = f"{lane}-{chance.randrange(40)}"
    kind = chance.random()
    if kind < 0.3:
        cursor.execute(
            f"insert into shop.account values (%s, %s, %s) {upsert}",
            (account, number, "m" * chance.choice((3, 3, 3, 4000))),
        )
    elif kind < 0.7:
        cursor.execute("update shop.account set balance = balance + 1 where id = %s", (account,))
    elif kind < 0.8:
        cursor.execute("delete from shop.account where id = %s", (account,))
    elif kind < 0.95:
        renamed = f"{lane}-{chance.randrange(40)}"
        cursor.execute(
            "update shop.account set id = %s where id = %s"
            " and not exists (select 1 from shop.account where id = %s)",
            (renamed, account, renamed),
        )
    else:
        cursor.execute("update shop.account set memo = null where id = %s", (account,))
