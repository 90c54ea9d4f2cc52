"""How a batch reaches a database target, whatever the database.

A handful of changes is applied one by one in the source's order, more of them as sets inside a
savepoint. Where sets cannot tell the outcome or the target refuses them, the same changes are
applied in order. The savepoint is also what undoes a write of which a row is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cdc.schema import TableName
from sinks.batches import Segment, joined, segments
from sinks.foreign_keys import References
from sinks.netting import NeedsOrder, Net, meet, net
from sinks.protocol import Written
from tailrace.errors import RowRefused, TargetRefused
from tailrace.failpoints import failpoint
from transforms.rows import RowChanges, TargetTable

SAVEPOINT = "tailrace"
_WHOLE = "tailrace_write"
"""Around a write of several segments."""


class Writer(Protocol):
    """Writes one target table as sets. Errors: TargetRefused, TargetUnavailable."""

    def delete(self, net: Net) -> int:
        """Rows that were deleted; one that left its key is counted where it went."""

    def upsert(self, net: Net) -> int:
        """Rows that were written. Refused where one with values not sent is not there; with its
        `seq` only where it would be so in the source's order, too."""


class Target(Protocol):
    """An open transaction at a database. `singly_max`: rows a table up to which each is applied
    by itself in less time than they are staged."""

    @property
    def singly_max(self) -> int: ...

    @property
    def references(self) -> References: ...

    def writer(self, table: TargetTable) -> Writer: ...

    def in_order(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        """Each change by itself, in a savepoint that is still there after a refusal.

        Errors: RowRefused with its `seq`; TargetRefused.
        """

    def clear(self, tables: Sequence[TableName]) -> None: ...

    def savepoint(self, name: str = SAVEPOINT) -> None: ...

    def undo(self, name: str = SAVEPOINT) -> None:
        """Back to the latest savepoint of this name, which stays."""

    def release(self, name: str = SAVEPOINT) -> None: ...

    def abandon(self, name: str = SAVEPOINT) -> None:
        """Both: back to before the latest savepoint of this name."""

    def may_go_as_sets(self, refused: TargetRefused) -> bool:
        """Whether a row that was refused by itself may be none as a part of a set.

        A constraint of the target's own may be against the source's order.
        """


def write(target: Target, changes: Sequence[RowChanges]) -> dict[str, Written]:
    """Apply `changes`; counts by target table. Errors: as `sinks.protocol.Sink.write`."""
    parts = list(segments(changes))
    if len(parts) == 1 and not parts[0].cleared:
        return _written(target, parts)
    target.savepoint(_WHOLE)
    try:
        counts = _written(target, parts)
    except RowRefused:
        target.abandon(_WHOLE)
        raise
    target.release(_WHOLE)
    return counts


def _written(target: Target, parts: Sequence[Segment]) -> dict[str, Written]:
    counts: dict[str, Written] = {}
    for segment in parts:
        if segment.cleared:
            _clear(target, list(dict.fromkeys(segment.cleared)))
            for table in segment.cleared:
                counts.setdefault(str(table), Written()).cleared += 1
        if segment.changes:
            _apply(target, segment, counts)
    return counts


def _clear(target: Target, tables: Sequence[TableName]) -> None:
    """What stands against it is no row of the source's. Errors: TargetRefused."""
    try:
        target.clear(tables)
    except RowRefused as refused:
        raise TargetRefused(refused.what, where=refused.where, fix=refused.fix) from None


def _apply(target: Target, segment: Segment, counts: dict[str, Written]) -> None:
    rows = sum(change.rows for change in segment.changes)
    if rows <= target.singly_max * len({change.table for change in segment.changes}):
        _few(target, segment, counts)
    else:
        _many(target, segment, counts)


def _few(target: Target, segment: Segment, counts: dict[str, Written]) -> None:
    """In order; as sets where a constraint of the target's own is against that order."""
    try:
        _in_order(target, segment, counts)
    except TargetRefused as refused:
        if not target.may_go_as_sets(refused):
            target.abandon()
            raise
        target.undo()
        try:
            sets(target, nets(target.references, segment.changes), counts)
        except (NeedsOrder, TargetRefused):
            target.abandon()
            raise refused from None
        target.release()
    failpoint("deliver.staged")


def _many(target: Target, segment: Segment, counts: dict[str, Written]) -> None:
    target.savepoint()
    try:
        sets(target, nets(target.references, segment.changes), counts)
    except (NeedsOrder, TargetRefused) as error:
        if isinstance(error, RowRefused) and error.seq is not None:
            target.abandon()  # in order it would be refused, too
            raise
        target.undo()
        try:
            _in_order(target, segment, counts)
        except TargetRefused:
            target.abandon()
            target.release()
            raise
    target.release()


def _in_order(target: Target, segment: Segment, counts: dict[str, Written]) -> None:
    for table, written in target.in_order(segment.changes).items():
        add(counts.setdefault(table, Written()), written)


def sets(target: Target, effects: Sequence[Net], counts: dict[str, Written]) -> None:
    """Deletes, children before parents; then upserts, parents before children."""
    done = [Written(coalesced=one.coalesced) for one in effects]
    for one, written in reversed(list(zip(effects, done, strict=True))):
        written.deleted = target.writer(one.table).delete(one)
    for one, written in zip(effects, done, strict=True):
        written.upserted = target.writer(one.table).upsert(one)
    for one, written in zip(effects, done, strict=True):
        add(counts.setdefault(str(one.table.table), Written()), written)


def nets(references: References, changes: Sequence[RowChanges]) -> list[Net]:
    """The net effect on each table, parents before children. Errors: NeedsOrder."""
    by_name: dict[TableName, dict[TargetTable, list[RowChanges]]] = {}
    for change in changes:
        by_name.setdefault(change.table.table, {}).setdefault(change.table, []).append(change)
    effects = []
    for name in sorted(by_name, key=references.rank):
        versions = [joined(group) for group in by_name[name].values()]
        if len(versions) > 1 and (_keys_differ(versions) or meet(versions)):
            raise NeedsOrder  # two shapes of one table, as after ALTER TABLE, touch one row
        effects += [net(version) for version in versions]
    written = any(one.upserts or one.patches for one in effects)
    if written and any(_reaches_out(references, one) for one in effects):
        raise NeedsOrder  # a delete before its time could take rows that are to stay
    return effects


def _reaches_out(references: References, net: Net) -> bool:
    """Whether it may touch what is others', which in the source's order would stay, or move along.

    As sets a key that moves is deleted or overwritten and put elsewhere. That is what triggers can
    mind, foreign keys that are hidden from us or were added since we looked, and columns that are
    not ours; a delete that the source sent takes the rows of others in any order.
    """
    table = net.table.table
    if net.moves and table not in references.inert:
        return True
    return net.deletes is not None and table in references.cascading


def _keys_differ(changes: Sequence[RowChanges]) -> bool:
    return len({change.table.key for change in changes}) > 1


def add(total: Written, more: Written) -> None:
    """Add `more` to `total`."""
    total.upserted += more.upserted
    total.deleted += more.deleted
    total.cleared += more.cleared
    total.coalesced += more.coalesced
    total.unchanged += more.unchanged
