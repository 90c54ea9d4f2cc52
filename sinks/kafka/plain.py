"""Rows as JSON that people read: ``json`` (the row) and ``cloudevents`` (the row in an event).

Numbers that a reader might round are strings, and so is whatever JSON has no form for; moments with
a zone are RFC 3339 in UTC, other dates and times as PostgreSQL prints them. A field that was not
sent is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import pyarrow as pa

import cdc.changes as log
from sinks import jsontext as js
from sinks.jsontext import Field, Template, text_of
from sinks.kafka import slow
from sinks.kafka.facts import Facts, is_copy
from sinks.kafka.messages import Steps, stepped
from sinks.kafka.ordering import Orders
from tailrace.kafka.records import Header
from transforms.rows import RowChanges, TargetColumn, TargetTable

_KINDS = {
    "smallint": js.RAW,
    "integer": js.RAW,
    "bigint": js.RAW,
    "oid": js.RAW,
    "boolean": js.BOOLEAN,
    "real": js.NUMBER,
    "double precision": js.NUMBER,
    "json": js.RAW,
    "jsonb": js.RAW,
    "bytea": js.BYTES,
}
_SLOWLY = {
    js.RAW: slow.same,
    js.BOOLEAN: slow.boolean,
    js.NUMBER: slow.number,
    js.BYTES: slow.bytes_,
}


def field_of(column: TargetColumn) -> Field:
    if column.type.endswith("[]"):
        item = _field(column.name, column.type.rstrip("[]"))
        return Field(column.name, js.SLOW, slowly=slow.array_of(item.slowly))
    if column.field_class is not None and column.type in ("json", "jsonb"):
        return Field(column.name, js.SLOW, slowly=slow.json_)  # a mapping takes it from any text
    return _field(column.name, column.type)


def _field(name: str, type_: str) -> Field:
    if type_.startswith("timestamp") and type_.endswith(("with time zone", "timestamptz")):
        return Field(name, js.ZONED, 6, slow.zoned_of(6))
    kind = _KINDS.get(type_, js.TEXT)
    return Field(name, kind, slowly=_SLOWLY.get(kind, text_of))


class Plain:
    """The row; a delete is a message without a value, a TRUNCATE one without key and value."""

    buries = False

    def __init__(self, table: TargetTable, headers: Sequence[Header]) -> None:
        self._table = table
        self._headers = tuple(headers)
        self._fields = [field_of(column) for column in table.columns]
        self._key_fields = [self._fields[at] for at in table.key_indexes]

    def headers(self) -> Sequence[Header]:
        return self._headers

    def moved_headers(self, other_key: bytes, is_old: bool) -> Sequence[Header]:
        return ()

    def keys(self, columns: Sequence[pa.Array], rows: int) -> pa.BinaryArray:
        template = Template(rows)
        template.open()
        for field, column in zip(self._key_fields, columns, strict=True):
            template.value(field, column)
        template.close()
        return template.texts()

    def values(
        self, change: RowChanges, facts: Facts, steps: Steps, orders: Orders | None = None
    ) -> pa.BinaryArray:
        template = Template(len(steps.rows))
        self._row(template, stepped(change, steps))
        gone = (steps.letters == log.DELETE) | (steps.letters == log.TRUNCATE)
        texts = template.texts()
        return texts if not gone.any() else _without(texts, gone)

    def _row(
        self, template: Template, after: RowChanges, deleted: np.ndarray | None = None
    ) -> None:
        template.open()
        for at, field in enumerate(self._fields):
            unsent = after.unsent.get(at)
            absent = None if unsent is None else unsent.to_numpy(zero_copy_only=False)
            if deleted is not None and at not in self._table.key_indexes:
                absent = deleted if absent is None else absent | deleted
            template.value(field, after.values[at], absent)
        template.close()


def _without(texts: pa.BinaryArray, gone: np.ndarray) -> pa.BinaryArray:
    return texts.take(pa.array(np.arange(len(texts)), mask=gone))


_EVENTS = {log.CREATE: "created", log.READ: "read", log.UPDATE: "updated", log.DELETE: "deleted"}
_EVENTS[log.TRUNCATE] = "truncated"


class CloudEvents(Plain):
    """Structured mode: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md

    The id is the same however often a change is delivered; `data` of a deleted row is its key.
    """

    def __init__(
        self, table: TargetTable, headers: Sequence[Header], source: str, journal: str
    ) -> None:
        """`source`: the event's; `journal`: what makes its id one of the world's."""
        content = ("content-type", b"application/cloudevents+json; charset=UTF-8")
        super().__init__(table, (content, *headers))
        self._source = source
        self._journal = journal

    def values(
        self, change: RowChanges, facts: Facts, steps: Steps, orders: Orders | None = None
    ) -> pa.BinaryArray:
        after = stepped(change, steps)
        letters = steps.letters
        template = Template(len(letters))
        template.constant(f'{{"specversion":"1.0","source":{text_of(self._source)},"id":')
        ids, times = self._places(after, letters, steps)
        template.pick(ids, np.arange(len(ids)))
        template.constant(',"type":')
        used, which = np.unique(letters, return_inverse=True)
        name = self._table.table.name
        template.pick([text_of(f"{name}.{_EVENTS[letter]}") for letter in used.tolist()], which)
        template.constant(',"time":')
        template.pick(times, np.arange(len(times)))
        template.constant(',"datacontenttype":"application/json","data":')
        self._row(template, after, (letters == log.DELETE) | (letters == log.TRUNCATE))
        template.constant("}")
        return template.texts()

    def _places(
        self, after: RowChanges, letters: np.ndarray, steps: Steps
    ) -> tuple[list[str], list[str]]:
        assert after.origins is not None, "delivery says where changes come from"
        places = after.origins.of(after.seq.to_numpy())
        halves = np.where(steps.moved & (letters == log.DELETE), "-d", "").tolist()
        if not is_copy(after):  # a change may be several rows of an entity
            keys = [after.values[at] for at in self._table.key_indexes]
            texts = self.keys(keys, after.rows).to_pylist()
            halves = [f"-{crc32(key):08x}{half}" for key, half in zip(texts, halves, strict=True)]
        ids = [
            text_of(f"{self._journal}-{entry}-{number}{half}")
            for entry, number, half in zip(
                places.entry.tolist(), places.number.tolist(), halves, strict=True
            )
        ]
        stamps = np.datetime_as_string(places.committed_us.astype("datetime64[us]"))
        return ids, [f'"{stamp}Z"' for stamp in stamps.tolist()]
