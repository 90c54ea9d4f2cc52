"""Writing entities that several sources feed: first what this source says of them, then what they
are by that.

    lock the entities ─▶ write side tables ─▶ compute the touched keys ─▶ all other tables ─▶ …

The lock is a row of ours for each entity, taken in the order of their names and held to the end of
the transaction; what is computed after it is from what others have committed. So of two pipelines
that touch one entity the later sees what the earlier wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from sinks import applying
from sinks.batches import concat
from sinks.protocol import Written
from sinks.rowtext import as_text
from tailrace.errors import RowRefused, TargetRefused
from transforms.composite import Composite
from transforms.rows import CLEAR, DELETE, UPSERT, RowChanges


class CompositeWriter(Protocol):
    """One entity over one connection. Errors: TargetRefused, TargetUnavailable."""

    @property
    def composite(self) -> Composite: ...

    @property
    def outdated(self) -> bool:
        """Whether the entity, now locked, was computed by other rules."""

    @property
    def everything(self) -> bool:
        """Whether rows may have to go that no change removes: all keys are touched, or they are
        given by identity."""

    def lock(self) -> None:
        """Wait for the other pipelines' transactions that touch the entity."""

    def touch(self, keys: Sequence[pa.Array] | None, changes: Sequence[RowChanges]) -> None:
        """What the rest is about: these keys, or with None all, by the rules of now. `changes`:
        those of the side table that touched them; none of them where rules have."""

    def put(self) -> None:
        """Make the touched rows what their sources say."""

    def remove(self) -> None:
        """Remove the touched rows that their source does not have."""

    def compare(self) -> None:
        """Note where sources differ in the touched rows."""


class Target(applying.Target, Protocol):
    def composite(self, entity: str) -> CompositeWriter: ...


_ENTITIES = "tailrace_entities"
"""The savepoint to which a write goes back of which a row is refused. The locks are older."""


def write(target: Target, changes: Sequence[RowChanges]) -> dict[str, Written]:
    """As `applying.write`, for tables of which some may be side tables."""
    sides: dict[str, list[RowChanges]] = {}
    others = []
    for change in changes:
        if (composite := change.table.composite) is None:
            others.append(change)
        else:
            sides.setdefault(composite.entity, []).append(change)
    if not sides:
        return applying.write(target, changes)
    writers = [target.composite(entity) for entity in sorted(sides)]
    for writer in writers:
        writer.lock()
    _renew(target, [writer for writer in writers if writer.outdated])
    target.savepoint(_ENTITIES)
    try:
        counts = _written(target, writers, sides, others)
    except RowRefused:
        target.abandon(_ENTITIES)
        raise
    target.release(_ENTITIES)
    return counts


def _renew(target: Target, writers: list[CompositeWriter]) -> None:
    """Compute what other rules have computed, before anything is added to it: what the target
    refuses of that is no matter of the changes that come. Errors: TargetRefused, no RowRefused."""
    writers.sort(key=lambda writer: target.references.rank(writer.composite.table))
    try:
        for writer in writers:
            writer.touch(None, ())
            writer.put()
        for writer in reversed(writers):
            writer.remove()
            writer.compare()
    except RowRefused as refused:
        raise TargetRefused(
            f"by the changed rules of an entity's fields: {refused.what}",
            where=refused.where,
            fix="mend the rows at their sources, or what the target demands of the table",
        ) from None


def _written(
    target: Target,
    writers: list[CompositeWriter],
    sides: Mapping[str, Sequence[RowChanges]],
    others: Sequence[RowChanges],
) -> dict[str, Written]:
    counts = applying.write(target, [change for some in sides.values() for change in some])
    writers.sort(key=lambda writer: target.references.rank(writer.composite.table))
    for writer in writers:
        changes = sides[writer.composite.entity]
        writer.touch(touched(changes), changes)
        writer.put()
    counts |= applying.write(target, others)
    for writer in reversed(writers):
        if writer.everything or any(map(_may_remove, sides[writer.composite.entity])):
            writer.remove()
        writer.compare()
    return counts


def touched(changes: Sequence[RowChanges]) -> tuple[pa.Array, ...] | None:
    """The keys that rows had or have now, some of them perhaps twice; None: all there are."""
    parts: list[tuple[pa.Array, ...]] = []
    for change in changes:
        op = change.op.to_numpy()
        if (op == CLEAR).any():
            return None
        parts.append(tuple(change.values[at] for at in change.table.key_indexes))
        if change.old_key is not None:
            moved = change.old_key[0].is_valid().to_numpy(zero_copy_only=False) & (op == UPSERT)
            rows = pa.array(np.flatnonzero(moved))
            parts.append(tuple(column.take(rows) for column in change.old_key))
    return tuple(concat([as_text(one) for one in column]) for column in zip(*parts, strict=True))


def _may_remove(change: RowChanges) -> bool:
    """Whether a row may be gone now from the side table that makes the entity's rows."""
    composite = change.table.composite
    if composite is None or composite.side(composite.rows).table != change.table.table:
        return False
    removes = np.isin(change.op.to_numpy(), (DELETE, CLEAR)).any()
    return bool(removes) or change.old_key is not None
