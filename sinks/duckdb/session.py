"""A connection to a DuckDB file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sinks.duckdb.effects import Effect, Effects
from sinks.duckdb.errors import OF_ANOTHER_KIND
from tailrace.errors import TargetRefused

LOCK_WAIT_S = 2.0
"""How long we wait for another program that has the file open, before delivery says so."""
LOCK_ASK_S = 0.05
BATCH = "tailrace_batch"

_PINS = (
    "set TimeZone = 'UTC'",
    "set preserve_insertion_order = false",
    *("set autoinstall_known_extensions = false", "set autoload_known_extensions = false"),
)
"""Nothing is fetched from the network."""


class DuckdbSession:
    """`open`: makes the connection. Errors: DuckDB's."""

    def __init__(self, path: Path) -> None:
        self._connection = _opened(path)
        self._log = path.with_name(path.name + ".wal")
        self._ours = _number(self._log)
        self._effects = Effects(path.parent)
        self._savepoints: list[tuple[str, int]] = []
        self._begun = self._failed = False
        for pin in _PINS:
            self._connection.execute(pin)

    @property
    def in_transaction(self) -> bool:
        return self._begun

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        return self._do(Effect(sql, values))

    def run(self, sql: str, batch: pa.Table) -> int:
        """A statement that reads `batch` under the name of BATCH. Rows that were changed."""
        return self._do(Effect(sql, (), batch))

    def query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._fetched(sql, values)

    def ask(self, sql: str, batch: pa.Table) -> tuple[Any, ...]:
        """The one row of a query over `batch`."""
        return self.rows(sql, batch)[0]

    def rows(self, sql: str, batch: pa.Table) -> list[tuple[Any, ...]]:
        self._connection.register(BATCH, batch)
        try:
            return self._fetched(sql)
        finally:
            with suppress(duckdb.Error):  # after an error the transaction takes nothing more
                self._connection.unregister(BATCH)

    def begin(self) -> None:
        self._connection.execute("begin")
        self._begun = True

    def commit(self) -> None:
        self._connection.execute("commit")
        self._ours = _number(self._log)
        self._ended()

    def rollback(self) -> None:
        self._ended()
        self._connection.execute("rollback")

    def savepoint(self, name: str) -> None:
        self._savepoints.append((name, len(self._effects)))

    def undo(self, name: str) -> None:
        at = self._at(name)
        length = self._savepoints[at][1]
        del self._savepoints[at + 1 :]
        if length == len(self._effects) and not self._failed:
            return
        self._effects.cut(length)
        self._connection.execute("rollback")
        self._connection.execute("begin")
        self._failed = False
        for effect in self._effects:
            self._run(effect)

    def release(self, name: str) -> None:
        del self._savepoints[self._at(name) :]

    def interrupt(self) -> None:
        with suppress(duckdb.Error):  # it is closed
            self._connection.interrupt()

    def close(self) -> None:
        """DuckDB writes its WAL into the file that it has open, and removes what then has the WAL's
        name: where the file was replaced meanwhile, that is the WAL of another."""
        was_begun = self._begun
        self._ended()
        with suppress(duckdb.Error):
            if _number(self._log) not in (None, self._ours):
                if was_begun:
                    self._connection.execute("rollback")
                self._connection.execute("pragma disable_checkpoint_on_shutdown")
        with suppress(duckdb.Error):
            self._connection.close()

    def _do(self, effect: Effect) -> int:
        changed = self._run(effect)
        if self._begun:
            self._effects.add(effect)
        return changed

    def _run(self, effect: Effect) -> int:
        if effect.batch is None:
            rows = self._fetched(effect.sql, effect.values)
            return int(rows[0][0]) if rows and isinstance(rows[0][0], int) else 0
        (changed,) = self.ask(effect.sql, effect.batch)
        return int(changed)

    def _fetched(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            rows: list[tuple[Any, ...]] = self._connection.execute(sql, values).fetchall()
        except BaseException:
            self._failed = True  # the transaction takes nothing more
            raise
        return rows

    def _at(self, name: str) -> int:
        return max(i for i, (known, _) in enumerate(self._savepoints) if known == name)

    def _ended(self) -> None:
        self._begun = self._failed = False
        self._savepoints.clear()
        self._effects.clear()


def _number(path: Path) -> int | None:
    """Of the file that has this name now."""
    with suppress(OSError):
        return path.stat().st_ino
    return None


def _opened(path: Path) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + LOCK_WAIT_S
    with suppress(FileNotFoundError, IsADirectoryError), path.open("rb") as file:
        begin = file.read(12)
        if not begin:
            path.unlink()  # DuckDB makes files, and takes no empty one
        elif begin[8:] != b"DUCK":  # of another kind it would look for an extension that reads it
            raise TargetRefused(
                "the target's file is no DuckDB database",
                where={"file": str(path)},
                fix=OF_ANOTHER_KIND,
            )
    while True:
        try:
            return duckdb.connect(str(path))
        except duckdb.IOException as error:
            if "lock on file" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(LOCK_ASK_S)
