"""``make bench BENCH=http``: requests a second to a local server that answers at once.

30,000 new rows of 12 columns (fewer with BENCH_ROWS), one PUT each, 64 in flight, three rounds of
which the median counts. What is timed is what delivery waits for: from the rows in columns to the
checkpoint on disk.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc.schema import TableName
from sinks.http.settings import HttpTarget
from sinks.http.sink import HttpSink
from sinks.protocol import Checkpoint
from transforms.rows import UPSERT, Places, RowChanges, TargetColumn, TargetTable

IN_FLIGHT = 64
ROUNDS = 3
ROWS = 30_000

_COLUMNS = (
    *(("id", "bigint"), ("code", "text"), ("name", "text"), ("amount", "numeric(12,2)")),
    *(("count", "integer"), ("ratio", "double precision"), ("active", "boolean")),
    *(("born", "date"), ("seen", "timestamptz"), ("note", "text"), ("group", "smallint")),
    ("data", "jsonb"),
)
_TABLE = TargetTable(
    TableName("public", "wide"), tuple(TargetColumn(*column) for column in _COLUMNS), ("id",)
)


def measure(rows: int) -> dict[str, float | int | None]:
    rates, costs = [], []
    rows = min(rows, ROWS)
    with _server() as port, tempfile.TemporaryDirectory() as scratch:
        for number in range(ROUNDS):
            rate, cpu_us = _round(port, Path(scratch, f"{number}.db"), rows)
            rates.append(rate)
            costs.append(cpu_us)
            print(f"round {number + 1}    {rate:8.0f} requests/s   {cpu_us:4.0f} µs of CPU each")
    return {
        "kafka_vs_debezium": None,
        "cpu_vs_debezium": None,
        "debezium_in_rows_per_s": None,
        "http_req_per_s": round(statistics.median(rates)),
    }


def _round(port: int, file: Path, rows: int) -> tuple[float, float]:
    """(requests a second, µs of CPU a request)."""
    target = HttpTarget.model_validate(
        {
            "type": "http",
            "url": f"http://127.0.0.1:{port}/v1",
            "reach": {"plain": True, "private": ["127.0.0.1"]},
            "limits": {"concurrency": IN_FLIGHT},
            "entities": {"wide": {"put": {"url": "/wide/{id}"}}},
        }
    )
    changes = _changes(rows)
    with closing(HttpSink(target, "bench", file)) as sink:
        sink.open("journal")
        sink.prepare([_TABLE])
        began_s, cpu_s = time.perf_counter(), _cpu_s()
        sink.write([changes])
        sink.commit(Checkpoint("journal", 1, "0/1"))
        return rows / (time.perf_counter() - began_s), (_cpu_s() - cpu_s) / rows * 1e6


class _Origins:
    def of(self, seq: npt.NDArray[np.int64]) -> Places:
        times = np.zeros(len(seq), np.int64)
        return Places(times + 1, seq, ["0/1"] * len(seq), times)


def _changes(rows: int) -> RowChanges:
    number = np.arange(rows)
    texts = {
        "id": number.astype(str),
        "code": np.char.add("code-", number.astype(str)),
        "amount": np.char.add((number % 1000).astype(str), ".50"),
        "active": np.full(rows, "t"),
        "born": np.full(rows, "1970-05-17"),
        "seen": np.full(rows, "2024-02-29 12:34:56.789+00"),
        "data": np.full(rows, '{"a": [1, 2, 3]}'),
        "ratio": np.full(rows, "0.125"),
    }
    plain = {"name": "a name of some length", "note": "x" * 60, "count": "12345", "group": "7"}
    return RowChanges(
        _TABLE,
        pa.array(np.full(rows, UPSERT, np.uint8)),
        pa.array(number),
        tuple(
            pa.array(texts[name].tolist() if name in texts else [plain[name]] * rows)
            for name, _ in _COLUMNS
        ),
        fresh=True,
        origins=_Origins(),
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextmanager
def _server() -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.http_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
