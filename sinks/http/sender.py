"""Sends what is written at once: strictly in order per key, different keys side by side.

    rows ─▶ lanes ─▶ workers ─▶ exchange ─▶ done: noted, durable within a second
                        ▲           │
                        └── again ──┘──▶ refused: what is behind it does not go

So many rows are read ahead as keep the workers busy, no more. A fault that is no row's ends all:
requests under way are waited for, the others stay unsent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from sinks.http.batches import Batches, Halve
from sinks.http.exchange import Again, Exchange, Refused
from sinks.http.lanes import Lanes, Place
from sinks.http.reading import Change
from sinks.http.settings import HttpTarget
from sinks.local import LocalCheckpoint, Sent
from sinks.watch import LongWrite
from tailrace.errors import (
    AddressForbidden,
    RowRefused,
    TailraceError,
    TargetRefused,
    TargetUnavailable,
)
from tailrace.failpoints import failpoint
from transforms.rows import DELETE, UPSERT

AHEAD_MAX = 4096
"""Rows that are read and not yet sent: enough to find other keys behind a slow one."""
SAVED_S = 1.0
"""How often what was sent becomes durable; a crash sends at most this much again."""
STOPPED_S = 10.0
"""How long a stop waits for answers, well within what supervisors grant; what has none by then is
sent again later, under the same key."""
REFUSED_MAX = 100
"""Of one write: where so many are refused the desk looks at them, before more are sent."""
THROTTLED_MAX_S = 120.0
"""How long a change waits for an API that throttles us before the pipeline says so."""

T = TypeVar("T")

_STOPPING = (TargetUnavailable, TargetRefused, AddressForbidden)


class Sender:
    """One write. `counted` is told of each change that is done: sent, not needed, or coalesced."""

    def __init__(
        self,
        target: HttpTarget,
        exchange: Exchange,
        local: LocalCheckpoint,
        sent: Sent,
        watch: LongWrite,
        counted: Callable[[Change, str], None],
    ) -> None:
        self._target = target
        self._exchange = exchange
        self._batches = Batches(exchange)
        self._local = local
        self._sent = sent
        self._watch = watch
        self._counted = counted
        self._lanes: Lanes[Change] = Lanes()
        self._rows: Iterator[Change] = iter(())
        self._exhausted = False
        self._under_way = 0
        self._working: list[asyncio.Future[None]] = []
        self._idle: list[asyncio.Future[None]] = []
        self._fatal: TailraceError | None = None
        self._ended = asyncio.Event()
        self.refused: list[Change] = []
        self.total = 0

    async def run(self, rows: Iterator[Change], count: int) -> None:
        """Errors: TargetUnavailable, TargetRefused, AddressForbidden: some were not sent.

        What the API refused is in `refused`; nothing behind it was sent.
        """
        self._rows = rows
        workers = min(self._target.limits.concurrency, max(1, count))
        saving = asyncio.create_task(self._save())
        try:
            self._working = [asyncio.ensure_future(self._work()) for _ in range(workers)]
            ends = await asyncio.gather(*self._working, return_exceptions=True)
        finally:
            saving.cancel()
            with suppress(asyncio.CancelledError):
                await saving
            self._local.save(self._sent)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
                raise end
        if self._fatal is not None:
            raise self._fatal

    async def _save(self) -> None:
        stopping_s = 0.0
        while True:
            await asyncio.sleep(SAVED_S)
            try:
                self._local.save(self._sent)
            except TailraceError as error:
                self._end(error)
            self._watch.moved(self.total)
            if self._watch.stopping:
                self._end(TargetUnavailable("delivery stops; what is not sent is sent later"))
                stopping_s = stopping_s or monotonic()
                if monotonic() - stopping_s > STOPPED_S:
                    for one in self._working:
                        one.cancel()

    async def _work(self) -> None:
        while self._fatal is None and len(self.refused) < REFUSED_MAX:
            try:
                self._feed()
                places = self._lanes.take(self._most)
                if places:
                    self._under_way += 1
                    try:
                        await self._carry(places)
                    finally:
                        self._under_way -= 1
                elif self._under_way:
                    await self._rest()
                else:
                    break
            except _STOPPING as error:
                self._end(error)
            except BaseException:
                self._end(TargetUnavailable("a request failed in a way that was not foreseen"))
                raise
            self._wake()
        self._wake()

    def _most(self, group: Hashable) -> int:
        return self._batches.size(group)

    def _feed(self) -> None:
        while not self._exhausted and self._lanes.held < AHEAD_MAX:
            change = next(self._rows, None)
            if change is None:
                self._exhausted = True
            elif change.refused is not None:  # earlier in this transaction
                self.refused.append(change)
                self._lanes.block(_lanes(change))
            else:
                self._add(change)

    def _add(self, change: Change) -> None:
        lanes, group = _lanes(change), self._batches.group(change)
        if change.plan.entity.coalesce and _is_whole(change):
            last = self._lanes.last(lanes[0])
            if last is not None and not (last.taken or last.blocked) and _is_whole(last.item):
                change.over, last.item.over = last.item.over, []
                change.over.append(last.item)
                self._lanes.replace(last, change, group)
                return
        self._lanes.add(change, lanes, group)

    async def _carry(self, places: list[Place[Change]]) -> None:
        if places[0].group is not None:
            await self._carry_batch(places)
            return
        (place,) = places
        change = place.item
        try:
            needed = await self._patiently(lambda: self._exchange.deliver(change), change)
        except Refused as refused:
            self._refuse(place, refused)
        else:
            self._done(place, needed)

    async def _carry_batch(self, places: list[Place[Change]]) -> None:
        """The items that went well are done, those that are refused wait, the others go again."""
        left = {place.item: place for place in places}

        async def once() -> None:
            while left:
                outcome = await self._batches.deliver(list(left))
                for change in outcome.done:
                    self._done(left.pop(change), True)
                for change, refused in outcome.refused:
                    self._refuse(left.pop(change), refused)
                if outcome.again is not None:
                    raise outcome.again

        try:
            await self._patiently(once, places[0].item)
        except (Halve, Refused) as refused:
            if len(left) == 1 and isinstance(refused, Refused):
                for place in left.values():
                    self._refuse(place, refused)
                return
            half = (len(left) + 1) // 2
            rest = list(left.values())
            for part in (rest[:half], rest[half:]):
                await self._carry_batch(part)

    async def _patiently(self, action: Callable[[], Awaitable[T]], change: Change) -> T:
        """`action`, again while its faults pass.

        Errors: Refused where the API fails for this change alone; TargetUnavailable.
        """
        try:
            return await action()
        except Again as again:
            first: Again | None = again
        began_s = monotonic()
        faults = 0
        settings = self._target.retries

        async def once() -> T:
            nonlocal first, faults
            try:
                if first is not None:
                    again, first = first, None
                    raise again
                self._exchange.retried(change.target)
                return await action()
            except Again as again:
                faults += not again.throttled
                raise

        def is_enough(state: RetryCallState) -> bool:
            return faults >= settings.attempts or monotonic() - began_s > THROTTLED_MAX_S

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Again),
            wait=wait_random_exponential(settings.wait_first_s, settings.wait_longest_s),
            stop=is_enough,
            sleep=self._nap,
            reraise=True,
        )
        try:
            return await retrying(once)
        except Again as again:
            raise self._given_up(change, again, faults, began_s) from None

    def _given_up(
        self, change: Change, again: Again, faults: int, began_s: float
    ) -> Refused | TargetUnavailable:
        where = {**change.place, "attempts": faults}
        takes_others = self._exchange.last_success_s(change.target) > began_s
        if again.throttled or not takes_others:
            return TargetUnavailable(f"the API does not take anything: {again.what}", where=where)
        return Refused(
            RowRefused(
                f"the API took others and failed for this change each time: {again.what}",
                where=where,
                fix="see what it logs of it; a replay sends it under the same idempotency key",
            ),
            settled=False,
        )

    async def _nap(self, seconds: float) -> None:
        """Cut short by an end. Errors: TargetUnavailable."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        if self._fatal is not None:
            raise self._fatal

    def _done(self, place: Place[Change], needed: bool) -> None:
        change = place.item
        self._note(change, "sent" if needed else "unchanged")
        for older in change.over:
            self._note(older, "coalesced")
        self._lanes.finish(place)
        failpoint("deliver.staged")

    def _note(self, change: Change, outcome: str) -> None:
        self._sent.add(change.entry, change.slot, change.number, change.digest)
        self._counted(change, outcome)
        self.total += 1

    def _refuse(self, place: Place[Change], refused: Refused) -> None:
        change = place.item
        error = refused.error
        change.refused = RowRefused(error.what, where=dict(error.where), fix=error.fix)
        change.settled = refused.settled
        self.refused.append(change)
        self._lanes.fail(place)

    def _end(self, error: TailraceError) -> None:
        self._fatal = self._fatal or error
        self._ended.set()

    async def _rest(self) -> None:
        """Until something was finished."""
        future = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        await future

    def _wake(self) -> None:
        idle, self._idle = self._idle, []
        for future in idle:
            if not future.done():
                future.set_result(None)


def _lanes(change: Change) -> list[Hashable]:
    keys = [change.key] if change.old_key is None else [change.old_key, change.key]
    return [(change.target, key) for key in keys]


def _is_whole(change: Change) -> bool:
    """Whether it replaces whatever came before it."""
    if change.op == DELETE:
        return True
    return change.op == UPSERT and not change.missing and change.old_key is None
