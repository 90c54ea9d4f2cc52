"""A connection on which statements wait, to be sent together with the next that has to be answered:
a round trip costs more than most statements of a small batch.

    soon, soon, … ─▶ settle: all are sent as one command, then all are answered
                       ▲
                       └── first, before anything else is asked

One command may hold several statements, of which the server executes none after one that it
refuses: https://dev.mysql.com/doc/c-api/9.4/en/c-api-multiple-queries.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

import pymysql
from pymysql.constants import COMMAND

from sinks.mysql.wire import BulkConnection

COMMAND_BYTES = 2
"""A packet is the command's number and its text, and is smaller than max_allowed_packet."""
WAITING_MAX = 512
WAITING_BYTES = 1 << 20
"""What waits at most; then it is sent."""
_BETWEEN = b"; "

Answer = Any
"""`affected_rows` (those found; of a query, those it gave), `warning_count`, `rows`."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    statement: bytes
    then: Callable[[Answer], None] | None
    of: object


class Session(BulkConnection):
    """`packet_max`: bytes of a statement, as far as the server has been asked."""

    packet_max = WAITING_BYTES

    def connect(self, sock: Any = None) -> None:
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        super().connect(sock)

    def soon(
        self,
        statement: str | bytes,
        values: Sequence[object] = (),
        *,
        then: Callable[[Answer], None] | None = None,
        of: object = None,
    ) -> None:
        """Send it before anything else is asked. `then` is called with the answer; `of` says what
        it is about, for the error. Errors: as `settle`."""
        text = self.filled(statement, values) if isinstance(statement, str) else statement
        if self._bytes + len(text) > min(WAITING_BYTES, self.packet_max - COMMAND_BYTES):
            self.settle()
        self._waiting.append(_Waiting(text, then, of))
        self._bytes += len(text) + len(_BETWEEN)
        if len(self._waiting) >= WAITING_MAX:
            self.settle()

    def filled(self, statement: str, values: Sequence[object]) -> bytes:
        """A statement with `values` in its places (%s). Without any it has none."""
        if values:
            statement %= tuple(map(_untyped(self).escape, values))
        return statement.encode()

    def settle(self, sent: Callable[[], None] | None = None) -> None:
        """Send what waits, call `sent`, and read the answers.

        Errors: pymysql's, with attribute `of`, for the first statement that is refused; those after
        it were not executed, and wait no longer. What a `then` raises.
        """
        for receive in self._send():
            if sent is not None:
                sent()
            receive()

    def _send(self) -> list[Callable[[], None]]:
        """What reads the answers; nothing where nothing waits."""
        waiting = self.forget()
        if not waiting:
            return []
        command = _BETWEEN.join(one.statement for one in waiting)
        _untyped(super())._execute_command(COMMAND.COM_QUERY, command)
        return [partial(self._receive, waiting, _untyped(self)._next_seq_id)]

    def _receive(self, waiting: Sequence[_Waiting], sequence: int) -> None:
        connection = _untyped(self)
        connection._next_seq_id = sequence  # something else may have been sent since
        answers: list[Answer] = []
        refused: pymysql.Error | None = None
        for one in waiting:
            try:
                connection._read_query_result()
            except pymysql.Error as error:
                error.of = one.of  # type: ignore[attr-defined]
                refused = error
                break
            answers.append(connection._result)
        for one, answer in zip(waiting, answers, strict=False):
            if one.then is not None:
                one.then(answer)
        if refused is not None:
            raise refused

    def bulk(
        self,
        number: int,
        types: Sequence[int],
        pieces: Iterable[bytes | bytearray],
        ahead: Sequence[Callable[[], None]] = (),
    ) -> tuple[int, int]:
        """What waits goes ahead of the first piece, once there is one, and is answered with it."""
        pieces = iter(pieces)
        first = list(islice(pieces, 1))
        ahead = [*ahead, *self._send()]
        return super().bulk(number, types, chain(first, pieces), ahead)

    def run(self, statement: str | bytes, values: Sequence[object] = ()) -> Answer:
        """Its answer, now. Errors: as `settle`."""
        answers: list[Answer] = []
        self.soon(statement, values, then=answers.append)
        self.settle()
        return answers[0]

    def forget(self) -> list[_Waiting]:
        """Send nothing of what waits."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        return waiting

    def _execute_command(self, command: int, sql: str | bytes | bytearray) -> None:
        """All that PyMySQL is asked goes through it."""
        self.settle()
        _untyped(super())._execute_command(command, sql)


def _untyped(connection: Any) -> Any:
    return connection
