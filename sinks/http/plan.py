"""How one target table is written: its requests' templates, ready for rows.

What a row carries decides what may be asked: a request that replaces a record needs all of its
fields; one that changes it sends those that were sent, or changed. Nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sinks.http.client import Answer
from sinks.http.entities import Answers, Batch, EntityRequests, Result
from sinks.http.patching import Inexpressible, merge_patch
from sinks.http.settings import HttpTarget
from sinks.http.templates import FOUND, KEY, ROW, Address, Body, Given, Text, Unfit, in_header
from sinks.http.values import encoder, text
from sinks.http.verdicts import Verdict, verdict, within
from tailrace.errors import TargetRefused
from transforms.rows import TargetTable

JSON, MERGE_PATCH, LINES = (
    "application/json",
    "application/merge-patch+json",
    "application/x-ndjson",
)


@dataclass(frozen=True, slots=True)
class Filled:
    """A request of one row, as far as the row goes. `body` None: it has none."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


class Request:
    """One declared request of an entity."""

    def __init__(
        self,
        name: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        answers: Answers,
        body: Body | None,
        content_type: str = JSON,
        base: str = "",
        result: Result | None = None,
    ) -> None:
        self.name = name
        self.method = method
        self._base = base
        self._url = Address(url, finds=name == "search")
        self._headers = {header: Text(value) for header, value in headers.items()}
        self._answers = answers
        self._result = result
        self._body = body
        has_type = any(header.lower() == "content-type" for header in headers)
        self._content_type = "" if has_type else content_type

    @property
    def body_names(self) -> frozenset[str]:
        return self._body.names if self._body else frozenset()

    @property
    def names(self) -> frozenset[str]:
        return self.body_names.union(
            self._url.names, *(one.names for one in self._headers.values())
        )

    def verdict(self, answer: Answer) -> Verdict:
        return verdict(answer, self._answers, self._result)

    def verdict_of_item(self, item: Any, rules: Result) -> Verdict:
        """Of one of several in an answer."""
        return within(item, self._answers, rules)

    def filled(self, given: Given) -> Filled:
        """Errors: Unfit."""
        body = None if self._body is None else self._body.filled(given).encode()
        headers = {name: value.filled(given, in_header) for name, value in self._headers.items()}
        if body is not None and self._content_type:
            headers["Content-Type"] = self._content_type
        return Filled(self.method, self._base + self._url.filled(given), headers, body)


