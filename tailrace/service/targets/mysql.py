"""MariaDB and MySQL as targets."""

from __future__ import annotations

from collections.abc import Sequence

from cdc.findings import Finding
from cdc.patterns import Patterns
from sinks.discrepancies import Discrepancy
from sinks.identity_people import People
from sinks.mysql.settings import MariadbTarget, MysqlTarget
from sinks.protocol import Line, Sink
from tailrace.service.targets.adapter import Delivery, TargetAdapter, pipelines_of, tables_of
from tailrace.service.targets.origin import origin


class MysqlAdapter(TargetAdapter[MariadbTarget | MysqlTarget]):
    def script(self, name: str, writes: Patterns, pipelines: Sequence[str]) -> str:
        from sinks.mysql.script import target_script

        return target_script(f"Target {name}", self.settings, writes)

    def look(self, lines: Sequence[Line]) -> list[Finding]:
        from sinks.mysql.preflight import inspect

        return inspect(self.settings, tables_of(lines), pipelines_of(lines))

    def sink(self, delivery: Delivery) -> Sink:
        from sinks.mysql.sink import MariadbSink

        return MariadbSink(
            self.settings.url,
            delivery.pipeline,
            origin=origin(delivery.fact),
            product=self.settings.product,
        )

    def discrepancies(self, entities: Sequence[str], limit: int) -> list[Discrepancy]:
        from sinks.mysql.discrepancies import read

        return read(self.settings, entities, limit)

    def people(self) -> People:
        from sinks.mysql.identity_people import MysqlPeople

        return MysqlPeople(self.settings)
