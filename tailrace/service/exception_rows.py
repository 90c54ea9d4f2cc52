"""Values of held changes: as people see them, and as they edit them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from cdc.before import spelt_out
from cdc.changes import DELETE, OLD_NONE, OLD_ROW, TableChanges
from tailrace.errors import ConfigError
from tailrace.service.exceptions import Office
from tailrace.state.exceptions.codec import pack, unpack
from tailrace.state.exceptions.model import Held
from transforms.protect.shown import shown_row

NOT_SENT = "(not sent)"

Row = dict[str, str | None]


def before_and_after(
    office: Office, held: Held, row: bytes, *, reveal: bool
) -> tuple[Row | None, Row | None]:
    """The row before the change, as far as the log told, and after it; masked by the classes of
    what is computed from it, unless `reveal`."""
    schema = office.store.schema(held.schema)
    changes = unpack([row], schema)
    before, after = _before(changes), _after(changes)
    if not reveal:
        classes = office.classes(schema)
        before = None if before is None else shown_row(before, classes)
        after = None if after is None else shown_row(after, classes)
    if after is not None:
        after |= dict.fromkeys(_not_sent(changes), NOT_SENT)
    return before, after


def _after(changes: TableChanges) -> Row | None:
    if changes.op[0].as_py() == DELETE:
        return None
    names = [column.name for column in changes.schema.columns]
    return {name: _text(column[0].as_py()) for name, column in zip(names, changes.new, strict=True)}


def _not_sent(changes: TableChanges) -> list[str]:
    columns = changes.schema.columns
    return [columns[at].name for at, flags in changes.unsent.items() if flags[0].as_py()]


def _before(changes: TableChanges) -> Row | None:
    changes = spelt_out(changes)
    kind = OLD_NONE if changes.old_kind is None else changes.old_kind[0].as_py()
    if kind == OLD_NONE or changes.old is None:
        return None
    columns = changes.schema.columns
    known = range(len(columns)) if kind == OLD_ROW else changes.schema.key_indexes
    return {
        columns[at].name: _text(column[0].as_py())
        for at in known
        if (column := changes.old[at]) is not None
    }


def edited(office: Office, held: Held, given: Mapping[str, str | None]) -> bytes:
    """The row after, with other values. Errors: ConfigError for what cannot be edited."""
    schema = office.store.schema(held.schema)
    changes = spelt_out(unpack([held.current], schema))
    where = {"id": held.id, "table": held.ref.table}
    if changes.op[0].as_py() == DELETE:
        raise ConfigError("a delete has no values to edit", where=where)
    names = [column.name for column in schema.columns]
    new, unsent = list(changes.new), dict(changes.unsent)
    for name, text in given.items():
        if name not in names:
            raise ConfigError(f"the table has no column {name!r}", where=where)
        if name in schema.key:
            raise ConfigError(
                f"{name} is a column of the key: with another it would be another row",
                where=where,
                fix="mend the row at the source, or discard this change",
            )
        at = names.index(name)
        new[at] = pa.array([_value(text, new[at].type, name, where)], new[at].type)
        unsent[at] = pa.array([False])
    (packed,) = pack(replace(changes, new=tuple(new), unsent=unsent), [0])
    return packed


def _value(text: str | None, type_: pa.DataType, name: str, where: dict[str, Any]) -> Any:
    """`text` as the log would hold it. Errors: ConfigError."""
    if text is None:
        return None
    read: Callable[[str], Any] = str
    if pa.types.is_integer(type_):
        read = int
    elif pa.types.is_floating(type_):
        read = float
    elif pa.types.is_binary(type_) or pa.types.is_large_binary(type_):
        read = bytes.fromhex
    elif pa.types.is_boolean(type_):
        read = {"true": True, "false": False}.__getitem__
    try:
        return pa.scalar(read(text), type_).as_py()
    except (ValueError, KeyError, OverflowError, pa.ArrowException):
        raise ConfigError(f"{name}: this is no {type_}", where=where) from None


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return str(value).lower() if isinstance(value, bool) else str(value)
