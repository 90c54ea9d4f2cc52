"""A connection on which statements wait, to be sent together with the next that has to be answered:
a round trip costs more than most statements of a small batch.

    soon, soon, … ─▶ settle: all are sent, then all are answered
                       ▲
                       └── first, before psycopg is asked anything

It is libpq's pipeline mode, as psycopg has it, without a cursor for each statement.
"""

from __future__ import annotations

import select
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import pq

PREPARED_MAX = 500
"""A row statement or two for each of many tables."""
WAITING_MAX = 256
WAITING_BYTES = 1 << 20
"""What waits at most; then it is sent."""

Answer = pq.abc.PGresult


@dataclass(frozen=True, slots=True)
class _Waiting:
    statement: bytes
    values: list[bytes | None]
    then: Callable[[Answer], None] | None
    of: object
    once: bool = False


class Session(psycopg.Connection[tuple[object, ...]]):
    """A connection in autocommit mode."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._names: OrderedDict[bytes, bytes] = OrderedDict()
        self._made = 0
        self._poll = select.poll()
        self._poll.register(self.pgconn.socket, select.POLLIN)

    def soon(
        self,
        statement: bytes,
        values: Sequence[str | None] = (),
        *,
        then: Callable[[Answer], None] | None = None,
        of: object = None,
    ) -> None:
        """Send it before anything else is asked. It is prepared, so there should be few of them;
        its parameters ($1, …) are texts of no type. `then` is called with the answer; `of` says
        what it is about, for the error. Errors: as `settle`.
        """
        texts = [None if value is None else value.encode() for value in values]
        if any(b"\0" in text for text in texts if text):  # libpq takes it for the end
            self.settle()
            raise _about(of, pg.CharacterNotInRepertoire("a text has the character U+0000"))
        self._waiting.append(_Waiting(statement, texts, then, of))
        self._bytes += sum(map(len, filter(None, texts)))
        if len(self._waiting) >= WAITING_MAX or self._bytes >= WAITING_BYTES:
            self.settle()

    def settle(self, sent: Callable[[], None] | None = None) -> None:
        """Send what waits, call `sent`, and read the answers.

        Errors: the server's, with attribute `of`, for the first statement it refused; those after
        it were not executed, and wait no longer. What a `then` raises.
        """
        waiting = self.forget()
        if not waiting:
            return
        try:
            answers = self._answers(waiting, sent)
        except psycopg.OperationalError as error:
            raise _about(None, error) from None
        for one, answer in zip(waiting, answers, strict=True):
            if answer.status not in _DONE:
                raise _about(one.of, pg.error_from_result(answer, encoding="utf-8"))
            if one.then is not None:
                one.then(answer)
        self._evict(waiting)

    def run(self, statement: bytes) -> int:
        """Rows that it was about. Errors: the server's."""
        found = []
        self.soon(statement, then=lambda answer: found.append(answer.command_tuples))
        self.settle()
        return found[0] or 0

    def forget(self) -> list[_Waiting]:
        """Send nothing of what waits."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        return waiting

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """All that psycopg is asked goes through one."""
        self.settle()
        return super().cursor(*args, **kwargs)

    def transaction(self, *args: Any, **kwargs: Any) -> Any:
        self.settle()
        return super().transaction(*args, **kwargs)

    def _deallocate(self, name: bytes | None) -> Any:
        """How psycopg has the server forget one statement, or all: ours among them."""
        if name is None:
            self._names.clear()
        return super()._deallocate(name)

    def _answers(
        self, waiting: Sequence[_Waiting], sent: Callable[[], None] | None
    ) -> list[Answer]:
        pgconn = self.pgconn
        new: dict[bytes, bytes] = {}
        asked: list[bytes | None] = []  # which statement is made ready; None: one that waited
        pgconn.enter_pipeline_mode()
        for one in waiting:
            if one.once:
                pgconn.send_query_params(one.statement, None)
            else:
                name = self._names.get(one.statement) or new.get(one.statement)
                if name is None:
                    self._made += 1
                    name = new[one.statement] = b"tailrace_%d" % self._made
                    pgconn.send_prepare(name, one.statement)
                    asked.append(one.statement)
                pgconn.send_query_prepared(name, one.values)
            asked.append(None)
        pgconn.pipeline_sync()
        self._send()
        if sent is not None:
            sent()
        answers: list[Answer] = []
        refused: Answer | None = None
        for statement in asked:
            answer = self._read()
            if statement is None:
                answers.append(refused or answer)
                refused = None
            elif answer.status in _DONE:
                self._names[statement] = new[statement]
            else:
                refused = answer
        self._read()  # that of the sync
        pgconn.exit_pipeline_mode()
        return answers

    def _evict(self, used: Sequence[_Waiting]) -> None:
        """Have the server forget what was not used for longest."""
        for one in used:
            if not one.once:
                self._names.move_to_end(one.statement)
        while len(self._names) > PREPARED_MAX:
            _, name = self._names.popitem(last=False)
            self._waiting.append(_Waiting(b"deallocate " + name, [], None, None, once=True))

    def _send(self) -> None:
        while self.pgconn.flush():
            self._poll.modify(self.pgconn.socket, select.POLLIN | select.POLLOUT)
            self._poll.poll()
            self._poll.modify(self.pgconn.socket, select.POLLIN)
            self.pgconn.consume_input()

    def _read(self) -> Answer:
        """The next answer. Errors: psycopg.OperationalError where the connection is lost."""
        pgconn = self.pgconn
        while True:
            while pgconn.is_busy():
                self._poll.poll()
                pgconn.consume_input()
            answer = pgconn.get_result()
            if answer is not None:
                return answer
            if pgconn.status == pq.ConnStatus.BAD:
                raise psycopg.OperationalError(pgconn.get_error_message("utf-8"))


_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


def _about(of: object, error: psycopg.Error) -> psycopg.Error:
    error.of = of  # type: ignore[attr-defined]
    return error
