"""Column definitions of DDL: what is written, and what column a server makes of it. Pure.

https://mariadb.com/kb/en/create-table/#column-definitions
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cdc.mysql import charsets, defaults
from cdc.mysql import tablemap as tm
from cdc.mysql.collations import BINARY, Collations
from cdc.mysql.sqltext import MYSQL, ORACLE, REAL_AS_FLOAT, Cursor, Token
from cdc.mysql.tablemap import Default, MapColumn
from tailrace.errors import DecodeError

VARCHAR_BYTES_MAX = 65_532
"""Beyond, a server makes a BLOB or TEXT of it."""
EXPLICIT_TIMESTAMPS = 1 << 24
"""Bit of a statement's flags at MariaDB: explicit_defaults_for_timestamp. MySQL, where it is the
default, says it elsewhere; `agreement` takes from the log what the setting decides."""

INTEGERS = {
    **dict.fromkeys(("tinyint", "int1", "bool", "boolean"), tm.TINY),
    **dict.fromkeys(("smallint", "int2"), tm.SHORT),
    **dict.fromkeys(("mediumint", "middleint", "int3"), tm.INT24),
    **dict.fromkeys(("int", "integer", "int4"), tm.LONG),
    **dict.fromkeys(("bigint", "int8", "serial"), tm.LONGLONG),
}
_DECIMALS = frozenset({"decimal", "dec", "numeric", "fixed", "number"})
_FLOATS = {"float4": tm.FLOAT, "double": tm.DOUBLE, "float8": tm.DOUBLE}
_MOMENTS = {"datetime": tm.DATETIME2, "timestamp": tm.TIMESTAMP2, "time": tm.TIME2}
BLOBS = {
    "tinytext": 1,
    "text": 2,
    "mediumtext": 3,
    "longtext": 4,
    "clob": 4,
    "tinyblob": 1,
    "blob": 2,
    "mediumblob": 3,
    "longblob": 4,
}
"""Bytes of the length before a value; those without a character set end in ``blob``."""
BLOB_BYTES_MAX = {size: (1 << 8 * size) - 1 for size in (1, 2, 3, 4)}
GEOMETRIES = (
    *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring"),
    *("multipolygon", "geometrycollection", "geomcollection"),
)
_MARIADB_TYPES = {"uuid": tm.UUID, "inet4": tm.INET4, "inet6": tm.INET6}
_CHARACTERS = ("char", "character", "varchar", "varcharacter")
_NATIONAL = "utf8mb3"
_JSON = "utf8mb4_bin"


@dataclass(slots=True)
class Definition:
    """A column as it is written.

    `type`: a number of `tablemap`. `length`: characters, bytes, digits; of a BLOB the bytes of its
    length. `text`: whether its character set counts. `asked`: characters that a TEXT must hold.
    `charset`, `collation`: names, where written. `nullable`: None where it does not say.
    `packed`: COMPRESSED. `default`: what is written behind DEFAULT.
    """

    name: str
    type: int = 0
    length: int = 0
    more: int = 0
    unsigned: bool = False
    text: bool = False
    asked: int | None = None
    charset: str | None = None
    collation: str | None = None
    bytewise: bool = False
    labels: tuple[str, ...] = ()
    nullable: bool | None = None
    primary: bool = False
    virtual: bool = False
    packed: bool = False
    stored: bool = False
    default: Sequence[Token] | None = None


def definition(cursor: Cursor, name: str, sql_mode: int = 0, flags: int = 0) -> Definition:
    """Read a type and all that follows it, up to FIRST, AFTER, a comma or the end.

    Errors: DecodeError for anything that is not known.
    """
    found = Definition(name)
    _type(cursor, found, sql_mode)
    if found.type == tm.TIMESTAMP2 and not flags & EXPLICIT_TIMESTAMPS and not sql_mode & MYSQL:
        found.nullable = False
    while not (cursor.next is None or cursor.sees(",") or cursor.sees(")")):
        if cursor.sees("first") or cursor.sees("after"):
            break
        _attribute(cursor, found)
    return found


def _type(cursor: Cursor, found: Definition, sql_mode: int) -> None:
    word = cursor.take("word").lower()
    if word in INTEGERS:
        found.type = INTEGERS[word]
        _sized(cursor)
        if word == "serial":
            found.unsigned, found.nullable = True, False
    elif word in _DECIMALS:
        found.type = tm.NEWDECIMAL
        if word == "number" and not cursor.sees("("):
            found.type = tm.DOUBLE
            return
        found.length, found.more = (*_sized(cursor), 0, 0)[:2]
        found.length = found.length or 10
    elif word in ("float", "real", *_FLOATS):
        found.type = _floating(cursor, word, sql_mode)
    elif word == "bit":
        found.type, (found.length,) = tm.BIT, _sized(cursor) or (1,)
        found.length = found.length or 1
    elif word == "date":
        found.type = tm.DATETIME2 if sql_mode & ORACLE else tm.DATE
    elif word == "year":
        found.type = tm.YEAR
        _sized(cursor)
    elif word in _MOMENTS:
        found.type, (found.length,) = _MOMENTS[word], _sized(cursor) or (0,)
    elif word in ("enum", "set"):
        found.type = tm.ENUM if word == "enum" else tm.SET
        found.text, found.labels = True, _labels(cursor)
    elif word in BLOBS:
        _blob(cursor, found, word, sql_mode)
        if word == "blob" and sql_mode & ORACLE:
            found.length = 4
    elif word == "json":
        found.type, found.length = tm.JSON, 4
        if not sql_mode & MYSQL:
            found.type, found.text, found.collation = tm.BLOB, True, _JSON
    elif word in GEOMETRIES:
        found.type, found.length = tm.GEOMETRY, 4
    elif word in _MARIADB_TYPES and not sql_mode & MYSQL:
        found.type = _MARIADB_TYPES[word]
    else:
        _characters(cursor, found, word)


def _sized(cursor: Cursor) -> tuple[int, ...]:
    """The numbers in parentheses, if any follow."""
    if not cursor.takes("("):
        return ()
    numbers = [cursor.number()]
    while cursor.takes(","):
        numbers.append(cursor.number())
    cursor.expect(")")
    return tuple(numbers)


def _floating(cursor: Cursor, word: str, sql_mode: int) -> int:
    if word == "double":
        cursor.takes("precision")
    sizes = _sized(cursor)
    if word == "float":
        return tm.DOUBLE if len(sizes) == 1 and sizes[0] > 24 else tm.FLOAT
    if word == "real":
        return tm.FLOAT if sql_mode & REAL_AS_FLOAT else tm.DOUBLE
    return _FLOATS[word]


def _labels(cursor: Cursor) -> tuple[str, ...]:
    cursor.expect("(")
    labels = [cursor.take("text")]
    while cursor.takes(","):
        labels.append(cursor.take("text"))
    cursor.expect(")")
    return tuple(label.rstrip(" ") for label in labels)


def _blob(cursor: Cursor, found: Definition, word: str, sql_mode: int) -> None:
    found.type, found.length = tm.BLOB, BLOBS[word]
    found.text = not word.endswith("blob")
    if word in ("text", "blob"):
        found.asked = next(iter(_sized(cursor)), None)
        if found.asked == 0 and not sql_mode & MYSQL:
            found.asked = None


def _characters(cursor: Cursor, found: Definition, word: str) -> None:
    """CHAR, VARCHAR, BINARY, VARBINARY in all their spellings, and LONG."""
    if word == "long":
        binary = bool(cursor.takes("varbinary"))
        if not binary and not cursor.any_of("varchar", "varcharacter"):
            cursor.takes("char", "varying")
            cursor.takes("character", "varying")
        found.type, found.length, found.text = tm.BLOB, 3, not binary
        return
    if word in ("binary", "varbinary", "raw"):
        found.type = tm.STRING if word == "binary" else tm.VARCHAR
        (found.length,) = _sized(cursor) or (1,)
        return
    if word in ("national", "nchar", "nvarchar"):
        found.charset = _NATIONAL
        if word == "national":
            word = cursor.take("word").lower()
            if word not in _CHARACTERS:
                cursor.fail()
    if word not in (*_CHARACTERS, "varchar2", "nchar", "nvarchar"):
        raise DecodeError(f"column {found.name} has a type that is not read yet ({word})")
    varying = word.startswith(("var", "nvar"))
    if not varying:
        varying = bool(cursor.any_of("varying", *(["varchar"] if word == "nchar" else [])))
    found.type, found.text = (tm.VARCHAR if varying else tm.STRING), True
    (found.length,) = _sized(cursor) or (1,)


_SILENT = ("visible", "invisible", "virtual")


def _attribute(cursor: Cursor, found: Definition) -> None:
    """One of what may follow the type. Order is free, though servers want most of it in one."""
    if cursor.any_of("unsigned", "zerofill"):
        found.unsigned = True
    elif cursor.takes("signed") or cursor.any_of(*_SILENT):
        pass
    elif cursor.any_of("persistent", "stored"):
        found.virtual, found.stored = False, True
    elif cursor.takes("not", "null"):
        found.nullable = False
    elif cursor.takes("null"):
        found.nullable = True
    elif cursor.takes("auto_increment") or cursor.takes("serial", "default", "value"):
        found.nullable = False
    elif cursor.takes("primary", "key") or cursor.takes("key"):
        found.primary = True
    elif cursor.takes("unique"):
        cursor.takes("key")
    elif cursor.takes("comment"):
        cursor.take("text")
    elif cursor.takes("default"):
        found.default = expression(cursor)
    elif cursor.takes("on", "update"):
        expression(cursor)
    elif cursor.sees("generated") or cursor.sees("as"):
        if cursor.takes("generated"):
            cursor.expect("always")
        cursor.expect("as")
        found.virtual = True
        cursor.group()  # not ROW START: such a table is system-versioned
    elif cursor.any_of("check", "constraint", "references"):
        _constraint(cursor)
    elif cursor.any_of("column_format", "storage"):
        cursor.name()
    elif cursor.takes("srid"):
        cursor.number()
    elif cursor.takes("ref_system_id"):
        cursor.takes("=")
        cursor.number()
    else:
        _charset(cursor, found)


def expression(cursor: Cursor) -> Sequence[Token]:
    """A default: a literal, perhaps signed or with its character set, a function, a group."""
    begin = cursor.at
    if cursor.any_of("-", "+") or not cursor.sees("("):
        cursor.skip()
    if cursor.next is not None and cursor.next.kind in ("text", "bytes"):
        cursor.skip()  # after _utf8, DATE, TIMESTAMP …
    if cursor.sees("("):
        cursor.group()
    return cursor.since(begin)


_CONSTRAINT_ENDS = (
    *(",", ")", "first", "after", "comment", "not", "null", "default", "unique", "primary", "key"),
    *("invisible", "auto_increment", "collate", "check", "references", "constraint"),
)


def _constraint(cursor: Cursor) -> None:
    """CHECK (…), a name before it, or REFERENCES t (…) with what follows: none changes columns."""
    while cursor.next is not None and not any(map(cursor.sees, _CONSTRAINT_ENDS)):
        if not cursor.takes("on", "delete") and not cursor.takes("on", "update"):
            cursor.skip()
        elif cursor.takes("set"):
            cursor.any_of("null", "default")


def _charset(cursor: Cursor, found: Definition) -> None:
    if cursor.takes("character", "set") or cursor.any_of("charset") or cursor.takes("char", "set"):
        found.charset = cursor.take("word", "quoted", "text")
    elif cursor.takes("collate"):
        found.collation = cursor.take("word", "quoted", "text")
    elif cursor.takes("ascii"):
        found.charset = "latin1"
    elif cursor.takes("unicode"):
        found.charset = "ucs2"
    elif cursor.takes("byte"):
        found.charset = "binary"
    elif cursor.takes("binary"):
        found.bytewise = True
    elif cursor.takes("compressed"):
        found.packed = True
        if cursor.takes("="):
            cursor.name()
    else:
        cursor.fail()


def column(found: Definition, table_charset: int, collations: Collations) -> MapColumn:
    """The column a server makes of it in a table of this collation. Errors: DecodeError."""
    size, type_, charset = found.length, found.type, BINARY
    if found.text:
        charset = _collation(found, table_charset, collations)
        if found.labels:
            _encodable(found, collations.charset_of[charset])
            # As the catalog has them: labels in UTF-8, whatever the character set is.
            if collations.charset_of[charset] in charsets.WIDE:
                found.more = tm.WIDE_LABELS
            charset, size = collations.numbers["utf8mb4_bin"], label_bytes(type_, len(found.labels))
    if type_ in (tm.STRING, tm.VARCHAR):
        size *= collations.bytes_max(charset) if charset != BINARY else 1
    if type_ == tm.BLOB and found.asked is not None:
        size = blob_size(found.asked * (collations.bytes_max(charset) if found.text else 1))
    if found.packed and type_ not in tm.PACKED:
        raise DecodeError(f"column {found.name} is COMPRESSED, which its type cannot be")
    type_, size = stored(type_, size, packed=found.packed)
    made = MapColumn(
        name=found.name,
        type=type_,
        size=size,
        more=found.more,
        nullable=found.nullable is not False,
        unsigned=found.unsigned,
        charset=charset,
        labels=tuple(label.encode() for label in found.labels),
        virtual=found.virtual,
        stored=found.stored,
    )
    return replace(made, default=default(made, found.default))


def default(column: MapColumn, written: Sequence[Token] | None) -> Default:
    """`written`: behind DEFAULT, None where nothing is said of it."""
    if column.computed:
        return defaults.UNKNOWN
    if written is None:
        return defaults.absent(column)
    found = defaults.written(column, written)
    text = found[0] if found else None
    if text and column.type in _VARCHARS and text[1:].endswith(" ") and 4 * len(text) > column.size:
        return defaults.UNKNOWN  # perhaps too long: a server then cuts spaces at its end
    return found


_VARCHARS = (tm.VARCHAR, tm.VARCHAR_COMPRESSED)


def stored(type_: int, size: int, *, packed: bool) -> tuple[int, int]:
    """(type, size) of a column of so many bytes, a VARCHAR that is too long being a BLOB."""
    size += packed and type_ == tm.VARCHAR
    if type_ == tm.VARCHAR and size > VARCHAR_BYTES_MAX:
        type_, size = tm.BLOB, blob_size(size)
    return (tm.PACKED[type_] if packed else type_), size


def blob_size(needed: int) -> int:
    """Bytes of the length of the smallest BLOB that holds so many."""
    return next((size for size, most in BLOB_BYTES_MAX.items() if needed <= most), 4)


def label_bytes(type_: int, labels: int) -> int:
    if type_ == tm.ENUM:
        return 1 if labels < 256 else 2
    return next(size for size in (1, 2, 3, 4, 8) if labels <= 8 * size)


def _collation(found: Definition, table_charset: int, collations: Collations) -> int:
    charset = collations.charset(found.charset) if found.charset else table_charset
    if found.collation is not None:
        return collations.collation(found.collation, charset)
    return collations.bytewise(charset) if found.bytewise else charset


def _encodable(found: Definition, charset: str) -> None:
    """A label that its character set lacks is stored as something else than was written."""
    codec = charsets.SINGLE_BYTE.get(charset) or charsets.MULTI_BYTE.get(charset)
    codec = codec or ("utf-8" if charset in charsets.UTF8 - {"ascii"} else "ascii")
    if charset == "binary":
        return
    try:
        for label in found.labels:
            label.encode(codec)
    except UnicodeEncodeError:
        what = f"a label of column {found.name} has characters that {charset} lacks"
        raise DecodeError(what) from None
