"""What a long write owes to its process: to stop when it is asked to, and to show that it moves."""

from __future__ import annotations

from typing import Protocol


class LongWrite(Protocol):
    @property
    def stopping(self) -> bool: ...

    @property
    def overdue(self) -> bool:
        """A stop was asked for so long ago that what is open is to be given up."""

    def moved(self, sent: int) -> None:
        """`sent`: changes since the process began. Called every second while a write runs."""


class Unwatched:
    stopping = overdue = False

    def moved(self, sent: int) -> None:
        pass