class Plan:
    """Of one target table. `admits`: what its mapping admits is what it has admitted from the
    beginning. Errors: TargetRefused where a template names what the table lacks."""

    def __init__(
        self,
        table: TargetTable,
        entity: EntityRequests,
        target: HttpTarget,
        *,
        admits: bool = False,
    ) -> None:
        self.table = table
        self.admits = admits
        self.name = str(table.table)
        self.entity = entity
        self._names = [column.name for column in table.columns]
        self._encoders = [
            encoder(column.type, decimals_as_numbers=target.decimals == "number")
            for column in table.columns
        ]
        self._documents = frozenset(
            at for at, column in enumerate(table.columns) if column.type in ("json", "jsonb")
        )
        self._keys = table.key_indexes
        self._all = range(len(self._names))
        self._members = [text(one) + ":" for one in self._names]
        whole = Body('"{row}"')
        self.requests = {
            name: Request(
                name,
                one.method,
                one.url,
                {**target.headers, **one.headers},
                one.answers,
                _body(name, one, whole),
                _content_type(name, one),
                target.url,
                one.result,
            )
            for name, one in entity.requests().items()
        }
        self._names_fields = any(one.body_names - {ROW} for one in self.requests.values()) or (
            entity.update is not None and entity.update.send == "merge_patch"
        )
        self._verify()

    def _verify(self) -> None:
        columns = set(self._names)
        for name, request in self.requests.items():
            known = columns | {ROW, KEY}
            if name in ("delete", "search"):
                known = {self._names[at] for at in self._keys} | {KEY}
            if self.entity.upsert == "search" and name in ("update", "delete"):
                known.add(FOUND)
            unknown = sorted(request.names - known)
            if unknown:
                raise TargetRefused(
                    f"entities.{self.table.table.name}.{name} names {{{unknown[0]}}}, which this"
                    " request does not have",
                    where={"table": self.name},
                    fix=f"it has: {', '.join(sorted(known))}",
                )

    def whole(self, values: Sequence[str | None], name: str, found: str | None = None) -> Given:
        """All fields."""
        return self._given(values, self._all, self._all, name, found)

    def key_only(self, key: Sequence[str | None], name: str, found: str | None = None) -> Given:
        values: list[str | None] = [None] * len(self._names)
        for at, value in zip(self._keys, key, strict=True):
            values[at] = value
        return self._given(values, self._keys, self._keys, name, found)

    def partly(
        self,
        values: Sequence[str | None],
        missing: frozenset[int],
        before: Mapping[int, str | None] | None,
        name: str,
        found: str | None = None,
        *,
        created: bool = False,
        empty: bool = False,
    ) -> Given | None:
        """The fields that were sent and, as far as the log says, changed; the key beside them.

        `created`: there was nothing before. None where nothing changed, unless an `empty` one is
        to tell whether the record is there. Errors: Unfit
        where a merge patch cannot say it.
        """
        update = self.entity.update
        sent = [at for at in range(len(values)) if at not in missing]
        if update is not None and update.send == "whole":
            if missing:
                raise Unfit(self._names[min(missing)], "was not sent, and the request is whole")
            return self._given(values, sent, sent, name, found)
        inside = [
            at
            for at in sent
            if at not in self._keys
            and not (before is not None and at in before and before[at] == values[at])
        ]
        if not inside and not empty:
            return None
        given = self._given(values, [*self._keys, *inside], inside, name, found)
        if update is not None and update.send == "merge_patch":
            return self._patched(given, inside, values, {} if created else before, created)
        return given

    def _patched(
        self,
        given: Given,
        inside: Sequence[int],
        values: Sequence[str | None],
        before: Mapping[int, str | None] | None,
        created: bool,
    ) -> Given:
        """With JSON fields as merge patches of their own."""
        found = dict(given.values)
        for at in inside:
            after = values[at]
            if at not in self._documents or after is None:
                continue
            name = self._names[at]
            was = before.get(at) if before is not None else None
            try:
                known = created or (before is not None and at in before)
                found[name] = merge_patch(was, after, known=known)
            except Inexpressible as error:
                raise Unfit(name, str(error)) from None
        found[ROW] = _object(self._names, found, inside)
        return Given(given.texts, found)

    def _given(
        self,
        values: Sequence[str | None],
        carried: Sequence[int],
        inside: Sequence[int],
        name: str,
        found: str | None,
    ) -> Given:
        names, encoders, members = self._names, self._encoders, self._members
        made = ["null" if (value := values[at]) is None else encoders[at](value) for at in carried]
        texts = {names[at]: values[at] for at in carried}
        texts[KEY] = name
        if inside is carried:
            row = ",".join([members[at] + one for at, one in zip(carried, made, strict=True)])
        else:
            by_column = dict(zip(carried, made, strict=True))
            row = ",".join([members[at] + by_column[at] for at in inside])
        fragments: dict[str, str] = {}
        if self._names_fields:
            fragments = {names[at]: one for at, one in zip(carried, made, strict=True)}
            fragments[KEY] = text(name)
        fragments[ROW] = "{" + row + "}"
        if found is not None:
            texts[FOUND], fragments[FOUND] = found, text(found)
        return Given(texts, fragments)


def _object(names: Sequence[str], fragments: Mapping[str, str], inside: Sequence[int]) -> str:
    members = ",".join(f"{text(names[at])}:{fragments[names[at]]}" for at in inside)
    return "{" + members + "}"


def _body(name: str, one: object, whole: Body) -> Body | None:
    declared = getattr(one, "item" if isinstance(one, Batch) else "body")
    if declared is not None:
        return Body(declared)
    return None if name in ("delete", "search") else whole


def _content_type(name: str, one: object) -> str:
    if isinstance(one, Batch):
        return LINES if one.format == "ndjson" else JSON
    return MERGE_PATCH if getattr(one, "send", "") == "merge_patch" else JSON
