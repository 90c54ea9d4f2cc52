"""Changes one by one (see `sinks.ordered`), many of them sent at once.

Whether a row is there to be updated is guessed. Where answers say otherwise the piece is undone
and sent again by what they have shown: an answer counts only where all before it were as guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pymysql

from sinks.applying import SAVEPOINT
from sinks.mysql.connection import Answer
from sinks.mysql.families import JSON, sent
from sinks.mysql.names import quoted, quoted_table
from sinks.mysql.row import OneRow, Way
from sinks.mysql.session import A_ROW, DUPLICATE, Connection, translate, translated
from sinks.mysql.statements import Statements
from sinks.ordered import Row, Values, at, count, diverged, in_order
from sinks.protocol import Written
from tailrace.errors import TailraceError, TargetRefused
from transforms.rows import RowChanges, TargetTable

JSON_LEVELS_MAX = 31
"""https://mariadb.com/kb/en/json_valid/: a document of 32 levels is none."""
PIECE_ROWS = 256
PIECE_BYTES = 1 << 19
"""Rows that are sent together, and about what their values take."""
TRIES_MAX = 5
"""Of a piece; then its rows are asked about one by one."""
_PIECE = "tailrace_piece"


def apply_in_order(
    connection: Connection,
    changes: Sequence[RowChanges],
    statements: Mapping[TargetTable, Statements],
) -> dict[str, Written]:
    """All of `changes` after a savepoint, which stays.

    Errors: RowRefused with the place of the refused change; TargetRefused.
    """
    counts: dict[str, Written] = {}
    connection.soon(f"savepoint {SAVEPOINT}")
    for rows in _pieces(in_order(changes)):
        _Piece(connection, [OneRow(connection, statements[row.table], row) for row in rows]).apply()
        for row in rows:
            count(row, counts)
    return counts


def _pieces(rows: Iterable[Row]) -> Iterator[list[Row]]:
    piece: list[Row] = []
    size = 0
    for row in rows:
        piece.append(row)
        size += sum(map(len, filter(None, row.values)))
        if len(piece) == PIECE_ROWS or size >= PIECE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


class _Piece:
    """`rows` are those that are still to be applied. Errors of all: as `apply_in_order`."""

    def __init__(self, connection: Connection, rows: Sequence[OneRow]) -> None:
        self._connection = connection
        self._rows = rows

    def apply(self) -> None:
        tries = 0
        while self._rows and tries < TRIES_MAX and self._go_together():
            tries += 1
        while self._rows:
            self._go_alone()

    def _go_together(self) -> bool:
        """Of the rows those before the first that is refused. False where it does not help."""
        self._connection.soon(f"savepoint {_PIECE}")
        answers, error = self._send()
        refusal = None if error is None else _refusal(self._rows[len(answers)].row, error)
        if refusal is not None and not isinstance(refusal, TargetRefused):
            raise refusal  # whatever was guessed: the transaction may have ended
        absent = [
            one
            for one, answer in zip(self._rows, answers, strict=False)
            if not answer.affected_rows
        ]
        wrong = [one for one in absent if one.has_another]
        warned = any(answer.warning_count for answer in answers)
        if wrong or warned:
            self._connection.soon(f"rollback to {_PIECE}")
            _turn(wrong)
            return not warned
        for one in absent:
            if one.row.must_exist:
                raise _located(one.row, diverged(one.row.table, 1))
        self._rows = self._rows[len(answers) :]
        if refusal is not None:
            self._is_refused(self._rows[0], refusal)
        return True

    def _send(self) -> tuple[list[Answer], pymysql.Error | None]:
        """The answers up to the first row that is refused, and its error; none where a row that no
        packet can hold comes before."""
        answers: list[Answer] = []
        statements: list[bytes] = []
        for one in self._rows:
            try:
                statements.append(one.statement)
            except TargetRefused as refused:
                if not statements:
                    raise _located(one.row, refused) from None
                break
        with translated("writing"):
            try:
                for one, statement in zip(self._rows, statements, strict=False):
                    self._connection.soon(statement, then=answers.append, of=one)
                self._connection.settle()
            except pymysql.Error as error:
                if getattr(error, "of", None) is None:
                    raise
                return answers, error
        return answers, None

    def _is_refused(self, first: OneRow, refusal: TargetRefused) -> None:
        """By itself it is told whether the row was there, or another has its unique value."""
        if refusal.where["errno"] != DUPLICATE or first.way is not Way.INSERT:
            raise refusal
        self._go_alone()
        for one in self._rows:
            if one.way is Way.INSERT and one.has_another:
                one.turn()  # so others will be there, too

    def _go_alone(self) -> None:
        one, self._rows = self._rows[0], self._rows[1:]
        try:
            one.apply()
        except pymysql.Error as error:
            raise _refusal(one.row, error) from None
        except TargetRefused as refused:
            raise _located(one.row, refused) from None


def _turn(wrong: Sequence[OneRow]) -> None:
    """The first has not found its row. Of the others this is a guess, as those before them were to
    be there: an insert of a row that is there would be refused, but nothing would tell of a row
    that had left its key."""
    here: set[tuple[TargetTable, Values]] = set()
    for one in wrong:
        if not here or not (one.row.moves or (one.row.table, one.key) in here):
            one.turn()
        here.add((one.row.table, one.new_key))


def _refusal(row: Row, error: pymysql.Error) -> TailraceError:
    """The server's error in our words, at the row it is about."""
    refusal = translate(error, A_ROW, row.place)
    refusal.fix = _advice(row.table, refusal.where) or refusal.fix
    return at(row, refusal)


def _located(row: Row, refused: TargetRefused) -> TailraceError:
    refused.where = {**row.place, **refused.where}
    return at(row, refused)


def _advice(table: TargetTable, where: Mapping[str, object]) -> str | None:
    """For documents that are JSON to the source and none to MariaDB."""
    for column in table.columns:
        if where.get("constraint") == f"{table.table.name}.{column.name}" and (
            sent(column).family == JSON
        ):
            return (
                f"MariaDB's JSON has at most {JSON_LEVELS_MAX} levels: to keep deeper documents,"
                f" alter table {quoted_table(table.table)} modify {quoted(column.name)} longtext"
            )
    return None
