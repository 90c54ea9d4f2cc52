"""MariaDB and MySQL as sources."""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import closing

from cdc.changes import TableChanges
from cdc.findings import Finding
from cdc.mysql.settings import MariadbSource, MysqlSource
from cdc.mysql.zerodates import ZeroDates
from cdc.protocol import Source
from cdc.removal import Removal
from cdc.schema import TableName, TableSchema
from tailrace.service.sources.adapter import SourceAdapter


class BinlogAdapter(SourceAdapter[MariadbSource | MysqlSource]):
    def open(self, needs: Mapping[TableName, Set[TableName]]) -> Source:
        from cdc.mysql.source import BinlogDatabase

        return BinlogDatabase(self.settings, self.ours, needs=needs)

    def look(self) -> tuple[list[Finding], list[TableSchema]]:
        from cdc.mysql import preflight, session

        with closing(session.connect(self.settings.url)) as connection:
            findings, found = preflight.inspect(connection, self.settings)
        shown = ZeroDates(self.settings.zero_dates)
        return findings, [shown.schema(table.schema) for table in found]

    def tables(self) -> list[TableSchema]:
        from cdc.mysql import catalog, session

        with closing(session.connect(self.settings.url)) as connection:
            found, _ = catalog.read_tables(
                connection, self.settings.patterns, catalog.read_charsets(connection)
            )
        shown = ZeroDates(self.settings.zero_dates)
        return [shown.schema(table.schema) for table in found]

    def sample(self, table: TableName, rows: int) -> TableChanges:
        from cdc.mysql.sample import sample

        return sample(self.settings, table, rows)

    def script(self, name: str) -> str:
        from cdc.mysql.script import source_script

        return source_script(f"Source {name}", self.settings)

    def question(self, name: str, also: str) -> str:
        return f"End what reads the log of {name} for our user{also}?"

    def remove(self) -> Removal:
        from cdc.mysql import removal, session

        with closing(session.connect(self.settings.url)) as connection:
            ended, left = removal.end_streams(connection)
        return Removal(ended, (), removal.PROOF, left)
