"""DDL that changes a table's columns or key, as an `Alteration`. Pure.

The grammar is ours: see `docs/decisions/0013-ddl-is-read-by-a-grammar-of-our-own.md`. What it does
not know, it refuses. https://mariadb.com/kb/en/alter-table/
"""

from __future__ import annotations

from cdc.mysql.alteration import Alteration, Placed, Shape, apply, folded
from cdc.mysql.collations import Collations
from cdc.mysql.definitions import definition, expression
from cdc.mysql.sqltext import Cursor, tokens
from cdc.schema import TableName
from tailrace.errors import DecodeError

_PRIMARY = "primary"
_INDEXES = ("index", "key", "unique", "fulltext", "spatial")
_PARTITIONS = (
    *("analyze", "check", "optimize", "rebuild", "repair", "coalesce", "reorganize", "remove"),
)
"""First words of what is done to partitions, and leaves the table's rows what they are."""
_SILENT_OPTIONS = frozenset(
    {
        *("auto_increment", "autoextend_size", "avg_row_length", "checksum", "comment"),
        *("compression", "connection", "data", "delay_key_write", "encrypted", "encryption"),
        *("encryption_key_id", "engine", "engine_attribute", "ietf_quotes", "index"),
        *("insert_method", "itef_quotes", "key_block_size", "max_rows", "min_rows", "pack_keys"),
        *("page_checksum", "page_compressed", "page_compression_level", "password", "row_format"),
        *("secondary_engine_attribute", "sequence", "stats_auto_recalc", "stats_persistent"),
        *("stats_sample_pages", "table_checksum", "tablespace", "transactional", "type"),
        *("algorithm", "lock"),
    }
)


def altered_table(statement: str, database: str, sql_mode: int = 0) -> TableName | None:
    """The table whose columns or key the statement may change; None where there is none.

    Errors: DecodeError where its beginning is not understood.
    """
    table, _ = _head(Cursor(tokens(statement, sql_mode)), database)
    return table


def altered(
    shape: Shape, statement: str, collations: Collations, *, sql_mode: int = 0, flags: int = 0
) -> Shape:
    """The table after the statement. Errors: DecodeError where that cannot be told.

    `sql_mode`, `flags`: of the session that ran it.
    """
    cursor = Cursor(tokens(statement, sql_mode))
    table, drops_key = _head(cursor, shape.map.table.schema)
    if table is None:
        return shape
    found = Alteration(drops_key=drops_key)
    if not drops_key:
        _Reader(cursor, found, sql_mode, flags).read()
    return apply(shape, found, collations)


def _head(cursor: Cursor, database: str) -> tuple[TableName | None, bool]:
    """Go over the beginning, up to and with the table's name; whether it drops the primary key."""
    drops_key = False
    if cursor.takes("drop", "index"):
        cursor.takes("if", "exists")
        drops_key = cursor.name().lower() == _PRIMARY
        cursor.expect("on")
        if not drops_key:
            return None, False
    elif cursor.takes("alter"):
        while cursor.any_of("online", "offline", "ignore"):
            pass
        if not cursor.takes("table"):
            return None, False
        cursor.takes("if", "exists")
    else:
        return None, False
    first = cursor.name()
    schema, name = (first, cursor.name()) if cursor.takes(".") else (database, first)
    return TableName(schema, name), drops_key


