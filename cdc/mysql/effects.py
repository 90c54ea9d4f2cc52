"""Statements in a log: what each does to the open transaction and to the captured tables.

Most begin or end a transaction, or are DDL, which is a transaction of its own.
"""

from __future__ import annotations

from dataclasses import replace

from cdc.mysql import events as ev
from cdc.mysql import statements
from cdc.mysql.building import Building
from cdc.mysql.meaning import Meaning
from cdc.mysql.positions import Coordinates
from cdc.mysql.queries import Query
from cdc.mysql.shapes import Shapes
from cdc.mysql.transaction import OpenTransaction, Transactions
from cdc.schema import TableName
from tailrace.errors import DecodeError


class Effects:
    """Carries out what `meaning` finds."""

    def __init__(
        self, meaning: Meaning, transactions: Transactions, shapes: Shapes, building: Building
    ) -> None:
        self._meaning = meaning
        self._transactions = transactions
        self._shapes = shapes
        self._building = building

    def of(self, asked: Query, at: Coordinates) -> None:
        """`at`: file and position behind the statement.

        Errors: DecodeError, ContinuityError where it makes rows of captured tables unknown.
        """
        verb, text = statements.split(asked.statement, asked.sql_mode)
        opened = self._transactions.open
        if verb == "begin" or statements.BEGINS.search(text):
            if opened is not None:
                opened.alone = False
            return
        if verb == "commit":
            return self._transactions.end(at)
        if verb == "savepoint":
            return
        if verb == "xa":
            return self._transactions.two_phases(text, at)
        skipping = opened is not None and opened.skipping
        if verb == "rollback" and opened is not None and opened.has_rows and not skipping:
            raise DecodeError("a rollback of rows already logged (tables without transactions?)")
        if not skipping:
            self._upon_tables(verb, replace(asked, statement=text), opened)
        ended = verb == "rollback" and not statements.ROLLBACK_TO.match(text)
        if opened is not None and (opened.alone or ended):
            self._transactions.end(at)

    def _upon_tables(self, verb: str, asked: Query, opened: OpenTransaction | None) -> None:
        self._meaning.refuse(verb, asked)
        if verb == "truncate":
            inside = self._transactions.inside
            if (name := self._meaning.cleared(asked)) is not None:
                self._clear(inside, name)
        if verb in statements.REPLACES:
            phase, gtid = (opened.alter_phase, str(opened.gtid)) if opened else (0, "")
            done = not phase & (ev.START_ALTER | ev.ROLLBACK_ALTER)
            if done and self._meaning.altered(asked, gtid):
                self._shapes.forget()

    def _clear(self, opened: OpenTransaction, name: TableName) -> None:
        table = self._shapes.newest(name)
        if table is None:
            raise DecodeError(f"TRUNCATE of {name}, of which nothing is known any more")
        self._building.clear(opened, table)
