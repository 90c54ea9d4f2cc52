"""Arrow columns as rows on the wire, in pieces; `_rowtext` is the hot part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tailrace.buffers import buffers_of
from tailrace.variants import load

_rowtext: Any = load("sinks._rowtext")
COMPILED: bool = bool(_rowtext.COMPILED)

PIECE_ROWS = 4096
PIECE_BYTES = 1 << 20
"""A piece is at most so many rows and, unless it is a single row, so many bytes at the worst."""


TEXT, DOUBLE, MOMENT = int(_rowtext.TEXT), int(_rowtext.DOUBLE), int(_rowtext.MOMENT)
"""As what a value is counted: its text, a double, or a date with or without a time."""

Unfit: type[ValueError] = _rowtext.Unfit
"""A text that is not of the form its kind asks for."""


def copy_text(columns: Sequence[pa.Array]) -> Iterator[bytearray]:
    """Rows of `columns` as COPY text, a piece at a time. NULL is ``\\N``."""
    return _pieces(columns, [TEXT] * len(columns), _rowtext.encode, _rowtext.room)


def counted(columns: Sequence[pa.Array], kinds: Sequence[int]) -> Iterator[bytearray]:
    """Rows of `columns` as MariaDB's bulk parameters, a piece at a time. Errors: Unfit."""
    return _pieces(columns, kinds, _rowtext.encode_counted, _rowtext.room_counted)


def _pieces(
    columns: Sequence[pa.Array],
    kinds: Sequence[int],
    encode: Callable[[list[Any], int, int], bytearray],
    room: Callable[[list[Any], int, int], int],
) -> Iterator[bytearray]:
    rows = len(columns[0]) if columns else 0
    prepared = [
        _rowtext.Column(*buffers_of(as_text(column)), kind)
        for column, kind in zip(columns, kinds, strict=True)
    ]
    start = 0
    while start < rows:
        stop = min(rows, start + PIECE_ROWS)
        while stop - start > 1 and room(prepared, start, stop) > PIECE_BYTES:
            stop -= (stop - start) // 2
        yield encode(prepared, start, stop)
        start = stop


def as_text(column: pa.Array) -> pa.StringArray:
    """What PostgreSQL's input functions are to parse; the bytes of a binary column as hex."""
    if column.type == pa.string():
        return column
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return pa.array(
            [None if value is None else "\\x" + value.hex() for value in column.to_pylist()],
            pa.string(),
        )
    return column.cast(pa.string())


def unpadded(column: pa.Array) -> pa.StringArray:
    """As text; padding is no part of a character(n)."""
    return pc.utf8_rtrim(as_text(column), " ")
