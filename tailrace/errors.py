"""Every error Tailrace raises on purpose, in one tree.

    TailraceError
    ├── ConfigError            a file the operator wrote; exit code 2, nothing was changed
    ├── PreflightError         a database is not ready; names the SQL that fixes it
    ├── SourceError
    │   ├── SourceUnavailable      retried with backoff
    │   ├── ContinuityError        the log no longer joins our position; the gap is named
    │   └── DecodeError            bytes we do not understand; never skipped
    ├── JournalError
    │   ├── JournalFull            the disk is full; capture holds, nothing is acknowledged
    │   └── JournalCorrupt         a stored entry does not read back
    ├── TransformError         a row that a mapping cannot turn into its entity
    │   └── LookupsLost            what a looked up table held is not known any more
    ├── ExceptionsError
    │   ├── ExceptionsUnavailable  their file cannot be written now; retried with backoff
    │   ├── ExceptionsLost         the target knows of exceptions whose contents are not here
    │   └── TooManyExceptions      most of what comes fails, or the desk is full; retried
    └── SinkError
        ├── TargetUnavailable      retried with backoff
        ├── TargetRefused          the target refused a statement; the pipeline pauses
        │   └── RowRefused         … for what is in a row: that row waits at the exceptions desk
        ├── Fenced                 another process has taken this pipeline over
        ├── CheckpointMismatch     the target's checkpoint does not belong to this journal
        ├── CheckpointLost         our own file of a checkpoint is damaged or of another version
        └── AddressForbidden       the target's name leads to an address that is not public

An error says what happened, *where* (table, key columns, position, file and line: never row
values) and what to do. Its code is documented in docs/errors.md; what becomes of it says
`tailrace.pipeline.policy`.
"""

from __future__ import annotations

from typing import ClassVar

UNEXPECTED = "TR-900"
"""The code of everything else: an error that Tailrace does not raise on purpose."""


class TailraceError(Exception):
    """Base of the tree.

    `what` is one sentence; `where` names the place (``{"table": "sales.orders", "position":
    "0/16B3748"}``); `fix` tells the operator what to do next.
    """

    code: ClassVar[str] = "TR-001"
    exit_code = 1

    def __init__(
        self, what: str, *, where: dict[str, object] | None = None, fix: str | None = None
    ) -> None:
        self.what = what
        self.where = {key: value for key, value in (where or {}).items() if value is not None}
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        place = " ".join(f"{key}={value}" for key, value in self.where.items())
        return self.what + (f" [{place}]" if place else "") + (f" → {self.fix}" if self.fix else "")


class ConfigError(TailraceError):
    code = "TR-101"
    exit_code = 2


class PreflightError(TailraceError):
    code = "TR-103"


class SourceError(TailraceError):
    pass


class SourceUnavailable(SourceError):
    code = "TR-201"


class ContinuityError(SourceError):
    code = "TR-202"


class DecodeError(SourceError):
    code = "TR-203"


class JournalError(TailraceError):
    code = "TR-301"


class JournalFull(JournalError):
    code = "TR-302"


class JournalCorrupt(JournalError):
    code = "TR-303"


class TransformError(TailraceError):
    code = "TR-402"


class LookupsLost(TransformError):
    code = "TR-403"


class ExceptionsError(TailraceError):
    code = "TR-601"


class ExceptionsUnavailable(ExceptionsError):
    code = "TR-602"


class ExceptionsLost(ExceptionsError):
    code = "TR-603"


class TooManyExceptions(ExceptionsError):
    code = "TR-604"


class SinkError(TailraceError):
    pass


class TargetUnavailable(SinkError):
    code = "TR-501"


class TargetRefused(SinkError):
    code = "TR-502"


class RowRefused(TargetRefused):
    """`seq` is the row's place among those that were written at once, where it is known; `line` is
    that of one which the target refuses for its values, whatever comes before it, from 1 on.
    """

    code = "TR-503"
    seq: int | None = None
    line: int | None = None


class Fenced(SinkError):
    code = "TR-504"


class CheckpointMismatch(SinkError):
    code = "TR-505"


class CheckpointLost(SinkError):
    code = "TR-506"


class AddressForbidden(SinkError):
    code = "TR-507"
