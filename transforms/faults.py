"""Gathers what one program cannot take of a change set, so that all of it is known at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cdc.changes import TableChanges
from transforms.columns import Rows
from transforms.diagnose import Fault
from transforms.errors import RowError, RowFault
from transforms.expressions.sql import REASONS
from transforms.judge import Broken
from transforms.lookups.evaluate import Failing
from transforms.program import Program

_FIXES = {
    "required": "map NULL to something (a default), or drop `required` from the entity",
    "unlisted": "add the code to the value map, or say otherwise: null or {value: X}",
    "separator": "use another separator, or one field of the key for each column",
    "missing": "add the row to the looked up table, then replay; or say missing: null",
    "ambiguous": "join by a key of the looked up table",
    "unread": "update the rows of the looked up table at the source, so that the log shows them, or"
    " take a new snapshot",
    "null_key": "use columns that are never NULL",
}

_MEND = "mend the row at the source, map the value to another, or change the entity's contract"


class Faults:
    """The faults of `program` in `changes`. Rows are numbered as in `changes`."""

    def __init__(self, program: Program, changes: TableChanges) -> None:
        self._program = program
        self._seq = changes.seq
        self._found: list[RowFault] = []
        self._rows: Rows = np.empty(0, np.int64)

    def add(self, rows: Rows, field: str, reason: str, problem: str, fix: str) -> None:
        name = self._program.name
        self._found += [
            RowFault(seq, name, field, reason, problem, fix)
            for seq in self._seq.take(rows).to_pylist()
        ]
        self._rows = np.union1d(self._rows, rows)

    def add_all(self, rows: Rows, found: Sequence[Fault]) -> None:
        """What was found of `rows`, which `Fault.row` counts."""
        at = rows[[fault.row for fault in found]]
        name = self._program.name
        self._found += [
            RowFault(seq, name, fault.name, fault.reason, REASONS[fault.reason], _fix(fault.reason))
            for seq, fault in zip(self._seq.take(at).to_pylist(), found, strict=True)
        ]
        self._rows = np.union1d(self._rows, at)

    def add_reason(self, rows: Rows, failing: Failing) -> None:
        """Rows that a lookup fails for."""
        reason = failing.reason
        self.add(rows, failing.alias, reason, REASONS[reason], _fix(reason))

    def add_broken(self, rows: Rows, found: Sequence[Broken]) -> None:
        """The rules of the contract that `rows` break."""
        at = rows[[broken.row for broken in found]]
        name = self._program.name
        self._found += [
            RowFault(seq, name, broken.name, broken.reason, broken.problem, _MEND)
            for seq, broken in zip(self._seq.take(at).to_pylist(), found, strict=True)
        ]
        self._rows = np.union1d(self._rows, at)

    def sound(self, rows: Rows) -> Rows:
        """Places in `rows` of those without a fault."""
        return np.flatnonzero(~np.isin(rows, self._rows))

    def check(self) -> None:
        """Errors: RowError, if there are any."""
        if self._found:
            faults = sorted(self._found, key=lambda fault: fault.seq)
            first = faults[0]
            place: dict[str, object] = {"field": first.field, "reason": first.reason}
            what = f"mapping {first.mapping}, {first.field}: {first.problem}"
            raise self.error(what, place, first.fix, first.seq, faults) from None

    def error(
        self,
        what: str,
        where: dict[str, object],
        fix: str,
        seq: int,
        faults: Sequence[RowFault] = (),
    ) -> RowError:
        place: dict[str, object] = {"table": self._program.source}
        place |= {"key": ",".join(self._program.schema.key), **where}
        return RowError(what, where=place, fix=fix, seq=seq, faults=tuple(faults))


def _fix(reason: str) -> str:
    return _FIXES.get(reason, "mend the row at the source, or the expression")


def together(errors: Sequence[RowError]) -> RowError:
    """What several programs cannot take of one change set. The message is that of the first row."""
    if len(errors) == 1:
        return errors[0]
    first = min(errors, key=lambda error: error.seq)
    faults = sorted((fault for error in errors for fault in error.faults), key=lambda f: f.seq)
    return RowError(
        first.what,
        where=first.where,
        fix=first.fix or "",
        seq=first.seq,
        faults=tuple(faults),
    )
