"""What the open transaction has done so far, so that a part of it can be undone.

DuckDB has no savepoints, and an error ends the whole transaction. To go back to a savepoint the
transaction is begun anew and its statements up to there are run once more. Rows of large
transactions wait on disk, beside the file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

MEMORY_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Effect:
    """A statement, with its parameters or with the rows of the batch that it reads."""

    sql: str
    values: Sequence[object] = ()
    batch: pa.Table | None = None


@dataclass(frozen=True, slots=True)
class _Stored:
    sql: str
    offset: int
    size: int


class Effects:
    """In the order in which they happened. `folder`: where the disk has room for the rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[Effect | _Stored] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Effect]:
        for one in self._all:
            yield one if isinstance(one, Effect) else self._read(one)

    def add(self, effect: Effect) -> None:
        self._all.append(effect)
        if effect.batch is not None:
            self._bytes += effect.batch.nbytes
            if self._bytes > MEMORY_BYTES:
                self._all = [self._kept(one) for one in self._all]
                self._bytes = 0

    def cut(self, length: int) -> None:
        """Forget all behind the first `length`."""
        del self._all[length:]

    def clear(self) -> None:
        self._all.clear()
        self._bytes = 0
        if self._file is not None:
            self._file.close()
        self._file = None

    def _kept(self, one: Effect | _Stored) -> Effect | _Stored:
        if isinstance(one, _Stored) or one.batch is None:
            return one
        if self._file is None:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115  closed by `clear`
                dir=self._folder, prefix="tailrace-"
            )
        offset = self._file.seek(0, 2)
        with pa.ipc.new_stream(self._file, one.batch.schema) as stream:
            stream.write_table(one.batch)
        return _Stored(one.sql, offset, self._file.tell() - offset)

    def _read(self, one: _Stored) -> Effect:
        assert self._file is not None
        self._file.seek(one.offset)
        with pa.ipc.open_stream(self._file.read(one.size)) as stream:
            return Effect(one.sql, (), stream.read_all())
