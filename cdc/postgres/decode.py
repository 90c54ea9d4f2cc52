"""The decoder with types: pgoutput and COPY text in, change sets out. No I/O.

The hot parts are `_columns`, `_pgoutput` and `_copyrows`, compiled or not (`tailrace.variants`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cdc.arrays import table_changes, transactions
from cdc.changes import BYTES_MAX, ROWS_MAX, ChangeSet
from cdc.postgres.lsn import format_lsn
from cdc.schema import Identity, TableName, TableSchema
from tailrace.errors import DecodeError
from tailrace.variants import load

_columns: Any = load("cdc._columns")  # first, so that the others find this variant
_pgoutput: Any = load("cdc.postgres._pgoutput")
_copyrows: Any = load("cdc.postgres._copyrows")
COMPILED: bool = bool(_columns.COMPILED and _pgoutput.COMPILED and _copyrows.COMPILED)

_IDENTITIES: dict[str, Identity] = {"d": "default", "i": "index", "f": "full", "n": "nothing"}


class RelationColumn(NamedTuple):
    name: str
    type_oid: int
    type_modifier: int
    is_key: bool


class Relation(NamedTuple):
    """A table as the stream describes it, before the catalog has named its types."""

    oid: int
    table: TableName
    identity: Identity
    columns: tuple[RelationColumn, ...]
    types: dict[int, tuple[str, str]]


Describe = Callable[[Relation], TableSchema | None]
"""Names a relation's types and key; None where the table is not captured."""


class PgoutputDecoder:
    """Bytes of a replication stream in, change sets out.

    `resume` is the LSN before which the journal holds every transaction: those are skipped.
    Errors: DecodeError on anything unknown; the state is then useless.
    """

    def __init__(
        self,
        describe: Describe,
        *,
        resume: int = 0,
        rows_max: int = ROWS_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        self._describe = describe
        self._core = _pgoutput.Decoder(self._relation, resume, rows_max, bytes_max)
        self._part = 0

    def _relation(
        self,
        oid: int,
        schema: str,
        name: str,
        identity: str,
        columns: list[tuple[str, int, int, bool]],
        types: dict[int, tuple[str, str]],
    ) -> tuple[TableSchema, tuple[int, ...]] | None:
        if identity not in _IDENTITIES:
            raise DecodeError(f"unknown replica identity {identity!r}", where={"table": name})
        described = self._describe(
            Relation(
                oid,
                TableName(schema, name),
                _IDENTITIES[identity],
                tuple(RelationColumn(*column) for column in columns),
                types,
            )
        )
        return None if described is None else (described, described.key_indexes)

    def feed(self, buffer: bytearray, start: int, stop: int) -> int:
        """Decode whole frames of buffer[start:stop]; return where the first undecoded begins.

        Stops early when the set is `full`: take it and feed the rest.
        """
        consumed: int = self._core.feed(buffer, start, stop)
        return consumed

    @property
    def rows(self) -> int:
        return int(self._core.rows)

    @property
    def full(self) -> bool:
        return bool(self._core.full)

    @property
    def complete(self) -> bool:
        return bool(self._core.complete)

    @property
    def position(self) -> int:
        """Every transaction that committed before this LSN has been received whole."""
        return int(self._core.position)

    @property
    def need(self) -> int:
        """Bytes of the frame `feed` could not complete, for a caller that sizes its buffer."""
        return int(self._core.need)

    @property
    def ended(self) -> bool:
        return bool(self._core.ended)

    @property
    def error(self) -> dict[str, str] | None:
        """Fields of the server's ErrorResponse by their letter (M message, C code), or None."""
        body: bytes | None = self._core.error
        if body is None:
            return None
        parts = (part.decode("utf-8", "replace") for part in body.split(b"\0") if part)
        return {part[0]: part[1:] for part in parts}

    def reply_wanted(self) -> bool:
        return bool(self._core.reply_wanted())

    def take(self) -> ChangeSet | None:
        """The set under construction, or None where it has neither rows nor an end to tell."""
        if not self.rows and not (self._part and self.complete):
            return None
        tables, opened, complete, position = self._core.take()
        taken = ChangeSet(
            tables=tuple(table_changes(*table) for table in tables),
            transactions=transactions(
                [(first, format_lsn(lsn), *rest) for first, lsn, *rest in opened]
            ),
            position=format_lsn(position),
            complete=complete,
            part=self._part,
        )
        self._part = 0 if complete else self._part + 1
        return taken


class CopyDecoder:
    """COPY text of one table in, change sets of one snapshot transaction out."""

    def __init__(self, schema: TableSchema, position: str, taken_us: int) -> None:
        self._core = _copyrows.CopyText(schema, len(schema.columns), schema.key_indexes)
        self._core.clear()
        self._position = position
        self._taken_us = taken_us
        self._part = 0

    def feed(self, buffer: bytearray, start: int, stop: int) -> int:
        """Decode the whole lines; return where the rest begins."""
        consumed: int = self._core.feed(buffer, start, stop)
        return consumed

    @property
    def rows(self) -> int:
        return int(self._core.rows)

    def take(self, *, complete: bool) -> ChangeSet:
        table = self._core.take()
        opening = [(0, self._position, self._taken_us, None, None)] if table[1] else []
        taken = ChangeSet(
            tables=(table_changes(*table),) if table[1] else (),
            transactions=transactions(opening),
            position=self._position,
            complete=complete,
            part=self._part,
        )
        self._part += 1
        return taken


__all__ = [
    "COMPILED",
    "CopyDecoder",
    "Describe",
    "PgoutputDecoder",
    "Relation",
    "RelationColumn",
]
