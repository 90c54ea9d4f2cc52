"""What the service asks of each kind of target. Modules beside this one answer, one a kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from cdc.findings import Finding
from cdc.patterns import Patterns
from config.project import Source, Target
from sinks.discrepancies import Discrepancy
from sinks.identity_people import People
from sinks.protocol import Line, Sink
from sinks.watch import LongWrite
from transforms.rows import TargetTable

Settings = TypeVar("Settings", bound=Target)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Of which a sink is made: a pipeline, its source, and what the journal knows of that.

    checkpoint   our file for the checkpoint of a target that can hold none
    fact         a fact of the journal by its name, None where it has none
    """

    pipeline: str
    source_name: str
    source: Source
    checkpoint: Path
    fact: Callable[[str], str | None]
    write: LongWrite


def tables_of(lines: Sequence[Line]) -> list[TargetTable]:
    return [table for line in lines for table in line.tables]


def pipelines_of(lines: Sequence[Line]) -> list[str]:
    return [line.pipeline for line in lines]


class TargetAdapter(ABC, Generic[Settings]):
    """Nothing is imported and nothing connected before it is asked for.

    keeps_existing   what is there before a snapshot stays: nothing there can be cleared
    """

    keeps_existing = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def tells_before(self) -> bool:
        """Whether sinks are given rows as they were before."""
        return False

    @abstractmethod
    def script(self, name: str, writes: Patterns, pipelines: Sequence[str]) -> str:
        """What its administrator runs before `pipelines` may write the tables of `writes`."""

    @abstractmethod
    def look(self, lines: Sequence[Line]) -> list[Finding]:
        """What stands against these writing here. Errors: TargetUnavailable."""

    @abstractmethod
    def sink(self, delivery: Delivery) -> Sink: ...

    def discrepancies(self, entities: Sequence[str], limit: int) -> list[Discrepancy]:
        """At most `limit` that the target knows of these entities. Errors: TargetUnavailable."""
        return []  # where an entity of several sources is refused by the configuration's checks

    def people(self) -> People:
        """Who decides on identities there."""
        raise NotImplementedError("identity is refused here by the configuration's checks")
