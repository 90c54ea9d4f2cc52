"""What stopped a change, as a cause that people read and exceptions are grouped by."""

from __future__ import annotations

from tailrace.errors import RowRefused, TailraceError, TargetRefused
from tailrace.state.exceptions.model import Cause
from transforms.errors import RowError


def of_mappings(error: RowError) -> dict[int, Cause]:
    """`seq` → the first thing that is wrong with the change, for all that are faulty.

    Errors: RowError where it is not of single rows, which then could not wait.
    """
    if not error.faults:
        raise error
    found: dict[int, Cause] = {}
    for fault in error.faults:
        cause = Cause("mapping", fault.mapping, fault.reason, fault.field, fault.problem, fault.fix)
        found.setdefault(fault.seq, cause)
    return found


def of_target(refused: RowRefused) -> Cause:
    """The error's words name no values."""
    where = refused.where
    return Cause(
        kind="target",
        at=str(where.get("table", "")),
        reason=str(where.get("sqlstate") or where.get("errno") or where.get("status") or "refused"),
        field=str(where.get("constraint") or where.get("column") or ""),
        problem=refused.what,
        fix=refused.fix or "edit the row, or change the target, then replay it",
    )


def of_shape(error: TailraceError, table: str) -> Cause:
    """A table's changes of long ago, which mapping or target do not fit any more."""
    is_target = isinstance(error, TargetRefused)
    return Cause(
        kind="shape",
        at=table,
        reason="target" if is_target else "mapping",
        field="",
        problem=error.what,
        fix=(error.fix if is_target else None)
        or "replay it with a mapping that fits the table as it was then, or discard it",
    )
