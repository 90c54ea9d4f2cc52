"""A Kafka broker as the target of a line under kills: a read_committed reader that counts.

What it reads it puts into SQLite, so that it is asked in the SQL that databases are asked in: the
rows as they are after all messages, and each message of the ledger, once for each time it is there.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from tailrace.kafka.protocol import Consumer, Partition, client_of
from tailrace.kafka.settings import Cluster
from tests.localkafka import kafka_server, settled

_TABLES = """
attach ':memory:' as shop;
attach ':memory:' as counted;
attach ':memory:' as tailrace;
create table shop.ledger (id integer primary key, lane integer, note text);
create table shop.account (id text primary key, balance integer, memo text);
create table counted.applied (id integer);
create table tailrace.checkpoint (journal_offset integer);
"""
Headers = dict[str, bytes]
_UNAVAILABLE = "__debezium_unavailable_value"


class Reader:
    """Like a connection and its cursor; before each question it reads what is committed."""

    def __init__(self, cluster: Cluster, topics: dict[str, str]) -> None:
        """`topics`: by their names what each holds."""
        self._cluster = cluster
        self._topics = topics
        self._consumer: Consumer | None = None
        self._moving: dict[bytes, str | None] = {}
        self._known: set[Partition] = set()
        self._positions: dict[Partition, int] = {}
        self._rows: list[tuple[Any, ...]] = []
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.executescript(_TABLES)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        self._catch_up()
        self._rows = self._db.execute(sql).fetchall()
        return self._rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None

    def cursor(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
        self._db.close()

    def _catch_up(self) -> None:
        self._look_for_topics()
        if not self._known:
            return
        if self._consumer is None:
            self._consumer = client_of(self._cluster).consumer()
        if self._positions.keys() != self._known:
            self._positions |= dict.fromkeys(self._known - self._positions.keys(), 0)
            self._consumer.assign(self._positions)
        ends = self._consumer.extent(list(self._known))
        while any(self._consumer.positions()[one] < last for one, (_, last) in ends.items()):
            for fetched in self._consumer.poll(1.0):
                take = getattr(self, f"_{self._topics[fetched.topic]}")
                for key, value, headers in zip(
                    fetched.keys.to_pylist(),
                    fetched.values.to_pylist(),
                    fetched.headers,
                    strict=True,
                ):
                    take(key, value, dict(headers))
        self._positions = self._consumer.positions()

    def _look_for_topics(self) -> None:
        if len(self._known) < len(self._topics):
            with closing(client_of(self._cluster).admin()) as admin:
                self._known = {(topic, 0) for topic in admin.topics(list(self._topics))}

    def _ledger(self, key: bytes, value: bytes | None, headers: Headers) -> None:
        assert value is not None
        row = json.loads(value)["after"]
        self._db.execute("insert into counted.applied values (?)", (row["id"],))
        self._put("ledger", row)

    def _account(self, key: bytes, value: bytes | None, headers: Headers) -> None:
        """A value that was not sent is the one before; of a row that moves, under its old key."""
        event = None if value is None else json.loads(value)
        if event is None or event["op"] == "d":
            if event is not None and "__debezium.newkey" in headers:
                self._moving[headers["__debezium.newkey"]] = self._memo(key)
            self._db.execute("delete from shop.account where id = ?", (json.loads(key)["id"],))
            return
        row = event["after"]
        moved = self._moving.pop(key, None) if "__debezium.oldkey" in headers else None
        if row["memo"] == _UNAVAILABLE:
            row["memo"] = moved if event["op"] == "c" else self._memo(key)
        self._put("account", row)

    def _memo(self, key: bytes) -> str | None:
        found = self._db.execute(
            "select memo from shop.account where id = ?", (json.loads(key)["id"],)
        )
        [memo] = found.fetchone()
        return None if memo is None else str(memo)

    def _checkpoint(self, key: bytes, value: bytes | None, headers: Headers) -> None:
        if key == b"checkpoint" and value is not None:
            self._db.execute("delete from tailrace.checkpoint")
            offset = json.loads(value)["offset"]
            self._db.execute("insert into tailrace.checkpoint values (?)", (offset,))

    def _put(self, table: str, row: dict[str, Any]) -> None:
        marks = ", ".join("?" * len(row))
        self._db.execute(
            f"insert or replace into shop.{table} ({', '.join(row)}) values ({marks})",
            list(row.values()),
        )


class Kafka:
    """As `tests.kill.databases.Database`, for a target only."""

    upsert = create_source = source = ""
    create_target = "select 1"

    def __init__(self, directory: Path) -> None:
        self._broker = kafka_server()
        self._server = self._broker.__enter__()
        self._cluster = Cluster(brokers=self._server.bootstrap)
        self._reader = Reader(
            self._cluster, {"erp.shop.ledger": "ledger", "erp.shop.account": "account"}
        )

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        if "counted" in sql:  # nobody writes any more
            settled(client_of(self._cluster), "tailrace.line")
        return self._reader.execute(sql)

    def connect(self) -> Reader:
        return Reader(self._cluster, {"tailrace.line": "checkpoint"})

    @property
    def target(self) -> str:
        return f'{{type: kafka, brokers: "{self._server.bootstrap}"}}'

    def stop(self) -> None:
        self._reader.close()
        self._broker.__exit__(None, None, None)
