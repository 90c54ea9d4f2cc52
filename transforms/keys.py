"""Whether a mapping's key tells source rows apart.

A key that two source rows share would merge them at the target, and a delete of one would take the
other with it. So every column of the replica identity must be recoverable from the key, or be held
fixed by `where`. Recoverable is: the column itself, a cast of it that loses nothing, or a text
joined of columns and constants in which every column can be cut out again:

    'E-' || id                  yes
    region || '/' || number     yes, if no region holds a '/'; a row where one does is an error
    region || number            no: 1, 23 and 12, 3 are both 123
    upper(code)                 no
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transforms.expressions.sql import quoted
from transforms.expressions.typed import Part
from transforms.types import INTEGERS, Kind

_DIGITS = "0123456789"
_ENDS_ITSELF = frozenset({Kind.UUID, Kind.BOOL})
"""Kinds of which no text begins or ends another: they need no separator to be cut out."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """`columns` can be recovered wherever none of `conditions` (DuckDB SQL) is true.

    `problem` says why no more of them can.
    """

    columns: frozenset[str]
    conditions: tuple[str, ...] = ()
    problem: str | None = None


def recover(parts: Sequence[Part]) -> Recovered:
    """What can be read back from the text that `parts` make."""
    columns, between = _pieces(parts)
    names = [part.column or "" for part in columns]
    if not columns:
        return Recovered(frozenset())
    if len(columns) == 1:
        return Recovered(frozenset(names))
    for left, right, separator in zip(names, names[1:], between, strict=False):
        if not separator:
            return Recovered(frozenset(), problem=f"nothing separates {left} from {right}")
    free = _free(columns)
    conditions = []
    for index, part in enumerate(columns):
        if index < free and not _ends_before(part.kind, between[index][0]):
            conditions.append(f"contains({part.text}, {quoted(between[index][0])})")
        if index > free and not _begins_after(part.kind, between[index - 1][-1]):
            conditions.append(f"contains({part.text}, {quoted(between[index - 1][-1])})")
    return Recovered(frozenset(names), tuple(conditions))


def _pieces(parts: Sequence[Part]) -> tuple[list[Part], list[str]]:
    """The columns, and the constant text between each two of them."""
    columns: list[Part] = []
    between: list[str] = []
    pending = ""
    for part in parts:
        if part.column is None:
            pending += part.text
            continue
        if columns:
            between.append(pending)
        pending = ""
        columns.append(part)
    return columns, between


def _free(columns: Sequence[Part]) -> int:
    """The one column that may hold anything: those before it are cut off from the left, those
    after it from the right."""
    texts = [index for index, part in enumerate(columns) if not _of_digits(part.kind)]
    return texts[-1] if texts else len(columns) - 1


def _of_digits(kind: Kind) -> bool:
    return kind in INTEGERS or kind is Kind.NUMERIC or kind in _ENDS_ITSELF


def _ends_before(kind: Kind, separator: str) -> bool:
    """Whether a text of this kind, read from its beginning, ends for certain at `separator`."""
    if kind in _ENDS_ITSELF:
        return True
    if kind in INTEGERS:
        return separator not in _DIGITS
    return kind is Kind.NUMERIC and separator not in _DIGITS + "." and not separator.isalpha()


def _begins_after(kind: Kind, separator: str) -> bool:
    """The same, read backwards from its end: there a sign could be a separator."""
    if kind in _ENDS_ITSELF:
        return True
    if kind in INTEGERS:
        return separator not in _DIGITS + "-"
    return kind is Kind.NUMERIC and separator not in _DIGITS + ".-" and not separator.isalpha()
