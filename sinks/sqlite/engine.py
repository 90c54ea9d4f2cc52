"""SQLite, as `sinks.embedded` writes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from cdc.schema import TableName
from sinks.applying import Writer
from sinks.embedded.session import Codec, Found, FoundColumn, Session
from sinks.foreign_keys import References
from sinks.sqlite import catalog
from sinks.sqlite.names import plain, quoted
from sinks.sqlite.session import VERSION_MIN, SqliteSession, translated
from sinks.sqlite.types import column_type, misfit
from sinks.sqlite.write import SqliteCodec, TableWriter
from tailrace.errors import TargetRefused
from transforms.rows import TargetColumn, TargetTable


class SqliteEngine:
    product = "SQLite"
    keeps_others_out = False
    singly_rows_max = 16

    def connect(self, path: Path) -> SqliteSession:
        if sqlite3.sqlite_version_info < VERSION_MIN:
            raise TargetRefused(
                f"Python's SQLite is {sqlite3.sqlite_version}, and 3.35 is needed",
                fix="use a Python built with a newer SQLite",
            )
        with translated("opening the target's file", {"file": str(path)}):
            return SqliteSession(path)

    def translated(self, doing: str, **where: object) -> AbstractContextManager[None]:
        return translated(doing, where)

    def quoted(self, name: str) -> str:
        return quoted(name)

    def table(self, table: TableName) -> str:
        return quoted(plain(table))

    def make_schema(self, session: Session, schema: str) -> None:
        """There are none."""

    def look(self, session: Session, table: TableName) -> Found | None:
        return catalog.look(session, table)

    def ddl(self, column: TargetColumn) -> str:
        return column_type(column).ddl

    def key(self, value: str, type_: str) -> str:
        """The column's affinity makes of it what it has to be."""
        return value

    def misfit(self, column: TargetColumn, found: FoundColumn) -> str | None:
        return misfit(column_type(column), found.type)

    def references(self, session: Session, tables: Sequence[TableName]) -> References:
        return catalog.references(session, tables)

    def codec(self, table: TargetTable, found: Found, session: Session) -> Codec:
        return SqliteCodec(table, found)

    def writer(self, session: Session, table: TargetTable, codec: Codec) -> Writer:
        assert isinstance(session, SqliteSession)
        return TableWriter(self, session, table, codec)

    def may_go_as_sets(self, where: Mapping[str, object]) -> bool:
        return str(where.get("sqlite")).startswith("SQLITE_CONSTRAINT")
