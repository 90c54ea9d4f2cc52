"""Whether an API can be asked, before anything is sent; sends nothing but for a token."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from cdc.findings import Finding
from sinks.http.addresses import Guard
from sinks.http.client import Client, forbidden, tls_context, untrusted
from sinks.http.credentials import Credentials
from sinks.http.plan import Plan
from sinks.http.settings import HttpTarget
from sinks.local import LocalCheckpoint
from sinks.protection import findings
from sinks.protocol import Line
from tailrace.errors import AddressForbidden, TargetRefused, TargetUnavailable
from transforms.rows import TargetTable


def inspect(target: HttpTarget, lines: Sequence[Line]) -> list[Finding]:
    """What stands against `lines`: requests, what was sent before, name, address, TLS, token.

    Errors: TargetUnavailable where the API cannot be reached.
    """
    found: list[Finding] = []
    for line in lines:
        recorded = LocalCheckpoint.protections(line.checkpoint)
        for table in dict.fromkeys(line.tables):
            found += _table(target, table)
            if (before := recorded.get(str(table.table))) is not None:
                found += findings(table, before)
    found = list(dict.fromkeys(found))
    try:
        asyncio.run(_reach(target))
    except (TargetRefused, AddressForbidden) as refused:
        found.append(Finding("error", refused.what, target.url, f"-- {refused.fix}"))
    return found


def _table(target: HttpTarget, table: TargetTable) -> Iterator[Finding]:
    entity = target.requests_of(table.table.schema, table.table.name)
    if entity is None:
        what = "the target has no requests for it"
        fix = f"-- declare them: entities: {{{table.table.name}: …}}"
        yield Finding("error", what, str(table.table), fix)
        return
    try:
        Plan(table, entity, target)
    except TargetRefused as refused:
        yield Finding("error", refused.what, str(table.table), f"-- {refused.fix}")


async def _reach(target: HttpTarget) -> None:
    client = Client(target)
    await _connect(target)
    async with client:
        await Credentials(target, client).token()


async def _connect(target: HttpTarget) -> None:
    """Resolve, connect to an allowed address, agree on TLS; then hang up."""
    parts = urlsplit(target.url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    loop = asyncio.get_running_loop()
    guard = Guard(target.reach.networks)
    context = tls_context(target.tls) if secure else None
    try:
        async with asyncio.timeout(target.timeouts.connect_s):
            infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = [str(info[4][0]) for info in infos if guard.permits(str(info[4][0]))]
            if not addresses:
                raise forbidden(host)
            await _greet(addresses, port, context, host if secure else None)
    except ssl.SSLCertVerificationError as error:
        raise untrusted(error.verify_message, target.url) from None
    except (OSError, TimeoutError) as error:
        what = getattr(error, "strerror", None) or "no connection in time"
        raise TargetUnavailable(
            f"the API cannot be reached: {what}", where={"url": target.url}
        ) from None


async def _greet(
    addresses: Sequence[str], port: int, context: ssl.SSLContext | None, host: str | None
) -> None:
    """Connect to the first that takes it. Errors: OSError, of the last."""
    for left, address in enumerate(addresses, 1 - len(addresses)):
        try:
            _, writer = await asyncio.open_connection(
                address, port, ssl=context, server_hostname=host
            )
        except ssl.SSLCertVerificationError:
            raise
        except OSError:
            if not left:
                raise
            continue
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return
