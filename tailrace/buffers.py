"""Arrow's text and binary columns as compiled modules take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tailrace.variants import load

_buffers: Any = load("tailrace._buffers")


def buffers_of(
    column: pa.Array,
) -> tuple[pa.Buffer | None, pa.Buffer, pa.Buffer | None, int]:
    """(validity, None where nothing is NULL; offsets; data; first row)."""
    valid, offsets, data = column.buffers()
    if offsets is None or not offsets.size:
        offsets = pa.py_buffer(np.zeros(len(column) + column.offset + 1, np.int32))
    return (valid if column.null_count else None), offsets, data, column.offset


def column_of(column: pa.Array) -> Any:
    """`tailrace._buffers.Column` of it."""
    return _buffers.Column(*buffers_of(column))
