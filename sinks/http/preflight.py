"""Whether an API can be asked, before anything is sent; sends nothing but for a token."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from cdc.findings import Finding
from sinks.http.addresses import Guard
from sinks.http.client import Client, forbidden, tls_context, untrusted
from sinks.http.credentials import Credentials
from sinks.http.plan import Plan
from sinks.http.settings import HttpTarget
from tailrace.errors import AddressForbidden, TargetRefused, TargetUnavailable
from transforms.rows import TargetTable


def inspect(
    target: HttpTarget, tables: Sequence[TargetTable], pipelines: Sequence[str]
) -> list[Finding]:
    """What stands against `pipelines` writing `tables`: requests, name, address, TLS, token.

    Errors: TargetUnavailable where the API cannot be reached.
    """
    found = []
    for table in dict.fromkeys(tables):
        entity = target.requests_of(table.table.schema, table.table.name)
        if entity is None:
            what = "the target has no requests for it"
            fix = f"-- declare them: entities: {{{table.table.name}: …}}"
            found.append(Finding("error", what, str(table.table), fix))
            continue
        try:
            Plan(table, entity, target)
        except TargetRefused as refused:
            found.append(Finding("error", refused.what, str(table.table), f"-- {refused.fix}"))
    try:
        asyncio.run(_reach(target))
    except (TargetRefused, AddressForbidden) as refused:
        found.append(Finding("error", refused.what, target.url, f"-- {refused.fix}"))
    return found


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
    try:
        async with asyncio.timeout(target.timeouts.connect_s):
            infos = await loop.getaddrinfo(host, port, type=1)
            addresses = [str(info[4][0]) for info in infos if guard.permits(str(info[4][0]))]
            if not addresses:
                raise forbidden(host)
            _, writer = await asyncio.open_connection(
                addresses[0],
                port,
                ssl=tls_context(target.tls) if secure else None,
                server_hostname=host if secure else None,
            )
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    except ssl.SSLCertVerificationError as error:
        raise untrusted(error.verify_message, target.url) from None
    except (OSError, TimeoutError) as error:
        what = getattr(error, "strerror", None) or "no connection in time"
        raise TargetUnavailable(
            f"the API cannot be reached: {what}", where={"url": target.url}
        ) from None
