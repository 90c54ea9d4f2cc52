"""A real HTTP API in another process, for tests: idempotent, counting, with scripted faults.

    python -m tests.http_api      listens on a free port of 127.0.0.1 and prints it
    python -m tests.http_api DIR  the same with TLS: certificate server.pem, and clients show one
                                  that ca.pem has signed

It keeps a record for each path and remembers each idempotency key with its answer, as the HTTP
working group's draft says: the same key with the same contents gets the same answer and does
nothing more, with other contents 422. `applied` lists what took effect, in order.

Below a path with ``/limited/`` an amount of 1000 or more is refused with 422.

Faults are set with POST /_faults, a JSON list; each is taken once, or `times` times, by the first
request whose method and path it matches, and whose body `holds` a text:

    demand      {"header": "Authorization", "value": "Bearer t2"}: 401 unless it is so; stays
    reject      {"status": 503, "headers": {}, "body": ""}: answers so, and does nothing
    lose        does it, and closes the connection without an answer
    hold        {"seconds": 30}: answers only then
    trickle     an answer that comes byte by byte, without end
    huge        an answer of `bytes`
    gzip        an answer that is packed, of `bytes` once unpacked
    garbage     bytes that are no HTTP
    partial     {"keys": ["b"], "status": 409}: of a batch these items fail

POST /_storm {"seed": 1, "lose": 0.3, "reject": 0.2} makes faults at random; then what was seen is
counted, not kept.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import random
import ssl
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web


class _Api:
    def __init__(self) -> None:
        self.records: dict[str, Any] = {}
        self.applied: list[dict[str, Any]] = []
        self.remembered: dict[str, tuple[str, int, bytes]] = {}
        self.counts: Counter[str] = Counter()
        self.seen: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []
        self.storm: dict[str, float] = {}
        self.random = random.Random(0)
        self.flying = self.flying_most = 0
        self.tokens = 0
        self.ids = 0

    async def control(self, request: web.Request) -> web.StreamResponse:
        what = request.match_info["what"]
        if what == "faults":
            self.faults += await request.json()
        elif what == "storm":
            self.storm = await request.json()
            self.random = random.Random(self.storm.pop("seed", 0))
        elif what == "token":
            self.tokens += 1
            form = await request.post()
            self.counts[f"token {form.get('grant_type')}"] += 1
            return web.json_response({"access_token": f"t{self.tokens}", "expires_in": 3600})
        return web.json_response(
            {
                "records": self.records,
                "applied": self.applied,
                "counts": self.counts,
                "seen": self.seen,
                "flying": self.flying_most,
            }
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.flying += 1
        self.flying_most = max(self.flying_most, self.flying)
        try:
            return await self._handled(request)
        finally:
            self.flying -= 1

    async def _handled(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.counts["requests"] += 1
        if not self.storm:
            self.seen.append(
                {
                    "at": time.monotonic(),
                    "method": request.method,
                    "path": request.path_qs,
                    "headers": dict(request.headers),
                    "body": body.decode(),
                }
            )
        fault = self._fault(request, body)
        kind = fault.get("kind")
        if kind:
            self.counts["faults"] += 1
            self.counts[f"fault {kind}"] += 1
        if kind == "reject":
            return web.Response(
                status=fault.get("status", 503),
                headers=fault.get("headers", {}),
                body=fault.get("body", "").encode(),
            )
        if kind == "slow":
            await asyncio.sleep(0.1)
        if kind == "hold":
            await asyncio.sleep(fault["seconds"])
        if kind == "garbage":
            assert request.transport is not None
            request.transport.write(b"\x00\x01 this is no HTTP\r\n\r\n")
            request.transport.close()
            await asyncio.sleep(1)
        status, answer = self._done(request, body, fault)
        if kind == "lose":
            assert request.transport is not None
            request.transport.abort()
        if kind == "huge":
            answer = b"x" * fault["bytes"]
        if kind == "gzip":
            packed = gzip.compress(b"0" * fault["bytes"])
            return web.Response(status=status, body=packed, headers={"Content-Encoding": "gzip"})
        if kind == "trickle":
            response = web.StreamResponse(status=status)
            await response.prepare(request)
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.02)
        return web.Response(status=status, body=answer, content_type="application/json")

    def _fault(self, request: web.Request, body: bytes) -> dict[str, Any]:
        for fault in self.faults:
            if fault.get("method", request.method) != request.method:
                continue
            if not request.path.startswith(fault.get("path", "/")):
                continue
            if fault.get("holds", "").encode() not in body:
                continue
            if fault["kind"] == "demand":
                if request.headers.get(fault["header"]) == fault["value"]:
                    continue
                return {"kind": "reject", "status": 401}
            fault["times"] = fault.get("times", 1) - 1
            if fault["times"] <= 0:
                self.faults.remove(fault)
            return fault
        dice = self.random.random()
        for kind, chance in self.storm.items():
            dice -= chance
            if dice < 0:
                return {"kind": kind, "status": self.random.choice((500, 502, 503, 429))}
        return {}

    def _done(self, request: web.Request, body: bytes, fault: dict[str, Any]) -> tuple[int, bytes]:
        name = request.headers.get("Idempotency-Key", "").strip('"')
        if request.method == "GET" or not name:
            return self._apply(request, body, fault)
        print_ = hashlib.sha256(f"{request.method} {request.path}".encode() + body).hexdigest()
        known = self.remembered.get(name)
        if known is not None:
            self.counts["repeated"] += 1
            return (known[1], known[2]) if known[0] == print_ else (422, b'{"reused": true}')
        status, answer = self._apply(request, body, fault)
        if status != 207:
            self.remembered[name] = (print_, status, answer)
        return status, answer

    def _apply(self, request: web.Request, body: bytes, fault: dict[str, Any]) -> tuple[int, bytes]:
        path = request.path
        if request.method == "GET":
            wanted = dict(request.query)
            found = [
                {"id": record["id"]}
                for record in self.records.values()
                if all(str(record.get(name)) == value for name, value in wanted.items())
            ]
            return 200, json.dumps({"items": found}).encode()
        document = json.loads(body) if body and "ndjson" not in request.content_type else body
        if "/limited/" in path and document and document["amount"] >= 1000:
            return 422, b"{}"
        if path.endswith("/_bulk"):
            return self._bulk(path, document, fault)
        if request.method == "PATCH" and path not in self.records:
            return 404, b"{}"
        if request.method == "DELETE" and path not in self.records:
            return 404, b"{}"
        if request.method == "POST":
            self.ids += 1
            key = document.get("id", f"made-{self.ids}")
            if "external" in document:
                key = document["id"] = f"made-{self.ids}"
            path = f"{path}/{key}"
            if path in self.records:
                return 409, b"{}"
        self.counts["applied"] += 1
        self.applied.append(
            {
                "method": request.method,
                "path": path,
                "body": document if isinstance(document, dict) else None,
                "key": request.headers.get("Idempotency-Key"),
            }
        )
        if request.method == "DELETE":
            del self.records[path]
            return 204, b""
        if request.method == "PATCH":
            self.records[path] = {**self.records[path], **document}
        else:
            self.records[path] = document
        return 200, json.dumps({"path": path}).encode()

    def _bulk(self, path: str, items: Any, fault: dict[str, Any]) -> tuple[int, bytes]:
        if isinstance(items, bytes):
            items = [json.loads(line) for line in items.splitlines()]
        results = []
        for item in items:
            key = str(item["id"])
            bad = fault.get("kind") == "partial" and key in fault["keys"]
            if not bad and self.remembered.get(item.get("key", "")) is None:
                place = path.removesuffix("/_bulk") + "/" + key
                self.records[place] = item
                self.applied.append({"method": "BULK", "path": place, "body": item})
                if "key" in item:
                    self.remembered[item["key"]] = ("", 200, b"")
            results.append({"id": key, "status": fault["status"] if bad else 200})
        status = 207 if fault.get("kind") == "partial" else 200
        return status, json.dumps({"results": results}).encode()


def _tls(directory: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{directory}/ca.pem")
    context.load_cert_chain(f"{directory}/server.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def _serve(directory: str | None) -> None:
    api = _Api()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/_{what}", api.control)
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    context = None if directory is None else _tls(directory)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    (address,) = runner.addresses
    print(address[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


class HttpApi:
    """Such a process, from a test."""

    def __init__(self, port: int, scheme: str = "http") -> None:
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}"

    def ask(self, what: str, body: Any = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_{what}", data=data)
        with urllib.request.urlopen(request, timeout=200) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def fault(self, kind: str, **more: Any) -> None:
        self.ask("faults", [{"kind": kind, **more}])

    def storm(self, **chances: float) -> None:
        self.ask("storm", chances)

    @property
    def state(self) -> dict[str, Any]:
        return self.ask("state")


@contextmanager
def started(tls: Path | None = None) -> Iterator[HttpApi]:
    more = [] if tls is None else [str(tls)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.http_api", *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield HttpApi(int(process.stdout.readline()), "https" if tls else "http")
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(200)
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:2] or [None]))
