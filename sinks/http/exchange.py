"""One change to the API: which requests, in the style that the entity declares.

    put              PUT
    patch_then_post  PATCH; where the record is not there, POST
    search           GET; where there is one PATCH, else POST
    by_operation     POST for what the source says is new, PATCH for what it changed

A change that met a passing fault begins at its first request again: what an API has kept it then
finds. Nothing here waits or tries again; `sender` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from sinks.http import plan
from sinks.http.answers import THROTTLED, UNTIMELY, at, parsed, problem_type, retry_after_s
from sinks.http.client import Answer, Client, Ended, Lost
from sinks.http.client import Request as Asked
from sinks.http.credentials import Credentials
from sinks.http.identity import step_key
from sinks.http.meters import Meters
from sinks.http.pace import Circuit, Pace, StepAside
from sinks.http.reading import Change
from sinks.http.settings import HttpTarget
from sinks.http.templates import Given, Unfit
from sinks.http.verdicts import Verdict
from sinks.ordered import diverged
from tailrace.errors import RowRefused, TargetRefused
from transforms.rows import DELETE, PATCH


class Again(Exception):
    """A passing fault: the same may go well later. `throttled`: the API asked us to wait."""

    def __init__(self, what: str, *, throttled: bool = False) -> None:
        self.what = what
        self.throttled = throttled
        super().__init__(what)


class Refused(Exception):
    """The API does not take this change. `settled`: it said so, and remembers."""

    def __init__(self, error: RowRefused, *, settled: bool) -> None:
        self.error = error
        self.settled = settled
        super().__init__(str(error))


@dataclass(frozen=True, slots=True)
class Replied:
    """`absent`: the record that was to be changed is not there."""

    absent: bool
    answer: Answer


class Exchange:
    """Of one target, in one event loop."""

    def __init__(
        self,
        target: HttpTarget,
        client: Client,
        credentials: Credentials,
        pace: Pace,
        meters: Meters,
    ) -> None:
        self._target = target
        self._client = client
        self._credentials = credentials
        self._pace = pace
        self._meters = meters

    def retried(self, entity: str) -> None:
        """A change of it, or a batch, is tried again."""
        self._meters.retried(entity)

    def last_success_s(self, entity: str) -> float:
        """When the API last took something of it, by the monotonic clock."""
        return self._pace.circuit(entity).last_success_s

    async def deliver(self, change: Change) -> bool:
        """False where nothing had to be sent.

        Errors: Again, Refused; TargetRefused, TargetUnavailable and AddressForbidden, which are
        no matter of the change.
        """
        try:
            if change.op == DELETE:
                return await self._remove(change, change.key, "delete")
            if change.op == PATCH:
                return await self._patch(change)
            await self.leave(change)
            return await self._upsert(change)
        except Unfit as unfit:
            raise self.unfit(change, unfit) from None

    async def leave(self, change: Change) -> None:
        """Remove the record under the key that the row had before, where it moved. Errors: as
        `deliver`, and Unfit."""
        if change.old_key is None:
            return
        if change.missing:
            raise self._unfit(change, min(change.missing), "its key moved")
        await self._remove(change, change.old_key, "moved")

    def unfit(self, change: Change, unfit: Unfit) -> Refused:
        return Refused(
            RowRefused(
                f"{unfit.field} {unfit.why}",
                where={**change.place, "column": unfit.field},
                fix="edit the row, or change the request's template, then replay it",
            ),
            settled=False,
        )

    async def _upsert(self, change: Change) -> bool:
        style = change.plan.entity.upsert
        if change.missing and style in ("put", "batch"):
            return await self._partly(change)
        if style == "put":
            return await self._put(change)
        if style == "by_operation":
            is_new = change.created or change.old_key is not None
            return await (self._create(change) if is_new else self._update(change))
        found = None
        if style == "search":
            found = await self._search(change, change.key)
            if found is None:
                return await self._create(change)
        return await self._update(change, found=found, or_create=True)

    async def _put(self, change: Change) -> bool:
        await self._ask(change, "put", change.plan.whole(change.values, change.name))
        return True

    async def _create(self, change: Change) -> bool:
        if change.missing:
            raise self._unfit(change, min(change.missing), "the record is not there")
        await self._ask(change, "create", change.plan.whole(change.values, change.name))
        return True

    async def _update(
        self, change: Change, *, found: str | None = None, or_create: bool = False
    ) -> bool:
        plan = change.plan
        given = plan.partly(
            change.values,
            change.missing,
            change.before,
            change.name,
            found,
            created=change.created,
            empty=or_create and found is None and change.before is None,
        )
        if given is None:
            return False
        replied = await self._ask(change, "update", given, absent=or_create)
        return True if not replied.absent else await self._create(change)

    async def _partly(self, change: Change) -> bool:
        """A row of which values are not sent has them at the API already."""
        if "update" not in change.plan.requests:
            raise self._unfit(change, min(change.missing), "the entity has no `update`")
        given = change.plan.partly(change.values, change.missing, None, change.name)
        if given is None:
            return False
        replied = await self._ask(change, "update", given, absent=True)
        if replied.absent:
            raise Refused(diverged(change.plan.table, 1), settled=True)
        return True

    async def _patch(self, change: Change) -> bool:
        """A soft delete: nothing where the record is not there."""
        if "update" not in change.plan.requests:
            raise TargetRefused(
                f"{change.target} marks or clears what is deleted, and has no `update`",
                where={"table": change.target},
                fix="declare it: entities: {…: {update: {url: …}}}",
            )
        found = None
        if "search" in change.plan.requests:
            found = await self._search(change, change.key)
            if found is None:
                return True
        given = change.plan.partly(change.values, change.missing, None, change.name, found)
        if given is not None:
            await self._ask(change, "update", given, absent=True)
        return True

    async def _remove(self, change: Change, key: Sequence[str | None], step: str) -> bool:
        if "delete" not in change.plan.requests:
            raise TargetRefused(
                f"rows of {change.target} are deleted, or change their key, and the entity has no"
                " `delete`",
                where={"table": change.target},
                fix="declare it: entities: {…: {delete: {url: …}}}; or say on_delete: ignore",
            )
        found = None
        if "search" in change.plan.requests:
            found = await self._search(change, key)
            if found is None:
                return True
        given = change.plan.key_only(key, change.name, found)
        await self._ask(change, "delete", given, absent=True, step=step)
        return True

    async def _search(self, change: Change, key: Sequence[str | None]) -> str | None:
        """The API's own id of the record, None where there is none."""
        search = change.plan.entity.search
        assert search is not None
        given = change.plan.key_only(key, change.name)
        replied = await self._ask(change, "search", given, absent=True)
        if replied.absent:
            return None
        document = parsed(replied.answer.body)
        if document is None:
            raise Again(f"the answer to a search is no JSON {replied.answer.why}".rstrip())
        found = at(document, search.found)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, str | int):
            raise TargetRefused(
                f"search.found leads to something that is no id, for {change.target}",
                where={"table": change.target, "pointer": search.found},
                fix="name the place of the id in the answer: /items/0/id",
            )
        return str(found)

    async def _ask(
        self,
        change: Change,
        name: str,
        given: Given,
        *,
        absent: bool = False,
        step: str = "",
    ) -> Replied:
        """`absent`: that the record is not there is an answer, too."""
        request = change.plan.requests[name]
        key = "" if name == "search" else step_key(change.name, step or name)
        answer, verdict = await self.ask(
            request, request.filled(given), key, change.target, change.name
        )
        if absent and verdict.outcome == "absent":
            return Replied(True, answer)
        self.judge(request, verdict, change, problem_type(answer))
        return Replied(False, answer)

    def judge(
        self, request: plan.Request, verdict: Verdict, change: Change, problem: str | None = None
    ) -> None:
        """Errors: Again, Refused, TargetRefused: unless it is done."""
        if verdict.outcome == "done":
            return
        where: dict[str, object] = {
            **change.place,
            "request": request.name,
            "status": verdict.status,
            "code": verdict.code,
            "problem": problem,
        }
        if verdict.outcome in ("park", "absent"):
            error = RowRefused(_refusal(verdict), where=where, fix=_fix(verdict))
            raise Refused(error, settled=True)
        if verdict.outcome == "pause":
            raise TargetRefused(_pausing(verdict), where=where, fix=_fix(verdict))
        raise _again(verdict)

    async def ask(
        self, request: plan.Request, filled: plan.Filled, key: str, entity: str, who: str
    ) -> tuple[Answer, Verdict]:
        """One request that got an answer, whatever it says.

        `key`: empty for one that only asks; `who`: which change it is for. Errors: Again where
        there is no answer or it is one of a throttled API; TargetUnavailable …
        """
        circuit = self._pace.circuit(entity)
        credentials = self._credentials
        token = await credentials.token()
        try:
            await self._pace.enter(circuit, who)
        except StepAside:
            raise Again("it failed before", throttled=True) from None
        began_s = monotonic()
        try:
            answer = await self._sent(filled, token, key)
            if answer.status == 401 and credentials.can_renew:
                await credentials.renew(token)
                answer = await self._sent(filled, await credentials.token(), key)
        except Lost as lost:
            self._meters.lost(entity, request.name)
            if isinstance(lost, Ended):
                circuit.given_up()
                raise Again(lost.what) from None
            self._pace.permits.overloaded(monotonic() - began_s)
            circuit.failed(lost.what, who)
            raise Again(lost.what) from None
        except BaseException:
            circuit.given_up()
            raise
        finally:
            self._pace.leave()
        took_s = monotonic() - began_s
        self._meters.answered(entity, request.name, answer.status, took_s)
        verdict = request.verdict(answer)
        try:
            self._watch(answer, verdict, circuit, who, took_s)
        except Again:
            self._meters.throttled(entity)
            raise
        return answer, verdict

    def _watch(
        self, answer: Answer, verdict: Verdict, circuit: Circuit, who: str, took_s: float
    ) -> None:
        """What it says of the API's health. Errors: Again, where it asks for fewer requests."""
        status = answer.status
        passes = verdict.outcome in ("retry", "wait")
        asks = verdict.outcome == "wait"
        if passes and (asks or verdict.in_body or status in THROTTLED):
            after_s = retry_after_s(answer)
            if asks or status in THROTTLED or after_s is not None:
                self._pace.permits.overloaded(took_s)
            if after_s is not None:
                self._pace.wait_at_least(after_s)
            if asks or status == 429 or after_s is not None:
                circuit.given_up()
                raise Again(_again(verdict).what, throttled=True)
        if passes and (status >= 500 or status in UNTIMELY or verdict.in_body):
            circuit.failed(_again(verdict).what, who)
            return
        circuit.succeeded()
        self._pace.permits.went_well()

    async def _sent(self, filled: plan.Filled, token: str, key: str) -> Answer:
        idempotency = self._target.idempotency
        headers = {
            **filled.headers,
            **self._credentials.headers(token, filled.method, filled.url, filled.body, key),
        }
        if key:
            headers[idempotency.header] = f'"{key}"' if idempotency.quotes else key
        return await self._client.send(Asked(filled.method, filled.url, headers, filled.body))

    def _unfit(self, change: Change, column: int, why: str) -> Refused:
        name = change.plan.table.columns[column].name
        return Refused(
            RowRefused(
                f"the log does not carry {name}, a value that did not change, and {why}",
                where={**change.place, "column": name},
                fix="set REPLICA IDENTITY FULL at the source; or give the entity an `update`, which"
                " sends the fields that are known",
            ),
            settled=False,
        )


