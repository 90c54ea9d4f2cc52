"""Takes changes to the target, and those that cannot go there to the desk.

    changes ─▶ held keys wait ─▶ route ─▶ write ─▶ …
                    │               │        │
                    └───────────────┴────────┴──▶ desk

On the way of sound changes this costs a look whether anything is held of their table.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cdc.changes import TableChanges
from sinks import batches
from sinks.applying import add
from sinks.protocol import FindsKeys, Sink, Written
from tailrace.errors import RowRefused, TailraceError
from tailrace.pipeline import faults
from tailrace.pipeline.arrivals import Origin
from tailrace.pipeline.breaker import Breaker
from tailrace.pipeline.desk import Desk
from tailrace.pipeline.isolate import between, isolated, seqs_of, together
from tailrace.pipeline.keys import Later, RowKeys, waiting
from tailrace.pipeline.phases import phases, pieces, postponed, taken
from tailrace.pipeline.references import (
    Demands,
    ForeignKeys,
    Orphan,
    place,
    refers,
    resolved,
    upserted,
)
from tailrace.pipeline.routing import Router
from tailrace.pipeline.selection import filtered, sliced
from tailrace.pipeline.tally import Tally
from tailrace.state.exceptions.codec import pack
from tailrace.state.exceptions.model import Cause, ExceptionId, Held, Key, Ref
from transforms.errors import RowError
from transforms.freshness import Watch
from transforms.rows import CLEAR, Logged, Places, RowChanges


@dataclass(frozen=True, slots=True)
class _Arrived:
    """Changes that were routed and are to be written: their `seq` is counted from `base` on."""

    changes: TableChanges
    base: int
    origin: Origin

    def one(self, seq: int) -> TableChanges | None:
        """The change whose rows are numbered `seq`, if it is among these."""
        numbers = self.changes.seq.to_numpy()
        at = int(np.searchsorted(numbers, seq - self.base))
        found = at < len(numbers) and numbers[at] == seq - self.base
        return sliced(self.changes, at, 1) if found else None


class _Origins:
    """Of what is written at once."""

    def __init__(self, arrived: Sequence[_Arrived]) -> None:
        self._arrived = arrived

    def of(self, seq: npt.NDArray[np.int64]) -> Places:
        bases = np.array([one.base for one in self._arrived])
        at = np.searchsorted(bases, seq, side="right") - 1
        found = [
            (self._arrived[index].origin, int(number) - self._arrived[index].base)
            for index, number in zip(at, seq, strict=True)
        ]
        ids = [origin.id(number) for origin, number in found]
        places = [origin.place(number) for origin, number in found]
        return Places(
            np.array([one.offset for one in ids], np.int64),
            np.array([one.seq for one in ids], np.int64),
            [one.position for one in places],
            np.array([one.committed_us for one in places], np.int64),
        )


class Intake:
    """Of one pipeline. `version`: of its mappings, for what is parked. `watch` sees what is
    written."""

    def __init__(
        self, desk: Desk, router: Router, tally: Tally, version: str, watch: Watch
    ) -> None:
        self._watch = watch
        self._foreign = ForeignKeys()
        self._desk = desk
        self._router = router
        self._tally = tally
        self._version = version
        self._mapping = Breaker("in their mappings")
        self._target = Breaker("at the target")
        self._rows: list[RowChanges] = []
        self._arrived: list[_Arrived] = []
        self._later: Later | None = None
        self._aside: set[int] = set()
        self.has_rows = False

    def forget(self) -> None:
        """The open transaction was given up."""
        self._rows = []
        self._arrived = []
        self._later = None
        self._aside = set()
        self.has_rows = False

    def route(self, changes: TableChanges, base: int, origin: Origin) -> None:
        """Make ready to be written. Errors: TransformError; TooManyExceptions."""
        changes = self._without_waiting(changes, origin)
        transactions = origin.transactions
        is_judged = False
        while changes.rows:
            try:
                made = self._router.route(changes, base, transactions)
            except RowError as error:
                changes = self._without_faulty(changes, error, origin)
                is_judged = True
                continue
            if origin.is_new and not is_judged:
                self._mapping.saw(changes.rows)
            if not origin.is_new:
                targets = self._receivers(changes)
                self._tally.add(targets, "received", -changes.rows)
                self._came(targets, changes.rows, origin)
            logged = Logged(changes, base, transactions, replayed=not origin.is_new)
            self._take(made, logged, origin)
            self.has_rows = True
            return

    def truncate(self, changes: TableChanges, base: int, origin: Origin) -> None:
        """A TRUNCATE: what is held of the table before it is overtaken where it is applied.

        What came before is to be written already, but for TRUNCATEs. Errors: TransformError, also
        where the TRUNCATE cannot be applied, which is no matter of a row.
        """
        assert not self.has_rows, "write what came before"
        transactions = origin.transactions
        made = self._router.route(changes, base, transactions)
        self._take(made, Logged(changes, base, transactions), origin)
        if any((rows.op.to_numpy() == CLEAR).any() for rows in made):
            for ref in self._desk.overtaken(str(changes.schema.table)):
                self._tally.add(ref.targets, "discarded", 1)

    def _take(self, made: Sequence[RowChanges], logged: Logged, origin: Origin) -> None:
        origins = _Origins(self._arrived)
        self._rows += [replace(rows, logged=(logged,), origins=origins) for rows in made]
        self._arrived.append(_Arrived(logged.changes, logged.base, origin))

    def write(self, sink: Sink) -> Mapping[str, Written]:
        """Write what was routed. Errors: as `Sink.write`, but for RowRefused; TooManyExceptions."""
        counts: Mapping[str, Written] = {}
        demands = self._demands(sink)
        if demands or refers(self._rows):
            self._rows = together(self._rows)
            counts = _sum(self._in_phases(sink, demands))
        elif self._rows:
            counts = self._written(sink, self._rows)
        self._arrives(self._rows)
        self.forget()
        return counts

    def _written(self, sink: Sink, rows: Sequence[RowChanges]) -> Mapping[str, Written]:
        try:
            counts = sink.write(rows)
            self.passed(sum(one.changes.rows for one in self._arrived))
        except RowRefused as refused:
            self._rows, rows = together(self._rows), together(rows)
            counts = _sum(isolated(sink, rows, refused, self))
        return counts

    def _demands(self, sink: Sink) -> Demands:
        """Foreign keys of the target to tables of which rows are held."""
        if not self._rows or not len(self._desk) or not isinstance(sink, FindsKeys):
            return {}
        return self._foreign.demands(self._rows, sink, self._desk.lacks)

    def _in_phases(self, sink: Sink, demands: Demands) -> Iterator[Mapping[str, Written]]:
        """Write rows of which some refer to others; put those aside whose parent is not there, also
        since the target refuses it."""
        assert isinstance(sink, FindsKeys), "config sees to it"
        *early, rest = phases(self._rows)
        late: set[int] = set()
        for parents in early:
            aside = _Early(self, sink, demands, parents)
            yield self._with_parents(sink, parents, aside)
            late |= aside.postponed
        if late:
            rest = taken(self._rows, late | set(seqs_of(rest).tolist()))
        for piece in pieces(rest, late):
            yield self._with_parents(sink, piece, _Referring(self, sink, demands))

    def _with_parents(
        self, sink: Sink, rows: Sequence[RowChanges], aside: _Referring
    ) -> Mapping[str, Written]:
        made = aside.without_waiting(rows)
        try:
            counts: Mapping[str, Written] = sink.write(made) if made else {}
            self.passed(len(seqs_of(made)))
        except RowRefused as refused:
            counts = _sum(isolated(sink, rows, refused, aside))
        return counts

    def orphaned(self, orphan: Orphan) -> None:
        if orphan.seq not in self._aside:
            self._put_all_aside(orphan.seq, orphan.cause)
            self._desk.awaits(self._id(orphan.seq), orphan.place)

    def _arrives(self, rows: Sequence[RowChanges]) -> None:
        """Tell the desk of rows that others wait for, and who watches of all."""
        written = self.without_waiting(rows)
        self._watch.saw(written, time.time())
        for change in written if self._desk.awaits_any else ():
            for column in change.table.columns:
                at = place(change.table.table, column.name)
                if awaited := self._desk.awaited(at):
                    wanted = pa.array(list(awaited), pa.string())
                    for keys in upserted([change], change.table.table, column.name):
                        here = keys.filter(pc.is_in(keys, wanted))
                        self._desk.came(at, here.to_pylist())

    def committed(self) -> None:
        """Changes of the journal are durable, those that paused the pipeline before among them."""
        self._mapping.committed()
        self._target.committed()

    def give_back(self, changes: TableChanges, origin: Origin, error: TailraceError) -> None:
        """Hold changes of the desk once more: their table's shape of then does not fit any more.

        Nobody can say to which tables they would go today, so they keep those of then.
        """
        ids = _ids(changes, origin)
        left = [row for row in range(changes.rows) if ids(row) not in self._desk]
        changes = filtered(changes, _flags(changes, left))
        keys, ids = RowKeys(changes), _ids(changes, origin)
        holders: dict[Key, list[ExceptionId]] = {}
        for row in range(changes.rows):
            for key in keys.of(row):
                holders.setdefault(key, []).append(ids(row))
        behind = waiting(keys, holders, ids)
        cause = faults.of_shape(error, str(changes.schema.table))
        causes: dict[int, Cause | None] = dict.fromkeys(range(changes.rows), cause)
        causes |= dict.fromkeys(behind)
        for row, why in causes.items():
            one = sliced(changes, row, 1)
            before = origin.before(int(one.seq[0].as_py()))
            assert before is not None, "only the desk's changes are given back"
            self._hold(one, {0: why}, origin, before.ref.targets)

    # What `isolate` asks of us

    def passed(self, changes: int) -> None:
        self._target.saw(changes)

    def refuse(self, seq: int, refused: RowRefused) -> None:
        if not self._behind.has_key(seq):
            raise refused  # nothing tells this row from others: it could not wait
        origin = self._put_all_aside(seq, faults.of_target(refused))
        if origin.is_new:
            self._target.saw(0, 1)

    def without_waiting(self, rows: Sequence[RowChanges]) -> Sequence[RowChanges]:
        return _without(rows, self._aside) if self._aside else rows

    @property
    def _behind(self) -> Later:
        if self._later is None:
            self._later = Later()
            for arrived in self._arrived:
                self._later.add(arrived.changes, arrived.base)
        return self._later

    def _put_all_aside(self, seq: int, cause: Cause) -> Origin:
        """A change, and what waits behind it."""
        origin = self._put_aside(seq, cause)
        for behind in self._behind.behind(seq):
            if behind not in self._aside:
                self._put_aside(behind, None)
        return origin

    def _id(self, seq: int) -> ExceptionId:
        arrived, _ = self._arrival(seq)
        return arrived.origin.id(seq - arrived.base)

    def _put_aside(self, seq: int, cause: Cause | None) -> Origin:
        self._aside.add(seq)
        arrived, change = self._arrival(seq)
        self._unroute(change, arrived.origin, between(self._rows, seq, seq))
        self._hold(change, {0: cause}, arrived.origin)
        return arrived.origin

    def _arrival(self, seq: int) -> tuple[_Arrived, TableChanges]:
        """The change that was routed to the rows `seq`."""
        base = attrgetter("base")
        at = bisect_right(self._arrived, seq, key=base) - 1
        for arrived in self._arrived[at::-1]:
            if (change := arrived.one(seq)) is not None:
                return arrived, change
        raise LookupError(seq)

    def _without_waiting(self, changes: TableChanges, origin: Origin) -> TableChanges:
        rows = self._waiting(changes, origin)
        if not rows:
            return changes
        self._hold(changes, dict.fromkeys(rows), origin)
        return filtered(changes, ~_flags(changes, rows))

    def _waiting(self, changes: TableChanges, origin: Origin) -> list[int]:
        held = self._desk.holders(str(changes.schema.table))
        return waiting(RowKeys(changes), held, _ids(changes, origin)) if held else []

    def _without_faulty(
        self, changes: TableChanges, error: RowError, origin: Origin
    ) -> TableChanges:
        """Park what the mappings cannot take, and what waits behind it; return the rest."""
        keys, ids = RowKeys(changes), _ids(changes, origin)
        seqs = changes.seq.to_numpy()
        parked: dict[int, Cause | None] = {}
        holders: dict[Key, list[ExceptionId]] = {}
        for seq, cause in sorted(faults.of_mappings(error).items()):
            row = int(np.searchsorted(seqs, seq))
            if not keys.of(row):  # a TRUNCATE, or a row that nothing tells from others
                raise error
            parked[row] = cause
            for key in keys.of(row):
                holders.setdefault(key, []).append(ids(row))
        if origin.is_new:
            self._mapping.saw(changes.rows - len(parked), len(parked))
        held = {**dict.fromkeys(waiting(keys, holders, ids)), **parked}
        self._hold(changes, held, origin)
        return filtered(changes, ~_flags(changes, held))

    def _hold(
        self,
        changes: TableChanges,
        rows: Mapping[int, Cause | None],
        origin: Origin,
        targets: tuple[str, ...] | None = None,
    ) -> None:
        """Put rows on the desk, those without a cause behind others.

        `targets`: the tables they were to be written to, if not those of today's mappings.
        """
        order = sorted(rows)
        keys = RowKeys(changes)
        targets = self._receivers(changes) if targets is None else targets
        held = [
            self._held(changes, row, rows[row], keys.of(row), targets, packed, origin)
            for row, packed in zip(order, pack(changes, order), strict=True)
        ]
        self._desk.hold(held, changes.schema)
        self._came(targets, len(held), origin)
        self._tally.add(targets, "parked", len(held))

    def _held(
        self,
        changes: TableChanges,
        row: int,
        cause: Cause | None,
        keys: tuple[Key, ...],
        targets: tuple[str, ...],
        packed: bytes,
        origin: Origin,
    ) -> Held:
        seq = int(changes.seq[row].as_py())
        before, place = origin.before(seq), origin.place(seq)
        tries = 0 if before is None else before.attempts
        return Held(
            ref=Ref(
                origin.id(seq),
                str(changes.schema.table),
                keys,
                targets,
                "waiting" if cause is None else "parked",
                cause is not None and cause.of_parent,
            ),
            operation=chr(changes.op[row].as_py()),
            schema=changes.schema.version,
            row=packed if before is None else before.row,
            edited=None if before is None else before.edited,
            position=place.position,
            ordinal=place.ordinal,
            committed_us=place.committed_us,
            cause=cause,
            mapping_version=self._version,
            attempts=tries + (cause is not None),
        )

    # Counting. The router counts a change as received when it routes it.

    def _receivers(self, changes: TableChanges) -> tuple[str, ...]:
        return tuple(map(str, self._router.receivers(changes.schema)))

    def _came(self, targets: Sequence[str], changes: int, origin: Origin) -> None:
        """What the desk gives again was received before."""
        self._tally.add(targets, "received" if origin.is_new else "replayed", changes)

    def _unroute(self, change: TableChanges, origin: Origin, rows: Sequence[RowChanges]) -> None:
        """Take back what was counted when this one was routed, to `rows`."""
        targets = self._receivers(change)
        self._came(targets, -change.rows, origin)
        self._tally.add(targets, "filtered", -change.rows)
        for row in rows:
            self._tally.add((str(row.table.table),), "filtered", row.rows)


@dataclass(frozen=True, slots=True)
class _Referring:
    """As `Intake`, for rows that refer to others: each piece is looked through before it is
    written, since a parent that was refused leaves its children behind."""

    intake: Intake
    sink: FindsKeys
    demands: Demands

    def without_waiting(self, rows: Sequence[RowChanges]) -> Sequence[RowChanges]:
        while True:
            rows = self.intake.without_waiting(rows)
            made, orphans = resolved(rows, self.sink, self.demands)
            if not orphans:
                return made
            for orphan in orphans:
                self.intake.orphaned(orphan)

    def passed(self, changes: int) -> None:
        self.intake.passed(changes)

    def refuse(self, seq: int, refused: RowRefused) -> None:
        self.intake.refuse(seq, refused)


@dataclass(frozen=True, slots=True)
class _Early(_Referring):
    """Of `rows` that go before their place; what the target refuses there is tried again in it."""

    rows: Sequence[RowChanges]
    postponed: set[int] = field(default_factory=set)

    def without_waiting(self, rows: Sequence[RowChanges]) -> Sequence[RowChanges]:
        rows = _without(rows, self.postponed) if self.postponed else rows
        return super(_Early, self).without_waiting(rows)

    def refuse(self, seq: int, refused: RowRefused) -> None:
        late = postponed(self.rows, seq)
        if not len(late):
            super(_Early, self).refuse(seq, refused)
        self.postponed.update(late.tolist())


def _ids(changes: TableChanges, origin: Origin) -> Callable[[int], ExceptionId]:
    return lambda row: origin.id(int(changes.seq[row].as_py()))


def _flags(changes: TableChanges, rows: Collection[int]) -> np.ndarray:
    flags = np.zeros(changes.rows, np.bool_)
    flags[list(rows)] = True
    return flags


_FEW_GAPS = 4
"""What is left between so many is not copied."""


def _without(rows: Sequence[RowChanges], seqs: Collection[int]) -> list[RowChanges]:
    found = []
    for change in rows:
        seq = change.seq.to_numpy()
        gaps = np.searchsorted(seq, [(one, one + 1) for one in sorted(seqs)])
        gaps = gaps[gaps[:, 0] < gaps[:, 1]]
        if len(gaps) <= _FEW_GAPS:
            ends = zip([0, *gaps[:, 1]], [*gaps[:, 0], len(seq)], strict=True)
            found += [batches.sliced(change, at, end - at) for at, end in ends if end > at]
        else:
            keep = np.ones(len(seq), np.bool_)
            for at, end in gaps:
                keep[at:end] = False
            if keep.any():
                found.append(batches.taken_rows(change, np.flatnonzero(keep)))
    return found


def _sum(pieces: Iterable[Mapping[str, Written]]) -> dict[str, Written]:
    counts: dict[str, Written] = {}
    for piece in pieces:
        for table, written in piece.items():
            add(counts.setdefault(table, Written()), written)
    return counts
