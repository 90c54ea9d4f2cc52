"""The SQL of one target table, written once; SQLite and DuckDB read the same."""

from __future__ import annotations

from collections.abc import Sequence

from sinks.embedded.session import Codec, Engine
from transforms.rows import TargetTable


class Statements:
    def __init__(self, engine: Engine, table: TargetTable, codec: Codec) -> None:
        self.table = table
        self.codec = codec
        self._engine = engine
        self.names = [engine.quoted(column.name) for column in table.columns]
        self._given = [codec.given(i) for i in range(len(table.columns))]
        self.name = engine.table(table.table)
        self.others = [i for i in range(len(self.names)) if i not in table.key_indexes]
        self._same = " and ".join(f"{self.names[i]} = {self._given[i]}" for i in table.key_indexes)
        self.delete = f"delete from {self.name} where {self._same}"
        self.columns = ", ".join(self.names)
        self.insert = f"insert into {self.name} ({self.columns}) values ({', '.join(self._given)})"
        self.upsert = f"{self.insert} {self.on_conflict}"
        self._updates: dict[tuple[int, ...], str] = {}

    @property
    def on_conflict(self) -> str:
        """By the key, so that a row that is new under an old unique value is refused."""
        keys = ", ".join(self.names[i] for i in self.table.key_indexes)
        sets = ", ".join(f"{self.names[i]} = excluded.{self.names[i]}" for i in self.others)
        return f"on conflict ({keys}) do " + (f"update set {sets}" if sets else "nothing")

    def written(self, missing: Sequence[int], *, keys: bool) -> list[int]:
        """The columns that an update sets, in the order of its parameters."""
        return [
            i
            for i in range(len(self.names))
            if i not in missing and (keys or i not in self.table.key_indexes)
        ]

    def update(self, missing: tuple[int, ...], *, keys: bool = True) -> str:
        """Parameters: the columns `written`, then the row's key until now.

        Where nothing is set the row is only looked for.
        """
        found = self._updates.get((*missing, -int(keys) - 1))
        if found is None:
            sets = ", ".join(
                f"{self.names[i]} = {self._given[i]}" for i in self.written(missing, keys=keys)
            )
            key = self.names[self.table.key_indexes[0]]
            found = f"update {self.name} set {sets or f'{key} = {key}'} where {self._same}"
            self._updates[(*missing, -int(keys) - 1)] = found
        return found

    def values(self, texts: Sequence[str | None]) -> list[object]:
        return [self.codec.value(i, text) for i, text in enumerate(texts)]

    def key_values(self, key: Sequence[str | None]) -> list[object]:
        return [
            self.codec.value(i, text) for i, text in zip(self.table.key_indexes, key, strict=True)
        ]