def _again(verdict: Verdict) -> Again:
    if verdict.silent:
        return Again(f"the answer does not say what became of it: {verdict.silent}")
    return Again(_said(verdict), throttled=verdict.outcome == "wait" or verdict.status == 429)


def _said(verdict: Verdict) -> str:
    inside = " in the answer" if verdict.in_body else ""
    return f"code {verdict.code}{inside}" if verdict.code else f"status {verdict.status}{inside}"


def _refusal(verdict: Verdict) -> str:
    if verdict.in_body and verdict.code is None and (verdict.status or 200) < 300:
        return "the API refused it, as its answer says"
    return f"the API refused it with {_said(verdict)}"


def _pausing(verdict: Verdict) -> str:
    status = verdict.status or 0
    if status == 401 or status == 407:
        return f"the API refuses our credentials (status {status})"
    if 300 <= status < 400:
        return f"the API answers with a redirect (status {status}), which is not followed"
    return f"the API answers with {_said(verdict)}"


def _fix(verdict: Verdict) -> str:
    status = verdict.status or 0
    if status in (401, 407):
        return "see to `auth`, and to what its owner allows"
    if 300 <= status < 400:
        return "write the final address into the target's url"
    if status == 422:
        return (
            "edit the row, then replay it; or the API has had this idempotency key with other"
            " contents, when a mapping or a template was changed: then a replay is a new request"
        )
    if verdict.outcome == "absent":
        return "see that the request's url is right; or the record, or its parent, is missing"
    return "edit the row, or change the request, then replay it"
