"""Log sequence numbers: 64-bit byte positions in PostgreSQL's WAL, printed as ``16/B374D848``."""

from __future__ import annotations


def parse_lsn(text: str) -> int:
    """Errors: ValueError when `text` is not two hexadecimal halves of 32 bits."""
    high, _, low = text.partition("/")
    value = int(high, 16) << 32 | int(low, 16)
    if not (0 < len(high) <= 8 and 0 < len(low) <= 8):
        raise ValueError(f"not an LSN: {text!r}")
    return value


def format_lsn(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
