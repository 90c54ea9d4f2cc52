"""An HTTP API as a target: at least once, under a key by which the API knows what it has had.

An API holds no checkpoint and takes nothing back. So the checkpoint is ours (`sinks.local`), and
what the API took is noted as it goes, durably within a second: a change that is written again,
after a refusal elsewhere or a crash, is not sent again unless that note was lost, and then under
the same idempotency key.

`write` returns when everything is sent. What the API refuses it names one by one, with the others
done already, so isolating them sends nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sinks.http.client import Client
from sinks.http.credentials import Credentials
from sinks.http.exchange import Exchange
from sinks.http.identity import change_key
from sinks.http.meters import Meters
from sinks.http.pace import Pace
from sinks.http.plan import Plan
from sinks.http.reading import Change, in_order
from sinks.http.sender import Sender
from sinks.http.settings import HttpTarget
from sinks.local import LocalCheckpoint, Sent, Tried
from sinks.protection import key_refusal
from sinks.protocol import NO_RECEIPTS, Checkpoint, Durable, Receipts, Written
from sinks.watch import LongWrite, Unwatched
from tailrace.errors import RowRefused, TargetRefused
from tailrace.failpoints import failpoint
from transforms.rows import CLEAR, DELETE, RowChanges, TargetTable

_NEVER = Tried(0, 0)


class HttpSink:
    """One pipeline's way to an API. May be opened again after `close`.

    `file` is where its checkpoint is kept.
    """

    undoes = False
    system = ""

    def __init__(
        self, target: HttpTarget, pipeline: str, file: Path, watch: LongWrite | None = None
    ) -> None:
        self._target = target
        self._pipeline = pipeline
        self._watch = watch or Unwatched()
        self._local = LocalCheckpoint(file, pipeline)
        self._sent = Sent()
        self._meters = Meters(pipeline)
        self._pace = Pace(target.limits, target.breaker, self._meters)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Client | None = None
        self._exchange: Exchange | None = None
        self._plans: dict[str, Plan] = {}
        self._refused: dict[tuple[int, int, str], Change] = {}
        self._tried: dict[tuple[str, str], Tried] = {}
        self._receipts: frozenset[str] = frozenset()
        self._journal = ""
        self._checkpoint = Checkpoint("", 0, "")
        self._total = 0

    def open(self, journal: str) -> Checkpoint:
        self.close()
        self._checkpoint = self._local.open(journal)
        self._journal = journal
        self._sent.reopened()
        self._local.load(self._sent)
        self._tried = self._local.tried()
        self._receipts = self._local.receipts()
        self._refused.clear()
        client = Client(self._target)
        self._loop = asyncio.new_event_loop()
        self._pace.begin()
        self._client = self._loop.run_until_complete(client.__aenter__())
        self._exchange = Exchange(
            self._target, client, Credentials(self._target, client), self._pace, self._meters
        )
        return self._checkpoint

    def prepare(self, tables: Sequence[TargetTable]) -> None:
        for table in tables:
            self._prepare(table)

    def _prepare(self, table: TargetTable) -> None:
        name = str(table.table)
        if name in self._plans and self._plans[name].table == table:
            return
        if table.composite is not None:
            raise TargetRefused(
                f"several sources feed {table.composite.entity}, which is computed in a database",
                where={"table": name},
                fix="let one source feed it here, or write it to a database first",
            )
        entity = self._target.requests_of(table.table.schema, table.table.name)
        if entity is None:
            raise TargetRefused(
                f"the target has no requests for {name}",
                where={"table": name},
                fix=f"declare them: entities: {{{table.table.name}: …}}",
            )
        recorded = self._local.protection(name)
        if recorded is not None:
            refusal = key_refusal(table, recorded)
            if refusal is not None:
                raise refusal
        admits = self._local.admits(name, table.admits)
        self._plans[name] = Plan(table, entity, self._target, admits=admits)
        self._local.prepared(name, [(one.name, one.protected) for one in table.columns])

    def write(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        counts: dict[str, Written] = {}
        for clear in self._clears(changes):
            counts.setdefault(clear, Written()).cleared += 1
        assert self._exchange is not None, "open the sink first"
        assert self._loop is not None
        sender = Sender(
            self._target,
            self._exchange,
            self._local,
            self._sent,
            _Counting(self._watch, self._total),
            lambda change, outcome: _count(change, outcome, counts),
        )
        rows = sum(change.rows for change in changes)
        try:
            self._loop.run_until_complete(sender.run(self._to_send(changes, counts), rows))
        finally:
            self._total += sender.total
            for change in sender.refused:
                self._refused[_place(change)] = change
        if sender.refused:
            raise _first(sender.refused)
        failpoint("deliver.applied")
        return counts

    def _clears(self, changes: Sequence[RowChanges]) -> Iterator[str]:
        for change in changes:
            for _ in range(int((change.op.to_numpy() == CLEAR).sum())):
                if self._target.on_truncate == "pause":
                    raise TargetRefused(
                        f"a TRUNCATE of {change.source or change.table.table}: an API has no"
                        " request that removes everything",
                        where={"table": str(change.table.table)},
                        fix="remove the records there by hand, then say on_truncate: ignore",
                    )
                yield str(change.table.table)

    def _to_send(
        self, changes: Sequence[RowChanges], counts: dict[str, Written]
    ) -> Iterator[Change]:
        """Without what the API has taken already."""
        for change in in_order(changes, self._plans):
            if change.op == CLEAR:
                continue
            place = _place(change)
            id = f"{change.entry}-{change.number}"
            tried = self._tried.get((id, change.slot), _NEVER)
            taken = self._sent.get(change.entry, change.slot, change.number)
            is_taken = (taken or tried.taken) == change.digest
            if is_taken or (taken and id not in self._receipts):  # those may have been edited
                if not taken:
                    self._sent.add(change.entry, change.slot, change.number, change.digest)
                _count(change, "sent", counts)
                continue
            if place in self._refused:
                before = self._refused[place]
                change.refused, change.settled = before.refused, before.settled
            # What was taken before said something else.
            change.attempt = tried.refusals + bool(tried.taken) + bool(taken)
            change.name = change_key(
                self._journal,
                self._pipeline,
                change.target,
                change.key,
                change.entry,
                change.number,
                change.attempt,
            )
            yield change

    def receipts(self) -> frozenset[str]:
        return self._receipts

    def commit(self, checkpoint: Checkpoint, receipts: Receipts = NO_RECEIPTS) -> Durable:
        held = (self._receipts - set(receipts.released)) | set(receipts.parked)
        tried = self._outcomes(held)
        failpoint("deliver.before_commit")
        self._local.commit(checkpoint, receipts, tried)
        failpoint("deliver.commit_sent")
        self._checkpoint = checkpoint
        self._receipts = held
        self._tried = {key: one for key, one in self._tried.items() if key[0] in held} | tried
        self._sent.clear()
        self._refused.clear()
        return Durable(checkpoint)

    def _outcomes(self, held: frozenset[str]) -> dict[tuple[str, str], Tried]:
        """Of the changes that are parked now, what the API said to each of their rows."""
        found: dict[tuple[str, str], Tried] = {}
        for id in held:
            at, _, place = id.partition("-")
            for target, digest in self._sent.targets(int(at), int(place)):
                before = self._tried.get((id, target), _NEVER)
                again = before.taken not in (0, digest)
                found[id, target] = Tried(before.refusals + again, digest)
        for (entry, number, target), change in self._refused.items():
            id = f"{entry}-{number}"
            if id in held and change.settled:
                found[id, target] = Tried(change.attempt + 1, 0)
        return found

    def discrepancies(self) -> Mapping[str, int]:
        return {}

    def rollback(self) -> None:
        """What the API took stays with it, and noted here."""

    def close(self) -> None:
        if self._loop is not None:
            if self._client is not None:
                self._loop.run_until_complete(self._client.__aexit__(None, None, None))
            self._loop.close()
        self._loop = self._client = self._exchange = None
        self._plans.clear()
        self._local.close()


class _Counting:
    """The process's count of what was sent, across writes."""

    def __init__(self, watch: LongWrite, before: int) -> None:
        self._watch = watch
        self._before = before

    @property
    def stopping(self) -> bool:
        return self._watch.stopping

    @property
    def overdue(self) -> bool:
        return self._watch.overdue

    def moved(self, sent: int) -> None:
        self._watch.moved(self._before + sent)


def _place(change: Change) -> tuple[int, int, str]:
    return change.entry, change.number, change.slot


def _count(change: Change, outcome: str, counts: dict[str, Written]) -> None:
    written = counts.setdefault(change.target, Written())
    if outcome == "coalesced":
        written.coalesced += 1
    elif outcome == "unchanged":
        written.unchanged += 1
    elif change.op == DELETE:
        written.deleted += 1
    else:
        written.upserted += 1


def _first(refused: Sequence[Change]) -> RowRefused:
    change = min(refused, key=lambda one: one.seq)
    assert change.refused is not None
    error = RowRefused(
        change.refused.what, where=dict(change.refused.where), fix=change.refused.fix
    )
    error.seq = change.seq
    return error
