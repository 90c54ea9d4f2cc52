"""What a sink says of a target table that it cannot write, whatever the database."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from cdc.findings import Finding
from tailrace.errors import TargetRefused
from transforms.rows import TargetColumn, TargetTable

VANISHED = (
    "was written by this pipeline and is gone",
    "restore it, or rename it back. To begin again with an empty one, delete its row in"
    " tailrace.tables: rows that are not sent again stay missing",
)
"""Of a target table: what is wrong with it, and what to do. An empty one in its place would hide
what is lost."""

NOT_OURS = (
    "holds rows that Tailrace did not write",
    "empty the table, or declare `existing: keep` to write among its rows",
)


def refused(table: TargetTable, what: str, fix: str) -> TargetRefused:
    return TargetRefused(
        f"target table {table.table} {what}", where={"table": str(table.table)}, fix=fix
    )


def not_ours(table: TargetTable) -> Finding:
    """The same before it happens."""
    what, fix = NOT_OURS
    return Finding("error", what, str(table.table), f"-- {fix}")


def refuse_doubles(table: TargetTable, product: str) -> None:
    """Errors: TargetRefused for columns that `product`, which ignores case, takes for one."""
    names: dict[str, str] = {}
    for column in table.columns:
        other = names.setdefault(column.name.lower(), column.name)
        if other != column.name:
            raise refused(
                table,
                f"would have the columns {other} and {column.name}, which are one to {product}",
                "write one of them under another name, by a mapping",
            )


def refuse_missing(
    table: TargetTable, found: Container[str], add: Callable[[TargetColumn], str]
) -> None:
    """`add`: the statement that adds a column. Errors: TargetRefused where some are not `found`."""
    missing = [column for column in table.columns if column.name not in found]
    if missing:
        raise refused(
            table,
            f"lacks {len(missing)} column(s): {', '.join(column.name for column in missing)}",
            "; ".join(map(add, missing)),
        )


def refuse_generated(table: TargetTable, generated: Sequence[str]) -> None:
    """Errors: TargetRefused where some of our columns are computed by the target."""
    if generated:
        raise refused(table, f"computes {', '.join(generated)} itself", "leave these columns out")


def refuse_unfilled(table: TargetTable, unfilled: Sequence[str]) -> None:
    """Errors: TargetRefused where columns that are not ours have no value and may not be NULL."""
    if unfilled:
        raise refused(
            table,
            f"demands a value for {', '.join(unfilled)}, which nothing fills",
            "give these columns a default, or let them be NULL",
        )
