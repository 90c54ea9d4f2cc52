"""The socket's own settings."""

from __future__ import annotations

import socket

import pytest

from cdc.postgres.stream import _is_loopback


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_a_peer_on_this_machine(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family) as server, socket.socket(family) as client:
        try:
            server.bind((address, 0))
        except OSError as error:
            pytest.skip(f"{address}: {error.strerror}")
        server.listen()
        client.connect(server.getsockname())
        assert _is_loopback(client)


def test_a_unix_socket_has_no_window() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert not _is_loopback(one)
