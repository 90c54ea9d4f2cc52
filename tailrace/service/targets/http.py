"""An HTTP API as a target."""

from __future__ import annotations

from collections.abc import Sequence

from cdc.findings import Finding
from cdc.patterns import Patterns
from sinks.http.settings import HttpTarget
from sinks.protocol import Line, Sink
from tailrace.service.targets.adapter import Delivery, TargetAdapter


class HttpAdapter(TargetAdapter[HttpTarget]):
    keeps_existing = True

    @property
    def tells_before(self) -> bool:
        return self.settings.wants_before

    def script(self, name: str, writes: Patterns, pipelines: Sequence[str]) -> str:
        return f"-- Target {name}: an API, for which a database has nothing to run\n"

    def look(self, lines: Sequence[Line]) -> list[Finding]:
        from sinks.http.preflight import inspect

        return inspect(self.settings, lines)

    def sink(self, delivery: Delivery) -> Sink:
        from sinks.http.sink import HttpSink

        return HttpSink(self.settings, delivery.pipeline, delivery.checkpoint, delivery.write)
