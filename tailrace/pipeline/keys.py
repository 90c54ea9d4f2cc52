"""Which rows of a table's changes touch which source keys.

A change touches the key of its row before and after. Two texts that may be one value to the source
or to a target are one key here: numbers with more noughts, letters in another case, with accents or
padding. Where they are two values after all, the one waits for the other, and nothing is lost.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdc.changes import DELETE, TRUNCATE, TableChanges
from tailrace.state.exceptions.model import ExceptionId, Key
from transforms import columns

FEW_ROWS = 512
"""Up to so many rows a look-up of each takes less time than making the set of keys an array."""
NOUGHTS = r"^(-?[0-9]+)(?:\.0*|(\.[0-9]*[1-9])0*)$"
"""Of a decimal: what comes before and behind the point without noughts at its end."""
MARKS = r"\p{Mn}+"
"""Accents, once they stand behind their letters."""


class RowKeys:
    """The keys of `changes`' rows, read where they are asked for."""

    def __init__(self, changes: TableChanges) -> None:
        self._changes = changes

    @cached_property
    def _new(self) -> tuple[pa.Array, ...]:
        values, _ = columns.completed(self._changes)
        return tuple(self._folded(at, values[at]) for at in self._changes.schema.key_indexes)

    @cached_property
    def _old(self) -> tuple[pa.Array, ...] | None:
        if self._changes.old is None:
            return None
        indexes = self._changes.schema.key_indexes
        found = [(at, self._changes.old[at]) for at in indexes]
        known = [self._folded(at, array) for at, array in found if array is not None]
        return tuple(known) if len(known) == len(found) else None

    def _folded(self, at: int, values: pa.Array) -> pa.Array:
        if not pa.types.is_string(values.type):
            return values
        if self._changes.schema.columns[at].base_type == "numeric":
            return pc.replace_substring_regex(values, NOUGHTS, r"\1\2")
        if len(values) <= FEW_ROWS:
            texts = values.to_pylist()
            if all(text is None or text.isascii() for text in texts):
                folded = [None if text is None else text.rstrip(" ").lower() for text in texts]
                return pa.array(folded, pa.string())
        values = pc.utf8_rtrim(values, " ")
        if not pc.all(pc.string_is_ascii(values)).as_py():
            parts = pc.utf8_normalize(values, "NFKD")
            values = pc.replace_substring_regex(parts, MARKS, "")
        return pc.utf8_lower(values)

    @cached_property
    def _has_new(self) -> np.ndarray:
        op = columns.operations(self._changes)
        known: columns.Flags = (op != DELETE) & (op != TRUNCATE)
        return known

    @cached_property
    def _has_old(self) -> np.ndarray:
        return columns.has_old(self._changes)

    def of(self, row: int) -> tuple[Key, ...]:
        """Empty where the log does not say, or nothing identifies rows of the table."""
        if not self._changes.schema.key:
            return ()
        found = []
        if self._has_new[row]:
            found.append(tuple(_text(column[row].as_py()) for column in self._new))
        if self._old is not None and self._has_old[row]:
            found.append(tuple(_text(column[row].as_py()) for column in self._old))
        return _known(found)

    def each(self) -> Iterator[tuple[Key, ...]]:
        """Those of every row, in order."""
        if not self._changes.schema.key:
            return iter([()] * self._changes.rows)
        sides = [(self._new, self._has_new)]
        if self._old is not None:
            sides.append((self._old, self._has_old))
        texts = [
            [text if known else None for text, known in zip(_texts(columns), flags, strict=True)]
            for columns, flags in sides
        ]
        return (
            _known([text for text in found if text is not None])
            for found in zip(*texts, strict=True)
        )

    def touching(self, keys: Collection[Key]) -> list[int]:
        """Rows that touch one of `keys`, ascending."""
        if not keys or not self._changes.schema.key:
            return []
        if self._changes.rows <= FEW_ROWS:
            return [
                row for row, found in enumerate(self.each()) if any(key in keys for key in found)
            ]
        rows = self._among(self._new, self._has_new, keys)
        if self._old is not None:
            rows |= self._among(self._old, self._has_old, keys)
        return sorted(rows)

    def _among(self, key: Sequence[pa.Array], known: np.ndarray, keys: Collection[Key]) -> set[int]:
        candidates = np.flatnonzero(known)
        if len(candidates) > FEW_ROWS and pa.types.is_string(key[0].type):
            first = pa.array({one[0] for one in keys}, pa.string())
            candidates = np.flatnonzero(known & columns.flags(pc.is_in(key[0], first)))
        picked = pa.array(candidates)
        texts = _texts([column.take(picked) for column in key])
        return {int(row) for row, text in zip(candidates, texts, strict=True) if text in keys}


Holders = Mapping[Key, Sequence[ExceptionId]]
"""The changes that hold each key, in the source's order."""


def waiting(keys: RowKeys, held: Holders, ids: Callable[[int], ExceptionId]) -> list[int]:
    """Rows that wait behind an earlier change; `ids` says which change a row is.

    One that moves a row from a held key to another holds both from there on.
    """
    since: dict[Key, ExceptionId] = {}
    found: set[int] = set()
    asked: Collection[Key] = held
    while asked:
        grown: set[Key] = set()
        for row in keys.touching(asked):
            if row in found:
                continue
            id, touched = ids(row), keys.of(row)
            if not any(first < id for key in touched for first in _first(key, since, held)):
                continue
            found.add(row)
            for key in touched:
                if all(id < first for first in _first(key, since, held)):
                    since[key] = id
                    grown.add(key)
        asked = grown
    return sorted(found)


class Later:
    """Which of the changes that are written at once come behind which, by their keys.

    Built once where a target refuses some of them; changes are known by their `seq`.
    """

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, Key], list[int]] = {}
        self._keys: dict[int, list[tuple[str, Key]]] = {}

    def add(self, changes: TableChanges, base: int) -> None:
        """In the source's order."""
        table, keys = str(changes.schema.table), RowKeys(changes)
        for seq, found in zip(changes.seq.to_pylist(), keys.each(), strict=True):
            touched = [(table, key) for key in found]
            self._keys[base + seq] = touched
            for key in touched:
                self._by_key.setdefault(key, []).append(base + seq)

    def has_key(self, seq: int) -> bool:
        return bool(self._keys[seq])

    def behind(self, seq: int) -> list[int]:
        """All that wait where the change `seq` does not go, in order."""
        found = {seq}
        queue = [seq]
        seen: set[tuple[str, Key]] = set()
        while queue:  # in order, so that the first to come by a key is the first that holds it
            at = heapq.heappop(queue)
            for key in self._keys[at]:
                if key not in seen:
                    seen.add(key)
                    seqs = self._by_key[key]
                    new = [one for one in seqs[bisect_right(seqs, at) :] if one not in found]
                    found.update(new)
                    for one in new:
                        heapq.heappush(queue, one)
        return sorted(found - {seq})


def _first(key: Key, since: Mapping[Key, ExceptionId], held: Holders) -> list[ExceptionId]:
    """The changes that may be the first to hold `key`."""
    return [*([since[key]] if key in since else ()), *held.get(key, ())[:1]]


def _known(keys: Sequence[tuple[str | None, ...]]) -> tuple[Key, ...]:
    if any(None in key for key in keys):
        return ()
    return tuple(dict.fromkeys(keys))


def _texts(columns: Sequence[pa.Array]) -> Iterator[tuple[str | None, ...]]:
    return zip(*(map(_text, column.to_pylist()) for column in columns), strict=True)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)
