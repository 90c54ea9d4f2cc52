"""The order in which tables are copied: those that others need come first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType

from cdc.schema import TableName

Needs = Mapping[TableName, Collection[TableName]]
"""By table those that are to be copied before it."""
NO_NEEDS: Needs = MappingProxyType({})


def in_order(names: Iterable[TableName], needs: Needs) -> list[TableName]:
    """Then by name. In a circle the first by name begins."""
    known = sorted(names)
    left = {name: {one for one in needs.get(name, ()) if one in known} - {name} for name in known}
    while True:
        try:
            sorter: TopologicalSorter[TableName] = TopologicalSorter(left)
            return list(sorter.static_order())
        except CycleError as error:
            first = min(error.args[1])
            left[first] -= set(error.args[1])
