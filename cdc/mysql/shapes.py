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
from cdc.mysql.lookalikes import may_hide, told, without_hidden
from cdc.mysql.marks import CHECKPOINTS, Marks, known_checkpoints
from cdc.mysql.tablemap import TableMap, table_map
from cdc.mysql.withheld import Withheld
from cdc.protocol import START_OVER
from cdc.schema import TableName, TableSchema
from tailrace.errors import DecodeError, TailraceError

MAPS_MAX = 10_000
"""Table maps remembered; more different ones come only where tables are altered all the time."""

_Absence = tuple[dict[int, bytes | None], dict[int, str]]
"""By index: what columns have where rows leave them out, and the names of those that rows may not
leave out."""


class Shapes:
    """`captured`, `charset_of`, `shape_of`, `chronicle`, `left_out`: as of a `BinlogDecoder`.

    `is_mariadb`: whether such a server wrote the log, as its beginning says.
    """

    def __init__(
        self,
        captured: Callable[[TableName], bool],
        charset_of: Mapping[int, str],
        shape_of: Callable[[TableName], TableMap | None],
        chronicle: Chronicle,
        *,
        left_out: bool = False,
    ) -> None:
        self._captured = captured
        self._charset_of = charset_of
        self._shape_of = shape_of
        self._chronicle = chronicle
        self.withheld = Withheld(self._known, left_out=left_out)
        self.is_mariadb = False
        self._maps: dict[bytes, Any] = {}
        self._left_out: dict[tuple[str, bool | None], _Absence] = {}

    def forget(self) -> None:
        """The same bytes may mean other columns now."""
        self._maps.clear()
        self._left_out.clear()
        self.withheld.forget()

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
        if not self.is_mariadb:
            return described
        if may_hide(described):
            described = without_hidden(described, self._known(described.table))
        return told(described, self._chronicle.version(described.table))

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

    def left_out(
        self, table: Any, op: int, present: int, anew: bool | None
    ) -> dict[int, bytes | None]:
        """What columns have where the rows of an event leave them out, by index; without those that
        an update leaves as they were. `present`: bits of the columns that the rows have after.

        `anew`: whether the rows that an update changes were made anew, by a REPLACE; None where
        that cannot be told. Errors: DecodeError where a value is neither known nor unchanged.
        """
        schema = table.schema_of
        if op == CREATE:
            anew = True
        elif not self.is_mariadb:
            anew = False  # of a REPLACE MySQL logs everything
        elif anew is None and not all(present >> i & 1 for i in schema.key_indexes):
            anew = False  # MariaDB the key, if that is no default
        asked = schema.version, anew
        if asked not in self._left_out:
            self._left_out[asked] = self._absence(schema, anew)
        values, unsaid = self._left_out[asked]
        if lacking := [name for i, name in unsaid.items() if not present >> i & 1]:
            raise _unsaid(schema, lacking, anew)
        return values

    def _absence(self, schema: TableSchema, anew: bool | None) -> _Absence:
        # Today's catalog may have another default than the rows of then.
        known = self._chronicle.shape(schema.table) if anew else self._known(schema.table)
        columns = {one.name.lower(): one for one in known.columns} if known else {}
        withheld = self.withheld.names(schema)
        values: dict[int, bytes | None] = {}
        unsaid = {}
        for i, column in enumerate(schema.columns):
            one = columns.get(column.name.lower())
            if column.name in withheld:
                if anew:  # it is dropped, whatever it is
                    values[i] = None
            elif anew is None or one is None or one.virtual or (anew and not one.default):
                unsaid[i] = column.name
            elif anew:
                (text,) = one.default
                values[i] = None if text is None else text.encode()
        return values, unsaid


def _unsaid(schema: TableSchema, columns: list[str], anew: bool | None) -> DecodeError:
    what = "an update without columns that are computed, or that are not known"
    if anew:
        what = "an insert without all its columns, whose defaults are not known"
    if anew is None:
        what = (
            "an update without all its columns, which may be of a REPLACE; that gives them their"
            " defaults, and MariaDB's log does not tell it from an INSERT … ON DUPLICATE KEY UPDATE"
        )
    return DecodeError(
        what,
        where={"table": str(schema.table), "columns": ",".join(columns)},
        fix="SET GLOBAL binlog_row_image = FULL, and end the sessions that have another;"
        f" then {START_OVER}",
    )
