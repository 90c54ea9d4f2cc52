"""Arrow columns as COPY's text format, in pieces; `_copytext` is the hot part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from tailrace.variants import load

_copytext: Any = load("sinks.postgres._copytext")
COMPILED: bool = bool(_copytext.COMPILED)

PIECE_ROWS = 4096
"""Rows a piece: some hundred kilobytes, which libpq sends without a second copy growing."""


def encode(columns: Sequence[pa.Array]) -> Iterator[bytes | bytearray]:
    """Rows of `columns` as COPY text, a piece at a time. NULL is ``\\N``."""
    rows = len(columns[0]) if columns else 0
    prepared = [_copytext.Column(*_buffers(column)) for column in columns]
    for start in range(0, rows, PIECE_ROWS):
        yield _copytext.encode(prepared, start, min(rows, start + PIECE_ROWS))


def _buffers(column: pa.Array) -> tuple[pa.Buffer | None, pa.Buffer, pa.Buffer | None, int]:
    """(validity, offsets, data, first row); types other than text are cast to text."""
    if column.type != pa.string():
        column = column.cast(pa.string())
    valid, offsets, data = column.buffers()
    return (valid if column.null_count else None), offsets, data, column.offset
