"""Arrow columns as the text that COPY reads, in pieces; `_copytext` is the hot part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from tailrace.variants import load

_copytext: Any = load("sinks._copytext")
COMPILED: bool = bool(_copytext.COMPILED)

PIECE_ROWS = 4096
PIECE_BYTES = 1 << 20
"""A piece is at most so many rows and, unless it is a single row, so many bytes at the worst."""


def encode(columns: Sequence[pa.Array]) -> Iterator[bytearray]:
    """Rows of `columns` as COPY text, a piece at a time. NULL is ``\\N``."""
    rows = len(columns[0]) if columns else 0
    prepared = [_copytext.Column(*_buffers(as_text(column))) for column in columns]
    start = 0
    while start < rows:
        stop = min(rows, start + PIECE_ROWS)
        while stop - start > 1 and _copytext.room(prepared, start, stop) > PIECE_BYTES:
            stop -= (stop - start) // 2
        yield _copytext.encode(prepared, start, stop)
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


def _buffers(column: pa.StringArray) -> tuple[pa.Buffer | None, pa.Buffer, pa.Buffer | None, int]:
    """(validity, offsets, data, first row)."""
    valid, offsets, data = column.buffers()
    return (valid if column.null_count else None), offsets, data, column.offset
