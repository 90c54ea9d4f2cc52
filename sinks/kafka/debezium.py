"""Debezium's envelope: https://debezium.io/documentation/reference/stable/connectors/postgresql.html

    {"before":…,"after":…,"source":{…},"transaction":…,"op":"u","ts_ms":…,"ts_us":…,"ts_ns":…}

with, where it is asked for, each message's schema around it, as Kafka Connect's JsonConverter has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import cdc.changes as log
from cdc.before import RowsBefore
from sinks.jsontext import RAW, TEXT, Field, Template
from sinks.kafka.facts import Facts, Flags
from sinks.kafka.messages import Steps, stepped
from sinks.kafka.ordering import Orders
from sinks.kafka.source import Source, source_schema, source_texts
from sinks.kafka.values import Decimals, Schema, field_of, schema_of
from tailrace.kafka.records import Header
from transforms.rows import RowChanges, TargetTable


class Debezium:
    """Of one table, whose topic is `topic`. Errors: NotRepresentable."""

    def __init__(
        self,
        table: TargetTable,
        topic: str,
        source: Source,
        *,
        schemas: bool,
        decimals: Decimals,
        tombstones: bool,
        headers: Sequence[Header],
    ) -> None:
        self._table = table
        self._source = source
        self._headers = tuple(headers)
        self._fields = [field_of(column, decimals) for column in table.columns]
        self._key_fields = [self._fields[at] for at in table.key_indexes]
        self.buries = tombstones
        self._around = self._around_key = ("", "")
        if schemas:
            self._around_key = _with(_key_schema(table, topic, decimals))
            self._around = _with(_value_schema(table, topic, source, decimals))

    def headers(self) -> Sequence[Header]:
        return self._headers

    def moved_headers(self, other_key: bytes, is_old: bool) -> Sequence[Header]:
        return ((f"__debezium.{'new' if is_old else 'old'}key", other_key),)

    def keys(self, columns: Sequence[pa.Array], rows: int) -> pa.BinaryArray:
        template = Template(rows)
        template.constant(self._around_key[0])
        template.open()
        for field, column in zip(self._key_fields, columns, strict=True):
            template.value(field, column)
        template.close()
        template.constant(self._around_key[1])
        return template.texts()

    def values(
        self, change: RowChanges, facts: Facts, steps: Steps, orders: Orders | None = None
    ) -> pa.BinaryArray:
        letters = steps.letters
        after = stepped(change, steps)
        template = Template(len(letters))
        template.constant(self._around[0] + '{"before":')
        self._before(template, after, facts, steps)
        template.constant(',"after":')
        template.open((letters != log.DELETE) & (letters != log.TRUNCATE))
        for at, field in enumerate(self._fields):
            unsent = after.unsent.get(at)
            flags = None if unsent is None else unsent.to_numpy(zero_copy_only=False)
            template.value(field, after.values[at], flags)
        template.close()
        template.constant(',"source":')
        texts, index = source_texts(self._source, facts)
        template.pick(texts, index[steps.rows])
        template.constant(',"transaction":')
        _transaction(template, steps, orders)
        template.constant(',"op":"')
        used, which = np.unique(letters, return_inverse=True)
        template.pick([chr(letter) for letter in used], which)
        now_ns = time.time_ns()
        template.constant(
            f'","ts_ms":{now_ns // 1_000_000},"ts_us":{now_ns // 1000},"ts_ns":{now_ns}}}'
            + self._around[1]
        )
        return template.texts()

    def _before(self, template: Template, after: RowChanges, facts: Facts, steps: Steps) -> None:
        """The row before where the log has it; of a deleted row that it does not have, the key,
        and for the rest what stands for nothing."""
        dies = steps.letters == log.DELETE
        before = facts.before
        if before is not None and len(steps.rows) != len(facts.letters):
            before = before.picked(steps.rows)
        known = np.zeros(len(dies), np.bool_) if before is None else before.known
        present = dies | (known & (steps.letters == log.UPDATE))
        if not present.any():
            template.constant("null")
            return
        template.open(present)
        keys = self._old_keys(after, dies & steps.moved)
        for at, field in enumerate(self._fields):
            if at in keys:
                template.value(field, keys[at])
            elif before is None:
                template.constant(f"{json.dumps(field.name)}:{field.nothing},")
            else:
                self._value_before(template, field, at, before)
        template.close()

    def _value_before(self, template: Template, field: Field, at: int, before: RowsBefore) -> None:
        """Beside values that were not sent, those of rows of which only the key is known are the
        same; a template has one text for what is absent."""
        absent = ~before.known
        unsent = before.unsent.get(at)
        if unsent is None:
            field = replace(field, absent=field.nothing)
        else:
            absent |= unsent
        template.value(field, before.values[at], absent if absent.any() else None)

    def _old_keys(self, after: RowChanges, moved: Flags) -> dict[int, pa.Array]:
        """The columns of the key as they were before."""
        found = {}
        for place, at in enumerate(self._table.key_indexes):
            column = after.values[at]
            if after.old_key is not None:
                old = after.old_key[place]
                column = pc.if_else(pa.array(moved), old, column.cast(old.type))
            found[at] = column
        return found


def _transaction(template: Template, steps: Steps, orders: Orders | None) -> None:
    name = None if orders is None else orders.name[steps.rows]
    if orders is None or name is None or not (name >= 0).any():
        template.constant("null")
        return
    second = steps.moved & (steps.letters == log.CREATE)
    names = pa.array(orders.names, pa.string())
    template.open(name >= 0)
    template.value(_ID, names.take(pa.array(np.maximum(name, 0))))
    template.value(_TOTAL, pa.array(orders.total[steps.rows] + second))
    template.value(_IN_TABLE, pa.array(orders.in_table[steps.rows] + second))
    template.close()


_ID = Field("id", TEXT)
_TOTAL, _IN_TABLE = Field("total_order", RAW), Field("data_collection_order", RAW)


def _with(schema: Schema) -> tuple[str, str]:
    text = json.dumps(schema, separators=(",", ":"), ensure_ascii=False)
    return f'{{"schema":{text},"payload":', "}"


def _key_schema(table: TargetTable, topic: str, decimals: Decimals) -> Schema:
    fields = [
        {**schema_of(table.columns[at], decimals), "optional": False} for at in table.key_indexes
    ]
    return {"type": "struct", "fields": fields, "optional": False, "name": f"{topic}.Key"}


def _value_schema(table: TargetTable, topic: str, source: Source, decimals: Decimals) -> Schema:
    row = {
        "type": "struct",
        "fields": [schema_of(column, decimals) for column in table.columns],
        "optional": True,
        "name": f"{topic}.Value",
    }
    block = {
        "type": "struct",
        "fields": [
            {"type": "string", "optional": False, "field": "id"},
            {"type": "int64", "optional": False, "field": "total_order"},
            {"type": "int64", "optional": False, "field": "data_collection_order"},
        ],
        "optional": True,
        "name": "event.block",
        "version": 1,
        "field": "transaction",
    }
    return {
        "type": "struct",
        "fields": [
            {**row, "field": "before"},
            {**row, "field": "after"},
            source_schema(source.connector),
            block,
            {"type": "string", "optional": False, "field": "op"},
            *(
                {"type": "int64", "optional": True, "field": name}
                for name in ("ts_ms", "ts_us", "ts_ns")
            ),
        ],
        "optional": False,
        "name": f"{topic}.Envelope",
        "version": 2,
    }
