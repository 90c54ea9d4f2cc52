"""DuckDB, as `sinks.embedded` writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from cdc.schema import TableName
from sinks.applying import Writer
from sinks.duckdb import catalog
from sinks.duckdb.errors import translated
from sinks.duckdb.session import DuckdbSession
from sinks.duckdb.types import column_type, misfit
from sinks.duckdb.write import DuckdbCodec, TableWriter
from sinks.embedded.session import Codec, Found, FoundColumn, Session
from sinks.foreign_keys import References
from tailrace.errors import TargetRefused
from transforms.rows import TargetColumn, TargetTable

_SYSTEM = frozenset({"information_schema", "pg_catalog", "temp"})
_DATABASES = frozenset({"main", "system", "temp"})
"""That no file's is called."""


class DuckdbEngine:
    """`file`: the one that is written, after which DuckDB calls the database in it."""

    product = "DuckDB"
    keeps_others_out = True
    singly_rows_max = 1

    def __init__(self, file: Path) -> None:
        name = file.name.partition(".")[0]
        self._database = f"{name}_db" if name in _DATABASES else name

    def connect(self, path: Path) -> DuckdbSession:
        with translated("opening the target's file", {"file": str(path)}):
            return DuckdbSession(path)

    def translated(self, doing: str, **where: object) -> AbstractContextManager[None]:
        return translated(doing, where)

    def quoted(self, name: str) -> str:
        if not name or "\0" in name:
            raise TargetRefused(f"{name[:80]!r} cannot be a name in DuckDB", fix="use another name")
        return '"' + name.replace('"', '""') + '"'

    def table(self, table: TableName) -> str:
        """PostgreSQL's default schema is DuckDB's."""
        place = self._place(table)
        if place.schema in _SYSTEM:
            raise TargetRefused(
                f"target table {table} would be in a schema of DuckDB's own",
                where={"table": str(table)},
                fix="name another with `into`",
            )
        return f"{self._schema(place.schema)}.{self.quoted(place.name)}"

    def make_schema(self, session: Session, schema: str) -> None:
        session.execute(f"create schema if not exists {self._schema(_renamed(schema))}")

    def look(self, session: Session, table: TableName) -> Found | None:
        return catalog.look(session, self._place(table))

    def ddl(self, column: TargetColumn) -> str:
        return column_type(column).ddl

    def key(self, value: str, type_: str) -> str:
        return column_type(TargetColumn("key", type_)).read.format(value)

    def misfit(self, column: TargetColumn, found: FoundColumn) -> str | None:
        return misfit(column_type(column), found.type)

    def references(self, session: Session, tables: Sequence[TableName]) -> References:
        return catalog.references(session, {self._place(table): table for table in tables})

    def codec(self, table: TargetTable, found: Found, session: Session) -> Codec:
        assert isinstance(session, DuckdbSession)
        return DuckdbCodec(table, found, session)

    def writer(self, session: Session, table: TargetTable, codec: Codec) -> Writer:
        assert isinstance(session, DuckdbSession)
        assert isinstance(codec, DuckdbCodec)
        codec.session = session
        return TableWriter(self, session, table, codec)

    def may_go_as_sets(self, where: Mapping[str, object]) -> bool:
        return where.get("duckdb") == "ConstraintException"

    def _schema(self, name: str) -> str:
        """In SQL. Where a database has the same name, DuckDB would not know which is meant."""
        if name.lower() in (self._database.lower(), "system"):
            return f"{self.quoted(self._database)}.{self.quoted(name)}"
        return self.quoted(name)

    def _place(self, table: TableName) -> TableName:
        return TableName(_renamed(table.schema), table.name)


def _renamed(name: str) -> str:
    return "main" if name == "public" else name
