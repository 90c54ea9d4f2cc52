"""What MariaDB and MySQL do differently where a source asks them. Formats and types are shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from cdc.mysql.positions import Reached
from cdc.mysql.session import Connection
from cdc.schema import TableName

Wanted = Mapping[str, tuple[str, str]]
"""Settings of the server: which value, and what goes wrong with another."""


class Product(Protocol):
    """Errors of all that ask: SourceUnavailable; PreflightError for a missing right."""

    @property
    def name(self) -> str: ...
    @property
    def oldest(self) -> tuple[int, int]:
        """The first version that is read."""

    @property
    def rights(self) -> Sequence[Sequence[str]]:
        """What our user needs: of each line one, the first being what to grant."""

    @property
    def wanted(self) -> Wanted: ...

    def is_version(self, text: str) -> bool:
        """Whether a server of this version is one of these."""

    def system(self, connection: Connection) -> str:
        """The server's name in marks."""

    def now(self, connection: Connection) -> str:
        """The position up to which the server has logged."""

    def reached(self, position: str) -> Reached: ...

    def verify(self, connection: Connection, position: str, system: str | None) -> None:
        """Errors: ContinuityError where the server's log does not hold our position.

        `system` is what the server was called at the first snapshot.
        """

    def begin_snapshot(
        self, connection: Connection, url: str, tables: Callable[[], Sequence[TableName]]
    ) -> str:
        """Begin a transaction on `connection` that sees all as it was at one position: this one."""

    def ask_for_log(self, connection: Connection, position: str, server_id: int) -> None:
        """From here on the connection carries events."""
