"""A web shop on MariaDB, the demo's second source where the machine has a MariaDB.

It is made, changed and compared here: with what plain SQL over its own tables says the hub must
hold, read by PyMySQL, without anything of Tailrace between.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import pymysql.cursors

from tailrace.service.demo.oracle import Comparison
from tailrace.service.localmaria import LocalMariadb

TABLES = ("hub.web_order", "raw.vouchers")
SETTINGS = {"sql_mode": "''", "default_time_zone": "'+00:00'"}
"""As on a server of the years in which a date could be none."""

ORDERS = """
select concat('W-', id), trim(buyer), lower(email),
       case state when 'cart' then 'open' when 'sent' then 'shipped' else state end,
       total, gift, nullif(cast(ordered_on as char), '0000-00-00'), paid_at
from shop.orders
"""
ARRIVED_ORDERS = """
select order_no, buyer, email, status, total, gift::int, ordered_on::text,
       paid_at at time zone 'UTC' from hub.web_order
"""
VOUCHERS = (
    "select code, percent, nullif(cast(valid_until as char), '0000-00-00') from shop.vouchers"
)
ARRIVED_VOUCHERS = "select code, percent, valid_until::text from raw.vouchers"

PAUSE_MAX_S = 0.02
ROLLED_BACK = 0.1
LAST = "ENDE"

Row = tuple[Any, ...]


class Shop:
    """A running server, and one clerk who works there between `start` and `stop`."""

    def __init__(self, directory: Path, rows: int) -> None:
        self.server = LocalMariadb.start(directory, settings=SETTINGS)
        text = resources.files("tailrace.service.demo").joinpath("shop.sql").read_text("utf-8")
        statements = text.replace(":rows", str(rows)).split(";\n")
        self.server.execute(*filter(str.strip, statements))
        self.url = f"mariadb://tailrace_shop@127.0.0.1:{self.server.port}/"
        self.changes = 0
        self._rows = rows
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._error: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        """Errors: whatever the clerk met."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Returns when the last transaction has ended. Idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def end(self) -> None:
        self.stop()
        self.server.stop()

    def mark_end(self) -> None:
        """The last change of all, by which `has_arrived` knows that all others have."""
        self.server.execute(f"insert into shop.vouchers values ('{LAST}', 0, '0000-00-00')")

    def has_arrived(self, hub_url: str) -> bool:
        with psycopg.connect(hub_url, autocommit=True) as hub:
            query = f"select from raw.vouchers where code = '{LAST}'"
            return hub.execute(query.encode()).rowcount == 1

    def compare(self, hub_url: str, result: Comparison) -> None:
        """Add every row of both tables to `result`."""
        with psycopg.connect(hub_url) as hub:
            for table, wanted, arrived in (
                (TABLES[0], ORDERS, ARRIVED_ORDERS),
                (TABLES[1], VOUCHERS, ARRIVED_VOUCHERS),
            ):
                theirs = {row[0]: row for row in self._rows_of(wanted)}
                ours = {row[0]: row for row in hub.execute(arrived.encode()).fetchall()}
                for key in sorted(theirs.keys() | ours.keys()):
                    result.rows += 1
                    if theirs.get(key) != ours.get(key):
                        result.differs(table, (str(key).encode(),))

    def _rows_of(self, query: str) -> Iterator[Row]:
        with closing(self.server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            yield from cursor.fetchall()

    def _work(self) -> None:
        chance = random.Random(7)
        try:
            with closing(self.server.connect()) as connection, connection.cursor() as cursor:
                while not self._stopping.is_set():
                    cursor.execute("begin")
                    changed = sum(
                        _step(cursor, chance, self._rows)
                        for _ in range(chance.choice((1, 1, 2, 9)))
                    )
                    kept = chance.random() >= ROLLED_BACK
                    cursor.execute("commit" if kept else "rollback")
                    self.changes += changed if kept else 0
                    self._stopping.wait(chance.random() * PAUSE_MAX_S)
        except BaseException as error:
            self._error = error


def _step(cursor: pymysql.cursors.Cursor, chance: random.Random, rows: int) -> int:
    order = chance.randint(1, rows + rows // 4)
    kind = chance.random()
    if kind < 0.4:
        day = chance.choice(("0000-00-00", str(dt.date(2025, 1, 1) + dt.timedelta(order % 365))))
        return cursor.execute(
            "insert into shop.orders (buyer, email, state, total, ordered_on)"
            " values (%s, %s, 'cart', %s, %s)",
            (f"Café {order} ", f"Neu{order}@Example.org", order / 100, day),
        )
    if kind < 0.8:
        return cursor.execute(
            "update shop.orders set state = %s, paid_at = now(3), gift = not gift,"
            " total = total + 0.01 where id = %s",
            (chance.choice(("paid", "sent", "returned")), order),
        )
    if kind < 0.9:
        return cursor.execute("delete from shop.orders where id = %s and state = 'cart'", (order,))
    if kind < 0.95:  # a key change
        return cursor.execute(
            "update ignore shop.orders set id = id + 10000000 where id = %s", (order,)
        )
    return cursor.execute(
        "update shop.vouchers set percent = (percent + 1) %% 100, valid_until ="
        " if(valid_until = 0, '2031-01-01', '0000-00-00') where code = %s",
        (f"V{chance.randint(1, 200)}",),
    )
