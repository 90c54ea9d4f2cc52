"""Rows as SQL, a column at a time: `('1', 'it\\'s', null)`.

A backslash escapes in the session's sql_mode (see `sinks.mysql.session`), and nothing but it and
the quote must be. Values travel quoted, as text, whatever the type is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from sinks.rowtext import as_text

PIECE_ROWS = 4096
PIECE_BYTES = 64 << 20
"""A piece is at most so many rows and, unless it is a single row, so many bytes before they are
escaped: of a piece, Arrow counts bytes in 31 bits."""


def literal_rows(columns: Sequence[pa.Array], reads: Sequence[str]) -> Iterator[pa.StringArray]:
    """Pieces of `columns`, a text a row. `reads`: SQL around a value of each, as
    `ColumnType.read`. Errors: OverflowError for a row that no packet can hold."""
    texts = [as_text(column) for column in columns]
    rows = len(texts[0])
    first = 0
    while first < rows:
        count = min(PIECE_ROWS, rows - first)
        piece = [text.slice(first, count) for text in texts]
        while count > 1 and sum(text.nbytes for text in piece) > PIECE_BYTES:
            count //= 2
            piece = [text.slice(0, count) for text in piece]
        try:
            yield _rows(piece, reads)
        except (pa.ArrowInvalid, pa.ArrowCapacityError):
            raise OverflowError from None
        first += count


def _rows(texts: Sequence[pa.StringArray], reads: Sequence[str]) -> pa.StringArray:
    literals = [_literals(text, read) for text, read in zip(texts, reads, strict=True)]
    return pc.binary_join_element_wise("(", pc.binary_join_element_wise(*literals, ", "), ")", "")


def _literals(text: pa.StringArray, read: str) -> pa.StringArray:
    before, after = read.split("{}")
    escaped = pc.replace_substring(pc.replace_substring(text, "\\", "\\\\"), "'", "\\'")
    quoted = pc.binary_join_element_wise(f"{before}'", escaped, f"'{after}", "")
    return pc.fill_null(quoted, f"{before}null{after}")