class _Reader:
    """Reads the parts of ALTER TABLE behind the table's name into `found`."""

    def __init__(self, cursor: Cursor, found: Alteration, sql_mode: int, flags: int) -> None:
        self._cursor = cursor
        self._found = found
        self._sql_mode = sql_mode
        self._flags = flags

    def read(self) -> None:
        cursor = self._cursor
        if cursor.takes("wait"):
            cursor.number()
        cursor.takes("nowait")
        while cursor.next is not None:
            if cursor.takes(";") and cursor.next is None:
                return
            if cursor.takes("partition", "by"):
                return  # to the end: how rows are spread, and no more
            if cursor.takes("order", "by"):
                return
            self._part()
            if cursor.next is not None and not cursor.takes(","):
                # Options of the table, and how it is partitioned, need no comma between them.
                continue

    def _part(self) -> None:
        cursor, found = self._cursor, self._found
        if cursor.takes("add"):
            self._add()
        elif cursor.takes("drop"):
            self._drop()
        elif cursor.any_of("modify"):
            cursor.takes("column")
            lenient = cursor.takes("if", "exists")
            name = cursor.name()
            self._placed(name, instead=name, lenient=lenient)
        elif cursor.takes("change"):
            cursor.takes("column")
            lenient = cursor.takes("if", "exists")
            old = cursor.name()
            self._placed(cursor.name(), instead=old, lenient=lenient)
        elif cursor.takes("rename"):
            self._rename()
        elif cursor.takes("alter"):
            self._alter()
        elif cursor.takes("convert", "to"):
            found.converts = True
            self._charset()
        elif cursor.any_of("enable", "disable"):
            cursor.expect("keys")
        elif cursor.takes("force") or cursor.takes("upgrade", "partitioning"):
            pass
        elif cursor.any_of("with", "without"):
            cursor.expect("validation")
        elif cursor.any_of(*_PARTITIONS):
            self._partitions()
        else:
            self._option()

    def _alter(self) -> None:
        """A default, or the visibility of a column or an index."""
        cursor = self._cursor
        if not cursor.any_of("index", "key", "constraint", "check"):
            cursor.takes("column")
            cursor.takes("if", "exists")
            name = folded(cursor.name())
            if cursor.takes("set", "default"):
                self._found.defaults[name] = expression(cursor)
            elif cursor.takes("drop", "default"):
                self._found.defaults[name] = None
        cursor.skip_item()

    def _partitions(self) -> None:
        cursor = self._cursor
        if not cursor.any_of("partition", "partitioning"):
            cursor.fail()
        while cursor.next is not None:
            cursor.skip()

    def _placed(
        self, name: str, *, instead: str | None = None, lenient: bool = False, place: bool = True
    ) -> None:
        cursor = self._cursor
        written = definition(cursor, name, self._sql_mode, self._flags)
        after = None
        if place and cursor.takes("first"):
            after = ""
        elif place and cursor.takes("after"):
            after = cursor.name()
        if cursor.next is not None and not cursor.sees(",") and not cursor.sees(")"):
            cursor.fail()
        self._found.placed.append(Placed(written, instead, after, lenient))

    def _add(self) -> None:
        cursor = self._cursor
        if self._key_or_constraint():
            return
        if cursor.takes("partition"):
            while cursor.next is not None:
                cursor.skip()
            return
        if cursor.sees("period", "for") or cursor.sees("system", "versioning"):
            raise DecodeError("it makes the table a versioned one, which is not read yet")
        cursor.takes("column")
        lenient = cursor.takes("if", "not", "exists")
        if not cursor.takes("("):
            self._placed(cursor.name(), lenient=lenient)
            return
        while True:
            if not self._key_or_constraint():
                self._placed(cursor.name(), lenient=lenient, place=False)
            if not cursor.takes(","):
                break
        cursor.expect(")")

    def _key_or_constraint(self) -> bool:
        """Go over the definition of an index or a constraint; a primary key is noted."""
        cursor = self._cursor
        named = cursor.takes("constraint")
        if named and not (cursor.sees(_PRIMARY, "key") or any(map(cursor.sees, _CONSTRAINTS))):
            cursor.takes("if", "not", "exists")
            cursor.name()
        if cursor.takes(_PRIMARY, "key"):
            self._primary_key()
        elif named or any(map(cursor.sees, _CONSTRAINTS)):
            while cursor.next is not None and not cursor.sees(",") and not cursor.sees(")"):
                cursor.skip()
        else:
            return False
        return True

    def _primary_key(self) -> None:
        cursor, found = self._cursor, self._found
        found.key_lenient = cursor.takes("if", "not", "exists")
        while not cursor.takes("("):
            cursor.takes("using") or cursor.name()  # how it is stored, or a name without effect
        found.key = []
        while not cursor.takes(")"):
            found.key.append(cursor.name())
            if cursor.sees("("):
                cursor.group()
            cursor.any_of("asc", "desc")
            cursor.takes(",")
        while cursor.next is not None and not cursor.sees(",") and not cursor.sees(")"):
            cursor.skip()

    def _drop(self) -> None:
        cursor, found = self._cursor, self._found
        if cursor.takes(_PRIMARY, "key"):
            found.drops_key = True
        elif cursor.any_of("index", "key", "constraint"):
            cursor.takes("if", "exists")
            found.drops_key |= cursor.name().lower() == _PRIMARY
        elif cursor.takes("foreign", "key") or cursor.takes("check"):
            cursor.takes("if", "exists")
            cursor.name()
        elif cursor.sees("period", "for") or cursor.sees("system", "versioning"):
            raise DecodeError("it is of a versioned table, which is not read yet")
        elif cursor.takes("partition"):
            self._cursor.fail()  # rows go with it
        else:
            cursor.takes("column")
            lenient = cursor.takes("if", "exists")
            found.drops[folded(cursor.name())] = lenient
            cursor.any_of("restrict", "cascade")

    def _rename(self) -> None:
        cursor = self._cursor
        if cursor.takes("column"):
            lenient = cursor.takes("if", "exists")
            old = folded(cursor.name())
            cursor.expect("to")
            self._found.renames[old] = (cursor.name(), lenient)
        elif cursor.any_of("index", "key"):
            cursor.takes("if", "exists")
            cursor.name()
            cursor.expect("to")
            cursor.name()
        else:
            cursor.fail()  # the table itself

    def _option(self) -> None:
        cursor = self._cursor
        cursor.takes("default")
        if self._is_charset() or cursor.sees("collate"):
            self._charset()
            return
        if cursor.takes("union"):
            cursor.takes("=")
            cursor.group()
            return
        name = cursor.name()
        if name.lower() in ("data", "index"):
            cursor.expect("directory")
        elif name.lower() not in _SILENT_OPTIONS and not cursor.sees("="):
            cursor.fail()  # an option of some engine would have its sign
        cursor.takes("=")
        cursor.take("word", "quoted", "text", "number")

    def _is_charset(self) -> bool:
        cursor = self._cursor
        return (
            cursor.sees("charset") or cursor.sees("character", "set") or cursor.sees("char", "set")
        )

    def _charset(self) -> None:
        """``CHARACTER SET x``, ``COLLATE y`` or both, in either way of writing."""
        cursor, found = self._cursor, self._found
        if self._is_charset():
            if not cursor.takes("charset"):
                cursor.skip()
                cursor.skip()
            cursor.takes("=")
            if cursor.sees("default"):
                raise DecodeError("it takes the database's character set, which the log lacks")
            found.charset = cursor.take("word", "quoted", "text")
            if cursor.sees("default", "collate"):
                cursor.takes("default")
        if cursor.takes("collate"):
            cursor.takes("=")
            found.collation = cursor.take("word", "quoted", "text")
        elif found.converts and found.charset is None:
            cursor.fail()


_CONSTRAINTS = (*_INDEXES, "foreign", "check")
