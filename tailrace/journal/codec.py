"""Change sets to bytes and back.

    payload   fixed │ message lengths │ position │ layouts │ padding to 8 │ Arrow messages
    fixed     checksum u32 │ magic u16 │ format u8 │ complete u8 │ part u32 │ tables u16 │ zero u16
              │ position bytes u32 │ bytes before the first message u32
    lengths   u64 a message: the transactions', then one a table
    layout    schema version 8 bytes │ columns u16 │ old_kind u8 │ old u8 │ type of each new column
              │ unsent flag of each │ type of each old column, 0 where absent (only with `old`)
    old       1 with `old`, 2 with `replaced` (not in format 1), 3 with both

A message is an Arrow IPC record batch without its schema, which the layout tells. The names and
types of a table's columns are not here: its `TableSchema` is stored once, by version.

The checksum (CRC-32, little-endian like everything here) covers all that follows it. Decoding
copies nothing: arrays refer to the payload.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa

from cdc.changes import REPLACED, TRANSACTIONS, ChangeSet, TableChanges
from cdc.schema import TableSchema
from tailrace.errors import JournalCorrupt

MAGIC = 0x7254
FORMAT = 2

_FIXED = struct.Struct("<IHBBIHHII")
_AFTER_CHECKSUM = struct.Struct("<HBBIHHII")
_LAYOUT = struct.Struct("<8sHBB")

TYPES: dict[int, pa.DataType] = {
    1: pa.string(),
    2: pa.binary(),
    3: pa.bool_(),
    4: pa.int8(),
    5: pa.int16(),
    6: pa.int32(),
    7: pa.int64(),
    8: pa.uint8(),
    9: pa.uint16(),
    10: pa.uint32(),
    11: pa.uint64(),
    12: pa.float32(),
    13: pa.float64(),
    14: pa.large_string(),
    15: pa.large_binary(),
}
"""The types a change set may hold, by the number that stands for them on disk for ever."""

_ABSENT, _UNKNOWN = 0, 255
_ARROW_IDS = bytearray([_UNKNOWN]) * 256
for _code, _type in TYPES.items():
    _ARROW_IDS[_type.id] = _code


@dataclass(frozen=True, slots=True)
class Payload:
    """An encoded change set, still in pieces so that a large one need not be copied together."""

    buffers: tuple[Any, ...]
    size: int
    checksum: int

    def joined(self) -> bytes:
        return b"".join(self.buffers)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a table's record batch is made up: op, seq, old_kind?, new…, unsent…, old…, replaced?"""

    version: str
    batch: pa.Schema
    columns: int
    has_old_kind: bool
    unsent: tuple[int, ...]
    old: tuple[int, ...] | None
    has_replaced: bool


def encode(changes: ChangeSet) -> Payload:
    """Errors: TypeError for an array type outside TYPES."""
    if not changes.transactions.schema.equals(TRANSACTIONS):
        raise TypeError("the transactions of a change set have the schema TRANSACTIONS")
    messages = [changes.transactions.serialize()]
    layouts = []
    for table in changes.tables:
        raw = _raw_layout(table)
        layouts.append(raw)
        messages.append(
            pa.RecordBatch.from_arrays(_arrays(table), schema=_layout(raw).batch).serialize()
        )
    sizes = [message.size for message in messages]
    position = changes.position.encode()
    variable = struct.pack(f"<{len(sizes)}Q", *sizes) + position + b"".join(layouts)
    before = _FIXED.size + len(variable)
    padding = -before % 8
    header = (
        _AFTER_CHECKSUM.pack(
            MAGIC,
            FORMAT,
            changes.complete,
            changes.part,
            len(layouts),
            0,
            len(position),
            before + padding,
        )
        + variable
        + bytes(padding)
    )
    checksum = zlib.crc32(header)
    for message in messages:
        checksum = zlib.crc32(message, checksum)
    opening = checksum.to_bytes(4, "little") + header
    return Payload((opening, *messages), len(opening) + sum(sizes), checksum)


def decode(payload: Any, schemas: Callable[[str], TableSchema], checksum: int) -> ChangeSet:
    """Read what `encode` wrote from any object with the buffer protocol.

    `checksum` is the one `encode` gave, kept elsewhere, so that a sound payload in the wrong
    place is noticed too. Errors: JournalCorrupt.
    """
    buffer = payload if isinstance(payload, pa.Buffer) else pa.py_buffer(payload)
    _verify(buffer, checksum)
    try:
        return _decode(buffer, schemas)
    except (pa.ArrowException, struct.error, ValueError, LookupError) as error:
        raise JournalCorrupt("a stored entry has a sound checksum but no sense") from error


def _verify(buffer: pa.Buffer, checksum: int) -> None:
    view = memoryview(buffer)
    if len(view) < _FIXED.size:
        raise JournalCorrupt("a stored entry is cut short", where={"bytes": len(view)})
    stored, magic, version, *_ = _FIXED.unpack_from(view)
    if stored != checksum or zlib.crc32(view[4:]) != checksum or magic != MAGIC:
        raise JournalCorrupt("a stored entry's checksum does not fit", where={"bytes": len(view)})
    if not 1 <= version <= FORMAT:
        raise JournalCorrupt(
            "a stored entry has a format of another release",
            where={"format": version},
            fix=f"read it with the release that wrote it; this one reads formats 1 to {FORMAT}",
        )


