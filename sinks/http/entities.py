"""What an API wants for each entity: the requests, in which style, one by one or in batches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    WithJsonSchema,
    model_validator,
)

from sinks.http.templates import Body, Text
from sinks.settings import Strict

Outcome = Literal["done", "retry", "wait", "park", "pause", "absent"]
"""retry: a fault that passes; wait: the API asks for fewer requests; absent: the record that was to
be changed is not there."""
Send = Literal["whole", "changed", "merge_patch"]
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RESERVED = {"host", "content-length", "transfer-encoding", "connection", "te", "upgrade"}


def _header_name(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError("this is not a name that a header can have")
    if text.lower() in _RESERVED:
        raise ValueError("this header is made by the connection itself")
    return text


def _header_value(text: str) -> str:
    Text(text)
    if not text.isascii() or not text.isprintable():
        raise ValueError("a header holds printable ASCII characters")
    return text


def _path(text: str) -> str:
    Text(text)
    if not text.startswith("/") or text.startswith("//"):
        raise ValueError("begin with / : it continues the target's url, and no other host is asked")
    if re.search(r"[\s#\\]", text):
        raise ValueError("an address has no blank, # or backslash: write them as %20, %23, %5C")
    path = text.partition("?")[0]
    if any(part in (".", "..") for part in path.split("/")):
        raise ValueError("an address has no . or .. in it")
    return text


def _body(text: str) -> str:
    Body(text)
    return text


def _pointer(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError("a JSON pointer (RFC 6901) is empty or begins with / : /results/0/id")
    return text


def _statuses(text: str) -> str:
    if not re.fullmatch(r"[1-5](?:\d\d|xx)", text):
        raise ValueError("expected is a status, such as 409, or a class of them, such as 4xx")
    return text


HeaderName = Annotated[
    str, AfterValidator(_header_name), WithJsonSchema({"type": "string", "pattern": _TOKEN.pattern})
]
HeaderValue = Annotated[str, AfterValidator(_header_value), WithJsonSchema({"type": "string"})]
Headers = dict[HeaderName, HeaderValue]
Path = Annotated[str, AfterValidator(_path), WithJsonSchema({"type": "string", "pattern": "^/"})]
BodyText = Annotated[str, AfterValidator(_body), WithJsonSchema({"type": "string"})]
Pointer = Annotated[str, AfterValidator(_pointer), WithJsonSchema({"type": "string"})]
Statuses = Annotated[
    str, AfterValidator(_statuses), WithJsonSchema({"type": "string", "pattern": "^[1-5](..|xx)$"})
]
Answers = dict[Statuses, Outcome]


class Result(Strict):
    """Where a body says what became of a request, by JSON pointers.

    status  a status such as HTTP has them
    ok      true, or 1; anything else: it failed
    error   null, false, 0, or empty; anything else: it failed
    code    why it failed, with `codes`: what that means. Where none of the others is given it alone
            says what became of it. What fails otherwise is parked
    """

    status: Pointer | None = None
    ok: Pointer | None = None
    error: Pointer | None = None
    code: Pointer | None = None
    codes: dict[str, Outcome] = Field(default_factory=dict)

    @property
    def is_code_alone(self) -> bool:
        return self.status is None and self.ok is None and self.error is None

    @model_validator(mode="after")
    def _says_something(self) -> Result:
        if bool(self.codes) != (self.code is not None):
            raise ValueError("`code` is where it stands, `codes` what it means: give both")
        if self.is_code_alone and self.code is None:
            raise ValueError("give `status`, `ok`, `error` or `code`: where it says what became")
        return self


class _Request(Strict):
    url: Path
    headers: Headers = Field(default_factory=dict)
    answers: Answers = Field(default_factory=dict)
    result: Result | None = None


class Put(_Request):
    """Creates or replaces the record of a key."""

    method: Literal["PUT", "POST", "PATCH"] = "PUT"
    body: BodyText | None = None


class Create(_Request):
    method: Literal["POST", "PUT"] = "POST"
    body: BodyText | None = None


class Update(_Request):
    """`send`: whole, the changed fields, or a merge patch (RFC 7396)."""

    method: Literal["PATCH", "PUT", "POST"] = "PATCH"
    body: BodyText | None = None
    send: Send = "changed"


class Delete(_Request):
    method: Literal["DELETE", "POST", "PUT", "PATCH"] = "DELETE"
    body: BodyText | None = None


class Search(_Request):
    """`found`: where in the answer the API's own id stands; the record is not there where that is
    missing or null."""

    method: Literal["GET", "POST"] = "GET"
    body: BodyText | None = None
    found: Pointer


class Results(Result):
    """Where the answer to a batch says what became of each item: `list` is the array, the others
    are within an item. Items answer in the order they were sent in, or by `key`."""

    list: Pointer = ""
    key: Pointer | None = None


class Batch(_Request):
    """Upserts of several keys in one request."""

    method: Literal["POST", "PUT", "PATCH"] = "POST"
    format: Literal["array", "ndjson"] = "array"
    size: Annotated[int, Field(ge=2, le=10_000)] = 100
    bytes_max: Annotated[int, Field(ge=1024, le=1 << 28)] = 1 << 20
    item: BodyText | None = None
    results: Results | None = None


Upsert = Literal["put", "patch_then_post", "search", "by_operation", "batch"]
_NEEDED: Mapping[Upsert, tuple[str, ...]] = {
    "put": ("put",),
    "patch_then_post": ("update", "create"),
    "search": ("search", "update", "create"),
    "by_operation": ("create", "update"),
    "batch": ("batch",),
}
_ALLOWED: Mapping[Upsert, frozenset[str]] = {
    "put": frozenset({"put", "update"}),
    "patch_then_post": frozenset({"update", "create"}),
    "search": frozenset({"search", "update", "create"}),
    "by_operation": frozenset({"create", "update"}),
    "batch": frozenset({"batch", "update"}),
}


class EntityRequests(Strict):
    """`upsert` is the style; `update` beside `put` or `batch` takes rows of which some fields are
    not sent. `coalesce`: of several waiting changes of a key only the last is sent."""

    upsert: Upsert = "put"
    put: Put | None = None
    create: Create | None = None
    update: Update | None = None
    search: Search | None = None
    batch: Batch | None = None
    delete: Delete | None = None
    coalesce: bool = False

    @model_validator(mode="after")
    def _fits_its_style(self) -> EntityRequests:
        needed, allowed = _NEEDED[self.upsert], _ALLOWED[self.upsert] | {"delete"}
        lacking = [name for name in needed if getattr(self, name) is None]
        if lacking:
            raise ValueError(
                f"upsert: {self.upsert} needs the request{'s' * (len(lacking) > 1)}"
                f" {' and '.join(lacking)}"
            )
        for name in ("put", "create", "update", "search", "batch"):
            if name not in allowed and getattr(self, name) is not None:
                raise ValueError(f"upsert: {self.upsert} never uses the request {name}")
        if self.coalesce and self.upsert not in ("put", "batch"):
            raise ValueError(
                "coalesce needs upsert: put or batch, whose requests replace whatever came before"
            )
        if self.delete and self.upsert != "search" and "found" in Text(self.delete.url).names:
            raise ValueError("delete.url: {found} is what a search finds: upsert: search")
        return self

    def requests(self) -> dict[str, Any]:
        """Those that are declared, by name."""
        names = ("put", "create", "update", "search", "batch", "delete")
        return {name: found for name in names if (found := getattr(self, name)) is not None}
