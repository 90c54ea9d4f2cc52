"""How fast an API is asked: rate, requests in flight, pauses that it asks for, and its faults.

A throttled API says when it wants to hear from us again; all requests wait until then. One that
fails again and again is left alone for a while, then asked once: the breaker of an entity.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic

from aiolimiter import AsyncLimiter

from sinks.http.meters import CLOSED, HALF_OPEN, OPEN, Meters
from sinks.http.settings import Breaker, Limits
from tailrace.errors import TargetUnavailable

WAIT_MAX_S = 10.0
"""A pause up to which a request waits in its place; for a longer one the pipeline says so."""
BREAKER_LONGEST_S = 60.0
BURST_S = 0.1
"""So much of the allowed rate may be used at once."""


class Permits:
    """Requests in flight: at most `limit`, of which an overloaded API gets fewer (additive
    increase, multiplicative decrease)."""

    def __init__(self, most: int, *, adaptive: bool) -> None:
        self._most = most
        self._adaptive = adaptive
        self._limit = float(most)
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._shrunk_s = 0.0

    def begin(self) -> None:
        self._taken = 0
        self._waiting.clear()

    @property
    def limit(self) -> int:
        return max(1, int(self._limit))

    @property
    def taken(self) -> int:
        return self._taken

    async def acquire(self) -> None:
        while self._taken >= self.limit:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._wake()
                raise
        self._taken += 1

    def release(self) -> None:
        self._taken -= 1
        self._wake()

    def went_well(self) -> None:
        if self._limit < self._most:
            self._limit = min(self._most, self._limit + 1 / self._limit)
            self._wake()

    def overloaded(self, took_s: float) -> None:
        """Half of it; once for all requests that were under way together."""
        now = monotonic()
        if self._adaptive and now - self._shrunk_s > took_s:
            self._limit = max(1.0, self._limit / 2)
            self._shrunk_s = now

    def _wake(self) -> None:
        free = self.limit - self._taken
        while free > 0 and self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                free -= 1


class StepAside(Exception):
    """Let another request go ahead of this one."""


class Circuit:
    """Of one entity: closed, open until a moment, then half open: one request goes ahead.

    `shown` is told of each such state."""

    def __init__(
        self, name: str, settings: Breaker, shown: Callable[[int], None] = lambda state: None
    ) -> None:
        self._name = name
        self._settings = settings
        self._failures = 0
        self._wait_s = settings.wait_s
        self._until_s: float | None = None
        self._probe: asyncio.Future[None] | None = None
        self._probing = ""
        self._in_vain: set[str] = set()
        self._aside: set[str] = set()
        self.last_success_s = 0.0
        self._last = ""
        self._shown = shown
        shown(CLOSED)

    async def enter(self, who: str) -> None:
        """`who` asks: one that went ahead in vain steps aside once, since it may be the row that
        the API fails for, and another tells more. Errors: StepAside; TargetUnavailable while it
        is open."""
        while self._until_s is not None:
            if (left := self._until_s - monotonic()) > 0:
                raise self._open(left)
            if self._probe is None:
                if who in self._in_vain - self._aside:
                    self._aside.add(who)
                    raise StepAside
                self._probing = who
                self._probe = asyncio.get_running_loop().create_future()
                self._shown(HALF_OPEN)
                return
            await asyncio.shield(self._probe)

    def succeeded(self) -> None:
        self._failures = 0
        self.last_success_s = monotonic()
        self._wait_s = self._settings.wait_s
        if self._until_s is not None:
            self._until_s = None
            self._shown(CLOSED)
        self._in_vain.clear()
        self._aside.clear()
        self._probed()

    def failed(self, what: str, who: str) -> None:
        """Errors: TargetUnavailable where this opens it."""
        self._failures += 1
        self._last = what
        if self._probe is not None or self._failures >= self._settings.failures:
            if self._until_s is not None and self._probe is None:
                return  # a request that was under way when it opened
            self._in_vain.add(self._probing or who)
            self._aside.clear()
            wait_s = self._wait_s
            self._until_s = monotonic() + wait_s
            self._wait_s = min(BREAKER_LONGEST_S, 2 * wait_s)
            self._shown(OPEN)
            self._probed()
            raise self._open(wait_s)

    def given_up(self) -> None:
        """The request that went ahead ended without an answer."""
        self._probed()

    def _probed(self) -> None:
        probe, self._probe, self._probing = self._probe, None, ""
        if probe is not None and not probe.done() and not probe.get_loop().is_closed():
            probe.set_result(None)

    def _open(self, left_s: float) -> TargetUnavailable:
        return TargetUnavailable(
            f"the API fails for {self._name}: {self._last}; {self._failures} times in a row",
            where={"entity": self._name, "asked_again_in_s": round(left_s, 1)},
            fix="see to the API; one request is tried when that time is over",
        )


class Pace:
    """Of one target, for as long as its process runs."""

    def __init__(self, limits: Limits, breaker: Breaker, meters: Meters) -> None:
        self._meters = meters
        self.permits = Permits(limits.concurrency, adaptive=limits.adaptive)
        self._rate = limits.requests_per_s
        self._breaker = breaker
        self._circuits: dict[str, Circuit] = {}
        self._limiter: AsyncLimiter | None = None
        self._not_before_s = 0.0

    def begin(self) -> None:
        """In another event loop: what the API has shown so far still holds."""
        self._limiter = self._limited()
        self.permits.begin()
        self.show()
        for circuit in self._circuits.values():
            circuit.given_up()

    def _limited(self) -> AsyncLimiter | None:
        if self._rate is None:
            return None
        burst = max(1.0, self._rate * BURST_S)
        return AsyncLimiter(burst, burst / self._rate)

    def circuit(self, entity: str) -> Circuit:
        found = self._circuits.get(entity)
        if found is None:
            shown = partial(self._meters.breaker, entity)
            found = self._circuits[entity] = Circuit(entity, self._breaker, shown)
        return found

    def wait_at_least(self, seconds: float) -> None:
        """No request before that."""
        self._not_before_s = max(self._not_before_s, monotonic() + seconds)

    async def enter(self, circuit: Circuit, who: str) -> None:
        """Wait for our turn; `leave` follows. Errors: StepAside; TargetUnavailable."""
        await self.permits.acquire()
        self.show()
        try:
            while (left := self._not_before_s - monotonic()) > 0:
                if left > WAIT_MAX_S:
                    raise TargetUnavailable(
                        f"the API asks not to be asked for another {left:.0f} s",
                        where={"asked_again_in_s": round(left, 1)},
                        fix="nothing, if that passes; a smaller limits.requests_per_s avoids it",
                    )
                await asyncio.sleep(left)
            if self._limiter is not None:
                await self._limiter.acquire()
            await circuit.enter(who)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        self.permits.release()
        self.show()

    def show(self) -> None:
        self._meters.flying(self.permits.taken, self.permits.limit)
