"""Tables that refer to themselves.

InnoDB looks at each row by itself, and not at the statement's end as other servers do, so a parent
must be there before its child and go after it. A row that is its own parent cannot go at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from sinks.rowtext import as_text


@dataclass(frozen=True, slots=True)
class SelfReference:
    """`columns` of a row name its parent by the parent's `of`; `nullable` of them may be NULL."""

    columns: tuple[str, ...]
    of: tuple[str, ...]
    nullable: tuple[str, ...]


def freed(references: Sequence[SelfReference], key: Sequence[str]) -> list[str] | None:
    """Columns which, set to NULL, leave no row with a parent; None where some may not be NULL."""
    names = []
    for reference in references:
        free = [name for name in reference.nullable if name not in key]
        if not free:
            return None
        names.append(free[0])
    return list(dict.fromkeys(names))


def parents_first(
    names: Sequence[str], columns: Sequence[pa.Array], references: Sequence[SelfReference]
) -> tuple[pa.Array, ...]:
    """The same rows, each after its parents among them. What goes in a circle stays as it came, for
    the server to judge; and so do columns that are not written."""
    places = {name: place for place, name in enumerate(names)}
    parents: list[list[int]] = [[] for _ in range(len(columns[0]))]
    for reference in references:
        if not {*reference.columns, *reference.of} <= places.keys():
            continue
        row_of = {value: row for row, value in enumerate(_values(columns, places, reference.of))}
        for row, value in enumerate(_values(columns, places, reference.columns)):
            parent = row_of.get(value)
            if parent is not None and parent != row:
                parents[row].append(parent)
    order = _sorted(parents)
    if order == list(range(len(order))):
        return tuple(columns)
    picked = pa.array(order)
    return tuple(column.take(picked) for column in columns)


def _values(
    columns: Sequence[pa.Array], places: dict[str, int], names: Sequence[str]
) -> list[tuple[str | None, ...]]:
    return list(zip(*(as_text(columns[places[name]]).to_pylist() for name in names), strict=True))


def _sorted(parents: list[list[int]]) -> list[int]:
    order: list[int] = []
    seen = [False] * len(parents)
    for first in range(len(parents)):
        path = [first]
        while path:
            row = path[-1]
            waiting = [] if seen[row] else [one for one in parents[row] if not seen[one]]
            if not seen[row] and not waiting:
                order.append(row)
            seen[row] = True
            path.pop()
            if waiting:
                path += [row, *waiting]
                seen[row] = False
                parents[row] = []  # a second look finds them placed, or on the path: a circle
    return order
