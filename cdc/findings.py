"""What a look at a database found wrong, before anything is created there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
