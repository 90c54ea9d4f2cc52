"""``make bench BENCH=mysql``: a MariaDB source, beside mysql-replication and beside PostgreSQL.

Capture is measured by itself (log to journal), then the whole line: into PostgreSQL, and into
MariaDB beside a replica. Each measures the same rows in one transaction.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pymysql

from bench import work
from bench.contestants import TUNED, Done, PostgresTarget, Tailrace, settle, wait_until
from bench.source import Source as PostgresSource
from cdc.mysql.settings import MariadbSource
from cdc.mysql.source import BinlogDatabase
from tailrace.journal.sqlite import SqliteWriter
from tailrace.service.localmaria import LocalMariadb
from tailrace.service.localpg import LocalPostgres

RIVAL_ROWS = 200_000
"""mysql-replication reads some 30,000 rows a second; a rate needs no million."""
SERVER = {
    "innodb_buffer_pool_size": "512M",
    "max_binlog_size": "1G",
    "innodb_flush_log_at_trx_commit": "0",  # the writer's time is not ours
}
CREATE = """
create table wide (
    id bigint primary key, small_number int, name varchar(60), amount decimal(12,2), code char(3),
    description varchar(100), quantity int, ratio double, active tinyint,
    changed_at timestamp(6) null, booked_at datetime(6), booked_on date)
"""

UPDATE = """
update wide set amount = amount + 1, description = concat('changed ', description),
    changed_at = changed_at + interval 1 hour, active = not active
"""
DONE = "create table done (number int primary key)"
TARGET = dict.fromkeys(("log_bin", "binlog_format", "binlog_row_metadata")) | {
    "innodb_buffer_pool_size": "512M"
}
"""No log, as a server has none of itself; memory for what is measured."""


class Source:
    """The server, which does the work and marks its end."""

    def __init__(self, server: LocalMariadb) -> None:
        self.server = server
        server.execute("create database bench")
        server.execute(CREATE, DONE, database="bench")
        self._number = 0

    def do(self, sql: str) -> Done:
        self._number += 1
        mark = f"insert into done values ({self._number})"
        self.server.execute(sql, mark, database="bench")
        return Done(self._number, "")

    def cut(self) -> None:
        for (number,) in self.server.execute(
            "select id from information_schema.processlist where command like 'Binlog Dump%'"
        ):
            self.server.execute(f"kill {number}")


def as_yaml(settings: MariadbSource) -> str:
    return f'{{type: mariadb, url: "{settings.url}", tables: [bench.*]}}'


class Replica:
    """MariaDB's own replication, with the settings a server has of itself."""

    def __init__(self, source: LocalMariadb, directory: Path) -> None:
        self.server = LocalMariadb.start(directory, settings={**TARGET, "server_id": "2"})
        self.server.execute("create database bench")
        self.server.execute(CREATE, DONE, database="bench")
        ((position,),) = source.execute("select @@gtid_binlog_pos")
        self.server.execute(
            f"set global gtid_slave_pos = '{position}'",
            f"change master to master_host = '127.0.0.1', master_port = {source.port},"
            " master_user = 'root', master_use_gtid = slave_pos",
        )

    def drain(self, done: Done) -> float:
        began = time.monotonic()
        self.server.execute("start slave")
        wait_until(lambda: arrived(self.server), done.number)
        elapsed = time.monotonic() - began
        self.server.execute("stop slave")
        return elapsed

    def close(self) -> None:
        self.server.stop()


class MariadbTarget:
    """A `bench.contestants.Target`."""

    def __init__(self, directory: Path) -> None:
        self.server = LocalMariadb.start(directory, settings=TARGET)

    @property
    def settings(self) -> str:
        return f'{{type: mariadb, url: "mariadb://root@127.0.0.1:{self.server.port}/"}}'

    def done(self) -> int:
        with suppress(pymysql.ProgrammingError, pymysql.OperationalError):
            return arrived(self.server)
        return 0

    def close(self) -> None:
        self.server.stop()


def arrived(server: LocalMariadb) -> int:
    return int(server.execute("select coalesce(max(number), 0) from bench.done")[0][0])


def compare(one: LocalMariadb, other: LocalMariadb) -> None:
    """A fast copy that is wrong is worth nothing: both must hold the same."""
    query = """
        select count(*), sum(crc32(concat_ws('|', id, small_number, name, amount, code, description,
            quantity, ratio, active, changed_at, booked_at, booked_on))) from bench.wide"""
    found = [server.execute("set time_zone = '+00:00'", query) for server in (one, other)]
    if found[0] != found[1]:
        sys.exit(f"the copies differ: replica {found[0]}, tailrace {found[1]}")


def beside_replica(
    source: Source, settings: MariadbSource, rows: int, directory: Path, stack: ExitStack
) -> dict[str, float | int | None]:
    source.do("truncate table wide")
    target = MariadbTarget(directory / "maria_target")
    ours = stack.enter_context(
        closing(Tailrace(target, directory / "into_maria", as_yaml(settings), source.cut))
    )
    replica = stack.enter_context(closing(Replica(source.server, directory / "replica")))
    ours.start()
    ours.wait(source.do("select 1"))
    ours.hold()
    done = source.do(insert(1, rows))
    native, we = replica.drain(done), ours.drain(done)
    compare(replica.server, target.server)
    ours.stop()
    print(f"to mariadb  replica {native:.2f} s, tailrace {we:.2f} s", flush=True)
    return {"mariadb_to_mariadb_vs_native": round(native / we, 3)}


