"""The capture loop: a source's log into the journal, and only then an acknowledgement.

    verify ─▶ snapshot (a new journal only) ─▶ stream ─▶ journal ─▶ acknowledge
      ▲                                          │
      └────────── back off, reconnect ◀──────────┘  source or disk not available

It knows nothing of targets: a slow or dead one never makes the source keep its log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdc.changes import ChangeSet
from cdc.protocol import Source, SourceState, Stream
from tailrace.errors import ContinuityError
from tailrace.failpoints import failpoint
from tailrace.journal.hints import read_hints
from tailrace.journal.protocol import JournalWriter
from tailrace.pipeline import metrics
from tailrace.pipeline.facts import SNAPSHOT
from tailrace.pipeline.retry import RETRIED, Backoff
from tailrace.pipeline.stopping import Stop
from tailrace.state.processes import Reporter

log = logging.getLogger("tailrace.capture")

ACKNOWLEDGE_S = 1.0
"""How often a moved position is acknowledged; the server asks no more than every 30 s."""
IDLE_ACKNOWLEDGE_S = 10.0
"""How often it is told the same again, and how often a position without changes is stored: each
storing is a disk flush."""
UPKEEP_S = 5.0
"""How often the journal is pruned and the source's state measured."""
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """`pipelines`: those that read this journal; pruning waits for each of them."""

    source: str
    pipelines: Sequence[str]
    hints: Path
    heartbeat_s: float = 10.0
    keep_s: float = 3600.0
    keep_bytes: int = 2 << 30
    retain_max_bytes: int = 20 << 30
    give_up_at_limit: bool = False


