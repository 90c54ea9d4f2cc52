"""Records what a genuine Debezium says, as fixtures: ``python -m tests.debezium.record DIRECTORY``.

PostgreSQL and MySQL run here; Debezium 3.6 runs in an environment of its own (see `engine`).
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tailrace.service.localpg import LocalPostgres
from tests.debezium.databases import (
    DOCUMENTS,
    END,
    KEYLESS,
    MYSQL_CHANGES,
    MYSQL_SETUP,
    POSTGRES_CHANGES,
    POSTGRES_SETUP,
    VARIANTS,
    Variant,
)
from tests.localmysql import LocalMysql

PYTHON = Path(__file__).parents[2] / ".venv" / "debezium" / "bin" / "python"
RECORDED = Path(__file__).parent / "recorded"
DEADLINE_S = 180
CONNECTORS = {
    "postgres": "io.debezium.connector.postgresql.PostgresConnector",
    "mysql": "io.debezium.connector.mysql.MySqlConnector",
}

Record = dict[str, Any]


@contextmanager
def engine(properties: dict[str, str]) -> Iterator[Iterator[Record]]:
    """Debezium's records as they come; ends it."""
    with tempfile.TemporaryDirectory(prefix="tailrace-debezium-") as scratch:
        process = subprocess.Popen(
            [str(PYTHON), str(Path(__file__).with_name("engine.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(Path(scratch) / "log").open("wb"),
            cwd=scratch,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        json.dump(
            {
                "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
                "offset.storage.file.filename": f"{scratch}/offsets",
                "offset.flush.interval.ms": "1000",
                "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
                "schema.history.internal.file.filename": f"{scratch}/history",
                "poll.interval.ms": "50",
                "heartbeat.interval.ms": "1000",
                "skipped.operations": "none",
                "name": "recorded",
                "topic.prefix": "erp",
                **properties,
            },
            process.stdin,
        )
        process.stdin.close()
        alarm = threading.Timer(DEADLINE_S, process.kill)
        alarm.start()
        try:
            yield map(json.loads, process.stdout)
        finally:
            alarm.cancel()
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.returncode not in (0, -15, 143):
                print((Path(scratch) / "log").read_text()[-3000:], file=sys.stderr)


def place(source: str, url: str) -> dict[str, str]:
    parts = urlsplit(url)
    found = {
        "connector.class": CONNECTORS[source],
        "database.hostname": str(parts.hostname),
        "database.port": str(parts.port),
        "database.user": parts.username or "root",
        "database.password": parts.password or "",
    }
    if source == "postgres":
        return {
            **found,
            "database.dbname": parts.path.strip("/"),
            "plugin.name": "pgoutput",
            "publication.autocreate.mode": "filtered",
            "slot.drop.on.stop": "true",
        }
    return {**found, "database.server.id": "85744"}


@contextmanager
def mongod(script: Record) -> Iterator[dict[str, str]]:
    """Where the script is played."""
    process = subprocess.Popen(
        [str(PYTHON), str(Path(__file__).with_name("mongod.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        json.dump(script, process.stdin)
        process.stdin.close()
        port = process.stdout.readline().strip()
        yield {
            "connector.class": "io.debezium.connector.mongodb.MongoDbConnector",
            "mongodb.connection.string": f"mongodb://localhost:{port}/?replicaSet=rs0",
            "database.include.list": "shop",
        }
    finally:
        process.kill()
        process.wait()


def record_documents(variant: Variant, script: Record) -> list[Record]:
    found: list[Record] = []
    with mongod(script) as where, engine({**where, **variant.properties}) as records:
        for one in records:
            found.append(one)
            if one["topic"] == "erp.shop.mark" and "end" in one["key"]:
                return found
    raise TimeoutError(f"{variant.name}: Debezium ended after {len(found)} records")


def record(
    variant: Variant, url: str, execute: Callable[[str], object], changes: tuple[str, ...]
) -> list[Record]:
    """All records from the snapshot to the end's mark."""
    found: list[Record] = []
    with engine({**place(variant.source, url), **variant.properties}) as records:
        for one in records:
            found.append(one)
            value = one["value"] or ""
            if one["topic"].endswith("shop.mark") and '"mark":"snapshot"' in value:
                for change in changes:
                    execute(change)
                execute(END)
            if one["topic"].endswith("shop.mark") and '"mark":"end"' in value:
                return found
    raise TimeoutError(f"{variant.name}: Debezium ended after {len(found)} records")


@contextmanager
def source_of(variant: Variant, directory: Path) -> Iterator[tuple[str, Callable[[str], object]]]:
    """A fresh database with the tables: (url, execute)."""
    if variant.source == "postgres":
        server = postgres(directory)
        server.execute("drop database if exists erp with (force)")
        server.execute("create database erp")
        server.execute(POSTGRES_SETUP, "erp")
        yield (
            server.url("erp"),
            lambda sql: server.execute(f"begin; {sql}; commit", "erp"),
        )
    else:
        mysql = mysqld(directory)
        mysql.execute("drop database if exists shop", *_each(MYSQL_SETUP))
        yield mysql.url(), lambda sql: mysql.execute("begin", *_each(sql), "commit")


def _each(sql: str) -> list[str]:
    return [one for one in sql.split(";") if one.strip()]


_servers: dict[str, Any] = {}


def postgres(directory: Path) -> LocalPostgres:
    if "postgres" not in _servers:
        _servers["postgres"] = LocalPostgres.start(directory / "pg", version="18")
    found: LocalPostgres = _servers["postgres"]
    return found


def mysqld(directory: Path) -> LocalMysql:
    if "mysql" not in _servers:
        _servers["mysql"] = LocalMysql.start(directory / "mysql")
    found: LocalMysql = _servers["mysql"]
    return found


def main(directory: Path, wanted: str = "") -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for variant, script in DOCUMENTS.items():
        if wanted in variant.name:
            _write(directory, variant, record_documents(variant, script))
    with tempfile.TemporaryDirectory(prefix="tailrace-sources-") as scratch:
        os.chmod(scratch, 0o755)
        try:
            for variant in VARIANTS:
                if wanted not in variant.name:
                    continue
                with source_of(variant, Path(scratch)) as (url, execute):
                    changes = POSTGRES_CHANGES if variant.source == "postgres" else MYSQL_CHANGES
                    if "keyless" in variant.name:
                        changes = (KEYLESS,)
                    records = record(variant, url, execute, changes)
                _write(directory, variant, records)
        finally:
            for server in _servers.values():
                server.stop()


def _write(directory: Path, variant: Variant, records: list[Record]) -> None:
    path = directory / f"{variant.name}.jsonl.gz"
    text = "".join(json.dumps(one) + "\n" for one in records)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{variant.name}: {len(records)} records, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDED, *sys.argv[2:3])
