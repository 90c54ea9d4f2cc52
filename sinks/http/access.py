"""How we show who we are: credentials, signatures, TLS. Secrets are references only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from sinks.http.entities import HeaderName
from sinks.http.templates import Text
from sinks.settings import Strict

SECRETS = frozenset({"token", "password", "client_secret", "value", "secret", "key_password"})
"""Keys below `auth`, `signature` and `tls` that are never written in the file."""

SIGNED = frozenset({"method", "path", "timestamp", "body", "idempotency_key"})
"""Names that a signature's `content` may have."""

Secret = Annotated[
    str,
    Field(min_length=1, repr=False, exclude=True),
    WithJsonSchema({"type": "string", "pattern": r"^\$\{.*\}$"}),
]


def _one_line(text: str) -> str:
    if "${" not in text and not text.isprintable():
        raise ValueError("this stands in a header, which holds no line end or control character")
    return text


def address_of(text: str, expected: str) -> SplitResult:
    """The parts of an http address. Errors: ValueError, which may say what is `expected`."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected is {expected}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("credentials belong into `auth`, not into the address")
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        raise ValueError("the host is no name: a part of it is empty or too long") from None
    try:
        parts.port  # noqa: B018 - it is parsed when it is read
    except ValueError:
        raise ValueError("the port is no number from 1 to 65535") from None
    return parts


HeaderSecret = Annotated[Secret, AfterValidator(_one_line)]


def _token_url(text: str) -> str:
    if "${" not in text:  # left where files alone are checked
        address_of(text, "the address of a token endpoint: https://id.example.com/token")
    return text


def _content(text: str) -> str:
    unknown = Text(text).names - SIGNED
    if unknown:
        raise ValueError(f"known are {{{'}, {'.join(sorted(SIGNED))}}}")
    return text


class Bearer(Strict):
    type: Literal["bearer"]
    token: HeaderSecret


class Basic(Strict):
    type: Literal["basic"]
    user: str
    password: Secret


class ApiKey(Strict):
    """In a header; in a URL it would stand in every log on the way."""

    type: Literal["api_key"]
    header: HeaderName = "X-API-Key"
    value: HeaderSecret


class Oauth2(Strict):
    """Client credentials (RFC 6749, 4.4). `credentials`: where the client's own stand."""

    type: Literal["oauth2"]
    token_url: Annotated[str, AfterValidator(_token_url)]
    client_id: str
    client_secret: Secret
    scope: str | None = None
    audience: str | None = None
    credentials: Literal["header", "body"] = "header"


Auth = Bearer | Basic | ApiKey | Oauth2


class Signature(Strict):
    """An HMAC over `content` with `secret`, in `header`; the moment, in seconds since 1970, in
    `timestamp_header`."""

    secret: Secret
    header: HeaderName = "X-Signature"
    timestamp_header: HeaderName = "X-Timestamp"
    algorithm: Literal["sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Annotated[str, AfterValidator(_one_line)] = ""
    content: Annotated[str, AfterValidator(_content), WithJsonSchema({"type": "string"})] = (
        "{timestamp}.{method}.{path}.{body}"
    )


class Tls(Strict):
    """`ca`: a file of certificates to trust instead of the system's; `certificate` and `key`: our
    own, files in PEM."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: Annotated[str | None, Field(repr=False, exclude=True)] = None

    @model_validator(mode="after")
    def _both(self) -> Tls:
        if (self.key or self.key_password) and not self.certificate:
            raise ValueError("a key needs the certificate that it belongs to")
        return self
