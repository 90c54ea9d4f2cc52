"""Values that a log stores as bytes with a meaning: geometries, addresses, packed columns. Pure.

geometry   SRID:u32 WKB        https://dev.mysql.com/doc/refman/8.4/en/gis-data-formats.html
WKB        order:u8 (1: little-endian) type:u32 …
EWKB       the same, in the type 0x20000000 and behind it the SRID, where there is one
packed     nothing; or 0, bytes; or 0x80 | raw:1 | size of the length:3, length (big-endian), zlib
           https://mariadb.com/kb/en/storage-engine-independent-column-compression/
"""

from __future__ import annotations

import zlib

from tailrace.errors import DecodeError

SRID_FLAG = 0x20
"""In the last byte of a type."""
_RAW = 8


def geometry(stored: bytes) -> bytes:
    """As hexadecimal EWKB, which PostGIS reads as a geometry. Errors: DecodeError."""
    srid, wkb = stored[:4], stored[4:]
    if len(wkb) < 9 or wkb[0] != 1 or wkb[4]:
        raise DecodeError("a geometry that is none")
    if any(srid):
        wkb = wkb[:4] + bytes([SRID_FLAG]) + srid + wkb[5:]
    return wkb.hex().upper().encode()


def uuid(stored: bytes) -> bytes:
    """Errors: DecodeError."""
    text = _exactly(stored, 16).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])).encode()


def address(stored: bytes, size: int) -> bytes:
    """An IP address of 4 or 16 bytes. Errors: DecodeError."""
    raw = _exactly(stored, size)
    return (".".join(map(str, raw)) if size == 4 else _address6(raw)).encode()


def _address6(raw: bytes) -> str:
    """As MariaDB prints it, which shortens a single group of zeros, too."""
    groups = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, 16, 2)]
    gap, long = -1, 0
    for start in range(8):
        zeros = next((n for n, group in enumerate(groups[start:]) if group), 8 - start)
        if zeros > long:
            gap, long = start, zeros
    if gap == 0 and (long == 6 or (long == 5 and groups[5] == 0xFFFF)):
        return ("::" if long == 6 else "::ffff:") + ".".join(map(str, raw[12:]))
    shown = [f"{group:x}" for group in groups]
    if gap < 0:
        return ":".join(shown)
    return ":".join(shown[:gap]) + "::" + ":".join(shown[gap + long :])


def _exactly(stored: bytes, size: int) -> bytes:
    """With the zeros back that a BINARY loses at its end."""
    if len(stored) > size:
        raise DecodeError("a value longer than its type")
    return stored.ljust(size, b"\0")


def unpacked(stored: bytes) -> bytes:
    """What a column declared COMPRESSED holds. Errors: DecodeError."""
    if not stored:
        return b""
    head = stored[0]
    if head == 0:
        return stored[1:]
    size = head & 7
    if not head & 0x80 or head & 0x70 or size > 4:
        raise DecodeError("a compressed value in an unknown format")
    length = int.from_bytes(stored[1 : 1 + size], "big")
    try:
        engine = zlib.decompressobj(-zlib.MAX_WBITS if head & _RAW else zlib.MAX_WBITS)
        found = engine.decompress(stored[1 + size :], length + 1)
    except zlib.error:
        raise DecodeError("a compressed value is damaged") from None
    if len(found) != length:
        raise DecodeError("a compressed value of another length than it says")
    return found
