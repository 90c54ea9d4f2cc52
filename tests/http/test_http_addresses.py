"""Where connections may go, however the address is written and whatever a name resolves to."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import socket
from typing import Any

import pytest

from sinks.conformance import upsert
from sinks.http.addresses import Guard
from sinks.http.preflight import inspect
from sinks.http.sink import HttpSink
from tailrace.errors import AddressForbidden, TargetUnavailable
from tests.http.conftest import Made
from tests.http.raw import OK, serving
from tests.http_api import HttpApi
from tests.httprig import ITEM, PUT, HttpTarget, planned, rows

_numbers = itertools.count()
FORBIDDEN = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "203.0.113.1"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1"),
    "fec0::1",
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1"),
    *("::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::"),
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo, client 127.0.0.1
    # what some systems take for an address, and we for none
    *("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "017700000001", "1.2.3"),
    *("", "localhost", "example.com"),
]
ALLOWED = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_forbidden(address: str) -> None:
    assert not Guard().permits(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_allowed(address: str) -> None:
    assert Guard().permits(address)


def test_a_network_that_is_meant() -> None:
    guard = Guard([ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8")])
    assert guard.permits("10.1.2.3")
    assert guard.permits("::ffff:10.1.2.3")
    assert guard.permits("fd00::5")
    assert not guard.permits("10.2.0.1")
    assert not guard.permits("169.254.169.254")


HOSTS = [
    *("127.0.0.1", "127.1", "2130706433", "0177.0.0.1", "0x7f000001", "[::1]", "localhost"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]"),
]


@pytest.mark.parametrize("host", HOSTS)
def test_nothing_reaches_us_by_any_spelling(api: HttpApi, tmp_path: Any, host: str) -> None:
    before = api.state["counts"].get("requests", 0)
    with pytest.raises((AddressForbidden, TargetUnavailable)) as refused:
        _send(f"http://{host}:{api.port}", tmp_path)
    assert isinstance(refused.value, AddressForbidden) or "connect" in str(refused.value)
    assert api.state["counts"].get("requests", 0) == before


def _target(url: str, private: list[str] | None = None) -> HttpTarget:
    return HttpTarget.model_validate(
        {
            "type": "http",
            "url": url,
            "reach": {"plain": "true", "private": private or []},
            "retries": {"attempts": "1"},
            "entities": {"item": PUT},
        }
    )


def _send(url: str, directory: Any, private: list[str] | None = None) -> None:
    line = f"line_{directory.name}_{next(_numbers)}"
    sink = HttpSink(_target(url, private), line, directory / f"{line}.db")
    sink.open("journal")
    try:
        sink.prepare([ITEM])
        sink.write([rows(upsert("1", "a", "1"))])
    finally:
        sink.close()


def _resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """`getaddrinfo` gives these, one after another, the last for ever; with blanks between
    several at once."""
    asked: list[str] = []

    async def resolve(self: object, host: str, port: int, **more: Any) -> list[Any]:
        found = []
        for address in answers[min(len(asked), len(answers) - 1)].split():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            end = (address, port, 0, 0) if ":" in address else (address, port)
            found.append((family, socket.SOCK_STREAM, 6, "", end))
        asked.append(host)
        return found

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    return asked


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_a_name_that_leads_inside(
    api: HttpApi, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    asked = _resolving(monkeypatch, address)
    with pytest.raises(AddressForbidden, match=r"api\.example leads to an address that is not"):
        _send(f"http://api.example:{api.port}", tmp_path)
    assert asked


def test_a_name_that_leads_elsewhere_the_second_time(
    rig: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check is made for each connection, on the very address that it goes to."""
    one = rig()
    url = one.target.url.replace("127.0.0.1", "api.example")
    one.target = one.target.model_copy(update={"url": url})
    _resolving(monkeypatch, "127.0.0.1", "127.0.0.2")
    one.sink.close()
    one.sink = one.another("rebound")
    one.sink.open("journal")
    one.sink.prepare([one.table])
    one.write(upsert("1", "a", "1"))  # 127.0.0.1 is allowed to this rig
    one.sink.close()
    one.sink.open("journal")
    one.sink.prepare([one.table])
    with pytest.raises(AddressForbidden):
        one.write(upsert("2", "a", "1"), entry=2)
    one.sink.close()
    assert len(one.seen) == 1


@pytest.mark.parametrize(
    "addresses",
    [
        "127.0.0.1 10.0.0.1",
        "10.0.0.1 127.0.0.1",  # the one that is not allowed is not asked
        "::1 127.0.0.1",  # allowed, and nobody listens there
        "fe80::1 169.254.169.254 127.0.0.2 127.0.0.1",
    ],
)
def test_of_several_addresses_the_one_that_is_allowed_and_answers(
    api: HttpApi, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, addresses: str
) -> None:
    _resolving(monkeypatch, addresses)
    private = ["127.0.0.0/8", "::1"]
    url = f"http://api.example:{api.port}/{tmp_path.name}"
    _send(url, tmp_path, private)
    assert any(tmp_path.name in path for path in api.state["records"])
    assert inspect(_target(url, private), [planned(ITEM)]) == []


@pytest.mark.parametrize("addresses", ["10.0.0.1 169.254.169.254", "::ffff:127.0.0.1 fe80::1 ::1"])
def test_of_several_addresses_none_is_allowed(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, addresses: str
) -> None:
    _resolving(monkeypatch, addresses)
    with pytest.raises(AddressForbidden, match=r"api\.example leads to an address that is not"):
        _send("http://api.example", tmp_path)
    [finding] = inspect(_target("http://api.example"), [planned(ITEM)])
    assert "not public" in finding.what


def test_a_host_that_has_ipv6_only(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(lambda number, connection: connection.sendall(OK), listener) as raw:
        for host in ("[::1]", "six.example"):
            _resolving(monkeypatch, "::1")
            _send(f"http://{host}:{raw.port}", tmp_path, ["::1"])
            assert inspect(_target(f"http://{host}:{raw.port}", ["::1"]), [planned(ITEM)]) == []
        hosts = [line for head in raw.heads for line in head.split(b"\r\n") if b"Host:" in line]
        assert hosts[0] == f"Host: [::1]:{raw.port}".encode()
