"""``make bench BENCH=kafka``: PostgreSQL into Kafka, in Debezium's envelope.

Beside it, where `make test-debezium` has installed it, Debezium's embedded engine, which makes the
same JSON of the same log and drops it, while ours goes on to the broker, in transactions. The work
is done while both stand still; a clock starts when one of them is let go, and ends when it has
come to the row that ends the work. The last line has a key for APIs, too, which `bench.http`
measures.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from bench import debezium, debezium_in, work
from bench.broker import broker
from bench.contestants import TUNED, Tailrace, cpu_s, wait_until
from bench.source import Source
from tailrace.kafka.protocol import Consumer, client_of
from tailrace.kafka.settings import Cluster
from tailrace.service.localpg import LocalPostgres

ROWS_MAX = 300_000
"""More would take minutes, and longer than a server waits for a reader that stands still."""
DONE = ("erp.bench.done", 0)


class Topics:
    """A broker as a target of our line."""

    def __init__(self, bootstrap: str) -> None:
        self._cluster = Cluster(brokers=bootstrap)
        self._consumer: Consumer | None = None
        self._last = 0
        self.settings = f'{{type: kafka, brokers: "{bootstrap}"}}'

    def done(self) -> int:
        """A reader of committed messages has seen so many works end."""
        if self._consumer is None:
            client = client_of(self._cluster)
            with closing(client.admin()) as admin:
                if not admin.topics([DONE[0]]):
                    return 0
            self._consumer = client.consumer()
            self._consumer.assign({DONE: 0})
        self._last += sum(fetched.count for fetched in self._consumer.poll(0.01))
        return self._last

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()


def measure(rows: int) -> dict[str, float | int | None]:
    rows = min(rows, ROWS_MAX)
    figures: dict[str, float | int | None] = {"rows": rows, "http_req_per_s": None}
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as scratch, ExitStack() as stack:
        os.chmod(scratch, 0o755)
        directory = Path(scratch)
        server = stack.enter_context(LocalPostgres.start(directory / "source", settings=TUNED))
        bootstrap = stack.enter_context(broker())
        source = stack.enter_context(closing(Source(server)))
        ours = stack.enter_context(closing(_ours(server, bootstrap, directory)))
        ours.start()
        theirs = None
        if debezium.libraries() is not None:
            theirs = stack.enter_context(closing(_theirs(server, directory)))
            wait_until(lambda: _streams(server), 1)
        warm_up = source.do(work.insert(1, max(1000, rows // 10)))
        ours.wait(warm_up)
        if theirs is not None:
            theirs.wait(warm_up.number)
        for name, sql in (
            ("insert", work.insert(10 * rows, rows)),
            ("update", work.update(rows // 10)),
        ):
            _measure(name, sql, source, ours, theirs, figures, rows if name == "insert" else 0)
        ours.stop()
        figures |= debezium_in.measure(bootstrap, directory, rows)
    return figures


def _measure(
    name: str,
    sql: str,
    source: Source,
    ours: Tailrace,
    theirs: debezium.Engine | None,
    figures: dict[str, float | int | None],
    rows: int,
) -> None:
    ours.hold()
    if theirs is not None:
        theirs.hold()
    done = source.do(sql)
    seconds = cpu = None
    if theirs is not None:
        before, began = cpu_s(theirs.process.pid), time.monotonic()
        theirs.resume()
        theirs.wait(done.number)
        seconds, cpu = time.monotonic() - began, cpu_s(theirs.process.pid) - before
    we = ours.drain(done)
    shown = "not installed" if seconds is None else f"{seconds:.2f} s, CPU {cpu:.2f} s"
    print(f"{name:8} tailrace {we:.2f} s, CPU {ours.usage.cpu_s:.2f} s | debezium {shown}")
    if rows:
        figures["kafka_rows_per_s"] = round(rows / we)
        figures["cpu_us_per_row"] = round(ours.usage.cpu_s / rows * 1e6, 2)
        figures["debezium_rows_per_s"] = None if seconds is None else round(rows / seconds)
        figures["kafka_vs_debezium"] = None if seconds is None else round(seconds / we, 2)
        figures["cpu_vs_debezium"] = None if not cpu else round(ours.usage.cpu_s / cpu, 3)


def _streams(server: LocalPostgres) -> int:
    """Whether Debezium reads its slot: what is done before is not for it."""
    slots = "select 1 from pg_replication_slots where slot_name = 'bench_debezium' and active"
    return len(server.execute(slots))


def _ours(server: LocalPostgres, bootstrap: str, directory: Path) -> Tailrace:
    url = server.url("bench")
    return Tailrace(
        Topics(bootstrap),
        directory / "project",
        f'{{type: postgres, url: "{url}", tables: [bench.*], publication: bench}}',
        lambda: server.execute(
            "select pg_terminate_backend(active_pid, 10000) from pg_replication_slots"
            " where slot_name like 'tailrace%' and active"
        ),
    )


def _theirs(server: LocalPostgres, directory: Path) -> debezium.Engine:
    return debezium.Engine(
        directory / "debezium",
        server.url("bench"),
        {
            "slot.name": "bench_debezium",
            "publication.name": "bench",
            "publication.autocreate.mode": "disabled",
            "snapshot.mode": "no_data",
            "schema.include.list": "bench",
        },
    )
