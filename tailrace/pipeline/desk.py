"""The exceptions desk while delivery runs: what is held now, and in the transaction still open.

    hold, release ─▶ stored (durable here) ─▶ the target commits, with receipts ─▶ settled

What the target has a receipt of is held; the file only has its contents. A crash between any two
steps is told apart by the receipts when delivery opens the target again.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from cdc.schema import TableSchema
from sinks.protocol import Receipts
from tailrace.failpoints import failpoint
from tailrace.pipeline.breaker import HELD_MAX, desk_is_full
from tailrace.state.exceptions.model import Cause, ExceptionId, Held, Key, Outcome, Ref, lost
from tailrace.state.exceptions.store import OURSELVES, Store


class Desk:
    """Held changes of one pipeline, by table and key. Not thread-safe."""

    def __init__(self, store: Store, *, held_max: int = HELD_MAX) -> None:
        self.store = store
        self._held_max = held_max
        self._committed: dict[ExceptionId, Ref] = {}
        self._refs: dict[ExceptionId, Ref] = {}
        self._by_key: dict[str, dict[Key, list[ExceptionId]]] = {}
        self._states: Counter[str] = Counter()
        self._targets: Counter[str] = Counter()
        self._saved: dict[ExceptionId, Held] = {}
        self._schemas: dict[str, TableSchema] = {}
        self._released: dict[ExceptionId, Outcome] = {}
        self._failed: dict[ExceptionId, Outcome] = {}
        self._awaited: dict[str, dict[str, set[ExceptionId]]] = {}
        self._ready: set[ExceptionId] = set()

    def close(self) -> None:
        self.store.close()

    def open(self, receipts: frozenset[str]) -> None:
        """Take up what the target says is held. Errors: ExceptionsLost."""
        refs, missing = self.store.reconcile(receipts)
        if missing:
            raise lost(len(missing), min(missing), self.store.path)
        self._committed = {ref.id: ref for ref in refs}
        self.forget()

    def forget(self) -> None:
        """The open transaction was given up."""
        self._saved.clear()
        self._schemas.clear()
        self._released.clear()
        self._failed.clear()
        self._refs = {}
        self._by_key = {}
        self._states.clear()
        self._targets.clear()
        for ref in self._committed.values():
            self._add(ref)
        self._awaited.clear()
        self._ready = {ref.id for ref in self._refs.values() if ref.orphan}

    def holders(self, table: str) -> Mapping[Key, Sequence[ExceptionId]]:
        """The keys of this table that are held, by which changes."""
        return self._by_key.get(table, {})

    def __contains__(self, id: ExceptionId) -> bool:
        return id in self._refs

    def count(self, state: str) -> int:
        return self._states[state]

    def lacks(self, target: str) -> bool:
        """Whether some row of this target table is held."""
        return self._targets[target] > 0

    def of_table(self, table: str) -> list[Ref]:
        return [ref for ref in self._refs.values() if ref.table == table]

    def __len__(self) -> int:
        return len(self._refs)

    def ref(self, id: ExceptionId) -> Ref:
        return self._refs[id]

    def cause(self, id: ExceptionId) -> Cause | None:
        """Why the open transaction holds it; None where it waits."""
        return self._saved[id].cause

    def heads(self) -> list[ExceptionId]:
        """Changes that wait although nothing is before them any more."""
        return [
            ref.id for ref in self._refs.values() if ref.state == "waiting" and self._is_first(ref)
        ]

    # Changes that wait for a row that they refer to

    def awaits(self, id: ExceptionId, place: tuple[str, str]) -> None:
        """It is to be tried again when this column of a table has this key."""
        column, key = place
        self._awaited.setdefault(column, {}).setdefault(key, set()).add(id)

    @property
    def awaits_any(self) -> bool:
        return bool(self._awaited)

    def awaited(self, column: str) -> Mapping[str, object]:
        """The keys in a column of a target table that held changes refer to."""
        return self._awaited.get(column, {})

    def came(self, column: str, keys: Iterable[str]) -> None:
        """These keys are written: what refers to them can go."""
        waiting = self._awaited.get(column, {})
        for key in keys:
            self._ready |= waiting.pop(key, set())

    def came_again(self) -> None:
        """The desk's own changes are written: perhaps what a foreign key asked for."""
        waiting = {id for keys in self._awaited.values() for ids in keys.values() for id in ids}
        orphans = (ref.id for ref in self._refs.values() if ref.orphan)
        self._ready |= {id for id in orphans if id not in waiting}

    @property
    def has_ready(self) -> bool:
        return any(id in self._refs and self._is_first(self._refs[id]) for id in self._ready)

    def ready(self) -> list[ExceptionId]:
        """Changes that can be tried again by themselves; each is named once."""
        here = self._ready & self._refs.keys()
        found = [id for id in here if self._is_first(self._refs[id])]
        self._ready = here.difference(found)
        return sorted(found)

    def followers(self, ids: Iterable[ExceptionId]) -> list[ExceptionId]:
        """These and all that wait behind them, in the source's order; those that are not held, or
        wait behind others themselves, left out."""
        chosen = {id for id in ids if id in self._refs and self._is_first(self._refs[id])}
        queue = sorted(chosen)
        seen: set[tuple[str, Key]] = set()
        while queue:  # in order, so that the first to come by a key is the first that holds it
            ref = self._refs[heapq.heappop(queue)]
            for key in ref.keys:
                if (ref.table, key) in seen:
                    continue
                seen.add((ref.table, key))
                ids = self._by_key[ref.table][key]
                for id in ids[bisect_right(ids, ref.id) :]:
                    if id not in chosen:
                        chosen.add(id)
                        heapq.heappush(queue, id)
        return sorted(chosen)

    def _is_first(self, ref: Ref) -> bool:
        return all(self._by_key[ref.table][key][0] == ref.id for key in ref.keys)

    # In the open transaction

    def take(self, ids: Iterable[ExceptionId]) -> None:
        """Try these again: they are not held until `hold` says so once more."""
        for id in ids:
            self._remove(id)

    def hold(self, held: Sequence[Held], schema: TableSchema) -> None:
        """Errors: TooManyExceptions where the desk is full."""
        self._schemas[schema.version] = schema
        for one in held:
            self._saved[one.id] = one
            self._released.pop(one.id, None)
            self._add(one.ref)
        if len(self._refs) > max(self._held_max, len(self._committed)):
            raise desk_is_full(len(self._refs))

    def release(self, id: ExceptionId, outcome: Outcome) -> None:
        if id in self._refs:
            self._remove(id)
        self._saved.pop(id, None)
        if id in self._committed:
            self._released[id] = outcome

    def failed(self, id: ExceptionId, outcome: Outcome) -> None:
        """A replay that somebody asked for did not work."""
        self._failed[id] = outcome

    def overtaken(self, table: str) -> list[Ref]:
        """Release what is held of a table that a TRUNCATE has emptied."""
        refs = self.of_table(table)
        reason = f"overtaken by a TRUNCATE of {table}"
        for ref in refs:
            self.release(ref.id, Outcome("discarded", OURSELVES, reason))
        return refs

    # Around the target's commit

    def stored(self) -> Receipts:
        """Make durable what is to be held; say what the target is to commit with it."""
        if not self._saved and not self._released:
            return Receipts()
        self.store.save(list(self._saved.values()), self._schemas)
        failpoint("deliver.exceptions_stored")
        added = self._saved.keys() - self._committed.keys()
        return Receipts(tuple(map(str, sorted(added))), tuple(map(str, sorted(self._released))))

    def settled(self) -> None:
        """The target has committed."""
        if not (self._saved or self._released or self._failed):
            return
        failpoint("deliver.exceptions_committed")
        for id in self._released:
            del self._committed[id]
        for id in self._saved:
            self._committed[id] = self._refs[id]
        self._saved.clear()
        self._schemas.clear()
        if self._released or self._failed:
            self.store.settle(self._released, self._failed)
            self._released.clear()
            self._failed.clear()

    def _add(self, ref: Ref) -> None:
        self._refs[ref.id] = ref
        self._states[ref.state] += 1
        self._targets.update(ref.targets)
        for key in ref.keys:
            insort(self._by_key.setdefault(ref.table, {}).setdefault(key, []), ref.id)

    def _remove(self, id: ExceptionId) -> None:
        ref = self._refs.pop(id)
        self._states[ref.state] -= 1
        self._targets.subtract(ref.targets)
        keys = self._by_key.get(ref.table, {})
        for key in ref.keys:
            keys[key].remove(id)
            if not keys[key]:
                del keys[key]
        if not keys:
            self._by_key.pop(ref.table, None)
