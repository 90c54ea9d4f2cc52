"""``make bench``: prints a table, then one line of JSON, and keeps it under bench/results/.

BENCH=mysql measures a MariaDB source instead (`bench.mariadb`), BENCH=mapping what mappings cost
(`bench.mapping`), BENCH=kafka a Kafka target beside Debezium (`bench.kafka`), BENCH=http how fast
an API is asked (`bench.http`, BENCH_ROWS requests).
BENCH_ROWS (default 1,000,000) rows in one transaction; BENCH_RSS=1 also measures memory at one
and five times as many rows, which takes minutes. When a clock starts, all servers and all
processes are running, and nothing is connected to the source: the work lies in its log.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg

from bench import http, kafka, latency, mapping, mariadb, work
from bench.contestants import TUNED, Limit, Native, PostgresTarget, Tailrace, settle
from bench.source import Source
from tailrace.service.localpg import LocalPostgres

RESULTS = Path(__file__).with_name("results")
SMALL_TRANSACTIONS = 20_000
LATENCY_S = 10.0


def main() -> None:
    rows = int(os.environ.get("BENCH_ROWS", "1000000"))
    figures: dict[str, float | int | None] = {"rows": rows, "rss_mb_1m": None, "rss_mb_5m": None}
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as scratch:
        os.chmod(scratch, 0o755)
        directory = Path(scratch)
        with ExitStack() as stack:
            source_server, target_server = (
                stack.enter_context(LocalPostgres.start(directory / name, settings=TUNED))
                for name in ("source", "target")
            )
            source = stack.enter_context(closing(Source(source_server)))
            limit = Limit(source_server)
            native = stack.enter_context(closing(Native(source_server, target_server)))
            project = directory / "project"
            ours = stack.enter_context(
                closing(Tailrace.from_postgres(source_server, target_server, project))
            )
            ours.start()
            ours.wait(source.do("select 1"))  # slot, empty snapshot, streaming
            side_by_side(source, target_server, (limit, native, ours), rows, figures)
            measure_latency(source, ours, rows, figures)
            ours.stop()
            if os.environ.get("BENCH_RSS") == "1":
                measure_memory(source, ours, rows, figures)
    report(figures)


def report(figures: dict[str, float | int | None]) -> None:
    """The last line, also kept as a file."""
    line = json.dumps(figures)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.json").write_text(line + "\n")
    print(line)


def side_by_side(
    source: Source,
    target: LocalPostgres,
    contestants: tuple[Limit, Native, Tailrace],
    rows: int,
    figures: dict[str, float | int | None],
) -> None:
    _, native, ours = contestants
    pieces = [
        ("insert", work.insert(1, rows)),
        ("update", work.update(rows // 2)),
        ("small_tx", work.small_transactions(10 * rows, SMALL_TRANSACTIONS)),
    ]
    print(f"{'seconds':12}" + "".join(f"{who.name:>16}" for who in contestants))
    for name, sql in pieces:
        ours.hold()
        done = source.do(sql)
        seconds = []
        for who in contestants:
            settle(target)
            seconds.append(who.drain(done))
        at_limit, natively, we = seconds
        print(f"{name:12}{at_limit:16.2f}{natively:16.2f}{we:16.2f}", flush=True)
        figures[f"{name}_vs_native"] = round(natively / we, 3)
        if name == "insert":
            figures["insert_vs_limit"] = round(at_limit / we, 3)
            figures["cpu_us_per_row"] = round(ours.usage.cpu_s / rows * 1e6, 2)
        compare(native.target_url, target_url(ours))


def target_url(ours: Tailrace) -> str:
    assert isinstance(ours.target, PostgresTarget)
    return ours.target.url


def compare(native_url: str, our_url: str) -> None:
    """A fast copy that is wrong is worth nothing: both targets must hold the same."""
    query = (
        "select count(*), coalesce(sum(hashtextextended(wide::text, 0)::numeric), 0)"
        " from bench.wide"
    )
    found = []
    for url in (native_url, our_url):
        with psycopg.connect(url, options="-c timezone=UTC") as connection:
            found.append(connection.execute(query).fetchone())
    if found[0] != found[1]:
        sys.exit(f"the copies differ: native {found[0]}, tailrace {found[1]}")


def measure_latency(
    source: Source, ours: Tailrace, rows: int, figures: dict[str, float | int | None]
) -> None:
    first = 20 * rows
    latency.measure(source.server.url("bench"), target_url(ours), first_id=first, seconds=2)
    took = latency.measure(
        source.server.url("bench"), target_url(ours), first_id=first + 10_000, seconds=LATENCY_S
    )
    figures["latency_p50_ms"] = round(statistics.median(took), 2)
    figures["latency_p99_ms"] = round(took[int(len(took) * 0.99)], 2)
    print(f"latency     p50 {figures['latency_p50_ms']} ms, p99 {figures['latency_p99_ms']} ms")


def measure_memory(
    source: Source, ours: Tailrace, rows: int, figures: dict[str, float | int | None]
) -> None:
    first = 100 * rows
    for key, factor in (("rss_mb_1m", 1), ("rss_mb_5m", 5)):
        ours.start()  # anew, since a peak is one of a process's whole life
        ours.wait(source.do("select 1"))
        ours.hold()
        ours.drain(source.do(work.insert(first, factor * rows)))
        ours.stop()
        first += factor * rows
        figures[key] = round(ours.usage.rss_bytes / 1e6)
        print(f"memory      {factor * rows} rows: {figures[key]} MB at the peak", flush=True)


if __name__ == "__main__":
    measured = {
        "mysql": mariadb.measure,
        "mapping": mapping.measure,
        "kafka": kafka.measure,
        "http": http.measure,
    }.get(os.environ.get("BENCH", "postgres"))
    if measured is None:
        main()
    else:
        report(measured(int(os.environ.get("BENCH_ROWS", "1000000"))))
