"""The delivery loop: the journal into one target, a target transaction at a time.

    journal ─▶ route (mappings) ─▶ write ─▶ … ─▶ commit with the checkpoint ─▶ hint
       ▲                                                │
       └────── roll back, back off, reopen ◀────────────┘  target not available

Several small source transactions share one target transaction. A huge one, whose parts may still
be arriving in the journal, is written part by part inside a single target transaction and
committed with its last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from cdc.changes import ChangeSet, TableChanges
from cdc.schema import TableSchema
from sinks.protocol import Checkpoint, Sink, Written
from tailrace.errors import TailraceError
from tailrace.failpoints import failpoint
from tailrace.journal.hints import write_hint
from tailrace.journal.protocol import Entry, JournalReader
from tailrace.pipeline import metrics
from tailrace.pipeline.facts import SNAPSHOT
from tailrace.pipeline.retry import RETRIED, Backoff
from tailrace.pipeline.selection import without_opening_clear, without_origin
from tailrace.pipeline.stopping import Stop
from tailrace.state.processes import Reporter
from transforms.rows import RowChanges, TargetTable

log = logging.getLogger("tailrace.deliver")

READ_BYTES = 8 << 20
"""What one target transaction takes from the journal, beyond a single larger one."""
WRITE_ROWS = 65_536
"""Rows handed to the sink at once: enough for sets to pay, few enough to bound memory."""
UNFINISHED_S = 30.0
"""How long a target transaction stays open for parts that do not come. Then it is rolled back, so
that a dead capture process never leaves locks at the target."""
REPORT_S = 1.0
POLL_S = 0.5


class Router(Protocol):
    """Changes of source tables to changes of target tables."""

    def target_tables(self, schema: TableSchema) -> Sequence[TargetTable]: ...
    def route(
        self, changes: TableChanges, seq_base: int, transactions: pa.RecordBatch
    ) -> Sequence[RowChanges]: ...
    def take_counts(self) -> dict[tuple[str, str], dict[str, int]]:
        """(source table, target table) → rows received and filtered since the last call."""


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """`hints`: where capture looks up how far each pipeline is. `keeps_existing`: some target
    table may hold rows that are not ours, so that nothing may clear it."""

    pipeline: str
    hints: Path
    keeps_existing: bool = False


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

    Errors: those that a retry cannot mend (TransformError, TargetRefused, Fenced …), with the
    source position added; the journal keeps everything, the target stands at its checkpoint.
    """

    def __init__(
        self,
        settings: DeliverySettings,
        journal: JournalReader,
        router: Router,
        connect: Callable[[], Sink],
        reporter: Reporter,
        stop: Stop,
        *,
        once: bool = False,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._router = router
        self._connect = connect
        self._reporter = reporter
        self._stop = stop
        self._once = once
        self._backoff = Backoff()
        self._prepared: set[str] = set()
        self._checkpoint = Checkpoint(journal.id, 0, "")
        self._discrepancies: dict[str, int] = {}
        self._cursor = 0
        self._next_part = 0
        self._batch: _Batch | None = None
        self._progress = _Progress()

    def run(self) -> None:
        while not self._stop:
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
        self._reporter.say("stopped")

    def _open(self, sink: Sink) -> None:
        self._checkpoint = sink.open(self._journal.id)
        self._rewind()
        write_hint(self._settings.hints, self._settings.pipeline, self._checkpoint.offset)
        log.info(
            "delivering",
            extra={"pipeline": self._settings.pipeline, "offset": self._checkpoint.offset},
        )

    def _rewind(self) -> None:
        self._prepared.clear()
        self._cursor = self._checkpoint.offset
        self._next_part = 0
        self._batch = None

    def _follow(self, sink: Sink) -> None:
        waited_since = time.monotonic()
        while not self._stop or self._batch is not None:
            if self._awaits_snapshot():
                self._report(sink)
                self._journal.wait(POLL_S)
                continue
            entries = self._journal.read(self._cursor, bytes_max=READ_BYTES)
            if entries:
                waited_since = time.monotonic()
                failpoint("deliver.read")
                self._deliver(sink, entries)
            elif self._batch is not None and (
                self._stop or time.monotonic() - waited_since > UNFINISHED_S
            ):
                sink.rollback()
                self._rewind()
                if not self._stop:
                    self._journal.wait(POLL_S)
            elif self._once and self._batch is None:
                return
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

    def _deliver(self, sink: Sink, entries: Sequence[Entry]) -> None:
        """Write entries; commit at the last complete one, so that none waits for a huge one."""
        last = max((i for i, entry in enumerate(entries) if entry.changes.complete), default=-1)
        for run, ends in ((entries[: last + 1], True), (entries[last + 1 :], False)):
            if not run:
                continue
            if not self._continues(run[0]):
                log.info("the journal's unfinished tail was cut; reading again from the checkpoint")
                sink.rollback()
                self._rewind()
                return
            self._write(sink, run)
            if ends:
                self._commit(sink)

    def _continues(self, entry: Entry) -> bool:
        return entry.changes.part == self._next_part

    def _write(self, sink: Sink, entries: Sequence[Entry]) -> None:
        batch = self._batch = self._batch or _Batch(time.monotonic())
        for chunk in _chunks(entries):
            rows: list[RowChanges] = []
            base = 0
            for entry in chunk:
                rows += self._route(sink, entry, base)
                base += entry.changes.rows
            if rows:
                try:
                    counts = sink.write(rows)
                except TailraceError as error:
                    _locate_in(error, chunk)
                    raise
                for table, written in counts.items():
                    _add(batch.written.setdefault(table, Written()), written)
        for entry in entries:
            changes = entry.changes
            self._cursor = batch.offset = entry.offset
            self._next_part = 0 if changes.complete else changes.part + 1
            if changes.complete:
                batch.position = changes.position
            if changes.transactions.num_rows:
                batch.commit_us = changes.transactions.column("commit_us")[-1].as_py()

    def _route(self, sink: Sink, entry: Entry, base: int) -> list[RowChanges]:
        rows: list[RowChanges] = []
        for changed in without_origin(entry.changes, sink.system):
            table: TableChanges | None = changed
            if self._settings.keeps_existing:
                table = without_opening_clear(entry.changes, changed)
            if table is None:
                continue
            try:
                version = table.schema.version
                if version not in self._prepared:
                    sink.prepare(self._router.target_tables(table.schema))
                    self._prepared.add(version)
                rows += self._router.route(table, base, entry.changes.transactions)
            except TailraceError as error:
                _locate(error, entry, table)
                raise
        return rows

    def _commit(self, sink: Sink) -> None:
        batch = self._batch
        assert batch is not None
        durable = sink.commit(Checkpoint(self._journal.id, batch.offset, batch.position))
        failpoint("deliver.after_commit")
        self._checkpoint = durable.checkpoint
        self._batch = None
        self._backoff.reset()
        settings = self._settings
        write_hint(settings.hints, settings.pipeline, self._checkpoint.offset)
        metrics.BATCH_SECONDS.labels(settings.pipeline).observe(time.monotonic() - batch.began_s)
        self._progress.committed(batch.commit_us)
        self._count(batch)

    def _count(self, batch: _Batch) -> None:
        """Received = written + coalesced + filtered, per table; only what is durable counts."""
        pipeline = self._settings.pipeline
        for (table, outcome), rows in _outcomes(self._router.take_counts(), batch.written):
            metrics.ROWS.labels(pipeline, table, outcome).inc(rows)
            self._progress.add(outcome, rows)

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
        for entity, count in self._discrepancies.items():
            metrics.DISCREPANCIES.labels(pipeline, entity).set(count)
        self._reporter.say(
            "streaming" if waiting else "waiting",
            offset=self._checkpoint.offset,
            cursor=self._cursor,
            position=self._checkpoint.position,
            lag_entries=waiting,
            lag_s=round(lag_s, 3),
            checkpoint_age_s=round(age_s, 3),
            rows=dict(self._progress.rows),
            discrepancies=dict(self._discrepancies),
        )


class _Progress:
    """How far behind the newest applied source commit is."""

    def __init__(self) -> None:
        self._commit_us = 0
        self._moved_s = time.monotonic()
        self._reported_s = 0.0
        self.rows: dict[str, int] = {}

    def committed(self, commit_us: int) -> None:
        self._commit_us = commit_us or self._commit_us
        self._moved_s = time.monotonic()

    def add(self, outcome: str, rows: int) -> None:
        self.rows[outcome] = self.rows.get(outcome, 0) + rows

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


def _add(total: Written, more: Written) -> None:
    total.upserted += more.upserted
    total.deleted += more.deleted
    total.cleared += more.cleared
    total.coalesced += more.coalesced


def _outcomes(
    routed: dict[tuple[str, str], dict[str, int]], written: dict[str, Written]
) -> Iterator[tuple[tuple[str, str], int]]:
    for (_, target), counts in routed.items():
        yield (target, "received"), counts["received"]
        yield (target, "filtered"), counts["filtered"]
    for target, rows in written.items():
        yield (target, "written"), rows.upserted + rows.deleted + rows.cleared
        yield (target, "coalesced"), rows.coalesced


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
