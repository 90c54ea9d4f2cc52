"""TABLE_MAP events: what the rows events after one look like. Pure.

https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Table__map__event.html

    id:u48 flags:u16 size:u8 schema 0 size:u8 table 0 n:packed type:u8*n
    metadata bytes:packed …  null bits  (kind:u8 size:packed …)*
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field

from cdc.mysql.events import Reader
from cdc.schema import TableName
from tailrace.errors import DecodeError

(TINY, SHORT, LONG, FLOAT, DOUBLE, TIMESTAMP, LONGLONG, INT24, DATE, TIME, DATETIME, YEAR) = (
    *(1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13),
)
VARCHAR, BIT, TIMESTAMP2, DATETIME2, TIME2 = 15, 16, 17, 18, 19
NEWDECIMAL, ENUM, SET, TINY_BLOB, MEDIUM_BLOB, LONG_BLOB, BLOB = 246, 247, 248, 249, 250, 251, 252
BLOB_COMPRESSED, VARCHAR_COMPRESSED = 140, 141
VAR_STRING, STRING, GEOMETRY, JSON = 253, 254, 255, 245
UUID, INET4, INET6 = 1001, 1002, 1003
"""MariaDB's, which the log shows as STRING; no numbers of its."""
LOOKALIKES = {UUID: 16, INET4: 4, INET6: 16}
"""Those, and the bytes of the BINARY that they look like."""

WIDE_LABELS, UNSHOWN_LABELS = 1, 2
"""Labels stored in a character set that ASCII is no part of; labels of which one may not be what
the catalog says."""

INTEGERS = frozenset({TINY, SHORT, INT24, LONG, LONGLONG})
NUMERIC = frozenset({TINY, SHORT, INT24, LONG, LONGLONG, FLOAT, DOUBLE, NEWDECIMAL, YEAR})
PACKED = {VARCHAR: VARCHAR_COMPRESSED, BLOB: BLOB_COMPRESSED}
"""What a COMPRESSED column is in the log, by what it holds; a VARCHAR has a byte more."""
UNPACKED = {packed: plain for plain, packed in PACKED.items()}
CHARACTER = frozenset({VARCHAR, VAR_STRING, STRING, BLOB, VARCHAR_COMPRESSED, BLOB_COMPRESSED})

_METADATA_BYTES = {
    **dict.fromkeys((FLOAT, DOUBLE, BLOB, GEOMETRY, JSON, TIMESTAMP2, DATETIME2, TIME2), 1),
    **dict.fromkeys((VARCHAR, BIT, NEWDECIMAL, STRING, VAR_STRING, ENUM, SET), 2),
    BLOB_COMPRESSED: 1,
    VARCHAR_COMPRESSED: 2,
}
_KNOWN = NUMERIC | CHARACTER | {TIMESTAMP, DATE, TIME, DATETIME} | set(_METADATA_BYTES)

(SIGNEDNESS, DEFAULT_CHARSET, COLUMN_CHARSET, COLUMN_NAME, SET_LABELS, ENUM_LABELS) = range(1, 7)
GEOMETRY_TYPE, PRIMARY_KEY, PRIMARY_KEY_PREFIXED, ENUM_DEFAULT_CHARSET, ENUM_CHARSET = range(7, 12)


Default = tuple[str | None, ...]
"""One text or NULL, none where it is not known."""


@dataclass(frozen=True, slots=True)
class MapColumn:
    """A column as the table map has it.

    `type`: the real one (ENUM and SET are stored as STRING). `size`, `more`: its metadata, or the
    length in bytes of a STRING; `more` of an ENUM or SET of the catalog: bits of WIDE_LABELS and
    UNSHOWN_LABELS. `charset`: the number of its collation, 63 for bytes. What the log does not
    say: `virtual`, `stored`: computed, when it is read or written; `default`, what it has where a
    row leaves it out.
    """

    name: str
    type: int
    size: int
    more: int
    nullable: bool
    unsigned: bool = False
    charset: int | None = None
    labels: tuple[bytes, ...] = ()
    virtual: bool = False
    stored: bool = False
    default: Default = ()

    @property
    def computed(self) -> bool:
        return self.virtual or self.stored


@dataclass(frozen=True, slots=True)
class TableMap:
    """`key`: indexes of the primary key's columns, in its order; empty where it has none.

    `described`: whether the log says names and key (binlog_row_metadata=FULL). `says`: kinds of the
    optional metadata that were there. `hidden`: how many of the last columns are no columns of
    the table's.
    """

    table: TableName
    columns: tuple[MapColumn, ...]
    key: tuple[int, ...]
    described: bool
    says: frozenset[int] = frozenset()
    hidden: int = 0