class Capture:
    """Moves one source into one journal until told to stop.

    Errors: those that a retry cannot mend (ContinuityError, DecodeError, PreflightError …).
    """

    def __init__(
        self,
        settings: CaptureSettings,
        connect: Callable[[], Source],
        journal: JournalWriter,
        reporter: Reporter,
        stop: Stop,
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._journal = journal
        self._reporter = reporter
        self._stop = stop
        self._backoff = Backoff()
        self._rows = 0
        self._facts: Mapping[str, str] = {}

    def run(self) -> None:
        while not self._stop:
            try:
                with closing(self._connect()) as source:
                    self._prepare(source)
                    self._follow(source)
            except RETRIED as error:
                wait_s = self._backoff.next_s()
                log.warning(
                    "capture waits",
                    extra={"code": error.code, "error": str(error), "retry_s": wait_s},
                )
                self._reporter.say("retrying", error=error)
                self._stop.wait(wait_s)
        self._reporter.say("stopped")

    def _prepare(self, source: Source) -> None:
        self._reporter.say("starting")
        facts = self._journal.facts()
        if facts.get(SNAPSHOT) == "done":
            position = self._journal.position
            if position is None:
                raise ContinuityError("the journal has a snapshot but no position")
            source.verify(facts, position)
        else:
            self._snapshot(source, facts)

    def _snapshot(self, source: Source, facts: dict[str, str]) -> None:
        """Copy the existing rows. An attempt that died starts over with a snapshot of its own."""
        with closing(source.snapshot(facts)) as snapshot:
            self._journal.clear()
            self._journal.append(facts={**snapshot.facts, SNAPSHOT: "running"})
            said = 0.0
            for changes, progress in snapshot.changes():
                self._store(changes)
                if time.monotonic() - said > 1 or changes.complete:
                    said = time.monotonic()
                    self._reporter.say(
                        "snapshot",
                        table=progress.table,
                        rows=progress.rows,
                        rows_estimated=progress.rows_estimated,
                    )
                if changes.complete:
                    log.info("table copied", extra={"table": progress.table, "rows": progress.rows})
                if self._stop:
                    return
            self._journal.append(position=snapshot.position, facts={SNAPSHOT: "done"})

    def _follow(self, source: Source) -> None:
        if self._stop:
            return
        position = self._journal.position
        assert position is not None
        with closing(source.stream(position)) as stream:
            log.info("streaming", extra={"source": self._settings.source, "position": position})
            clock, self._facts = _Clock(), {}
            self._upkeep(source)
            while not self._stop:
                for changes in stream.changes(POLL_S):
                    self._store(changes, self._new_facts(stream))
                    if changes.complete:  # parts alone are no progress: they come again
                        self._backoff.reset()
                    self._duties(source, stream, clock)
                    if self._stop:  # behind by hours, `changes` goes on for hours
                        break
                self._duties(source, stream, clock)

    def _duties(self, source: Source, stream: Stream, clock: _Clock) -> None:
        self._acknowledge(stream, clock)
        if clock.due("heartbeat", self._settings.heartbeat_s):
            source.heartbeat()
        if clock.due("upkeep", UPKEEP_S):
            self._upkeep(source)

    def _new_facts(self, stream: Stream) -> dict[str, str] | None:
        """Those that were not stored yet; they are, if the step that they are for succeeds.

        If it does not, the stream is opened anew, from what the journal then holds.
        """
        facts = stream.facts
        new = {key: value for key, value in facts.items() if self._facts.get(key) != value}
        self._facts = facts
        return new or None

    def _store(self, changes: ChangeSet, facts: dict[str, str] | None = None) -> None:
        self._journal.append([changes], facts=facts)
        failpoint("capture.journaled")
        self._rows += changes.rows
        for table, operation, rows in _counted(changes):
            metrics.CAPTURED_ROWS.labels(self._settings.source, table, operation).inc(rows)

    def _acknowledge(self, stream: Stream, clock: _Clock) -> None:
        """Never before the journal holds it; at least every ten seconds, also when idle."""
        asked = stream.reply_wanted()
        idle = clock.due("idle", IDLE_ACKNOWLEDGE_S)
        if (asked or idle) and stream.at_rest and stream.position != self._journal.position:
            self._journal.append(position=stream.position, facts=self._new_facts(stream))
            self._backoff.reset()
        durable = self._journal.position
        assert durable is not None
        if asked or idle or (durable != clock.acknowledged and clock.due("ack", ACKNOWLEDGE_S)):
            failpoint("capture.before_ack")
            stream.acknowledge(durable)
            clock.acknowledged = durable

    def _upkeep(self, source: Source) -> None:
        settings = self._settings
        applied = read_hints(settings.hints, settings.pipelines)
        self._journal.prune(
            checkpoints=applied.values(), keep_s=settings.keep_s, keep_bytes=settings.keep_bytes
        )
        state = source.state()
        self._guard(source, state)
        extent = self._journal.extent()
        metrics.SOURCE_LAG_BYTES.labels(settings.source).set(state.lag_bytes)
        metrics.WAL_HELD_BYTES.labels(settings.source).set(state.held_bytes)
        metrics.JOURNAL_BYTES.labels(settings.source).set(extent.bytes)
        self._reporter.say(
            "streaming",
            position=self._journal.position,
            source_position=state.position,
            lag_bytes=state.lag_bytes,
            held_bytes=state.held_bytes,
            room_bytes=state.room_bytes,
            journal_bytes=extent.bytes,
            journal_last=extent.last,
            rows_captured=self._rows,
        )

    def _guard(self, source: Source, state: SourceState) -> None:
        """The source's disk comes first where the operator said so."""
        settings = self._settings
        if settings.give_up_at_limit and state.held_bytes >= settings.retain_max_bytes:
            source.give_up()
            raise ContinuityError(
                "the source held more log for us than retain_max allows, so its slot was dropped",
                where={"source": settings.source, "held_bytes": state.held_bytes},
                fix="remove the source's journal and start again with a new snapshot",
            )


class _Clock:
    """When each periodic duty was last done."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self.acknowledged: str | None = None

    def due(self, duty: str, every_s: float) -> bool:
        now = time.monotonic()
        if now - self._last.setdefault(duty, now) < every_s:
            return False
        self._last[duty] = now
        return True


def _counted(changes: ChangeSet) -> Iterator[tuple[str, str, int]]:
    for table in changes.tables:
        counts = np.bincount(table.op.to_numpy())
        for operation in np.flatnonzero(counts):
            yield str(table.schema.table), chr(operation), int(counts[operation])
