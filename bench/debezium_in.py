"""Topics in Debezium's format into PostgreSQL: rows a second, from the broker to the committed row.

Records of 12 columns are written while capture stands still; the clock starts when it is let go.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pyarrow as pa

from bench.broker import broker
from bench.contestants import TUNED, Done, PostgresTarget, Tailrace
from tailrace.kafka.protocol import client_of
from tailrace.kafka.records import Records
from tailrace.kafka.settings import Cluster
from tailrace.service.localpg import LocalPostgres

BATCH = 10_000
COLUMNS: dict[str, tuple[str, dict[str, object]]] = {
    "id": ("bigint", {"type": "int64"}),
    "customer": ("integer", {"type": "int32"}),
    "code": ("text", {"type": "string"}),
    "name": ("text", {"type": "string"}),
    "note": ("text", {"type": "string"}),
    "amount": (
        "numeric(12,2)",
        {
            "type": "bytes",
            "name": "org.apache.kafka.connect.data.Decimal",
            "parameters": {"scale": "2", "connect.decimal.precision": "12"},
        },
    ),
    "weight": ("double precision", {"type": "double"}),
    "open": ("boolean", {"type": "boolean"}),
    "day": ("date", {"type": "int32", "name": "io.debezium.time.Date"}),
    "changed": ("timestamp", {"type": "int64", "name": "io.debezium.time.MicroTimestamp"}),
    "seen": ("timestamptz", {"type": "string", "name": "io.debezium.time.ZonedTimestamp"}),
    "status": ("smallint", {"type": "int16"}),
}


class _Rows(PostgresTarget):
    """The partition is read in order, so the last row is the last."""

    def done(self) -> int:
        with suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            row = self._connection.execute("select max(id) from bench.wide").fetchone()
            return 0 if row is None or row[0] is None else int(row[0])
        return 0


def measure(bootstrap: str, directory: Path, rows: int) -> dict[str, float | int | None]:
    """`debezium_in_rows_per_s` of messages without schemas, and of those with."""
    figures: dict[str, float | int | None] = {}
    with LocalPostgres.start(directory / "into", settings=TUNED) as server:
        for name, schemas in (("debezium_in", False), ("debezium_in_schemas", True)):
            count = rows // 4 if schemas else rows
            seconds, cpu_s = _measure(bootstrap, directory, server, name, count, schemas)
            figures[f"{name}_rows_per_s"] = round(count / seconds)
            figures[f"{name}_cpu_us_per_row"] = round(cpu_s / count * 1e6, 1)
            print(f"{name:20} {count / seconds:,.0f} rows/s, CPU {cpu_s / count * 1e6:.1f} µs/row")
    return figures


def _measure(
    bootstrap: str,
    directory: Path,
    server: LocalPostgres,
    name: str,
    rows: int,
    schemas: bool,
) -> tuple[float, float]:
    columns = ", ".join(f"{column}: {kind}" for column, (kind, _) in COLUMNS.items())
    columns = columns.replace("numeric(12,2)", '"numeric(12,2)"')
    source = (
        f"{{type: kafka-debezium, brokers: {bootstrap}, topics: [{name}.*], tables: [bench.*],"
        f" columns: {{bench.wide: {{{columns}}}}}}}"
    )
    client = client_of(Cluster(brokers=bootstrap))
    with closing(client.admin()) as admin:
        admin.create(f"{name}.bench.wide", 1, -1, {})
    _write(bootstrap, name, 0, 1, schemas)
    ours = Tailrace(_Rows(server, name), directory / name, source, lambda: None, project=name)
    with closing(ours):
        ours.start()
        _write(bootstrap, name, 1, 1000, schemas)
        ours.wait(Done(1000, ""))
        ours.hold()
        _write(bootstrap, name, 1001, rows, schemas)
        seconds = ours.drain(Done(1000 + rows, ""))
        ours.stop()
    return seconds, ours.usage.cpu_s


def _write(bootstrap: str, prefix: str, first: int, rows: int, schemas: bool) -> None:
    producer = client_of(Cluster(brokers=bootstrap)).producer(f"{prefix}-writer", 600, "lz4")
    with closing(producer):
        producer.open()
        producer.begin()
        for records in _records(first, rows, schemas):
            producer.produce(f"{prefix}.bench.wide", records)
        producer.commit()


def _records(first: int, rows: int, schemas: bool) -> Iterator[Records]:
    head, tail, key_head = b"", b"", b""
    if schemas:
        head, tail, key_head = _schema(), b"}", _key_schema()
    for begin in range(first, first + rows, BATCH):
        numbers = range(begin, min(begin + BATCH, first + rows))
        yield Records(
            pa.array([b'%s{"id":%d}%s' % (key_head, n, tail) for n in numbers], pa.binary()),
            pa.array([b"%s%s%s" % (head, _row(n), tail) for n in numbers], pa.binary()),
        )


def _row(n: int) -> bytes:
    return (
        b'{"before":null,"after":{"id":%d,"customer":%d,"code":"C-%d","name":"customer %d",'
        b'"note":"a note of some words","amount":"AJY=","weight":%d.5,"open":true,"day":19782,'
        b'"changed":1709251199%06d,"seen":"2024-02-29T21:59:59.123456Z","status":%d},"source":{'
        b'"version":"3.6.3.Final","connector":"postgresql","name":"erp","ts_ms":1709251199000,'
        b'"snapshot":"false","db":"erp","sequence":"[null,\\"28438200\\"]",'
        b'"ts_us":1709251199000000,"ts_ns":1709251199000000000,"schema":"bench","table":"wide",'
        b'"txId":%d,"lsn":%d,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,'
        b'"op":"c","ts_ms":1709251199999,"ts_us":1709251199999955,"ts_ns":1709251199999955321}'
    ) % (n, n % 1000, n, n % 5000, n % 100, n % 1_000_000, n % 7, n // 100, n)


def _schema() -> bytes:
    fields = [{**schema, "optional": True, "field": name} for name, (_, schema) in COLUMNS.items()]
    row = {"type": "struct", "fields": fields, "optional": True}
    schema = {
        "type": "struct",
        "fields": [{**row, "field": "before"}, {**row, "field": "after"}],
        "optional": False,
    }
    text = json.dumps(schema, separators=(",", ":"))
    return f'{{"schema":{text},"payload":'.encode()


def _key_schema() -> bytes:
    schema = {"type": "struct", "fields": [{"type": "int64", "field": "id"}]}
    return f'{{"schema":{json.dumps(schema)},"payload":'.encode()


def main() -> None:
    """Alone: ``python -m bench.debezium_in``; in ``make bench BENCH=kafka`` beside the rest."""
    rows = int(os.environ.get("BENCH_ROWS", "400000"))
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as scratch:
        os.chmod(scratch, 0o755)
        with broker() as bootstrap:
            print(json.dumps(measure(bootstrap, Path(scratch), rows)))


if __name__ == "__main__":
    main()
