"""What a sink says of its checkpoint, whatever the database."""

from __future__ import annotations

from tailrace.errors import CheckpointMismatch, Fenced, TargetUnavailable


def fenced(pipeline: str, epoch: int) -> Fenced:
    return Fenced(
        "another process has taken this pipeline over",
        where={"pipeline": pipeline, "epoch": epoch},
        fix="let one process run each pipeline; this one has stopped writing",
    )


def of_another_journal(pipeline: str, theirs: object, journal: str) -> CheckpointMismatch:
    return CheckpointMismatch(
        "the target's checkpoint belongs to another journal",
        where={"pipeline": pipeline, "target_journal": theirs, "journal": journal},
        fix="restore the journal it belongs to; or, to copy everything anew, empty the"
        " target tables and delete the pipeline's rows in tailrace.checkpoint and"
        " tailrace.tables",
    )


def already_past(pipeline: str, offset: int) -> CheckpointMismatch:
    return CheckpointMismatch(
        "the target's checkpoint is already past this one; nothing was written",
        where={"pipeline": pipeline, "offset": offset},
        fix="restart delivery, which begins at the target's checkpoint",
    )


def answer_lost(pipeline: str) -> TargetUnavailable:
    """Whether it committed, the target knows: opening again waits for the old transaction."""
    return TargetUnavailable(
        "the answer to COMMIT was lost; the checkpoint will tell whether it happened",
        where={"pipeline": pipeline},
    )
