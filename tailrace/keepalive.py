"""A network that goes silent is noticed within about a minute, however long a server may work.

Keepalive asks the other end's kernel, which answers while its server is busy; without these
settings the first question comes after two hours. What was sent and is not confirmed is asked after
by retransmission instead, which gives up after a quarter of an hour, or after TCP_USER_TIMEOUT:
https://man7.org/linux/man-pages/man7/tcp.7.html
"""

from __future__ import annotations

import socket

IDLE_S, INTERVAL_S, QUESTIONS = 30, 10, 3
UNCONFIRMED_S = 60

_OPTIONS = {"TCP_KEEPIDLE": IDLE_S, "TCP_KEEPINTVL": INTERVAL_S, "TCP_KEEPCNT": QUESTIONS}
"""As far as the platform has them."""


def keep_alive(connection: socket.socket) -> None:
    """Errors: none for a socket that is not TCP."""
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    give_up_after(connection, UNCONFIRMED_S)


def give_up_after(connection: socket.socket, seconds: int) -> None:
    """How long the other end may confirm nothing, or take nothing of what is to be sent.

    Linux counts a server that is alive and does not read for the same: who sends more while the
    server works must give it time for that.
    """
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, seconds * 1000)
