"""PostgreSQL as a target."""

from __future__ import annotations

from collections.abc import Sequence

from cdc.findings import Finding
from cdc.patterns import Patterns
from sinks.discrepancies import Discrepancy
from sinks.identity_people import People
from sinks.postgres.settings import PostgresTarget
from sinks.protocol import Line, Sink
from tailrace.service.targets.adapter import Delivery, TargetAdapter, pipelines_of, tables_of
from tailrace.service.targets.origin import origin


class PostgresAdapter(TargetAdapter[PostgresTarget]):
    def script(self, name: str, writes: Patterns, pipelines: Sequence[str]) -> str:
        from sinks.postgres.script import target_script

        return target_script(f"Target {name}", self.settings, writes)

    def look(self, lines: Sequence[Line]) -> list[Finding]:
        from sinks.postgres.preflight import inspect

        return inspect(self.settings, tables_of(lines), pipelines_of(lines))

    def sink(self, delivery: Delivery) -> Sink:
        from sinks.postgres.sink import PostgresSink

        return PostgresSink(self.settings.url, delivery.pipeline, origin=origin(delivery.fact))

    def discrepancies(self, entities: Sequence[str], limit: int) -> list[Discrepancy]:
        from sinks.postgres.discrepancies import read

        return read(self.settings, entities, limit)

    def people(self) -> People:
        from sinks.postgres.identity_people import PostgresPeople

        return PostgresPeople(self.settings)
