"""What the service asks of each kind of source. Modules beside this one answer, one a kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from typing import Generic, TypeVar

from cdc.changes import TableChanges
from cdc.findings import Finding
from cdc.protocol import Source
from cdc.removal import Removal
from cdc.schema import TableName, TableSchema
from config.project import Source as SourceSettings

Settings = TypeVar("Settings", bound=SourceSettings)


class SourceAdapter(ABC, Generic[Settings]):
    """Nothing is imported and nothing connected before it is asked for.

    ours   what objects of ours there are called where nobody named them
    """

    def __init__(self, settings: Settings, ours: str) -> None:
        self.settings = settings
        self.ours = ours

    @property
    def gives_up_at_limit(self) -> bool:
        """Whether what holds the log there is dropped once it holds `retain_max`."""
        return False

    @abstractmethod
    def open(self, needs: Mapping[TableName, Set[TableName]]) -> Source:
        """`needs`: by table those that are copied before it."""

    @abstractmethod
    def look(self) -> tuple[list[Finding], list[TableSchema]]:
        """(what is wrong, the tables that can be captured). Errors: SourceUnavailable."""

    @abstractmethod
    def tables(self) -> list[TableSchema]:
        """Those that can be captured. Errors: SourceUnavailable."""

    @abstractmethod
    def sample(self, table: TableName, rows: int) -> TableChanges:
        """At most `rows`. Errors: ConfigError where it cannot be had, SourceUnavailable."""

    @abstractmethod
    def script(self, name: str) -> str:
        """What its administrator runs before it is captured."""

    @abstractmethod
    def question(self, name: str, also: str) -> str:
        """What a person is asked before `remove`; `also`: what else is done, or nothing."""

    @abstractmethod
    def remove(self) -> Removal:
        """Take back what is ours. Errors: SourceUnavailable, PreflightError."""
