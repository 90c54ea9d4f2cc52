"""What the tables of a log look like, by the table maps before their rows. No I/O of its own.

A map says names, types and key where the server writes all metadata; what it leaves open is known
from the history of the table's columns (`cdc.mysql.chronicle`), or from today's catalog, which may
contradict but not add.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cdc.changes import CREATE
from cdc.mysql import tablemap as tm
from cdc.mysql.chronicle import Chronicle
from cdc.mysql.layout import row_table
from cdc.mysql.lookalikes import told
from cdc.mysql.marks import CHECKPOINTS, Marks, known_checkpoints
from cdc.mysql.tablemap import TableMap, table_map
from cdc.protocol import START_OVER
from cdc.schema import TableName
from tailrace.errors import DecodeError, TailraceError

MAPS_MAX = 10_000
"""Table maps remembered; more different ones come only where tables are altered all the time."""


class Shapes:
    """`captured`, `charset_of`, `shape_of`, `chronicle`: as of a `BinlogDecoder`.

    `is_mariadb`: whether such a server wrote the log, as its beginning says.
    """

    def __init__(
        self,
        captured: Callable[[TableName], bool],
        charset_of: Mapping[int, str],
        shape_of: Callable[[TableName], TableMap | None],
        chronicle: Chronicle,
    ) -> None:
        self._captured = captured
        self._charset_of = charset_of
        self._shape_of = shape_of
        self._chronicle = chronicle
        self.is_mariadb = False
        self._maps: dict[bytes, Any] = {}
        self._computed: dict[str, set[str]] = {}  # per schema, of columns that rows left out

    def forget(self) -> None:
        """The same bytes may mean other columns now."""
        self._maps.clear()
        self._computed.clear()

    def of(self, body: memoryview) -> Any:
        """What reads the rows behind a table map: a `_rows.RowTable` of a captured table, Marks of
        our checkpoints, None for any other.

        Errors: PreflightError, ContinuityError, DecodeError where a captured one cannot be read.
        """
        shape = bytes(body[6:])
        table = self._maps.get(shape, self)
        if table is self:
            if len(self._maps) >= MAPS_MAX:
                self._maps.clear()
            described = table_map(body, mariadb=self.is_mariadb)
            table = None
            if self._captured(described.table):
                table = row_table(self._named(described), self._charset_of)
            elif described.table == CHECKPOINTS:
                table = self._marks(described)
            self._maps[shape] = table
        return table

    def newest(self, name: TableName) -> Any:
        """A captured table as it was when it was last seen, None where nothing is known of it."""
        found = [table for table in self._maps.values() if table and table.schema_of.table == name]
        if found:
            return found[-1]
        shape = self._known(name)
        return None if shape is None else row_table(shape, self._charset_of)

    def _known(self, name: TableName) -> TableMap | None:
        """By the history, else by today's catalog."""
        return self._chronicle.shape(name) or self._shape_of(name)

    def _named(self, described: TableMap) -> TableMap:
        if not described.described:
            return self._chronicle.named(described)
        self._refuse_other_charsets(described)
        if self.is_mariadb:
            return told(described, self._chronicle.version(described.table))
        return described

    def _refuse_other_charsets(self, described: TableMap) -> None:
        """Errors: DecodeError where what is known contradicts which text has which character set.

        The log lists them without saying whose they are; with geometries, products count otherwise,
        and a version that is not known may do so, too.
        """
        if all(column.type != tm.GEOMETRY for column in described.columns):
            return
        shape = self._known(described.table)
        known = {(one.name, one.type): one.charset for one in shape.columns} if shape else {}
        for column in described.columns:
            one = known.get((column.name, column.type), column.charset)
            if column.type in tm.CHARACTER and self._charset_of.get(
                column.charset or 0
            ) != self._charset_of.get(one or 0):
                raise DecodeError(
                    "the log and our history give text beside a geometry different character sets",
                    where={"table": str(described.table), "column": column.name},
                )

    def _marks(self, described: TableMap) -> Marks | None:
        """None for a table of ours that is none of ours. Errors: DecodeError where the log does not
        tell."""
        if not described.described:
            described = known_checkpoints(described, self._charset_of)
        try:
            return Marks(row_table(described, self._charset_of))
        except TailraceError:
            return None

    def refuse_absent(self, table: Any, op: int, present: int) -> None:
        """Errors: DecodeError where a value that a row leaves out is neither known nor unchanged.

        That of an insert is the default, which the log does not say. A virtual column is left out
        even where what it is computed from has changed.
        """
        schema = table.schema_of
        absent = [column.name for i, column in enumerate(schema.columns) if not present >> i & 1]
        if op != CREATE:
            if schema.version not in self._computed:
                known = self._known(schema.table)
                plain = {one.name for one in known.columns if not one.virtual} if known else ()
                self._computed[schema.version] = {
                    column.name for column in schema.columns if column.name not in plain
                }
            absent = [name for name in absent if name in self._computed[schema.version]]
        if absent:
            raise DecodeError(
                "an insert without all its columns; the log does not say their defaults"
                if op == CREATE
                else "an update without columns that are computed, or no longer there to ask about",
                where={"table": str(schema.table), "columns": ",".join(absent)},
                fix="SET GLOBAL binlog_row_image = FULL, and end the sessions that have another;"
                f" then {START_OVER}",
            )
