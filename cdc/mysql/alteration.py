"""A change of a table's columns, and what it makes of them. Pure.

Its parts take effect as servers have it, not one after the other: first columns are dropped,
replaced and renamed where they stand, then new ones are added, and those with a place of their own
moved, by the new names and in the order of the statement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from cdc.mysql import charsets
from cdc.mysql import tablemap as tm
from cdc.mysql.collations import BINARY, Collations
from cdc.mysql.defaults import NULL, UNKNOWN, absent, literal
from cdc.mysql.definitions import (
    BLOB_BYTES_MAX,
    Definition,
    blob_size,
    column,
    default,
    stored,
)
from cdc.mysql.sqltext import Token
from cdc.mysql.tablemap import MapColumn, TableMap
from tailrace.errors import DecodeError


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as its history has it. `charset`: number of the collation of columns without one."""

    map: TableMap
    charset: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A column that is added, or stands for `instead`.

    `after`: "" for FIRST, None where no place is said. `lenient`: IF [NOT] EXISTS.
    """

    written: Definition
    instead: str | None = None
    after: str | None = None
    lenient: bool = False


@dataclass(slots=True)
class Alteration:
    """`drops`: name → whether it may be absent; `renames`: name → (new name, the same).

    `charset`, `collation`: the new default of the table, which `converts` its columns, too.
    `defaults`: of columns by name, see `definitions.default`.
    """

    placed: list[Placed] = field(default_factory=list)
    drops: dict[str, bool] = field(default_factory=dict)
    renames: dict[str, tuple[str, bool]] = field(default_factory=dict)
    drops_key: bool = False
    key: list[str] | None = None
    key_lenient: bool = False
    charset: str | None = None
    collation: str | None = None
    converts: bool = False
    defaults: dict[str, Sequence[Token] | None] = field(default_factory=dict)


def folded(name: str) -> str:
    """Names of columns are the same in any case."""
    return name.lower()


def apply(shape: Shape, wanted: Alteration, collations: Collations) -> Shape:
    """Errors: DecodeError where the table has not what the statement takes to be there."""
    charset = _default(shape.charset, wanted, collations)
    old = {folded(one.name): one for one in shape.map.columns}
    placed = list(_effective(old, wanted))
    columns, names = _in_place(shape.map.columns, old, wanted, placed, charset, collations)
    for one in placed:
        new = column(one.written, charset, collations)
        if one.instead is not None and one.after is not None:
            columns.remove(new)
        if one.instead is None or one.after is not None:
            _place(columns, new, one.after)
    if wanted.converts:
        columns = [_converted(one, charset, collations) for one in columns]
    key = _key([shape.map.columns[i].name for i in shape.map.key], wanted, placed, names)
    order = [folded(one.name) for one in columns]
    if len(set(order)) != len(order) or not order or set(map(folded, key)) - set(order):
        raise DecodeError("it leaves a table that cannot be: our history of it is another's")
    indexes = tuple(order.index(folded(name)) for name in key)
    for i in indexes:
        columns[i] = replace(columns[i], nullable=False)
        if columns[i].default == NULL:
            columns[i] = replace(columns[i], default=absent(columns[i]))
    return Shape(replace(shape.map, columns=tuple(columns), key=indexes), charset)


def _default(charset: int, wanted: Alteration, collations: Collations) -> int:
    if wanted.charset is not None:
        charset = collations.charset(wanted.charset)
    if wanted.collation is not None:
        charset = collations.collation(wanted.collation, charset)
    return charset


def _effective(old: dict[str, MapColumn], wanted: Alteration) -> Iterator[Placed]:
    """Without what IF [NOT] EXISTS leaves undone. Errors: DecodeError for a column unknown."""
    touched = [folded(one.instead) for one in wanted.placed if one.instead is not None]
    touched += [*wanted.drops, *wanted.renames]
    if len(touched) != len(set(touched)):
        raise DecodeError("it does two things to one column")
    for name, lenient in [*wanted.drops.items(), *((n, r[1]) for n, r in wanted.renames.items())]:
        if name not in old and not lenient:
            raise DecodeError("it changes a column that our history of the table has not")
    seen = set(old)
    for one in wanted.placed:
        name = folded(one.written.name if one.instead is None else one.instead)
        if one.instead is None:
            if one.lenient and name in seen:
                continue
            seen.add(name)
        elif name not in old:
            if one.lenient:
                continue
            raise DecodeError("it changes a column that our history of the table has not")
        yield one


def _in_place(
    columns: tuple[MapColumn, ...],
    old: dict[str, MapColumn],
    wanted: Alteration,
    placed: list[Placed],
    charset: int,
    collations: Collations,
) -> tuple[list[MapColumn], dict[str, str | None]]:
    """(what stands where the old columns stood, what became of each old name)."""
    instead = {folded(one.instead): one for one in placed if one.instead is not None}
    found: list[MapColumn] = []
    names: dict[str, str | None] = {}
    for one in columns:
        name = folded(one.name)
        names[name] = one.name
        if name in wanted.drops:
            names[name] = None
        elif name in instead:
            names[name] = instead[name].written.name
            found.append(column(instead[name].written, charset, collations))
        else:
            new_name, _ = wanted.renames.get(name, (one.name, False))
            names[name] = new_name
            found.append(replace(one, name=new_name))
        if name in wanted.defaults and found:
            found[-1] = replace(found[-1], default=default(found[-1], wanted.defaults[name]))
    return found, names


def _place(columns: list[MapColumn], new: MapColumn, after: str | None) -> None:
    if after is None:
        columns.append(new)
    elif after == "":
        columns.insert(0, new)
    else:
        order = [folded(one.name) for one in columns]
        if folded(after) not in order:
            raise DecodeError("it places a column after one that our history of the table has not")
        columns.insert(order.index(folded(after)) + 1, new)


def _key(
    old: list[str], wanted: Alteration, placed: list[Placed], names: dict[str, str | None]
) -> list[str]:
    kept = [] if wanted.drops_key else [names[folded(name)] for name in old]
    key = [name for name in kept if name is not None]
    if wanted.key is not None and not (wanted.key_lenient and key):
        key = wanted.key
    inline = [one.written.name for one in placed if one.written.primary]
    return inline or key


def _converted(one: MapColumn, charset: int, collations: Collations) -> MapColumn:
    """CONVERT TO CHARACTER SET: as many characters as before, in another character set."""
    charset_name = collations.charset_of[charset]
    if one.labels:
        # MariaDB 10.11 takes the labels' bytes over as they are, and so changes what they say.
        if one.more or charset_name in charsets.WIDE or not all(map(bytes.isascii, one.labels)):
            raise DecodeError(f"it converts {one.name}, whose labels may not stay what they were")
        return one
    if one.charset in (None, BINARY):
        return one
    type_ = tm.UNPACKED.get(one.type, one.type)
    packed = type_ != one.type
    size = one.size - (packed and type_ == tm.VARCHAR)
    old = collations.bytes_max(one.charset or 0)
    new = 1 if charset == BINARY else collations.bytes_max(charset)
    is_blob = type_ == tm.BLOB
    size = blob_size(BLOB_BYTES_MAX[size] // old * new) if is_blob else size // old * new
    type_, size = stored(type_, size, packed=packed)
    made = replace(one, type=type_, size=size, charset=charset)
    if charset == BINARY and one.default != NULL:
        return replace(made, default=literal(made, "") if one.default == ("",) else UNKNOWN)
    return made
