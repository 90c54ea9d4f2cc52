"""Several changes of different keys in one request, and what the answer says of each."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sinks.http.answers import at, parsed, problem_type
from sinks.http.client import Answer
from sinks.http.entities import Results
from sinks.http.exchange import Again, Exchange, Refused
from sinks.http.identity import batch_key
from sinks.http.plan import Filled
from sinks.http.reading import Change
from sinks.http.templates import Unfit
from sinks.http.verdicts import Verdict
from tailrace.errors import TargetRefused
from transforms.rows import UPSERT


class Halve(Exception):
    """The API refused a whole batch and does not say which item: smaller ones will tell."""


@dataclass(slots=True)
class Outcome:
    """Of the changes that were in the request; the others were not sent. `again`: some of them
    met a passing fault, or one that pauses."""

    done: list[Change] = field(default_factory=list)
    refused: list[tuple[Change, Refused]] = field(default_factory=list)
    again: Again | TargetRefused | None = None


class Batches:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def group(self, change: Change) -> Hashable:
        """What it may be batched with; None: it goes alone."""
        batch = change.plan.entity.batch
        whole = change.op == UPSERT and not change.missing
        return (change.target, batch.size) if batch is not None and whole else None

    def size(self, group: Hashable) -> int:
        return group[1] if isinstance(group, tuple) else 1

    async def deliver(self, changes: Sequence[Change]) -> Outcome:
        """As many of `changes`, which are of one table, as fit into one request.

        Errors: Again; Halve; those of `Exchange`, which are no matter of a change.
        """
        plan = changes[0].plan
        batch = plan.entity.batch
        assert batch is not None
        request = plan.requests["batch"]
        outcome = Outcome()
        lines = batch.format == "ndjson"
        going: list[Change] = []
        items: list[bytes] = []
        size = 0
        base: Filled | None = None
        for change in changes:
            try:
                filled = request.filled(plan.whole(change.values, change.name))
            except Unfit as unfit:
                outcome.refused.append((change, self._exchange.unfit(change, unfit)))
                continue
            assert filled.body is not None
            size += len(filled.body) + 1
            if going and size > batch.bytes_max:
                break
            try:
                await self._exchange.leave(change)
            except Unfit as unfit:
                outcome.refused.append((change, self._exchange.unfit(change, unfit)))
                continue
            except Refused as refused:
                outcome.refused.append((change, refused))
                continue
            base = base or filled
            going.append(change)
            items.append(_in_one_line(filled.body) if lines else filled.body)
        if base is None:
            return outcome
        body = b"\n".join(items) + b"\n" if lines else b"[" + b",".join(items) + b"]"
        key = batch_key(change.name for change in going)
        filled = Filled(base.method, base.url, base.headers, body)
        answer, verdict = await self._exchange.ask(request, filled, key, plan.name, key)
        self._judge(going, answer, verdict, outcome)
        return outcome

    def _judge(
        self, going: Sequence[Change], answer: Answer, verdict: Verdict, outcome: Outcome
    ) -> None:
        plan = going[0].plan
        batch = plan.entity.batch
        assert batch is not None
        request = plan.requests["batch"]
        if verdict.outcome in ("park", "absent") or answer.status == 413:
            if len(going) > 1:
                raise Halve
            try:
                self._exchange.judge(request, verdict, going[0], problem_type(answer))
            except Refused as refused:
                outcome.refused.append((going[0], refused))
            return
        if verdict.outcome != "done":
            self._exchange.judge(request, verdict, going[0], problem_type(answer))
        elif batch.results is not None:
            self._each(going, answer, batch.results, outcome)
        elif answer.status == 207:
            raise TargetRefused(
                f"the API answers to a batch of {plan.name} with one status an item (207), and"
                " `results` does not say where",
                where={"table": plan.name},
                fix="declare it: batch: {results: {list: /results, status: /status}}",
            )
        else:
            outcome.done += going

    def _each(
        self, going: Sequence[Change], answer: Answer, results: Results, outcome: Outcome
    ) -> None:
        found = at(parsed(answer.body), results.list)
        if not isinstance(found, list) or (results.key is None and len(found) != len(going)):
            raise Again(f"the answer to a batch does not say what became of each {answer.why}")
        if results.key is None:
            said: list[Any] = found
        else:
            by_key = {str(at(item, results.key)): item for item in found}
            said = [by_key.get(one.name, by_key.get(_only(one))) for one in going]
        for change, item in zip(going, said, strict=True):
            self._one(change, item, results, outcome)

    def _one(self, change: Change, item: Any, results: Results, outcome: Outcome) -> None:
        if item is None:
            outcome.again = Again("the answer to a batch is silent about some items")
            return
        request = change.plan.requests["batch"]
        try:
            self._exchange.judge(request, request.verdict_of_item(item, results), change)
        except Refused as refused:
            outcome.refused.append((change, refused))
        except (Again, TargetRefused) as again:
            outcome.again = again
        else:
            outcome.done.append(change)


def _in_one_line(document: bytes) -> bytes:
    """JSON as it is, with its line ends as blanks; they stand in no JSON text."""
    return document.replace(b"\r", b" ").replace(b"\n", b" ")


def _only(change: Change) -> str:
    """The key as an answer would name it; nothing is named by several columns."""
    return str(change.key[0]) if len(change.key) == 1 else change.name
