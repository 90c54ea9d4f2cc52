"""What a source table looks like: names, source types, and which columns identify a row."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

Identity = Literal["default", "index", "full", "nothing"]


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the log sends it.

    `type` is the source's own spelling with its modifier (``numeric(12,2)``, ``character(3)``,
    ``shop.status``). `base_type` is the same without the modifier and, for a user-defined type,
    the type whose text it is (a domain's base; ``enum`` and unknown types: ``text``); mappings
    compute on `base_type`, copies travel as text and keep `type`. `native` is what a source that is
    not PostgreSQL calls the type, where PostgreSQL's names lose something, after the name of its
    dialect (``mysql:bigint unsigned``): for a target that speaks the same.
    """

    name: str
    type: str
    base_type: str
    nullable: bool = True
    native: str = ""


@dataclass(frozen=True)
class TableSchema:
    """One version of a table's shape.

    `key` holds the names of the columns that identify a row, in key order: the replica identity's,
    or, with identity ``full``, the primary key's. With ``default`` and ``index`` the log carries
    the old key only where it changed; with ``full`` it carries the whole old row.
    """

    table: TableName
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    identity: Identity = "default"

    @cached_property
    def key_indexes(self) -> tuple[int, ...]:
        """Positions of `key` in `columns`."""
        names = [column.name for column in self.columns]
        return tuple(names.index(name) for name in self.key)

    @cached_property
    def version(self) -> str:
        """Sixteen hex digits that change when anything above changes."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> TableSchema:
        raw: dict[str, Any] = json.loads(text)
        return cls(
            table=TableName(**raw["table"]),
            columns=tuple(Column(**column) for column in raw["columns"]),
            key=tuple(raw["key"]),
            identity=raw["identity"],
        )
