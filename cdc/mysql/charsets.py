"""Character sets of MySQL and MariaDB, by name, as what Python decodes them with."""

from __future__ import annotations

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
"""What servers read otherwise than Python; a snapshot has it as the server does."""

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
WIDE = frozenset({"ucs2", "utf16", "utf16le", "utf32"})
"""Those in which ASCII is not stored as ASCII."""

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
        return raw.decode(codec).encode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise DecodeError(f"bytes that are no text in {codec}") from None
