"""Transactions that MySQL compressed as a whole (binlog_transaction_compression). Pure.

https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Transaction__payload__event.html

    (field:packed size:packed value)* 0  payload        the value of a field is a packed number
    payload   events as in a file, without checksums, in one stream of zstd
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from cdc.mysql.events import HEAD, Reader, head
from tailrace.errors import DecodeError

_END, _SIZE, _COMPRESSION, _UNCOMPRESSED = range(4)
_ZSTD, _NONE = 0, 255
EVENT_MAX = 1 << 30


def payload_events(body: memoryview) -> Iterator[memoryview]:
    """The events inside, one at a time: a transaction may be larger than memory.

    Errors: DecodeError.
    """
    reader = Reader(body)
    fields: dict[int, int] = {}
    while (field := reader.packed()) != _END:
        value = Reader(reader.take(reader.packed()))
        fields[field] = value.packed()
    if fields.get(_SIZE, reader.left) != reader.left:
        raise DecodeError("a compressed transaction of another length than it says")
    packed = pa.BufferReader(pa.py_buffer(bytes(body[reader.at :])))
    compression = fields.get(_COMPRESSION)
    if compression not in (_ZSTD, _NONE):
        raise DecodeError(f"unknown compression of a transaction ({compression})")
    stream = packed if compression == _NONE else pa.CompressedInputStream(packed, "zstd")
    left = fields.get(_UNCOMPRESSED, reader.left)
    while left:
        beginning = _exactly(stream, HEAD.size)
        size = HEAD.unpack(beginning)[3]
        if not HEAD.size <= size <= min(left, EVENT_MAX):
            raise DecodeError("an event in a compressed transaction is longer than that")
        event = memoryview(beginning + _exactly(stream, size - HEAD.size))
        head(event)
        left -= size
        yield event


def _exactly(stream: pa.NativeFile, size: int) -> bytes:
    try:
        found: bytes = stream.read(size)
    except (OSError, pa.ArrowInvalid):
        raise DecodeError("a compressed transaction is damaged") from None
    if len(found) != size:
        raise DecodeError("a compressed transaction ends inside an event")
    return found
