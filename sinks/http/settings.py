"""What an operator declares of an HTTP target (`targets:` in tailrace.yml).

Each default is explained in docs/http.md.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from cdc.sizes import Size
from sinks.http.access import Auth, Oauth2, Signature, Tls, address_of
from sinks.http.addresses import Network
from sinks.http.entities import EntityRequests, HeaderName, Headers
from sinks.settings import Strict, TargetSettings


def _base(text: str) -> str:
    if "${" in text:  # left where files alone are checked
        return text
    parts = address_of(text, "the API's address: https://api.example.com/v2")
    if parts.query or parts.fragment or re.search(r"[\s{}\\]", text):
        raise ValueError("the address has no query, fragment, blank or brace")
    return text.rstrip("/")


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(
            "expected is an address or a network such as 10.1.0.0/16 or fd00::/8"
        ) from None
    return text


BaseUrl = Annotated[str, Field(min_length=1), AfterValidator(_base)]
NetworkText = Annotated[str, AfterValidator(_network)]
Seconds = Annotated[float, Field(ge=0.01, le=3600)]
_Names = Annotated[str, Field(min_length=1), WithJsonSchema({"type": "string"})]


class Reach(Strict):
    """Where connections may go. `private`: networks that are not public and are meant all the
    same; `plain`: http:// without TLS."""

    private: tuple[NetworkText, ...] = ()
    plain: bool = False

    @property
    def networks(self) -> tuple[Network, ...]:
        return tuple(ipaddress.ip_network(text) for text in self.private)


class Timeouts(Strict):
    """connect_s: to resolve, connect and agree on TLS; answer_s: without a byte of the answer;
    total_s: of a request, from its start to the answer's last byte."""

    connect_s: Seconds = 10.0
    answer_s: Seconds = 30.0
    total_s: Seconds = 60.0


class Limits(Strict):
    """concurrency: requests in flight at most; requests_per_s: begun at most; adaptive: fewer in
    flight while the API is overloaded."""

    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    requests_per_s: Annotated[float, Field(ge=0.01, le=100_000)] | None = None
    adaptive: bool = True


class Retries(Strict):
    """Of one request that met a passing fault, before the pipeline waits or the change is
    parked."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 8
    wait_first_s: Seconds = 0.1
    wait_longest_s: Seconds = 10.0


class Breaker(Strict):
    """After so many failures in a row requests to an entity cease for `wait_s`, which doubles up
    to a minute; then one goes ahead."""

    failures: Annotated[int, Field(ge=1, le=10_000)] = 50
    wait_s: Seconds = 1.0


class Idempotency(Strict):
    """header: which carries the key; quotes: as the HTTP working group's draft writes it."""

    header: HeaderName = "Idempotency-Key"
    quotes: bool = True


class HttpTarget(TargetSettings):
    """An HTTP API that takes entities."""

    type: Literal["http"]
    url: BaseUrl
    auth: Annotated[Auth, Field(discriminator="type")] | None = None
    signature: Signature | None = None
    tls: Tls = Tls()
    reach: Reach = Reach()
    headers: Headers = Field(default_factory=dict)
    entities: Annotated[dict[_Names, EntityRequests], Field(min_length=1)]
    idempotency: Idempotency = Idempotency()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    answer_max: Annotated[Size, Field(ge=1024, le=1 << 30)] = 1 << 20
    decimals: Literal["text", "number"] = "text"
    on_truncate: Literal["pause", "ignore"] = "pause"

    @model_validator(mode="after")
    def _plain_is_meant(self) -> HttpTarget:
        token_url = self.auth.token_url if isinstance(self.auth, Oauth2) else ""
        plain = [
            name
            for name, url in (("url", self.url), ("auth.token_url", token_url))
            if url.startswith("http://")
        ]
        if plain and not self.reach.plain:
            raise ValueError(
                f"{plain[0]}: without TLS everybody on the way reads and changes what is sent;"
                " write https://, or allow it: reach: {plain: true}"
            )
        return self

    @property
    def wants_before(self) -> bool:
        """Whether a request depends on what a row was, or on whether it is new."""
        return any(
            one.upsert == "by_operation" or (one.update and one.update.send != "whole")
            for one in self.entities.values()
        )

    def requests_of(self, schema: str, name: str) -> EntityRequests | None:
        """Entities are named by the target table they are for: ``schema.name``, or the name."""
        found = self.entities.get(f"{schema}.{name}")
        return found or self.entities.get(name)
