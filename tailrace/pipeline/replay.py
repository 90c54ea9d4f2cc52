"""Does what people asked the desk for: held changes go to the target again, or are given up. So do
changes that waited for a row they refer to, when it has come.

A change goes with all that wait behind it, in the source's order, through the mappings of today.
What cannot go is held again under its own name, and what waits behind it too. So a replay is
never out of order: nothing newer of the same key has been applied before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pyarrow as pa

from cdc.changes import TableChanges
from tailrace.errors import TailraceError
from tailrace.pipeline.arrivals import FromDesk
from tailrace.pipeline.desk import Desk
from tailrace.pipeline.tally import Tally
from tailrace.state.exceptions.codec import unpack
from tailrace.state.exceptions.model import ExceptionId, Held, Outcome, Request
from tailrace.state.exceptions.store import OURSELVES, outcome_of

_COME = "what it refers to has come"


@dataclass(frozen=True, slots=True)
class Replay:
    """Changes that are taken from the desk, and what becomes of each that is not held again."""

    held: tuple[Held, ...]
    outcomes: Mapping[ExceptionId, Outcome]
    asked: Mapping[ExceptionId, Request]

    @property
    def replays(self) -> list[Request]:
        """What people asked to be applied."""
        return [request for request in self.asked.values() if request.action == "replay"]

    def arrivals(self, desk: Desk) -> Iterator[tuple[TableChanges, FromDesk]]:
        """To be routed, in the source's order within each table."""
        origin = FromDesk(self.held)
        numbered = sorted(enumerate(self.held), key=lambda one: (one[1].ref.table, one[0]))
        for version, group in groupby(numbered, key=lambda one: one[1].schema):
            numbers, held = zip(*group, strict=True)
            changes = unpack([one.current for one in held], desk.store.schema(version))
            yield replace(changes, seq=pa.array(np.array(numbers, np.int32))), origin


def begin(desk: Desk, tally: Tally) -> Replay | None:
    """Take from the desk what was asked for; None where nothing was."""
    asked = {request.id: request for request in desk.store.requests()}
    orphans = desk.ready()
    ids = desk.followers([*asked, *desk.heads(), *orphans])
    blocked = [id for id in asked if id not in ids]
    for id in blocked:
        reason = "an earlier change of the same key is parked: that one first"
        if id not in desk:
            reason = "it is not held"
        desk.failed(id, Outcome("replayed", asked[id].who, reason))
    if not ids and not blocked:
        return None
    outcomes = {id: Outcome("replayed", OURSELVES, "what it waited behind is gone") for id in ids}
    outcomes |= {id: Outcome("replayed", OURSELVES, _COME) for id in orphans if id in outcomes}
    outcomes |= {id: outcome_of(request) for id, request in asked.items() if id in outcomes}
    discarded = [id for id in ids if outcomes[id].state == "discarded"]
    refs = {id: desk.ref(id) for id in ids}
    desk.take(ids)
    for id in discarded:
        desk.release(id, outcomes[id])
        tally.add(refs[id].targets, "discarded", 1)
    going = [id for id in ids if id not in discarded]
    return Replay(tuple(desk.store.load(going)), outcomes, asked)


def finish(desk: Desk, replay: Replay) -> None:
    """After all that can go is written: what is not held again is done."""
    for one in replay.held:
        if one.id not in desk:
            desk.release(one.id, replay.outcomes[one.id])
        elif one.id in replay.asked:
            cause = desk.cause(one.id)
            reason = "waits behind another" if cause is None else str(cause)
            desk.failed(one.id, Outcome("replayed", replay.asked[one.id].who, reason))


def give_up(desk: Desk, replay: Replay, error: TailraceError) -> None:
    """The replays that people asked for met what is no matter of a row; all stays as it was."""
    desk.store.settle(
        {}, {one.id: Outcome("replayed", one.who, error.what) for one in replay.replays}
    )
