"""The delivery loop: the journal into one target, a target transaction at a time.

    journal ─▶ route (mappings) ─▶ write ─▶ … ─▶ commit with the checkpoint ─▶ hint
       ▲              └── desk ──────┘                  │
       └────── roll back, back off, reopen ◀────────────┘  target not available, or pausing

Several small source transactions share one target transaction. A huge one, whose parts may still
be arriving in the journal, is written part by part inside a single target transaction and
committed with its last.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cdc.changes import ChangeSet, TableChanges
from cdc.schema import TableSchema
from sinks.applying import add
from sinks.protocol import Checkpoint, Recognising, Sink, Written
from tailrace.errors import (
    ExceptionsUnavailable,
    RowRefused,
    TailraceError,
    TargetRefused,
    TransformError,
)
from tailrace.failpoints import failpoint
from tailrace.journal.hints import write_hint
from tailrace.journal.protocol import Entry, JournalReader
from tailrace.pipeline import metrics, replay
from tailrace.pipeline.arrivals import FromJournal, is_truncate, strips
from tailrace.pipeline.desk import Desk
from tailrace.pipeline.facts import SNAPSHOT
from tailrace.pipeline.intake import Intake
from tailrace.pipeline.retry import PAUSING, RETRIED, Backoff
from tailrace.pipeline.routing import Router
from tailrace.pipeline.selection import without_opening_clear, without_origin
from tailrace.pipeline.stopping import Stop
from tailrace.pipeline.tally import Outcomes, Tally, imbalances
from tailrace.state.exceptions.model import Request
from tailrace.state.newest import save
from tailrace.state.processes import Reporter
from transforms.freshness import Watch

if TYPE_CHECKING:
    from tailrace.pipeline.lookups import Lookups

log = logging.getLogger("tailrace.deliver")

READ_BYTES = 8 << 20
"""What one target transaction takes from the journal, beyond a single larger one."""
SMALL_READ_BYTES = 256 << 10
"""The same for a target that takes nothing back: it may take minutes, in which the checkpoint
stands still and nobody hears what people ask of the desk."""
WRITE_ROWS = 65_536
"""Rows handed to the sink at once: enough for sets to pay, few enough to bound memory."""
UNFINISHED_S = 30.0
"""How long a target transaction stays open for parts that do not come. Then it is rolled back, so
that a dead capture process never leaves locks at the target."""
REPORT_S = 1.0
POLL_S = 0.5
ASKED_S = 0.2
"""How often it looks what people asked of the exceptions desk."""


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """`hints`: where capture looks up how far each pipeline is. `newest`: where the newest values
    of a freshness are kept. `keeps_existing`: some target
    table may hold rows that are not ours, so that nothing may clear it. `mapping_version`: of the
    mappings that `router` has."""

    pipeline: str
    hints: Path
    newest: Path | None = None
    keeps_existing: bool = False
    mapping_version: str = ""


@dataclass(slots=True)
class _Batch:
    """What the open target transaction holds."""

    began_s: float
    offset: int = 0
    position: str = ""
    commit_us: int = 0
    written: dict[str, Written] = field(default_factory=dict)


class Delivery:
    """Moves one journal into one target until told to stop, or with `once` until drained.

    Errors: those that a retry cannot mend (TransformError, Fenced …; with `once` also what would
    pause it), with the source position added; the journal keeps everything, the target stands at
    its checkpoint.
    """

    def __init__(
        self,
        settings: DeliverySettings,
        journal: JournalReader,
        router: Router,
        desk: Desk,
        connect: Callable[[], Sink],
        reporter: Reporter,
        stop: Stop,
        *,
        lookups: Lookups | None = None,
        watch: Watch | None = None,
        once: bool = False,
    ) -> None:
        """`lookups`: where the router's mappings look something up. `watch`: for entities that
        promise freshness."""
        self._lookups = lookups
        self._watch = Watch({}) if watch is None else watch
        self._settings = settings
        self._journal = journal
        self._router = router
        self._desk = desk
        self._tally = Tally()
        self._intake = Intake(desk, router, self._tally, settings.mapping_version, self._watch)
        self._connect = connect
        self._reporter = reporter
        self._stop = stop
        self._once = once
        self._backoff = Backoff()
        self._prepared: set[str] = set()
        self._checkpoint = Checkpoint(journal.id, 0, "")
        self._discrepancies: dict[str, int] = {}
        self._conflicts: dict[str, int] = {}
        self._cursor = 0
        self._next_part = 0
        self._whole = self._looked = 0
        self._batch: _Batch | None = None
        self._progress = _Progress()
        self._asked_s = 0.0
        self._remembered: dict[str, float] = {}

    def run(self) -> None:
        while not self._stop:
            if self._reporter.report.state != "paused":
                self._reporter.say("starting")
            try:
                with closing(self._connect()) as sink:
                    self._open(sink)
                    self._follow(sink)
                if self._once:
                    break
            except RETRIED as error:
                wait_s = self._backoff.next_s()
                log.warning(
                    "delivery waits",
                    extra={"code": error.code, "error": str(error), "retry_s": wait_s},
                )
                self._reporter.say("retrying", error=error)
                self._stop.wait(wait_s)
            except PAUSING as error:
                if self._once or isinstance(error, RowRefused):  # no row that could wait
                    raise
                self._pause(error)
        self._reporter.say("stopped")

    def _pause(self, error: TailraceError) -> None:
        """Wait, but not longer than until somebody asks something more of the desk."""
        wait_s = self._backoff.next_s()
        log.error(
            "delivery pauses", extra={"code": error.code, "error": str(error), "retry_s": wait_s}
        )
        self._reporter.say("paused", error=error, **self._held())
        until = time.monotonic() + wait_s
        known = self._asked()
        while not self._asked() - known and (left := until - time.monotonic()) > 0:
            if self._stop.wait(min(left, POLL_S)):
                return

    def _asked(self) -> set[Request]:
        """Nothing where the file cannot be read now: a pause ends by itself, too."""
        try:
            return set(self._desk.store.requests())
        except ExceptionsUnavailable:
            return set()

    def _open(self, sink: Sink) -> None:
        self._checkpoint = sink.open(self._journal.id)
        self._desk.open(sink.receipts())
        if self._lookups is not None:
            self._lookups.open(self._checkpoint.offset)
        self._rewind(sink)
        self._hint()
        log.info(
            "delivering",
            extra={"pipeline": self._settings.pipeline, "offset": self._checkpoint.offset},
        )

    def _rewind(self, sink: Sink) -> None:
        self._prepared.clear()
        if shared := self._router.shared_tables:
            sink.prepare(shared)  # so that it counts what waits there, although nothing comes
        self._cursor = self._checkpoint.offset
        self._next_part = 0
        self._batch = None
        self._desk.forget()
        self._intake.forget()
        self._tally.clear()
        self._router.take_counts()
        self._watch.forget()
        if self._lookups is not None:
            self._lookups.rewind()

    def _follow(self, sink: Sink) -> None:
        waited_since = time.monotonic()
        while not self._stop or self._batch is not None:
            if self._stop.overdue:
                sink.rollback()  # a huge transaction, of which more would come
                return
            if self._awaits_snapshot():
                self._report(sink)
                self._journal.wait(POLL_S)
                continue
            if self._batch is None and time.monotonic() - self._asked_s > ASKED_S:
                self._replay(sink)
                self._asked_s = time.monotonic()
            most = READ_BYTES if sink.undoes else SMALL_READ_BYTES
            entries = self._journal.read(self._cursor, bytes_max=most)
            if entries:
                waited_since = time.monotonic()
                failpoint("deliver.read")
                if not self._deliver(sink, entries):
                    if self._once:
                        return
                    self._journal.wait(POLL_S)
            elif self._batch is not None and (
                self._stop or time.monotonic() - waited_since > UNFINISHED_S
            ):
                sink.rollback()
                self._rewind(sink)
                if not self._stop:
                    self._journal.wait(POLL_S)
            elif self._once and self._batch is None:
                if not self._desk.has_ready:
                    return
                self._replay(sink)
            else:
                if self._batch is None:  # up to date
                    self._backoff.reset()
                self._report(sink)
                self._journal.wait(POLL_S)
            if self._progress.due():
                self._report(sink)

    def _awaits_snapshot(self) -> bool:
        """Where nothing may be cleared, only a snapshot that will not start over is delivered."""
        return self._settings.keeps_existing and self._journal.get(SNAPSHOT) != "done"

    def _deliver(self, sink: Sink, entries: Sequence[Entry]) -> bool:
        """Write entries; commit at the last complete one, so that none waits for a huge one.

        False where nothing of them may be written yet.
        """
        last = max((i for i, entry in enumerate(entries) if entry.changes.complete), default=-1)
        for run, ends in ((entries[: last + 1], True), (entries[last + 1 :], False)):
            if not run:
                continue
            if not (ends or sink.undoes or self._is_whole(run[-1].offset)):
                return last >= 0
            if not self._continues(run[0]):
                log.info("the journal's unfinished tail was cut; reading again from the checkpoint")
                sink.rollback()
                self._rewind(sink)
                return True
            self._write(sink, run)
            if ends:
                self._commit(sink)
                self._intake.committed()
        return True

    def _is_whole(self, offset: int) -> bool:
        """Whether the journal has the end of the transaction of which `offset` is a part: it can
        be cut off no more."""
        self._looked = max(self._looked, offset)
        while self._whole < offset:
            entries = self._journal.read(self._looked, bytes_max=READ_BYTES)
            if not entries or entries[0].changes.part == 0:
                return False
            self._looked = entries[-1].offset
            self._whole = max((one.offset for one in entries if one.changes.complete), default=0)
        return True

    def _continues(self, entry: Entry) -> bool:
        return entry.changes.part == self._next_part

    def _write(self, sink: Sink, entries: Sequence[Entry]) -> None:
        batch = self._batch = self._batch or _Batch(time.monotonic())
        for chunk in _chunks(entries):
            base = 0
            for entry in chunk:
                self._route(sink, entry, base, chunk)
                base += entry.changes.rows
            self._flush(sink, chunk)
        for entry in entries:
            changes = entry.changes
            self._cursor = batch.offset = entry.offset
            self._next_part = 0 if changes.complete else changes.part + 1
            if changes.complete:
                batch.position = changes.position
            if changes.transactions.num_rows:
                batch.commit_us = changes.transactions.column("commit_us")[-1].as_py()

    def _route(self, sink: Sink, entry: Entry, base: int, chunk: Sequence[Entry]) -> None:
        origin = FromJournal(entry.offset, entry.changes)
        for strip in self._strips(sink, entry):
            clears = is_truncate(strip)
            if clears and self._intake.has_rows:
                self._flush(sink, chunk)
            for table in strip:
                try:
                    self._prepare(sink, table.schema)
                    if clears:
                        self._intake.truncate(table, base, origin)
                    else:
                        self._intake.route(table, base, origin)
                except TailraceError as error:
                    _locate(error, entry, table)
                    raise

    def _strips(self, sink: Sink, entry: Entry) -> Iterator[Sequence[TableChanges]]:
        """What is routed at once: up to a TRUNCATE, or until a looked up table changes."""
        tables = self._changes(sink, entry)
        pieces: Iterable[Sequence[TableChanges]] = [tables]
        if self._lookups is not None:
            pieces = self._lookups.pieces(entry.changes, tables)
        for piece in pieces:
            yield from strips(piece)

    def _changes(self, sink: Sink, entry: Entry) -> list[TableChanges]:
        tables: Sequence[TableChanges | None] = without_origin(entry.changes, sink.system)
        if self._settings.keeps_existing:
            tables = [
                without_opening_clear(entry.changes, table) for table in tables if table is not None
            ]
        return [table for table in tables if table is not None]

    def _prepare(self, sink: Sink, schema: TableSchema) -> None:
        if schema.version not in self._prepared:
            sink.prepare(self._router.target_tables(schema))
            self._prepared.add(schema.version)

    def _flush(self, sink: Sink, chunk: Sequence[Entry] = ()) -> None:
        assert self._batch is not None
        try:
            counts = self._intake.write(sink)
        except TailraceError as error:
            _locate_in(error, chunk)
            raise
        for table, written in counts.items():
            add(self._batch.written.setdefault(table, Written()), written)

    def _replay(self, sink: Sink) -> None:
        """Do what people asked of the exceptions desk, in a target transaction of its own.

        What would pause the pipeline, and only the replay meets, ends the replay and nothing else.
        """
        taken = replay.begin(self._desk, self._tally)
        if taken is None:
            return
        try:
            self._replay_all(sink, taken)
        except PAUSING as error:
            if not taken.replays:
                raise
            sink.rollback()
            self._rewind(sink)
            replay.give_up(self._desk, taken, error)

    def _replay_all(self, sink: Sink, taken: replay.Replay) -> None:
        at = self._checkpoint
        self._batch = _Batch(time.monotonic(), at.offset, at.position)
        for changes, origin in taken.arrivals(self._desk):
            try:
                self._prepare(sink, changes.schema)
                self._intake.route(changes, 0, origin)
            except (TransformError, TargetRefused) as error:
                self._intake.give_back(changes, origin, error)
        self._flush(sink)
        if any(written.upserted for written in self._batch.written.values()):
            self._desk.came_again()
        replay.finish(self._desk, taken)
        self._commit(sink)

    def _commit(self, sink: Sink) -> None:
        batch = self._batch
        assert batch is not None
        receipts = self._desk.stored()
        durable = sink.commit(Checkpoint(self._journal.id, batch.offset, batch.position), receipts)
        self._desk.settled()
        failpoint("deliver.after_commit")
        self._checkpoint = durable.checkpoint
        self._batch = None
        self._backoff.reset()
        settings = self._settings
        self._watch.settle()
        if self._lookups is not None:
            self._lookups.committed(self._checkpoint.offset)
        self._hint()
        metrics.BATCH_SECONDS.labels(settings.pipeline).observe(time.monotonic() - batch.began_s)
        self._progress.committed(batch.commit_us)
        self._count(batch)

    def _hint(self) -> None:
        """Tell capture from where on the journal is needed."""
        at = self._checkpoint.offset if self._lookups is None else self._lookups.needs_from
        write_hint(self._settings.hints, self._settings.pipeline, at)

    def _count(self, batch: _Batch) -> None:
        """What became of the rows, per table; only what is durable counts."""
        pipeline = self._settings.pipeline
        outcomes = self._tally.taken(self._router.take_counts(), batch.written)
        for table, counts in outcomes.items():
            for outcome, rows in counts.items():
                metrics.ROWS.labels(pipeline, table, outcome).inc(rows)
        self._progress.add(outcomes)
        for text in self._progress.imbalances:
            log.error("rows do not add up", extra={"pipeline": pipeline, "what": text})

    def _held(self) -> dict[str, Any]:
        held = {state: self._desk.count(state) for state in ("parked", "waiting")}
        metrics.PARKED.labels(self._settings.pipeline).set(held["parked"])
        metrics.WAITING.labels(self._settings.pipeline).set(held["waiting"])
        return held

    def _report(self, sink: Sink) -> None:
        extent = self._journal.extent()
        waiting = max(0, extent.last - self._checkpoint.offset)
        lag_s, age_s = self._progress.lag_s(waiting > 0)
        pipeline = self._settings.pipeline
        metrics.PIPELINE_LAG_ENTRIES.labels(pipeline).set(waiting)
        metrics.PIPELINE_LAG_SECONDS.labels(pipeline).set(lag_s)
        metrics.CHECKPOINT_AGE_SECONDS.labels(pipeline).set(age_s)
        if self._batch is None:
            self._discrepancies = dict(sink.discrepancies())
            if isinstance(sink, Recognising):
                self._conflicts = dict(sink.conflicts())
        for entity, count in self._discrepancies.items():
            metrics.DISCREPANCIES.labels(pipeline, entity).set(count)
        for entity, count in self._conflicts.items():
            metrics.IDENTITY_CONFLICTS.labels(pipeline, entity).set(count)
        self._reporter.say(
            "streaming" if waiting else "waiting",
            offset=self._checkpoint.offset,
            cursor=self._cursor,
            position=self._checkpoint.position,
            lag_entries=waiting,
            lag_s=round(lag_s, 3),
            checkpoint_age_s=round(age_s, 3),
            rows=dict(self._progress.rows),
            tables={table: dict(rows) for table, rows in self._progress.tables.items()},
            imbalances=self._progress.imbalances,
            mapping_version=self._settings.mapping_version,
            discrepancies=dict(self._discrepancies),
            freshness=self._freshness(),
            identity_conflicts=dict(self._conflicts),
            **self._held(),
        )

    def _freshness(self) -> dict[str, Any]:
        """By entity what its contract promises, and the newest value that was written, in seconds
        since 1970; None: nothing since the first start."""
        found: dict[str, Any] = {}
        known = {}
        for entity, promise in self._watch.entities:
            newest_s = self._watch.newest_s.get(entity)
            labels = (self._settings.pipeline, entity)
            metrics.FRESHNESS_LIMIT.labels(*labels).set(promise.within_s)
            if newest_s is not None:
                known[f"{entity}.{promise.field}"] = newest_s
                metrics.NEWEST.labels(*labels).set(newest_s)
            found[entity] = {
                "field": promise.field,
                "within_s": promise.within_s,
                "newest_s": newest_s,
            }
        if self._settings.newest is not None and known != self._remembered:
            save(self._settings.newest, known)
            self._remembered = known
        return found


class _Progress:
    """How far behind the newest applied source commit is."""

    def __init__(self) -> None:
        self._commit_us = 0
        self._moved_s = time.monotonic()
        self._reported_s = 0.0
        self.tables: Outcomes = {}
        self.imbalances: list[str] = []

    @property
    def rows(self) -> Mapping[str, int]:
        """Outcome → rows of all tables."""
        total: Counter[str] = Counter()
        for rows in self.tables.values():
            total.update(rows)
        return total

    def committed(self, commit_us: int) -> None:
        self._commit_us = commit_us or self._commit_us
        self._moved_s = time.monotonic()

    def add(self, outcomes: Outcomes) -> None:
        for table, rows in outcomes.items():
            self.tables.setdefault(table, Counter()).update(rows)
        self.imbalances = list(imbalances(self.tables))

    def lag_s(self, waiting: bool) -> tuple[float, float]:
        """(age of the newest applied source commit, time since the checkpoint moved)."""
        if not waiting:
            self._moved_s = time.monotonic()
            return 0.0, 0.0
        lag_s = max(0.0, time.time() - self._commit_us / 1e6) if self._commit_us else 0.0
        return lag_s, time.monotonic() - self._moved_s

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._reported_s < REPORT_S:
            return False
        self._reported_s = now
        return True


def _chunks(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Entries in groups of about WRITE_ROWS rows."""
    chunk: list[Entry] = []
    rows = 0
    for entry in entries:
        if chunk and rows + entry.changes.rows > WRITE_ROWS:
            yield chunk
            chunk, rows = [], 0
        chunk.append(entry)
        rows += entry.changes.rows
    if chunk:
        yield chunk


def _locate(error: TailraceError, entry: Entry, table: TableChanges) -> None:
    """Say where in the source's log an error of one table's changes lies."""
    error.where.setdefault("table", str(table.schema.table))
    _place(error, entry, getattr(error, "seq", None))


def _locate_in(error: TailraceError, chunk: Sequence[Entry]) -> None:
    """The same for what the target refused: `seq` then counts over all entries written at once."""
    seq = getattr(error, "seq", None)
    if seq is None:
        return
    for entry in chunk:
        if seq < entry.changes.rows:
            return _place(error, entry, seq)
        seq -= entry.changes.rows


def _place(error: TailraceError, entry: Entry, seq: int | None) -> None:
    changes: ChangeSet = entry.changes
    error.where.setdefault("journal_offset", entry.offset)
    if seq is None or not changes.transactions.num_rows:
        return
    index = max(0, int(changes.transaction_of(np.array([seq]))[0]))
    first = changes.transactions.column("first_seq")[index].as_py()
    error.where.setdefault("position", changes.transactions.column("position")[index].as_py())
    error.where.setdefault("ordinal", int(seq) - first)
