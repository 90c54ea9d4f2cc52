"""What a sink says of its checkpoint and of shared entities, whatever the database."""

from __future__ import annotations

from cdc.schema import TableName
from tailrace.errors import CheckpointMismatch, Fenced, TargetRefused, TargetUnavailable
from transforms.composite import Composite

EMPTIED = (
    "empty the target tables and delete the pipeline's rows in tailrace.checkpoint and"
    " tailrace.tables"
)
"""How to begin anew at a database."""


def fenced(pipeline: str, epoch: int) -> Fenced:
    return Fenced(
        "another process has taken this pipeline over",
        where={"pipeline": pipeline, "epoch": epoch},
        fix="let one process run each pipeline; this one has stopped writing",
    )


def of_another_journal(
    pipeline: str, theirs: object, journal: str, anew: str = EMPTIED
) -> CheckpointMismatch:
    """`anew`: how to begin anew at this target."""
    return CheckpointMismatch(
        "the target's checkpoint belongs to another journal",
        where={"pipeline": pipeline, "target_journal": theirs, "journal": journal},
        fix=f"restore the journal it belongs to; or, to copy everything anew, {anew}",
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


def not_of_sides(composite: Composite, empty: str) -> TargetRefused:
    return TargetRefused(
        f"target table {composite.table} holds rows of one source, and several feed it now",
        where={"table": str(composite.table), "entity": composite.entity},
        fix=f"copy its sources anew: {empty}, delete the pipelines' rows in tailrace.checkpoint,"
        " and tailrace remove SOURCE --journal for each",
    )


HELD_S = 50
"""How long a pipeline waits for another's transaction until it says so and tries again."""


def entity_held(composite: Composite, by: str | None = None) -> TargetUnavailable:
    where: dict[str, object] = {"entity": composite.entity}
    if by is not None:
        where["held_by"] = by
    return TargetUnavailable(
        f"another pipeline has been writing the entity for {HELD_S} s in one transaction, such as"
        " the copy of a table",
        where=where,
        fix="wait: this pipeline goes on when that one has committed; where it does not move"
        " either, `tailrace status` says why",
    )


def of_another_type(
    composite: Composite, column: str, found: str, wanted: str, fix: str
) -> TargetRefused:
    return TargetRefused(
        f"target table {composite.table} has the type {found} for {column}; where several sources"
        f" feed it, it has to be {wanted}",
        where={"table": str(composite.table), "column": column},
        fix=fix,
    )


def computed(table: TableName, entity: str) -> TargetRefused:
    return TargetRefused(
        f"target table {table} is computed from what several sources say of {entity}; written by"
        " one, it would part from them",
        where={"table": str(table), "entity": entity},
        fix=f"to have one source from now on, delete the row of {entity} in tailrace.entity and"
        f" drop tailrace.{entity}__…; or name another table with `into`",
    )
