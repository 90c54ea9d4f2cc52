"""Keyed hashes: HMAC-SHA-256 (RFC 2104) of a text's UTF-8, in hexadecimal."""

from __future__ import annotations

import hashlib
import hmac

import pyarrow as pa

from transforms.columns import TEXT


def hashed(values: pa.Array, key: bytes) -> pa.Array:
    """64 characters for each text; NULL stays NULL."""
    return pa.array(
        [
            None if text is None else hmac.digest(key, text, hashlib.sha256).hex()
            for text in values.cast(pa.binary()).to_pylist()
        ],
        TEXT,
    )
