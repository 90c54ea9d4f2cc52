"""Keys of hashes and tokens: where they come from is `config`'s matter, here they are bytes."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

BYTES_MIN = 32
TOKEN_BYTES = (32, 48, 64)
"""AES-SIV takes two AES keys of one size: 16, 24 or 32 bytes each."""
DISTINCT_MIN = 8
"""Of 32 random bytes fewer differ once in 10^30 times; a placeholder's do."""

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")


class Key(BaseModel):
    """`current` protects; `previous` only still open the tokens they once made. In hexadecimal; in
    no repr and no dump."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    current: Annotated[str, Field(repr=False, exclude=True)]
    previous: Annotated[tuple[str, ...], Field(repr=False, exclude=True)] = ()


def parsed(written: str) -> bytes:
    """Errors: ValueError, which does not show what was written."""
    if not _HEX.fullmatch(written):
        raise ValueError("is not written in hexadecimal")
    found = bytes.fromhex(written)
    if len(found) < BYTES_MIN:
        raise ValueError(f"has {len(found)} bytes; {BYTES_MIN} are the least")
    if len(set(found)) < DISTINCT_MIN:
        raise ValueError("is not random")
    return found


def key_id(key: bytes) -> str:
    """Tells keys apart without telling anything of them: 8 characters."""
    return hmac.digest(key, b"tailrace key id", hashlib.sha256)[:4].hex()
