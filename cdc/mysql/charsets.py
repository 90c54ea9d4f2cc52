"""Character sets of MySQL and MariaDB, by name, as what Python decodes them with."""

from __future__ import annotations

import codecs

from tailrace.errors import DecodeError

UTF8 = frozenset({"utf8", "utf8mb3", "utf8mb4", "ascii"})
"""Their bytes are text as it is (ASCII's too, since a server stores nothing else in it)."""

SINGLE_BYTE = {
    "latin1": "cp1252",
    "latin2": "iso8859-2",
    "latin5": "iso8859-9",
    "latin7": "iso8859-13",
    "greek": "iso8859-7",
    "hebrew": "iso8859-8",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1256": "cp1256",
    "cp1257": "cp1257",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp866": "cp866",
    "koi8r": "koi8-r",
    "koi8u": "koi8-u",
}
_OTHERWISE = {
    "greek": {0xA1: "\u02bd", 0xA2: "\u02bc"},
    "hebrew": {0xAF: "\u203e"},
    "cp866": {0xFC: "\u207f", 0xFD: "\u00b2"},
    "koi8u": {0x95: "\u2022"},
}
"""What servers read otherwise than Python; a snapshot has it as they do."""

MULTI_BYTE = {
    "ucs2": "utf-16-be",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
    "sjis": "shift_jis",
    "cp932": "cp932",
    "ujis": "euc_jp",
    "gbk": "gbk",
    "gb2312": "gb2312",
    "gb18030": "gb18030",
    "big5": "big5",
    "euckr": "cp949",
}
_REREAD = {
    "shift_jis": {0xFF3C: 0x5C},
    "euc_jp": {0xFF3C: 0x5C},
    "gb18030": {0xE7C7: 0x1E3F, 0x1E3F: 0xE7C7},  # as the standard of 2005 has them
}
"""What servers read otherwise than these codecs of Python."""

WIDE = frozenset({"ucs2", "utf16", "utf16le", "utf32"})
"""Those in which ASCII is not stored as ASCII."""

BEYOND_BMP = frozenset({"utf8mb4", "utf16", "utf16le", "utf32", "gb18030"})
"""Those with characters beyond U+FFFF, which a server's catalog shows as question marks."""


def _more(error: UnicodeError) -> tuple[str, int]:
    """Characters that servers have and these codecs of Python lack."""
    assert isinstance(error, UnicodeDecodeError)
    at, codec = error.start, error.encoding
    raw = error.object[at : at + 3]
    if codec == "big5" and b"\xf9\xd6" <= raw[:2] <= b"\xf9\xdc":
        return raw[:2].decode("cp950"), at + 2
    if codec == "euc_jp":  # what users define: 940 characters of two bytes, and as many of three
        first, size = (0xE3AC, 3) if raw[:1] == b"\x8f" else (0xE000, 2)
        lead, trail = (*raw[size - 2 : size], 0, 0)[:2]
        if lead >= 0xF5 and trail >= 0xA1:
            return chr(first + (lead - 0xF5) * 94 + trail - 0xA1), at + size
    raise error


_MORE = "tailrace.charsets"
codecs.register_error(_MORE, _more)

_BYTES_MAX = {
    **dict.fromkeys(("utf8", "utf8mb3", "ujis"), 3),
    **dict.fromkeys(("utf8mb4", "utf16", "utf16le", "utf32", "gb18030"), 4),
    **dict.fromkeys(("ucs2", "sjis", "cp932", "gbk", "gb2312", "big5", "euckr"), 2),
}


def bytes_max(name: str) -> int:
    """Bytes of a character at the most, by which servers multiply the lengths of columns."""
    return _BYTES_MAX.get(name, 1)


def single_bytes(name: str) -> list[bytes]:
    """The UTF-8 text of each byte. MySQL reads bytes that cp1252 leaves open as C1 controls."""
    codec = SINGLE_BYTE[name]
    found = []
    for byte in range(256):
        try:
            text = _OTHERWISE.get(name, {}).get(byte) or bytes([byte]).decode(codec)
        except UnicodeDecodeError:
            text = chr(byte) if name == "latin1" else "\N{REPLACEMENT CHARACTER}"
        found.append(text.encode())
    return found


def decoded(raw: bytes, codec: str) -> bytes:
    """`raw` as UTF-8. Errors: DecodeError."""
    try:
        text = raw.decode(codec, _MORE)
        return (text.translate(_REREAD[codec]) if codec in _REREAD else text).encode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise DecodeError(f"bytes that are no text in {codec}") from None
