"""What a statement in the log means for the captured tables. No I/O of its own."""

from __future__ import annotations

from collections.abc import Callable

from cdc.mysql import statements
from cdc.mysql.chronicle import Chronicle
from cdc.mysql.queries import Query
from cdc.schema import TableName
from tailrace.errors import DecodeError


class Meaning:
    """`captured`, `in_schema`, `fold`, `chronicle`: as of a `BinlogDecoder`."""

    def __init__(
        self,
        captured: Callable[[TableName], bool],
        in_schema: Callable[[str], bool],
        fold: Callable[[str], str],
        chronicle: Chronicle,
    ) -> None:
        self._captured = captured
        self._in_schema = in_schema
        self._fold = fold
        self._chronicle = chronicle

    def refuse(self, verb: str, asked: Query) -> None:
        """Errors: DecodeError, ContinuityError where rows changed that are not in the log as rows.

        `verb`, `asked`: as `statements.split` gives them.
        """
        database, text = asked.database, asked.statement
        if verb in statements.CHANGES_ROWS and not statements.empties_memory(
            self._meant, database, text
        ):
            # Whatever it names: a view, a trigger or a function may lead to a captured table.
            raise DecodeError(
                "a change logged as a statement, not as rows",
                fix="SET GLOBAL binlog_format = ROW; and see that no session changes it",
            )
        if verb in statements.REPLACES:
            statements.refuse_replacing(
                self._meant,
                lambda schema: self._in_schema(self._fold(schema)),
                *(database, verb, text, asked.sql_mode),
            )

    def cleared(self, asked: Query) -> TableName | None:
        """The captured table that a TRUNCATE clears, if it is one. Errors: DecodeError."""
        names = statements.tables(asked.database, asked.statement)
        if names is None or len(names) != 1:
            raise DecodeError("a TRUNCATE that is not understood")
        return self._meant(names[0])

    def altered(self, asked: Query, at: str) -> bool:
        """Note what DDL, the transaction `at`, has done to columns; whether it may have.

        Errors: as `Chronicle.statement`.
        """
        return self._chronicle.statement(asked, self._meant, at)

    def _meant(self, named: TableName) -> TableName | None:
        """The captured table that a statement means, if it is one."""
        found = TableName(self._fold(named.schema), self._fold(named.name))
        return found if self._captured(found) else None
