"""What a look at a database found wrong, before anything is created there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tailrace.errors import PreflightError


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence on what is wrong and the SQL that mends it.

    An `error` refuses the start; a `warning` does not. `where` names the place: a table, a
    setting, a role. `fix` is SQL to be run by someone who may, or, where no SQL mends it, an SQL
    comment that says what to do.
    """

    severity: Literal["error", "warning"]
    what: str
    where: str
    fix: str


def refuse_errors(findings: Iterable[Finding]) -> None:
    """Errors: PreflightError that names the first error and how many there are."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    first, others = errors[0], len(errors) - 1
    raise PreflightError(
        first.what + (f" (and {others} more: tailrace check)" if others else ""),
        where={"at": first.where},
        fix=first.fix,
    )
