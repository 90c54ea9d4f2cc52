# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Where the bytes of buffers are: what all compiled modules begin with.

A pointer when compiled, a memoryview otherwise; both index alike. Arrow's columns of text:
https://arrow.apache.org/docs/format/Columnar.html#variable-size-binary-layout
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from tailrace import cyshim as cython

COMPILED = cython.compiled


def pointer(buffer: object) -> cython.p_uchar:
    """Of an Arrow buffer."""
    if cython.compiled:
        address: cython.size_t = buffer.address
        return cython.cast(cython.p_uchar, address)
    return memoryview(buffer).cast("B")


def ints(buffer: object) -> cython.p_int:
    if cython.compiled:
        address: cython.size_t = buffer.address
        return cython.cast(cython.p_int, address)
    return memoryview(buffer).cast("B").cast("i")


def bytes_of(owner: bytearray) -> cython.p_uchar:
    if cython.compiled:
        return cython.cast(cython.p_uchar, cython.cast(cython.p_char, owner))
    return memoryview(owner)


def ints_of(owner: bytearray) -> cython.p_int:
    if cython.compiled:
        return cython.cast(cython.p_int, cython.cast(cython.p_char, owner))
    return memoryview(owner).cast("i")


def longs_of(owner: bytearray) -> cython.p_longlong:
    if cython.compiled:
        return cython.cast(cython.p_longlong, cython.cast(cython.p_char, owner))
    return memoryview(owner).cast("q")


class Column:
    """A text or binary column's buffers, kept alive; `first` is where it begins in them."""

    def __init__(self, valid: object, offsets: object, data: object, first: int) -> None:
        self.owners = (valid, offsets, data)
        self.first = first
        self.has_nulls = valid is not None
        self.has_data = data is not None
        if valid is not None:
            self.valid = pointer(valid)
        self.offsets = ints(offsets)
        if data is not None:
            self.data = pointer(data)
