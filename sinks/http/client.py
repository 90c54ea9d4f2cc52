"""One request, one answer: what aiohttp does for us, inside our limits.

No redirect is followed, nothing is unpacked, no proxy or cookie is taken from the environment,
and of an answer only so much is read as is allowed. What came by a connection before it was asked
anything is no answer to what it is asked then.
"""

from __future__ import annotations

import io
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import aiohttp
from aiohttp import hdrs
from yarl import URL

from sinks.http.access import Tls
from sinks.http.addresses import Forbidden, Guard
from sinks.http.settings import HttpTarget
from tailrace.errors import AddressForbidden, TargetRefused

_AGENT = "tailrace"
KEEPALIVE_S = 15.0
"""An idle connection is kept so long: less than most servers and balancers keep theirs, so that
we seldom write into one that they are closing."""
LARGE = 1 << 20
"""Bytes of a body from which on it is sent piece by piece, so that others go on meanwhile."""


@dataclass(frozen=True, slots=True)
class Request:
    """`url` is whole and encoded; `body` None: there is none."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` None: it was larger than allowed, or in an encoding that was not asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    why: str = ""


class Lost(Exception):
    """There is no answer."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


class Ended(Lost):
    """A connection that had been used before ended without a word: most likely it was idle for
    longer than the server keeps one, which says nothing of the API. Whether the request was heard
    is not known all the same."""


class _Unsent(Ended):
    """The same, before anything was sent."""


@dataclass(slots=True)
class _Flight:
    """`reused`: the request goes by a connection that others went by before; `sent`: it went."""

    reused: bool = False
    sent: bool = False


_flight: ContextVar[_Flight] = ContextVar("flight")


class _Fresh(aiohttp.ClientRequest):
    """Goes by no connection on which something came that nobody asked for."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        protocol = conn.protocol
        flight = _flight.get()
        flight.reused = protocol in _used
        flight.sent = False
        if protocol.should_close:
            raise aiohttp.ServerDisconnectedError("it said something unasked")
        flight.sent = True
        _used.add(protocol)
        return await super().send(conn)


_used: WeakSet[Any] = WeakSet()
"""Connections that a request went by."""


class Client:
    """Used as an asynchronous context manager, in one event loop."""

    def __init__(self, target: HttpTarget) -> None:
        self._target = target
        self._guard = Guard(target.reach.networks)
        self._tls = tls_context(target.tls)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        target = self._target
        timeouts = target.timeouts
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=target.limits.concurrency + 1,
                ssl=self._tls,
                socket_factory=self._guard,
                keepalive_timeout=KEEPALIVE_S,
            ),
            timeout=aiohttp.ClientTimeout(
                total=timeouts.total_s,
                connect=timeouts.connect_s,
                sock_connect=timeouts.connect_s,
                sock_read=timeouts.answer_s,
            ),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={hdrs.USER_AGENT: _AGENT, hdrs.ACCEPT_ENCODING: "identity"},
            trust_env=False,
            request_class=_Fresh,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
        self._session = None

    async def send(self, request: Request) -> Answer:
        """Errors: Lost; AddressForbidden; TargetRefused where the server's certificate is not to
        be trusted."""
        for _ in range(self._target.limits.concurrency):  # so many may be of no use any more
            try:
                return await self._sent(request)
            except _Unsent:
                continue
        return await self._sent(request)

    async def _sent(self, request: Request) -> Answer:
        """Errors: as `send`."""
        assert self._session is not None, "enter it first"
        _flight.set(flight := _Flight())
        body = request.body
        try:
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),
                data=body if body is None or len(body) < LARGE else io.BytesIO(body),
                headers=request.headers,
                allow_redirects=False,
            ) as response:
                content, why = await self._read(response)
                return Answer(response.status, response.headers, content, why)
        except aiohttp.ClientConnectorCertificateError as error:
            raise untrusted(str(error.certificate_error), self._target.url) from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, Forbidden):
                raise forbidden(error.host) from None
            what = error.os_error.strerror or type(error.os_error).__name__
            raise Lost(f"cannot connect: {what}") from None
        except (aiohttp.ConnectionTimeoutError, aiohttp.ServerTimeoutError) as error:
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            raise Lost("no connection in time" if connecting else "no answer in time") from None
        except TimeoutError:
            raise Lost("no whole answer in time") from None
        except aiohttp.ClientError as error:
            ended = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
            kind = Lost if not (ended and flight.reused) else Ended if flight.sent else _Unsent
            raise kind(f"the connection broke ({type(error).__name__})") from None

    async def _read(self, response: aiohttp.ClientResponse) -> tuple[bytes | None, str]:
        encoding = response.headers.get(hdrs.CONTENT_ENCODING, "identity")
        if encoding.lower() not in ("identity", ""):
            response.close()
            return None, "an encoding that was not asked for"
        most = self._target.answer_max
        length = response.content_length
        if length is not None and length > most:
            response.close()
            return None, f"more than answer_max, {most} bytes"
        pieces: list[bytes] = []
        size = 0
        while piece := await response.content.readany():
            size += len(piece)
            if size > most:
                response.close()
                return None, f"more than answer_max, {most} bytes"
            pieces.append(piece)
        return b"".join(pieces), ""


def untrusted(why: str, url: str) -> TargetRefused:
    return TargetRefused(
        f"the server's certificate is not to be trusted: {why}",
        where={"url": url},
        fix="see that the name is right; for a certificate authority of your own: tls: {ca: …}",
    )


def forbidden(host: str) -> AddressForbidden:
    return AddressForbidden(
        f"the name {host} leads to an address that is not public",
        where={"host": host},
        fix="nothing was sent; where it is meant, allow its network: reach: {private:"
        " [10.1.0.0/16]}; an address is written in its usual form",
    )


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Errors: TargetRefused where a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.certificate is not None:  # without a password OpenSSL would ask at the terminal
            context.load_cert_chain(tls.certificate, tls.key, tls.key_password or "")
    except (OSError, ssl.SSLError) as error:
        raise TargetRefused(
            f"the files of `tls` cannot be used: {error.strerror or type(error).__name__}",
            where={"ca": tls.ca, "certificate": tls.certificate, "key": tls.key},
            fix="see that they are there, in PEM, and that the key belongs to the certificate",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