@dataclass(slots=True)
class _Described:
    unsigned: list[int] = field(default_factory=list)  # indexes of columns
    charsets: dict[int, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    labels: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    key: tuple[int, ...] = ()
    says: set[int] = field(default_factory=set)


def table_id(body: memoryview) -> int:
    return int.from_bytes(body[:6], "little")


def table_map(body: memoryview, *, mariadb: bool = False) -> TableMap:
    """`mariadb`: the writer, which counts geometries among the columns with a character set.

    Errors: DecodeError.
    """
    reader = Reader(body)
    reader.take(8)
    schema = reader.take(reader.number(1)).decode("utf-8", "replace")
    reader.take(1)
    name = reader.take(reader.number(1)).decode("utf-8", "replace")
    reader.take(1)
    width = reader.packed()
    types = list(reader.take(width))
    metadata = Reader(reader.take(reader.packed()))
    kinds = [_kind(type_, metadata) for type_ in types]
    nulls = reader.take((width + 7) // 8)
    characters = CHARACTER | {GEOMETRY} if mariadb else CHARACTER
    said = _described(reader, [kind[0] for kind in kinds], characters)
    columns = tuple(
        MapColumn(
            name=said.names[i] if said.names else f"@{i + 1}",
            type=kind[0],
            size=kind[1],
            more=kind[2],
            nullable=bool(nulls[i >> 3] >> (i & 7) & 1),
            unsigned=i in said.unsigned,
            charset=said.charsets.get(i),
            labels=said.labels.get(i, ()),
        )
        for i, kind in enumerate(kinds)
    )
    says = frozenset(said.says)
    return TableMap(TableName(schema, name), columns, said.key, bool(said.names), says)


def _kind(type_: int, metadata: Reader) -> tuple[int, int, int]:
    """(real type, size, more) of a column."""
    if type_ not in _KNOWN:
        raise DecodeError(f"unknown column type {type_}")
    size = _METADATA_BYTES.get(type_, 0)
    if size == 0:
        return type_, 0, 0
    if size == 1:
        return type_, metadata.number(1), 0
    if type_ in (NEWDECIMAL, STRING, ENUM, SET):
        first, second = metadata.number(1), metadata.number(1)
        if type_ == NEWDECIMAL:
            return type_, first, second
        if first in (ENUM, SET):
            return first, second, 0
        # Lengths over 255 bytes borrow two bits of the first byte, inverted.
        return STRING, ((first & 0x30) ^ 0x30) << 4 | second, 0
    if type_ == BIT:
        bits, whole = metadata.number(1), metadata.number(1)
        return type_, 8 * whole + bits, 0
    return type_, metadata.number(2), 0


def _described(reader: Reader, types: list[int], characters: Set[int]) -> _Described:
    """The optional metadata."""
    said = _Described()
    enumerated = {SET_LABELS: SET, ENUM_LABELS: ENUM}
    while reader.left:
        kind = reader.number(1)
        field_ = Reader(reader.take(reader.packed()))
        said.says.add(kind)
        if kind == SIGNEDNESS:
            numeric = [i for i, type_ in enumerate(types) if type_ in NUMERIC]
            bits = field_.rest()
            said.unsigned = [i for n, i in enumerate(numeric) if bits[n >> 3] >> (7 - (n & 7)) & 1]
        elif kind in _CHARSETS:
            of, read = _CHARSETS[kind]
            wanted = of or characters
            said.charsets |= read(field_, [i for i, type_ in enumerate(types) if type_ in wanted])
        elif kind == COLUMN_NAME:
            said.names = [field_.text() for _ in types]
        elif kind in enumerated:
            for i in (i for i, type_ in enumerate(types) if type_ == enumerated[kind]):
                said.labels[i] = tuple(field_.take(field_.packed()) for _ in range(field_.packed()))
        elif kind == PRIMARY_KEY:
            said.key = tuple(_numbers(field_))
        elif kind == PRIMARY_KEY_PREFIXED:
            said.key = tuple(list(_numbers(field_))[::2])
        # Others (geometry types, visibility, …) change nothing in how rows are read.
    if any(i >= len(types) for i in said.key):
        raise DecodeError("a primary key beyond the columns")
    return said


def _charset_of_each(reader: Reader, wanted: list[int]) -> dict[int, int]:
    """Column index → collation."""
    return {i: reader.packed() for i in wanted}


def _default_charset(reader: Reader, wanted: list[int]) -> dict[int, int]:
    """The same: one for all, then the exceptions, counted among the `wanted`."""
    default = reader.packed()
    found = dict.fromkeys(wanted, default)
    numbers = list(_numbers(reader))
    for n, charset in zip(numbers[::2], numbers[1::2], strict=True):
        if n >= len(wanted):
            raise DecodeError("a character set beyond the columns")
        found[wanted[n]] = charset
    return found


_CHARSETS = {
    DEFAULT_CHARSET: (frozenset[int](), _default_charset),
    COLUMN_CHARSET: (frozenset[int](), _charset_of_each),
    ENUM_DEFAULT_CHARSET: (frozenset({ENUM, SET}), _default_charset),
    ENUM_CHARSET: (frozenset({ENUM, SET}), _charset_of_each),
}


def _numbers(reader: Reader) -> Iterator[int]:
    while reader.left:
        yield reader.packed()
