"""Runs a golden file on a server and gives what its replication stream carried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from cdc.changes import ChangeSet
from cdc.postgres.decode import PgoutputDecoder, Relation
from cdc.postgres.lsn import parse_lsn
from cdc.postgres.stream import ReplicationStream
from cdc.schema import Column, TableSchema

SLOT = "golden"
PUBLICATION = "golden"
PINS = (
    "-c DateStyle=ISO -c IntervalStyle=postgres -c TimeZone=UTC -c extra_float_digits=1"
    " -c bytea_output=hex -c lc_monetary=C -c client_encoding=UTF8"
)


def describe(relation: Relation) -> TableSchema:
    """Column names and keys as the stream has them; types play no part here."""
    return TableSchema(
        relation.table,
        tuple(Column(column.name, "text", "text") for column in relation.columns),
        tuple(column.name for column in relation.columns if column.is_key),
        relation.identity,
    )


def statements(text: str) -> list[str]:
    return [part.strip() for part in text.split(";\n") if part.strip()]


@contextmanager
def prepared(url: str, sql: Path) -> Iterator[int]:
    """Make the tables and the slot, run the file, and give the LSN after it; then clean up."""
    setup, stream = sql.read_text().split("-- stream\n")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements(setup):
            connection.execute(statement.encode())
        connection.execute(f"create publication {PUBLICATION} for all tables".encode())
        connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (SLOT,))
        try:
            for statement in statements(stream):
                connection.execute(statement.encode())
            row = connection.execute("select pg_current_wal_lsn()::text").fetchone()
            assert row is not None
            yield parse_lsn(row[0])
        finally:
            drop_slot(connection, SLOT)


def drop_slot(connection: psycopg.Connection, slot: str) -> None:
    """Drop it once the server has noticed that its reader is gone."""
    connection.execute(
        "select pg_terminate_backend(active_pid, 10000) from pg_replication_slots"
        " where slot_name = %s and active",
        (slot,),
    )
    connection.execute("select pg_drop_replication_slot(%s)", (slot,))


def replication_connection(url: str) -> psycopg.Connection:
    # The replication keyword needs a conninfo, not only a URL.
    info = psycopg.conninfo.make_conninfo(url, replication="database", options=PINS)
    return psycopg.connect(info, autocommit=True)


def captured(url: str, end: int, decoder: PgoutputDecoder, **limits: int) -> list[ChangeSet]:
    """Every change set up to LSN `end`."""
    sets: list[ChangeSet] = []
    with closing(
        ReplicationStream(
            replication_connection(url),
            decoder,
            slot=SLOT,
            publication=PUBLICATION,
            start=0,
            **limits,
        )
    ) as stream:
        while decoder.position < end:
            sets += stream.changes(5.0)
    return sets
