"""What becomes of each kind of error: the one table that loops, commands and the manual go by.

An error's kind is its class; a class without a row of its own goes by its base's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tailrace.errors import (
    UNEXPECTED,
    AddressForbidden,
    CheckpointLost,
    CheckpointMismatch,
    ConfigError,
    ContinuityError,
    DecodeError,
    ExceptionsError,
    ExceptionsLost,
    ExceptionsUnavailable,
    Fenced,
    JournalCorrupt,
    JournalError,
    JournalFull,
    LookupsLost,
    PreflightError,
    RowRefused,
    SourceUnavailable,
    TailraceError,
    TargetRefused,
    TargetUnavailable,
    TooManyExceptions,
    TransformError,
)
from transforms.errors import EntityError, MappingError, RowError

Action = Literal["retry", "park", "pause", "stop"]

ACTIONS: dict[Action, str] = {
    "retry": "The process says `retrying` and tries again by itself: after 50 ms, then twice as"
    " long each time, up to 30 s, with jitter. Nothing is lost meanwhile.",
    "park": "The source change waits at the exceptions desk, and later changes of its key behind"
    " it; all others go on.",
    "pause": "The pipeline says `paused` and writes and parks nothing until a person has mended the"
    " cause. It tries again by itself, at the same pace; with `--once` it stops. One table is never"
    " paused alone: what belongs together would be torn apart.",
    "stop": "The command, or the process, ends and says `failed`: the same would happen again. The"
    " journal keeps what was captured. It goes on where it was when it is started again.",
}
"""Why these and no others: what passes is tried again; what is wrong with a row concerns its key;
what is wrong with a target concerns its pipeline; everything else needs a person first."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`meaning` is one sentence; `advice` tells the operator where to begin. The error itself says
    what, where, and mostly the exact fix."""

    kind: type[Exception]
    action: Action
    meaning: str
    advice: str

    @property
    def code(self) -> str:
        return self.kind.code if issubclass(self.kind, TailraceError) else UNEXPECTED


POLICIES = (
    Policy(
        TailraceError,
        "stop",
        "A command could not do its work on this machine.",
        "Do what the message says: free the port, install the server, stop the other process.",
    ),
    Policy(
        ConfigError,
        "stop",
        "Something in the project's files is wrong; nothing was changed.",
        "Mend the file at the line that is named; `tailrace validate` shows everything at once.",
    ),
    Policy(
        MappingError,
        "stop",
        "A mapping, or an expression, cannot work on its source's tables.",
        "Mend it where the message points; `tailrace check` compares all of them with the source.",
    ),
    Policy(
        EntityError,
        "stop",
        "The contract of an entity contradicts itself, or what a mapping always makes.",
        "Mend it where the message points; it names what stands against what.",
    ),
    Policy(
        PreflightError,
        "stop",
        "A database is not ready for what is declared.",
        "`tailrace check` lists every finding with the SQL that mends it.",
    ),
    Policy(
        SourceUnavailable,
        "retry",
        "The source does not answer, or refuses the connection for now.",
        "See that the server runs, and that address, password and network are right.",
    ),
    Policy(
        ContinuityError,
        "stop",
        "The source's log no longer joins the position to which it was captured; what lies between"
        " is named.",
        "Find out what happened to the slot, the log or the server; then begin anew with a"
        " snapshot.",
    ),
    Policy(
        DecodeError,
        "stop",
        "The log holds something that Tailrace does not know and that could carry rows.",
        "Report the position and the message; nothing behind it was captured, and nothing is lost"
        " as long as the source keeps its log.",
    ),
    Policy(
        JournalError,
        "stop",
        "The journal cannot be used: it is another's, of another version, or in use.",
        "See which process holds it and that `.tailrace/` belongs to this project.",
    ),
    Policy(
        JournalFull,
        "retry",
        "The disk of the journal is full; nothing is acknowledged to the source.",
        "Free space below `.tailrace/`; capture goes on by itself.",
    ),
    Policy(
        JournalCorrupt,
        "stop",
        "An entry of the journal does not read back as it was written.",
        "Check the disk; then begin anew with a snapshot, since what it held cannot be known.",
    ),
    Policy(
        RowError,
        "park",
        "Rows that a mapping or a contract cannot take. Where it is no matter of single rows, such"
        " as a TRUNCATE that cannot be applied, the pipeline stops.",
        "`tailrace exceptions list` shows them; mend the rows there, or the mapping, and replay.",
    ),
    Policy(
        TransformError,
        "stop",
        "A source table has changed so that its mapping or its copy does not fit any more.",
        "`tailrace check` shows all that does not fit; mend it and start the pipeline again.",
    ),
    Policy(
        LookupsLost,
        "stop",
        "The copy of the looked up tables is missing, and the journal does not reach back to make"
        " it anew.",
        "Restore the file that is named; or begin anew with a snapshot.",
    ),
    Policy(
        TargetUnavailable,
        "retry",
        "The target does not answer, or cannot do its work for now.",
        "See that the server runs and has room; look for who holds the locks that are waited for.",
    ),
    Policy(
        TargetRefused,
        "pause",
        "The target refused a statement: a right, a table or a column is missing.",
        "`tailrace check` names what is missing with the SQL that mends it.",
    ),
    Policy(
        RowRefused,
        "park",
        "The target refused a row for what is in it: a constraint, a value that does not fit. Where"
        " a constraint is checked at COMMIT only, the pipeline stops.",
        "`tailrace exceptions list` shows it; edit the row or change the target, then replay it.",
    ),
    Policy(
        ExceptionsError,
        "stop",
        "The file of a pipeline's exceptions cannot be used: it is damaged, or of another version.",
        "Check the disk; restore the file from a backup, with the journal's.",
    ),
    Policy(
        ExceptionsUnavailable,
        "retry",
        "The file of a pipeline's exceptions cannot be written now; nothing is parked without it.",
        "Free space below `.tailrace/`, or see to its rights; delivery goes on by itself.",
    ),
    Policy(
        ExceptionsLost,
        "stop",
        "The target has receipts of exceptions whose contents are not here.",
        "Restore the file that is named; or give these changes up and copy their rows anew.",
    ),
    Policy(
        TooManyExceptions,
        "pause",
        "Most of what comes fails, or the exceptions desk is full.",
        "`tailrace exceptions list` shows what is there by cause; mend what they have in common.",
    ),
    Policy(
        Fenced,
        "stop",
        "Another process has taken the pipeline over.",
        "Run a pipeline once only; stop the process that should not run.",
    ),
    Policy(
        CheckpointMismatch,
        "stop",
        "The target's checkpoint does not belong to this journal, or is past what is written.",
        "See that project and target belong together, and that neither was restored from a backup.",
    ),
    Policy(
        CheckpointLost,
        "stop",
        "The file below `.tailrace/checkpoints/` that holds the checkpoint of a target which can"
        " hold none, such as an API, is damaged or of another version.",
        "Restore it with the journal from a backup. Without it nobody knows what was sent: to send"
        " everything anew, remove it.",
    ),
    Policy(
        AddressForbidden,
        "pause",
        "The name of an HTTP target, or of its token endpoint, leads to an address that is not"
        " public. Nothing was sent.",
        "Find out who changed the name's address; where it is meant, allow it: `reach: {private:"
        " [10.1.0.0/16]}`.",
    ),
    Policy(
        Exception,
        "retry",
        "Something that Tailrace did not foresee; the process ends and is started again.",
        "Report it with its traceback, which is in the log and, as it may hold values, not on the"
        " screen.",
    ),
)


def policy_of(error: BaseException) -> Policy:
    """The row of the table for this error."""
    rows = {policy.kind: policy for policy in POLICIES}
    return next(rows[kind] for kind in type(error).__mro__ if kind in rows)


def kinds(action: Action) -> tuple[type[TailraceError], ...]:
    """Those that Tailrace raises itself."""
    return tuple(
        policy.kind
        for policy in POLICIES
        if policy.action == action and issubclass(policy.kind, TailraceError)
    )


def manual(policies: Iterable[Policy] = POLICIES) -> str:
    """docs/errors.md."""
    ordered = sorted(policies, key=lambda policy: policy.code)
    used = [action for action in ACTIONS if any(policy.action == action for policy in ordered)]
    lines = [
        "# Errors",
        "",
        "<!-- made by `make docs` from tailrace/pipeline/policy.py -->",
        "",
        "Each error says what happened, where, and what to do about it; it never shows values of",
        "rows. Its code stands behind it on the screen, and under `code` in logs, `status` and",
        "all `-o json`.",
        "",
        "| what happens then | |",
        "|---|---|",
        *(f"| {action} | {ACTIONS[action]} |" for action in used),
        "",
        "| code | kind | then | what it means |",
        "|---|---|---|---|",
        *(
            f"| [{policy.code}](#{policy.code.lower()}) | {policy.kind.__name__} | {policy.action}"
            f" | {policy.meaning} |"
            for policy in ordered
        ),
    ]
    for policy in ordered:
        lines += ["", f"## {policy.code}", "", policy.meaning, "", policy.advice]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(manual(), end="")
