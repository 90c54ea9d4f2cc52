"""Deterministic AES-SIV (RFC 5297) of many texts at once, without associated data.

    K1, K2      the two halves of the key
    V           = S2V(K1, text)              16 bytes that depend on all of the text
    C           = text XOR AES-CTR(K2, V)    as long as the text
    sealed      = V, C

The library seals a text at a time, most of which is the call. Texts of one length make a rectangle,
of which each step below is one call; where there are few of a length the library is asked. Both
give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

Bytes = npt.NDArray[np.uint8]
"""One text a row, all of one length."""

BLOCK = 16
ROWS_MIN = 64
"""From here on the steps over all rows take less time than a call for each."""
LENGTH_MAX = 256
"""Each block is a step; longer texts are few, and their bytes outweigh the call."""


class Siv:
    """Seals and opens with one key of 32, 48 or 64 bytes."""

    def __init__(self, key: bytes) -> None:
        self._one = AESSIV(key)
        half = len(key) // 2
        self._mac, self._ctr = AES(key[:half]), AES(key[half:])
        zero = np.zeros((1, BLOCK), dtype=np.uint8)
        subkey = _doubled(_encrypted(self._mac, zero))
        self._whole, self._padded = subkey, _doubled(subkey)
        self._zero = _encrypted(self._mac, zero ^ self._whole)

    def seal(self, texts: Bytes) -> Bytes:
        """Rows of `length` bytes become rows of 16 + `length`."""
        rows, length = texts.shape
        if rows >= ROWS_MIN and 0 < length <= LENGTH_MAX:
            return self._seal_all(texts)
        sealed = b"".join(self._one.encrypt(text.tobytes(), None) for text in texts)
        return np.frombuffer(sealed, dtype=np.uint8).reshape(rows, BLOCK + length)

    def open(self, sealed: bytes) -> bytes:
        """Errors: ValueError where it was not sealed with this key, or has been altered."""
        try:
            return self._one.decrypt(sealed, None)
        except InvalidTag:
            raise ValueError("it was not sealed with this key, or has been altered") from None

    def _seal_all(self, texts: Bytes) -> Bytes:
        tag = self._s2v(texts)
        return np.concatenate([tag, texts ^ self._stream(tag, texts.shape[1])], axis=1)

    def _s2v(self, texts: Bytes) -> Bytes:
        length = texts.shape[1]
        if length >= BLOCK:
            last = texts.copy()
            last[:, -BLOCK:] ^= self._zero
        else:
            last = _padded(texts) ^ _doubled(self._zero)
        return self._cmac(last)

    def _cmac(self, texts: Bytes) -> Bytes:
        """AES-CMAC (RFC 4493) of texts of at least one byte."""
        whole = texts.shape[1] % BLOCK == 0
        texts = texts.copy() if whole else _padded(texts)
        texts[:, -BLOCK:] ^= self._whole if whole else self._padded
        state = np.zeros((len(texts), BLOCK), dtype=np.uint8)
        for block in _blocks(texts):
            state = _encrypted(self._mac, state ^ block)
        return state

    def _stream(self, tag: Bytes, length: int) -> Bytes:
        """The counter's two topmost bits of words are cleared, so it never carries over."""
        count = -(-length // BLOCK)
        words = np.repeat(tag[:, None, :], count, axis=1).view(">u4")
        words[:, :, 2:] &= np.uint32(0x7FFFFFFF)
        words[:, :, 3] += np.arange(count, dtype=np.uint32)
        counters = words.view(np.uint8).reshape(len(tag), count * BLOCK)
        return _encrypted(self._ctr, counters)[:, :length]


def _blocks(texts: Bytes) -> Iterator[Bytes]:
    for at in range(0, texts.shape[1], BLOCK):
        yield texts[:, at : at + BLOCK]


def _encrypted(cipher: AES, blocks: Bytes) -> Bytes:
    """Each block by itself: AES as the plain function that the steps above are made of."""
    encryptor = Cipher(cipher, ECB()).encryptor()
    found = encryptor.update(np.ascontiguousarray(blocks).data)
    return np.frombuffer(found, dtype=np.uint8).reshape(blocks.shape)


def _doubled(block: Bytes) -> Bytes:
    """Times x in GF(2^128), of one block."""
    number = int.from_bytes(block.tobytes())
    number = (number << 1) ^ (0x87 if number >> 127 else 0)
    found = (number & ((1 << 128) - 1)).to_bytes(BLOCK)
    return np.frombuffer(found, dtype=np.uint8).reshape(1, BLOCK)


def _padded(texts: Bytes) -> Bytes:
    """A one, and zeros up to the next whole block."""
    rows, length = texts.shape
    found = np.zeros((rows, (length // BLOCK + 1) * BLOCK), dtype=np.uint8)
    found[:, :length] = texts
    found[:, length] = 0x80
    return found
