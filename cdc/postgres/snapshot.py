"""Existing rows at an exported snapshot, as COPY text.

COPY in text format prints values by the same output functions as the log, so that a row reads the
same whichever way it came.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from cdc.postgres.catalog import CatalogTable
from cdc.postgres.session import Connection, connect, literal, quoted, translated
from tailrace.errors import SourceUnavailable

CHUNK_BYTES = 512 << 10
"""What is handed on at once: enough that per-chunk costs vanish, a small part of a change set."""

_REWRITTEN = """
select n.nspname, c.relname
from (select %s::oid union select relid from pg_partition_tree(%s)) t(oid)
join pg_class c using (oid) join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relfilenode <> pg_relation_filenode(c.oid)
"""


class SnapshotReader:
    """A transaction that sees the database as it was when a slot was made.

    `snapshot` is the name that CREATE_REPLICATION_SLOT returned; the connection that made it must
    be open and idle until this is constructed.
    """

    def __init__(self, url: str, snapshot: str) -> None:
        self._connection = connect(url)
        try:
            with translated("opening the snapshot"):
                self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                self._connection.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}".encode())
        except BaseException:
            self._connection.close()
            raise

    @property
    def connection(self) -> Connection:
        """For reading the catalog as it was at the snapshot."""
        return self._connection

    def estimate(self, table: CatalogTable) -> int:
        """How many rows the planner expects; it knows the table's size also without ANALYZE."""
        with translated("estimating rows", table=table.name), self._unlocking():
            row = self._connection.execute(
                f"EXPLAIN (FORMAT JSON) SELECT {_from(table)}".encode()
            ).fetchone()
        assert row is not None
        plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
        return int(plan[0]["Plan"]["Plan Rows"])

    def rows(self, table: CatalogTable) -> Generator[bytearray, None, None]:
        """COPY text of every row, in chunks of whole lines.

        The columns are those of `table.schema`, in its order. The table is locked (ACCESS SHARE)
        no longer than this runs, so that other tables can be altered meanwhile.
        Errors: SourceUnavailable; PreflightError for a missing privilege; SourceError.
        """
        where = {"table": table.name}
        with translated("copying a table", **where), self._unlocking():
            yield from _copy_out(self._connection, copy_statement(table))
            self._check_not_rewritten(table)

    @contextmanager
    def _unlocking(self) -> Iterator[None]:
        """Without this the transaction would hold each table's lock until its end, and an ALTER
        TABLE that waits for it would make the whole application wait behind it."""
        self._connection.execute("SAVEPOINT one_table")
        yield
        self._connection.execute("ROLLBACK TO SAVEPOINT one_table")

    def _check_not_rewritten(self, table: CatalogTable) -> None:
        """A rewriting ALTER TABLE empties a table for older snapshots, and is not in the log.

        Its rows would be missed silently. So where the table (or a partition) looks empty, compare
        the file that our snapshot's catalog knows with the file of now.
        """
        rewritten = self._connection.execute(_REWRITTEN, (table.oid, table.oid)).fetchall()
        for schema, name in rewritten:
            seen = f"SELECT EXISTS (SELECT FROM ONLY {quoted(schema, name)})"
            if self._connection.execute(seen.encode()).fetchone() == (False,):
                raise SourceUnavailable(
                    "a table was rewritten while the snapshot was taken, which must begin again",
                    where={"table": table.name},
                )

    def close(self) -> None:
        self._connection.close()


def copy_statement(table: CatalogTable) -> str:
    columns = ", ".join(quoted(column.name) for column in table.schema.columns)
    return f"COPY (SELECT {columns} {_from(table)}) TO STDOUT"


def _from(table: CatalogTable) -> str:
    """Children that inherit are tables of their own; partitions are not."""
    only = "" if table.kind == "partitioned" else "ONLY "
    row_filter = table.published.row_filter if table.published else None
    where = f" WHERE {row_filter}" if row_filter else ""
    return f"FROM {only}{quoted(table.name.schema, table.name.name)}{where}"


def _copy_out(connection: Connection, statement: str) -> Generator[bytearray, None, None]:
    """libpq hands over one row at a time; whole lines, therefore."""
    rows: list[memoryview | bytes | bytearray] = []
    held = 0
    with connection.cursor().copy(statement.encode()) as copy:
        for row in copy:
            rows.append(row)
            held += len(row)
            if held >= CHUNK_BYTES:
                yield bytearray().join(rows)
                rows, held = [], 0
    if rows:
        yield bytearray().join(rows)
