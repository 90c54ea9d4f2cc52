"""What the books and the tables of a file are kept with, whatever reads the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cdc.schema import TableName
from sinks.applying import Writer
from sinks.foreign_keys import References
from transforms.rows import RowChanges, TargetColumn, TargetTable


class Session(Protocol):
    """An open file. Errors of `execute`, `query` and the transaction's: the engine's own, to be
    `Engine.translated`."""

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        """Rows that were changed."""

    def query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]: ...

    def begin(self) -> None:
        """Begin a transaction that nobody else's can come between."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def savepoint(self, name: str) -> None: ...

    def undo(self, name: str) -> None: ...

    def release(self, name: str) -> None: ...

    def interrupt(self) -> None:
        """End the statement that runs, if one does; from another thread."""

    def close(self) -> None:
        """Idempotent; never fails."""


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """`filled`: it has a default. `merges`: it takes different texts for the same."""

    type: str
    nullable: bool
    filled: bool
    generated: bool
    merges: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A table as the file has it. `unique`: the columns of each unique index, and whether none of
    them may be NULL or be left out of it. `has_triggers`: some act on rows that are written."""

    is_table: bool
    columns: Mapping[str, FoundColumn]
    unique: Sequence[tuple[tuple[str, ...], bool]]
    has_triggers: bool = False


class Codec(Protocol):
    """How the values of one table go into its columns."""

    @property
    def has_on_conflict(self) -> bool:
        """Whether INSERT … ON CONFLICT DO UPDATE is known of the table as it is."""

    def converted(self, change: RowChanges) -> RowChanges:
        """The same with each value as the file takes it. Errors: RowRefused with its `seq`."""

    def given(self, index: int) -> str:
        """A parameter for column `index`, in SQL."""

    def value(self, index: int, text: str | None) -> object:
        """What is bound to it."""


class Engine(Protocol):
    """SQLite or DuckDB. Pure but for `connect`."""

    @property
    def product(self) -> str:
        """Its name in messages."""

    @property
    def keeps_others_out(self) -> bool:
        """Whether nobody else can read the file while we have it open."""

    @property
    def singly_rows_max(self) -> int:
        """Rows a table up to which each is applied by itself in less time than as a set."""

    def connect(self, path: Path) -> Session:
        """Errors: TargetUnavailable; TargetRefused for a file that is something else."""

    def translated(self, doing: str, **where: object) -> AbstractContextManager[None]: ...

    def quoted(self, name: str) -> str: ...

    def table(self, table: TableName) -> str:
        """Its name in SQL. Errors: TargetRefused for one that the file cannot hold."""

    def make_schema(self, session: Session, schema: str) -> None: ...

    def look(self, session: Session, table: TableName) -> Found | None:
        """None: it is not there."""

    def ddl(self, column: TargetColumn) -> str:
        """The type of the column that is made."""

    def key(self, value: str, type_: str) -> str:
        """SQL around `value`, the text of a key of this type, as its column compares it."""

    def misfit(self, column: TargetColumn, found: FoundColumn) -> str | None:
        """What would become of its values; None where they stay what they are."""

    def references(self, session: Session, tables: Sequence[TableName]) -> References: ...

    def codec(self, table: TargetTable, found: Found, session: Session) -> Codec: ...

    def writer(self, session: Session, table: TargetTable, codec: Codec) -> Writer: ...

    def may_go_as_sets(self, where: Mapping[str, object]) -> bool:
        """Whether what was refused there was a constraint."""