def insert(first: int, rows: int) -> str:
    """As `work.insert`."""
    return f"""
insert into wide
select seq, seq % 1000, concat('name ', seq), (seq % 100000) / 100, 'abc',
       concat('description ', lpad(seq % 1000000, 13, '0')), seq % 70000, seq / 3e0, seq % 2 = 0,
       '2026-01-01' + interval seq second, '2026-01-01' + interval seq minute,
       '2026-01-01' + interval (seq % 365) day
from seq_{first}_to_{first + rows - 1}
"""


def measure(rows: int) -> dict[str, float | int | None]:
    figures: dict[str, float | int | None] = {"rows": rows}
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as scratch, ExitStack() as stack:
        os.chmod(scratch, 0o755)
        directory = Path(scratch)
        server = stack.enter_context(LocalMariadb.start(directory / "maria", settings=SERVER))
        source = Source(server)
        settings = MariadbSource(
            type="mariadb", url=f"mariadb://root@127.0.0.1:{server.port}/", tables=("bench.*",)
        )
        figures |= capture(source, settings, rows, directory)
        figures |= line(source, settings, rows, directory, stack)
        figures |= beside_replica(source, settings, rows, directory, stack)
    return figures


def capture(
    source: Source, settings: MariadbSource, rows: int, directory: Path
) -> dict[str, float | int | None]:
    """Of inserts, then of updates of four columns, whose rows before are kept as well."""
    inserts = captured(source, settings, insert(1, rows), rows, directory / "inserts")
    updates = captured(source, settings, UPDATE, rows, directory / "updates")
    return {
        "capture_vs_mysql_replication": inserts.times_rival,
        "capture_rows_per_cpu_s": inserts.rows_per_cpu_s,
        "capture_updates_vs_mysql_replication": updates.times_rival,
        "capture_updates_per_cpu_s": updates.rows_per_cpu_s,
        "journal_bytes_per_insert": inserts.journal_bytes_per_row,
        "journal_bytes_per_update": updates.journal_bytes_per_row,
    }


@dataclass(frozen=True)
class Captured:
    times_rival: float
    rows_per_cpu_s: int
    journal_bytes_per_row: int


def captured(
    source: Source, settings: MariadbSource, sql: str, rows: int, directory: Path
) -> Captured:
    with closing(BinlogDatabase(settings, "bench")) as ours:
        with closing(ours.snapshot({})) as snapshot:
            list(snapshot.changes())
            position = snapshot.position
        source.do(sql)
        before, began = time.process_time(), time.monotonic()
        found = 0
        with (
            closing(ours.stream(position)) as stream,
            SqliteWriter(directory / "journal.db") as journal,
        ):
            while found < rows:
                for changes in stream.changes(1):
                    journal.append([changes])
                    found += changes.rows
        elapsed, cpu = time.monotonic() - began, time.process_time() - before
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    rival = rival_rows_per_s(source, position, min(rows, RIVAL_ROWS))
    print(
        f"capture     {sql.split()[0]} {rows / elapsed:,.0f} rows/s, mysql-replication"
        f" {rival:,.0f} rows/s, {size / rows:.0f} bytes of journal a row",
        flush=True,
    )
    return Captured(round(rows / elapsed / rival, 2), round(rows / cpu), round(size / rows))


def rival_rows_per_s(source: Source, position: str, rows: int) -> float:
    """https://pypi.org/project/mysql-replication/, which decodes to rows and stores nothing."""
    from pymysqlreplication import BinLogStreamReader
    from pymysqlreplication.row_event import UpdateRowsEvent, WriteRowsEvent

    reader = BinLogStreamReader(
        connection_settings={"host": "127.0.0.1", "port": source.server.port, "user": "root"},
        server_id=4711,
        only_events=[WriteRowsEvent, UpdateRowsEvent],
        is_mariadb=True,
        auto_position=position,
        blocking=True,
    )
    with closing(reader):
        began, read = time.monotonic(), 0
        for event in reader:
            read += len(event.rows)
            if read >= rows:
                break
        return read / (time.monotonic() - began)


def line(
    source: Source, settings: MariadbSource, rows: int, directory: Path, stack: ExitStack
) -> dict[str, float | int | None]:
    """MariaDB to PostgreSQL, against PostgreSQL to PostgreSQL."""
    postgres, target = (
        stack.enter_context(LocalPostgres.start(directory / name, settings=TUNED))
        for name in ("source", "target")
    )
    theirs = stack.enter_context(closing(PostgresSource(postgres)))
    yaml = as_yaml(settings)
    source.do("truncate table wide")
    lines: list[tuple[Source | PostgresSource, Tailrace]] = [
        (
            source,
            Tailrace(
                PostgresTarget(target, "from_maria"), directory / "from_maria", yaml, source.cut
            ),
        ),
        (theirs, Tailrace.from_postgres(postgres, target, directory / "from_postgres")),
    ]
    took: list[float] = []
    peak: int | None = None
    for server, ours in lines:
        stack.enter_context(closing(ours))
        ours.start()
        ours.wait(server.do("select 1"))
        ours.hold()
        done = server.do(insert(1, rows) if server is source else work.insert(1, rows))
        settle(target)
        took.append(ours.drain(done))
        if server is source and os.environ.get("BENCH_RSS") == "1":
            ours.hold()
            ours.drain(source.do(insert(rows + 1, 5 * rows)))
            peak = round(ours.usage.rss_bytes / 1e6)
        ours.stop()
    print(f"to postgres from mariadb {took[0]:.2f} s, from postgres {took[1]:.2f} s", flush=True)
    return {"mariadb_to_pg_vs_pg_to_pg": round(took[1] / took[0], 3), "rss_mb_5m": peak}