def _decode(buffer: pa.Buffer, schemas: Callable[[str], TableSchema]) -> ChangeSet:
    view = memoryview(buffer)
    _, _, _, complete, part, tables, _, position_bytes, start = _FIXED.unpack_from(view)
    sizes: Sequence[int] = struct.unpack_from(f"<{tables + 1}Q", view, _FIXED.size)
    if start + sum(sizes) != len(view):
        raise ValueError("lengths do not add up")
    at = _FIXED.size + 8 * len(sizes)
    position = str(view[at : at + position_bytes], "utf-8")
    at += position_bytes
    transactions = pa.ipc.read_record_batch(buffer.slice(start, sizes[0]), TRANSACTIONS)
    start += sizes[0]
    decoded = []
    for size in sizes[1:]:
        layout_bytes = _layout_bytes(view, at)
        layout = _layout(bytes(view[at : at + layout_bytes]))
        batch = pa.ipc.read_record_batch(buffer.slice(start, size), layout.batch)
        decoded.append(_table(layout, schemas(layout.version), batch))
        at += layout_bytes
        start += size
    return ChangeSet(tuple(decoded), transactions, position, bool(complete), part)


def _raw_layout(table: TableChanges) -> bytes:
    columns = len(table.new)
    if columns != len(table.schema.columns):
        raise TypeError(f"{table.schema.table}: {columns} arrays for its columns")
    unsent = bytearray(columns)
    for index in table.unsent:
        unsent[index] = 1
    raw = (
        _LAYOUT.pack(
            bytes.fromhex(table.schema.version),
            columns,
            table.old_kind is not None,
            (table.old is not None) | (table.replaced is not None) << 1,
        )
        + _codes(table.new)
        + unsent
    )
    return raw if table.old is None else raw + _codes(table.old)


def _codes(arrays: Sequence[pa.Array | None]) -> bytes:
    codes = bytes(_ABSENT if a is None else _ARROW_IDS[a.type.id] for a in arrays)
    if _UNKNOWN in codes:
        array = arrays[codes.index(_UNKNOWN)]
        raise TypeError(f"a change set cannot hold Arrow type {array.type}")  # type: ignore[union-attr]
    return codes


def _layout_bytes(view: memoryview, at: int) -> int:
    _, columns, _, old = _LAYOUT.unpack_from(view, at)
    return int(_LAYOUT.size + columns * (3 if old & 1 else 2))


@lru_cache(maxsize=4096)
def _layout(raw: bytes) -> _Layout:
    version, columns, has_old_kind, olds = _LAYOUT.unpack_from(raw)
    new, unsent, old = (
        raw[_LAYOUT.size + i * columns : _LAYOUT.size + (i + 1) * columns] for i in range(3)
    )
    unsent_at = tuple(i for i, flag in enumerate(unsent) if flag)
    old_at = tuple(i for i, code in enumerate(old) if code != _ABSENT)
    types = [
        pa.uint8(),
        pa.int32(),
        *([pa.uint8()] if has_old_kind else []),
        *(TYPES[code] for code in new),
        *(pa.bool_() for _ in unsent_at),
        *(TYPES[old[i]] for i in old_at),
        *([REPLACED] if olds & 2 else []),
    ]
    return _Layout(
        version=version.hex(),
        batch=pa.schema([(str(i), kind) for i, kind in enumerate(types)]),
        columns=columns,
        has_old_kind=bool(has_old_kind),
        unsent=unsent_at,
        old=old_at if olds & 1 else None,
        has_replaced=bool(olds & 2),
    )


def _arrays(table: TableChanges) -> list[pa.Array]:
    return [
        table.op,
        table.seq,
        *(() if table.old_kind is None else (table.old_kind,)),
        *table.new,
        *(table.unsent[index] for index in sorted(table.unsent)),
        *(array for array in table.old or () if array is not None),
        *(() if table.replaced is None else (table.replaced,)),
    ]


def _table(layout: _Layout, schema: TableSchema, batch: pa.RecordBatch) -> TableChanges:
    arrays = batch.columns
    replaced = arrays.pop() if layout.has_replaced else None
    first = 3 if layout.has_old_kind else 2
    flags = first + layout.columns
    befores = flags + len(layout.unsent)
    old: list[pa.Array | None] | None = None
    if layout.old is not None:
        old = [None] * layout.columns
        for index, array in zip(layout.old, arrays[befores:], strict=True):
            old[index] = array
    return TableChanges(
        schema=schema,
        op=arrays[0],
        seq=arrays[1],
        new=tuple(arrays[first:flags]),
        unsent=dict(zip(layout.unsent, arrays[flags:befores], strict=True)),
        old_kind=arrays[2] if layout.has_old_kind else None,
        old=None if old is None else tuple(old),
        replaced=replaced,
    )
