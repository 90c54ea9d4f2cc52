"""PostgreSQL as a source."""

from __future__ import annotations

from collections.abc import Mapping, Set

from cdc.changes import TableChanges
from cdc.findings import Finding
from cdc.postgres.settings import PostgresSource
from cdc.protocol import Source
from cdc.removal import Removal
from cdc.schema import TableName, TableSchema
from tailrace.service.sources.adapter import SourceAdapter


class PostgresAdapter(SourceAdapter[PostgresSource]):
    @property
    def gives_up_at_limit(self) -> bool:
        return self.settings.on_limit == "drop_slot"

    def open(self, needs: Mapping[TableName, Set[TableName]]) -> Source:
        from cdc.postgres.source import Postgres

        return Postgres(self.settings, self.ours, needs=needs)

    def look(self) -> tuple[list[Finding], list[TableSchema]]:
        from cdc.postgres.preflight import inspect

        return inspect(self.settings, self.ours), self.tables()

    def tables(self) -> list[TableSchema]:
        from cdc.postgres.catalog import read_tables
        from cdc.postgres.session import connect, translated

        publication = self.settings.publication or self.ours
        with connect(self.settings.url) as connection, translated("reading the catalog"):
            named = read_tables(connection, self.settings.patterns, publication)
        return [table.schema for table in named if table.is_capturable]

    def sample(self, table: TableName, rows: int) -> TableChanges:
        from cdc.postgres.sample import sample

        return sample(self.settings, table, rows)

    def script(self, name: str) -> str:
        from cdc.postgres.script import source_script

        return source_script(f"Source {name}", self.settings, self.ours)

    def question(self, name: str, also: str) -> str:
        slot = self.settings.slot or self.ours
        return f"Drop slot {slot} at {name}{also}? Capture then begins with a new snapshot."

    def remove(self) -> Removal:
        from cdc.postgres.removal import remove
        from cdc.postgres.session import connect

        with connect(self.settings.url) as connection:
            return remove(
                connection,
                self.settings.slot or self.ours,
                self.settings.publication or self.ours,
                is_ours=self.settings.publication is None,
            )
