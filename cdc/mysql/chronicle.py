"""Keeps the history of the captured tables while their log is read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cdc.mysql.agreement import FIX, named
from cdc.mysql.alteration import Shape
from cdc.mysql.collations import Collations
from cdc.mysql.ddl import altered, altered_table
from cdc.mysql.history import History, Version
from cdc.mysql.queries import Query
from cdc.mysql.tablemap import TableMap
from cdc.protocol import START_OVER
from cdc.schema import TableName
from tailrace.errors import ContinuityError, DecodeError, PreflightError

STATEMENT_MAX = 500
"""Characters of a statement that are shown and kept; DDL holds no row."""


class Chronicle:
    """`described`: whether the server names columns in its log at present. It may not have done so
    always, nor may it go on; so the history is kept in any case, but only where the log names no
    columns is a statement that is not understood the end.

    `before_read(at, read)`: whether a transaction is not behind a position.
    """

    def __init__(
        self,
        history: History,
        collations: Collations,
        *,
        described: bool = False,
        before_read: Callable[[str, str], bool] = lambda at, read: False,
    ) -> None:
        self._history = history
        self._collations = collations
        self._described = described
        self._before_read = before_read

    @property
    def facts(self) -> Mapping[str, str]:
        return self._history.facts

    def version(self, table: TableName) -> Version | None:
        """The newest; None where no history of the table was begun."""
        return self._history.version(table)

    def shape(self, table: TableName) -> TableMap | None:
        """The newest, where it is known."""
        version = self._history.version(table)
        return version.shape.map if version and version.shape else None

    def named(self, told: TableMap) -> TableMap:
        """What the log tells of a captured table without naming columns, with their names.

        Errors: PreflightError where there is no history; DecodeError where it was lost, or does not
        agree.
        """
        version = self._history.version(told.table)
        if version is None:
            raise PreflightError(
                f"the log does not name the columns of {told.table}, and no history of them was"
                " begun with the journal",
                where={"table": str(told.table)},
                fix=f"SET GLOBAL binlog_row_metadata = FULL;  -- and {START_OVER}",
            )
        if version.shape is None:
            raise _not_understood(told.table, version.statement, "it is not understood")
        return named(told, version.shape.map, self._collations.charset_of)

    def statement(
        self, asked: Query, meant: Callable[[TableName], TableName | None], at: str
    ) -> bool:
        """Note what a statement, the transaction `at`, did to a captured table.

        `meant` gives the captured table that a statement's name means. Returns whether the
        statement may have changed one. Errors: ContinuityError, DecodeError.
        """
        try:
            table = altered_table(asked.statement, asked.database, asked.sql_mode)
            table = table and meant(table)
        except DecodeError as error:
            if self._described:
                return True
            raise _not_understood("some table", asked.statement, error.what) from None
        if table is None:
            return False
        version = self._history.version(table)
        if version is not None and self._before_read(at, self._history.read(table)):
            raise ContinuityError(
                f"{table} was altered while its first snapshot began, so its columns at that"
                " moment are not known",
                where={"table": str(table)},
                fix=START_OVER,
            )
        if version is not None and version.shape is not None:
            self._alter(table, version.shape, asked, at)
        return True

    def _alter(self, table: TableName, shape: Shape, asked: Query, at: str) -> None:
        try:
            if "\N{REPLACEMENT CHARACTER}" in asked.statement:
                raise DecodeError("it has bytes that are no text in its session's character set")
            new = altered(
                shape,
                asked.statement,
                self._collations,
                sql_mode=asked.sql_mode,
                flags=asked.flags,
            )
        except DecodeError as error:
            if not self._described:
                raise _not_understood(table, asked.statement, error.what) from None
            self._history.add(table, Version(at, None, asked.statement[:STATEMENT_MAX]))
        else:
            if new != shape:
                self._history.add(table, Version(at, new))


def _not_understood(table: object, statement: str, why: str) -> DecodeError:
    return DecodeError(
        f"a statement changed {table}, and what that made of its columns is not known: {why}",
        where={"table": str(table), "statement": statement[:STATEMENT_MAX]},
        fix=FIX,
    )
