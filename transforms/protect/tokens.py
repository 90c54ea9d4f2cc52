"""Tokens: texts sealed with AES-SIV, which whoever holds the key can open again.

    tr1.5f3a9c01.kQ2r…      version, id of the key, base64url of what AES-SIV gave

The same text gives the same token as long as the key is the same, and two texts never give one.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.columns import TEXT
from transforms.protect.keys import key_id
from transforms.protect.siv import Bytes, Siv

VERSION = "tr1"


class Tokeniser:
    """New tokens are made with `current`; those of `previous` keys still open."""

    def __init__(self, current: bytes, previous: Sequence[bytes] = ()) -> None:
        self.key_id = key_id(current)
        self._siv = Siv(current)
        self._by_id = {key_id(key): Siv(key) for key in previous} | {self.key_id: self._siv}
        self._prefix = f"{VERSION}.{self.key_id}.".encode()

    def tokens(self, values: pa.Array) -> pa.Array:
        """NULL stays NULL."""
        if values.null_count:
            index = np.cumsum(values.is_valid().to_numpy(zero_copy_only=False)) - 1
            places = pa.array(index, mask=values.is_null().to_numpy(zero_copy_only=False))
            return self.tokens(values.drop_null()).take(places)
        if not len(values):
            return pa.array([], TEXT)
        all_offsets = np.frombuffer(values.buffers()[1], dtype=np.int32)
        offsets = all_offsets[values.offset : values.offset + len(values) + 1].astype(np.int64)
        data = np.frombuffer(values.buffers()[2] or b"", dtype=np.uint8)
        lengths = np.diff(offsets)
        order = np.argsort(lengths, kind="stable")
        cuts = np.flatnonzero(np.diff(lengths[order])) + 1
        parts = []
        for rows in np.split(order, cuts):
            length = int(lengths[rows[0]])
            parts.append(self._of_one_length(_rectangle(data, offsets[rows], length)))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return pa.concat_arrays(parts).take(pa.array(place))

    def reveal(self, token: str) -> str:
        """Errors: ValueError where it is no token, or of a key that we do not have."""
        version, _, rest = token.partition(".")
        identity, _, text = rest.partition(".")
        if version != VERSION or not text:
            raise ValueError("this is no token")
        siv = self._by_id.get(identity)
        if siv is None:
            raise ValueError(f"it was made with another key, {identity}")
        try:
            sealed = binascii.a2b_base64(
                text.translate(_STANDARD) + "=" * (-len(text) % 4), strict_mode=True
            )
        except binascii.Error:
            raise ValueError("this is no token") from None
        return siv.open(sealed).decode()

    def _of_one_length(self, texts: Bytes) -> pa.Array:
        encoded = _base64(self._siv.seal(texts))
        rows, length = encoded.shape
        start = len(self._prefix)
        found = np.empty((rows, start + length), dtype=np.uint8)
        found[:, :start] = np.frombuffer(self._prefix, dtype=np.uint8)
        found[:, start:] = encoded
        offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(found.shape[1])
        return pa.StringArray.from_buffers(
            rows, pa.py_buffer(offsets.tobytes()), pa.py_buffer(found.tobytes())
        )


def _rectangle(data: Bytes, starts: npt.NDArray[np.int64], length: int) -> Bytes:
    if not length:
        return np.empty((len(starts), 0), dtype=np.uint8)
    return np.lib.stride_tricks.sliding_window_view(data, length)[starts]


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_STANDARD = str.maketrans("-_", "+/")


def _base64(rows: Bytes) -> Bytes:
    """base64url (RFC 4648) without padding, of each row; of all at once."""
    count, length = rows.shape
    wide = np.zeros((count, -(-length // 3) * 3), dtype=np.uint8)
    wide[:, :length] = rows
    encoded = binascii.b2a_base64(wide.data, newline=False).translate(_URL_SAFE)
    found: Bytes = np.frombuffer(encoded, dtype=np.uint8).reshape(count, -1)
    return found[:, : -(-length * 4 // 3)]
