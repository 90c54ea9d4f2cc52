"""Which addresses may be connected to: none that is private, unless the configuration says so.

A name in the configuration, or what it resolves to today, must not lead into the network that we
stand in: to a metadata service, a database, ourselves. The check sits where a socket is made for
one address, so the address that was checked is the address that is connected to, whatever the
name resolves to the next time.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


class Forbidden(OSError):
    """An address that may not be connected to. The text names none, so that several are alike."""

    def __init__(self) -> None:
        super().__init__("an address that may not be connected to")


class Guard:
    """Makes sockets for allowed addresses only. `allowed`: private networks that are meant."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def permits(self, host: str) -> bool:
        """`host` as it stands in a socket's address: an IP address in its usual form.

        Other spellings that the system takes for one (127.1, 0177.0.0.1, 2130706433) are not.
        """
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return all(self._is_open(one) for one in _meant(address))

    def __call__(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for what `socket.getaddrinfo` found. Errors: Forbidden."""
        family, kind, protocol, _, address = info
        if not self.permits(str(address[0])):
            raise Forbidden
        return socket.socket(family, kind, protocol)

    def _is_open(self, address: Address) -> bool:
        if any(address.version == net.version and address in net for net in self._allowed):
            return True
        return address.is_global and not (
            address.is_multicast
            or address.is_reserved
            or address.is_unspecified
            or address.is_loopback
            or address.is_link_local
            or address.is_private
            or (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
        )


def _meant(address: Address) -> Iterator[Address]:
    """The addresses that are reached by it: with IPv4 inside IPv6, that one."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        inside.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    found = [one for one in inside if one is not None]
    if address.ipv4_mapped is None and address not in _NAT64:
        yield address
    yield from found
