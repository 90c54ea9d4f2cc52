"""The evaluation of a mapping alone: rows a second of one core, from columns to columns."""

from __future__ import annotations

import time

import psycopg
import pyarrow as pa

from bench import item, work
from cdc.changes import CREATE, ROWS_MAX, TableChanges
from cdc.patterns import Patterns
from cdc.postgres.catalog import read_tables
from cdc.postgres.session import connect
from cdc.schema import TableSchema
from tailrace.service.localpg import LocalPostgres
from transforms.entity import Entity
from transforms.model import Mapping
from transforms.router import Router

ROUNDS = 40


def rows_per_s_core(server: LocalPostgres, database: str) -> int:
    """Over change sets of inserts as large as capture makes them, with `bench.wide` as it is there.

    CPU seconds of the process, DuckDB's thread included; of many rounds the best, since what else
    the machine does is not ours.
    """
    changes = _inserts(server, database)
    entity, mapping = item.models()
    entities = {"item": Entity.model_validate(entity)}
    with Router([], [Mapping.model_validate(mapping)], entities) as router:
        best = min(_seconds(router, changes) for _ in range(ROUNDS))
    return round(changes.rows / best)


def _seconds(router: Router, changes: TableChanges) -> float:
    began = time.process_time()
    router.route(changes, 0)
    return time.process_time() - began


def _inserts(server: LocalPostgres, database: str) -> TableChanges:
    """A whole change set of the bench's rows, in the text that PostgreSQL prints."""
    with connect(server.url(database)) as connection:
        (table,) = read_tables(connection, Patterns.parse([work.TABLE]))
    columns = _printed(server, database, table.schema)
    return TableChanges(
        table.schema,
        pa.array([CREATE] * ROWS_MAX, pa.uint8()),
        pa.array(range(ROWS_MAX), pa.int32()),
        tuple(pa.array(column, pa.string()) for column in columns),
    )


def _printed(server: LocalPostgres, database: str, schema: TableSchema) -> list[list[str]]:
    with psycopg.connect(
        server.url(database), options="-c timezone=UTC -c extra_float_digits=1"
    ) as connection:
        connection.execute("create temp table wide (like bench.wide)")
        insert = work.insert(1, ROWS_MAX).replace("into bench.wide", "into pg_temp.wide")
        connection.execute(insert.encode())
        names = ", ".join(column.name for column in schema.columns)
        with connection.cursor().copy(
            f"copy (select {names} from pg_temp.wide) to stdout".encode()
        ) as copy:
            lines = b"".join(copy).decode().splitlines()
    return [list(column) for column in zip(*(line.split("\t") for line in lines), strict=True)]
