"""The order of what is sent: strictly per key, freely among keys.

A lane is a key's queue. An item stands in the lanes of all keys that it touches (a row that moved
has two) and may go when it is the first in each. Of those that may go the oldest goes first, so
with one in flight all go in the source's order. An item that failed stays where it is, and what is
behind it does not go.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Place(Generic[T]):
    """An item in its lanes. `before`: in how many of them it has to wait; `taken`: it is going."""

    __slots__ = ("before", "blocked", "group", "item", "lanes", "number", "taken")

    def __init__(self, number: int, item: T, lanes: tuple[Hashable, ...], group: Hashable) -> None:
        self.number = number
        self.item = item
        self.lanes = lanes
        self.group = group
        self.before = 0
        self.taken = False
        self.blocked = False


class Lanes(Generic[T]):
    """Not thread-safe. `held`: items that wait, may go, or are going."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, deque[Place[T]]] = {}
        self._dead: set[Hashable] = set()
        self._ready: dict[Hashable, list[tuple[int, Place[T]]]] = {}
        self._count = 0
        self.held = 0

    def add(self, item: T, lanes: Sequence[Hashable], group: Hashable = None) -> None:
        """Behind all others of its lanes. Items of a `group` may be taken together."""
        if not self._dead.isdisjoint(lanes):
            self._dead.update(lanes)
            return
        place = Place(self._count, item, tuple(dict.fromkeys(lanes)), group)
        self._count += 1
        self.held += 1
        for lane in place.lanes:
            queue = self._lanes.setdefault(lane, deque())
            place.before += bool(queue)
            queue.append(place)
        if not place.before:
            self._push(place)

    def last(self, lane: Hashable) -> Place[T] | None:
        """The item that a new one of this lane would wait for."""
        queue = self._lanes.get(lane)
        return queue[-1] if queue else None

    def replace(self, place: Place[T], item: T, group: Hashable) -> None:
        """Another item takes the place of one that has not been taken."""
        place.item = item
        if place.group != group:
            place.group = group
            if not place.before:
                self._push(place)

    def take(self, most: Callable[[Hashable], int] = lambda group: 1) -> list[Place[T]]:
        """The oldest that may go, with others of its group up to `most`; none where none may."""
        oldest: Hashable = None
        number = -1
        for group in list(self._ready):
            first = self._first(group)
            if first is not None and (number < 0 or first < number):
                oldest, number = group, first
        if number < 0:
            return []
        found: list[Place[T]] = []
        wanted = most(oldest)
        while len(found) < wanted and self._first(oldest) is not None:
            place = heapq.heappop(self._ready[oldest])[1]
            place.taken = True
            found.append(place)
        self._first(oldest)
        return found

    def finish(self, place: Place[T]) -> None:
        """It is done: what waited for it alone may go."""
        self.held -= 1
        for lane in place.lanes:
            queue = self._lanes[lane]
            queue.popleft()
            if not queue:
                del self._lanes[lane]
                continue
            queue[0].before -= 1
            if not queue[0].before and not queue[0].blocked:
                self._push(queue[0])

    def fail(self, place: Place[T]) -> None:
        """It went and was not done: nothing behind it goes, in any of their lanes."""
        self.held -= 1
        place.blocked = True
        self.block(place.lanes, place.number)

    def block(self, lanes: Iterable[Hashable], number: int = -1) -> None:
        """Nothing of these lanes goes that is behind `number`, or comes later."""
        left = [(lane, number) for lane in lanes]
        while left:
            lane, after = left.pop()
            self._dead.add(lane)
            for place in self._lanes.get(lane, ()):
                if place.number > after and not place.blocked:
                    place.blocked = True
                    self.held -= 1
                    left += [(other, place.number) for other in place.lanes]

    def _first(self, group: Hashable) -> int | None:
        """The number of the oldest that may go; entries that were overtaken are dropped."""
        heap = self._ready.get(group)
        while heap:
            number, place = heap[0]
            if not (place.taken or place.blocked or place.group != group):
                return number
            heapq.heappop(heap)
        self._ready.pop(group, None)
        return None

    def _push(self, place: Place[T]) -> None:
        heapq.heappush(self._ready.setdefault(place.group, []), (place.number, place))
