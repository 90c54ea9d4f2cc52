"""Types: what a column is called in DuckDB, and how the text of a value is read into it.

Values arrive as PostgreSQL prints them, whatever the source (docs/architecture.md). What DuckDB
has no exact type for (numbers of more than 38 digits or of any scale, arrays, ranges, intervals) is
kept as that text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from sinks.embedded.texts import DATE, INSTANT, INTEGER, MOMENT, TIME, matching
from sinks.rowtext import as_text, unpadded
from sinks.typenames import parted
from transforms.rows import TargetColumn

DECIMAL_DIGITS_MAX = 38


@dataclass(frozen=True, slots=True)
class ColumnType:
    """`ddl`: the type's name, as the catalog spells it. `read`: SQL around the text of a value.
    `fails`: a condition in SQL, true of a text that is no value; where it is `certain`, to read it
    is an error. `text`: what becomes of a column of PostgreSQL's text before. `show`: SQL around a
    value of the column, for such a text."""

    ddl: str
    read: str = "{}"
    fails: str = ""
    text: Callable[[pa.Array], pa.Array] = as_text
    show: str = "cast({} as varchar)"
    certain: bool = True


def column_type(column: TargetColumn) -> ColumnType:
    base, size, scale, zone = parted(column.type)
    if base == "numeric" and size and size <= DECIMAL_DIGITS_MAX and 0 <= scale <= size:
        return _cast(f"DECIMAL({size},{scale})")
    if base == "timestamp":
        if zone == " with time zone":
            return _cast("TIMESTAMP WITH TIME ZONE", _dated(INSTANT))
        return _cast("TIMESTAMP", _dated(MOMENT))
    if base == "time" and zone != " with time zone":
        return _cast("TIME", lambda column: matching(column, TIME))
    if base in ("character", "bpchar"):
        return ColumnType("VARCHAR", text=unpadded)
    return _SIMPLE.get(base) or ColumnType("VARCHAR")


def _cast(ddl: str, text: Callable[[pa.Array], pa.Array] = as_text) -> ColumnType:
    return ColumnType(ddl, f"cast({{}} as {ddl})", f"try_cast({{}} as {ddl}) is null", text)


def _dated(form: str) -> Callable[[pa.Array], pa.Array]:
    """``44-03-15 00:00:00 BC`` is ``44-03-15 (BC) 00:00:00`` here."""

    def convert(column: pa.Array) -> pa.Array:
        text = matching(column, form)
        if not pc.any(pc.ends_with(text, " BC")).as_py():
            return text
        return pc.replace_substring_regex(text, r"^(\S+)( .*)? BC$", r"\1 (BC)\2")

    return convert


def _integers(column: pa.Array) -> pa.Array:
    if pa.types.is_integer(column.type):
        return as_text(column)
    if pc.all(pc.utf8_is_decimal(as_text(column))).as_py() is not False:
        return as_text(column)
    return matching(column, INTEGER)


_SIMPLE = {
    "smallint": _cast("SMALLINT", _integers),
    "integer": _cast("INTEGER", _integers),
    "bigint": _cast("BIGINT", _integers),
    "oid": _cast("BIGINT", _integers),
    "real": _cast("FLOAT"),
    "double precision": _cast("DOUBLE"),
    "boolean": _cast("BOOLEAN"),
    "date": _cast("DATE", _dated(DATE)),
    "uuid": _cast("UUID"),
    "json": _cast("JSON"),
    "jsonb": _cast("JSON"),
    "bytea": ColumnType(
        "BLOB",
        "from_hex(substr({}, 3))",
        r"not regexp_full_match({}, '\\x([0-9a-fA-F]{{2}})*')",
        show=r"'\x' || hex({})",
        certain=False,
    ),
}


def fitted(type_: ColumnType, found: str) -> ColumnType:
    """`type_` for the column as the file has it."""
    return ColumnType("VARCHAR", text=type_.text) if _is_text(found) else type_


def misfit(type_: ColumnType, found: str) -> str | None:
    """What would become of its values in a column of type `found`; None where they stay."""
    if found == type_.ddl or (_is_text(found) and type_.ddl != "BLOB"):
        return None
    return "could become others"


def _is_text(found: str) -> bool:
    return found == "VARCHAR"
