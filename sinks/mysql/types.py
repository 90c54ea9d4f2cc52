"""Types: what a column is called in MariaDB or MySQL, and how the text of a value is read into it.

Values arrive as PostgreSQL prints them, whatever the source (docs/architecture.md). Where
the server reads another text, `ColumnType` says how one becomes the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from sinks.mysql.products import Product
from sinks.rowtext import DOUBLE, MOMENT, TEXT, as_text, unpadded
from sinks.typenames import parted
from transforms.rows import TargetColumn, TargetTable

KEY_BYTES_MAX = 3072
"""Of an InnoDB index (https://mariadb.com/kb/en/innodb-limitations/)."""
IDENTIFIED_CHARACTERS_MAX = 255
"""Of the key of a record that is recognised: two of them stand in one index."""
ROW_BYTES_MAX = 60_000
"""Of the 65,535 that the columns of a table may have together, LONGTEXT and its like aside."""
DECIMAL_DIGITS_MAX, DECIMAL_SCALE_MAX = 65, 30
CHAR_MAX, BIT_MAX = 255, 64
CHARACTER_BYTES = 4
FIXED_BYTES = 32
"""No other type of a column takes more."""

_NATIVE = re.compile(r"mysql:([a-z]+(?:\(\d+\))?(?: unsigned)?)")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """`ddl`: the type's name. `read`: SQL around the text of a value. `text`: what becomes of a
    column of PostgreSQL's text before. `kind`: as what the text travels in bulk."""

    ddl: str
    read: str = "{}"
    text: Callable[[pa.Array], pa.Array] = as_text
    kind: int = TEXT


def column_types(table: TargetTable, product: Product) -> tuple[ColumnType, ...]:
    """The types of a table that is made, such that its indexes can be, and a row fits."""
    found = [_type(column, product) for column in table.columns]
    names = [column.name for column in table.columns]
    indexes = [table.key_indexes, *(tuple(map(names.index, unique)) for unique in table.unique)]
    keys = {i for index in indexes for i in index}
    for index in sorted(indexes, key=len, reverse=True):
        for i, size in zip(index, _key_sizes([found[i] for i in index]), strict=True):
            if size is not None:
                found[i] = replace(found[i], ddl=size)
    if _is_recognised(table):
        (key,) = table.key_indexes
        found[key] = replace(found[key], ddl=f"varchar({IDENTIFIED_CHARACTERS_MAX})")
    while sum(map(_row_bytes, found)) > ROW_BYTES_MAX:
        others = [i for i in range(len(found)) if i not in keys]
        widest = max(others, key=lambda i: _row_bytes(found[i]), default=None)
        if widest is None or _row_bytes(found[widest]) <= FIXED_BYTES:
            break  # the server will say that it is too much
        found[widest] = replace(found[widest], ddl=_LARGE[found[widest].ddl.partition("(")[0]])
    return tuple(found)


def _is_recognised(table: TargetTable) -> bool:
    """Whether its key is a source's own, which leads to an identity."""
    composite = table.composite
    return composite is not None and bool(composite.match) and table.table != composite.table


def _type(column: TargetColumn, product: Product) -> ColumnType:
    native = _NATIVE.fullmatch(column.native)
    found = _of(*parted(column.type))
    if parted(column.type)[0] in ("json", "jsonb"):
        found = ColumnType(product.json)
    return replace(found, ddl=native[1]) if native else found


def _of(base: str, size: int | None, scale: int, zone: str | None) -> ColumnType:
    if base in _SIMPLE:
        return _SIMPLE[base]
    if base == "numeric":
        precision = size or 0
        fits = 0 < precision <= DECIMAL_DIGITS_MAX and 0 <= scale <= min(
            precision, DECIMAL_SCALE_MAX
        )
        if fits:
            return ColumnType(f"decimal({precision},{scale})")
        return ColumnType(f"decimal({DECIMAL_DIGITS_MAX},{DECIMAL_SCALE_MAX})")
    if base == "character varying" and size:
        return ColumnType(f"varchar({size})")
    if base in ("character", "bpchar") and size:
        return ColumnType(
            f"char({size})" if size <= CHAR_MAX else f"varchar({size})", text=unpadded
        )
    if base == "timestamp":
        digits = 6 if size is None else size
        text = _utc if zone == " with time zone" else as_text
        return ColumnType(f"datetime({digits})", text=text, kind=MOMENT)
    if base == "time" and zone != " with time zone":
        return ColumnType(f"time({6 if size is None else size})")
    if base == "bit" and size and size <= BIT_MAX:
        return ColumnType(f"bit({size})", "cast(conv({}, 2, 10) as unsigned)")
    return ColumnType("longtext")


def _truth(column: pa.Array) -> pa.Array:
    text = as_text(column)
    is_true = pc.is_in(text, pa.array(["t", "true"]))
    is_false = pc.is_in(text, pa.array(["f", "false"]))
    return pc.if_else(is_true, "1", pc.if_else(is_false, "0", text))


def _utc(column: pa.Array) -> pa.Array:
    """Both sessions are in UTC. What has another offset, as infinity has none, is refused."""
    text = as_text(column)
    return pc.if_else(pc.ends_with(text, "+00"), pc.utf8_slice_codeunits(text, 0, -3), text)


def _single(column: pa.Array) -> pa.Array:
    """All digits: the largest single's shortest text is, read as a double, larger than it."""
    text = as_text(column)
    try:
        return text.cast(pa.float32()).cast(pa.float64()).cast(pa.string())
    except pa.ArrowInvalid:
        return text


def _hex(column: pa.Array) -> pa.Array:
    return pc.utf8_slice_codeunits(as_text(column), 2)


_SIMPLE = {
    "smallint": ColumnType("smallint"),
    "integer": ColumnType("int"),
    "bigint": ColumnType("bigint"),
    "oid": ColumnType("bigint"),
    "real": ColumnType("float", text=_single, kind=DOUBLE),
    "double precision": ColumnType("double", kind=DOUBLE),
    "boolean": ColumnType("tinyint(1)", text=_truth),
    "date": ColumnType("date", kind=MOMENT),
    "uuid": ColumnType("char(36)"),
    "bytea": ColumnType("longblob", "unhex({})", _hex),
}
_LARGE = {"varchar": "longtext", "char": "longtext", "varbinary": "longblob", "binary": "longblob"}


def _row_bytes(type_: ColumnType) -> int:
    name, _, size = type_.ddl.partition("(")
    if name in ("varchar", "char"):
        return CHARACTER_BYTES * int(size.rstrip(")"))
    if name in ("varbinary", "binary"):
        return int(size.rstrip(")"))
    return FIXED_BYTES


def _key_sizes(types: Sequence[ColumnType]) -> list[str | None]:
    """What the columns of a key are called instead: a LONGTEXT can be in none."""
    large = [type_.ddl in ("longtext", "longblob", "json") for type_ in types]
    rest = KEY_BYTES_MAX - sum(
        _row_bytes(type_) for type_, is_large in zip(types, large, strict=True) if not is_large
    )
    share = max(rest // max(sum(large), 1), CHARACTER_BYTES)
    return [
        None
        if not is_large
        else f"varbinary({share})"
        if type_.ddl == "longblob"
        else f"varchar({share // CHARACTER_BYTES})"
        for type_, is_large in zip(types, large, strict=True)
    ]
