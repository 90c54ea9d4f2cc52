"""The PostgreSQL source of the bench."""

from __future__ import annotations

import psycopg

from bench import work
from bench.contestants import Done
from tailrace.service.localpg import LocalPostgres


class Source:
    """The source's connection, which does the work and marks its end."""

    def __init__(self, server: LocalPostgres) -> None:
        self.server = server
        server.execute("create database bench")
        self.connection = psycopg.connect(server.url("bench"), autocommit=True)
        self.connection.execute(work.CREATE.encode())
        self.connection.execute("create publication bench for table bench.wide, bench.done")
        self.connection.execute("set synchronous_commit = off")  # the writer's time is not ours
        self._number = 0

    def do(self, sql: str) -> Done:
        self._number += 1
        self.connection.execute(sql.encode())
        self.connection.execute("insert into bench.done values (%s)", (self._number,))
        row = self.connection.execute("select pg_switch_wal(), pg_current_wal_lsn()").fetchone()
        assert row is not None
        return Done(self._number, row[0])

    def close(self) -> None:
        self.connection.close()
