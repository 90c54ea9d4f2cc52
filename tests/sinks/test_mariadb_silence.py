"""What is asked of the network, so that its end is noticed: options read back from the sockets."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from cdc.mysql.session import connect as connect_source
from sinks.conformance import TABLE, changes, opened, upsert
from sinks.mysql import wire
from sinks.mysql.session import connect as connect_target
from tests.sinks.maria_harness import MariadbHarness, only_mariadb

NOTICED_S = 60


def seconds_of_silence(connection: Any) -> tuple[int, int]:
    """(idle, unconfirmed): after how long a connection ends."""
    read = connection._sock.getsockopt
    assert read(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle, every, questions = (
        read(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    return idle + every * questions, read(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) // 1000


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the platform has it not")
def test_both_ends_notice_a_silent_network(maria_harness: MariadbHarness) -> None:
    for connect in (
        lambda: connect_target(maria_harness.url, "line", maria_harness.product),
        lambda: connect_source(maria_harness.url),
    ):
        connection = connect()
        assert seconds_of_silence(connection) == (NOTICED_S, NOTICED_S)
        connection.close()


@only_mariadb
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the platform has it not")
def test_a_server_may_work_while_the_next_piece_waits(
    maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = opened(maria_harness)
    connection = sink._connection  # type: ignore[attr-defined]
    during = []
    answer = wire.BulkConnection._answer

    def watched(self: wire.BulkConnection, sequence: int) -> Any:
        during.append(seconds_of_silence(self))
        return answer(self, sequence)

    monkeypatch.setattr(wire.BulkConnection, "_answer", watched)
    sink.write([changes(TABLE, *(upsert(str(n), "a", "1") for n in range(40)), fresh=True)])
    assert during == [(NOTICED_S, wire.PIECE_S)]
    assert seconds_of_silence(connection) == (NOTICED_S, NOTICED_S)
