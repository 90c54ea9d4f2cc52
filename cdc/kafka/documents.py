r"""Messages of MongoDB's connector into columns. Pure.

    key    {"id": "{\"$oid\": …}"}
    value  {"before": null, "after": "{\"_id\": …}", "updateDescription": {…}, "source": {…}, …}

Documents are texts of Extended JSON. A table's columns are `_id`, out of the key, and those that
are declared, or else `document`, which is all of it. An update whose document was not looked up
says what it changed (``capture.mode=change_streams``): those it did not touch are *not sent*.

https://debezium.io/documentation/reference/stable/connectors/mongodb.html#mongodb-events
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdc.kafka import bson, numbers
from cdc.kafka.connect import Field, base_of, never
from cdc.kafka.declared import parse_type
from cdc.kafka.envelope import SOURCE, Fault, Flags, read, transaction
from cdc.kafka.numbers import Convert
from cdc.kafka.updates import DOCUMENT, Unsaid, said_columns
from cdc.schema import Column, TableName

ID = "_id"
CONNECTOR = "mongodb"
NO_ID = (
    "let the connector write its keys with the JsonConverter, and take transformations of keys out"
)

_SAID = pa.schema(
    [
        ("before", pa.string()),
        ("after", pa.string()),
        (
            "updateDescription",
            pa.struct(
                [
                    ("updatedFields", pa.string()),
                    ("removedFields", pa.list_(pa.string())),
                    ("truncatedArrays", pa.list_(pa.struct([("field", pa.string())]))),
                ]
            ),
        ),
        ("source", pa.struct([*SOURCE, ("lsid", pa.string()), ("txnNumber", pa.int64())])),
        transaction,
        ("op", pa.string()),
    ]
)


@dataclass(frozen=True)
class Documents:
    """How messages of one collection are read. `fields`: `_id` first. `looked_up`: whether the
    connector looks every document up, so that an update without one is of a document that has been
    deleted since: what became of it, the message of that will say."""

    fields: tuple[Field, ...]
    declared: TableName
    looked_up: bool

    def key(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The columns of the row that a key's fields are. Errors: KeyError."""
        if names != ("id",):
            raise KeyError(names)
        return (ID,)

    def parse(self, payloads: Sequence[bytes], keys: Sequence[bytes | None]) -> pa.Table:
        """One row a message. Errors: ValueError, TypeError."""
        said = read(payloads, _SAID)
        rows = said.select(["after", "updateDescription", "op"]).to_pylist()
        names = [one.column.name for one in self.fields[1:]]
        after: list[dict[str, str | None] | None] = []
        before: list[dict[str, str] | None] = []
        unsent: list[dict[str, bool | None]] = []
        for one, key in zip(rows, keys, strict=True):
            values = said_columns(one, names)
            id_ = _id(key)
            before.append({ID: id_} if one["op"] == "d" and id_ is not None else None)
            after.append(
                None
                if values is None
                else {ID: id_}
                | {name: None if isinstance(v, Unsaid) else v for name, v in values.items()}
            )
            unsent.append({name: self._flag(one) for name, one in (values or {}).items()})
        row = pa.struct([(name, pa.string()) for name in (ID, *names)])
        return pa.table(
            {
                "before": pa.array(before, row),
                "after": pa.array(after, row),
                "unsent": pa.array(unsent, pa.struct([(name, pa.bool_()) for name in names])),
                "source": _source(said.column("source").combine_chunks()),
                "transaction": pa.nulls(len(rows), transaction[1]),
                "op": said.column("op"),
            }
        )

    def _flag(self, value: str | Unsaid | None) -> bool | None:
        """Whether it was not sent; None where it cannot be told."""
        if value is Unsaid.UNKNOWN and not self.looked_up:
            return None
        return isinstance(value, Unsaid)

    def absent(self, payloads: Sequence[bytes], parsed: pa.Table) -> dict[int, Flags]:
        """Columns → rows whose messages do not say them."""
        unsent = parsed.column("unsent").combine_chunks()
        found = {}
        for index in range(1, len(self.fields)):
            flags = unsent.field(index - 1).fill_null(False).to_numpy(zero_copy_only=False)
            if flags.any():
                found[index] = flags
        return found

    def fault(self, parsed: pa.Table) -> Fault | None:
        """The first update that changes what it does not say, or row without an id."""
        rows = parsed.column("after").combine_chunks()
        after = rows.is_valid().to_numpy(zero_copy_only=False)
        nameless = after & pc.struct_field(rows, [0]).is_null().to_numpy(zero_copy_only=False)
        if nameless.any():
            what = f"the key of a document of {self.declared} is no JSON with its id"
            return int(np.argmax(nameless)), what, NO_ID
        unsent = parsed.column("unsent").combine_chunks()
        for index, field in enumerate(self.fields[1:]):
            unknown = after & unsent.field(index).is_null().to_numpy(zero_copy_only=False)
            if unknown.any():
                return (
                    int(np.argmax(unknown)),
                    f"an update of {self.declared} changes {field.column.name} and does not say"
                    " what it is now",
                    "have the connector look documents up (capture.mode="
                    "change_streams_update_full) and send its snapshot again; where it does so"
                    " already, the document was deleted before that: declare `updates: full`",
                )
        return None


def documents_of(
    table: TableName, declared: Mapping[str, str] | None, looked_up: bool
) -> Documents:
    """`declared`: columns, by names or dotted paths. Errors: ValueError, which names the column."""
    columns = dict(declared or {DOCUMENT: "json"})
    fields = [_key_field(columns.pop(ID, None))]
    for name, text in columns.items():
        type_ = parse_type(text)
        if name == DOCUMENT:
            if type_.spelled not in ("json", "jsonb"):
                raise ValueError(f"{DOCUMENT} is the whole document, as json or jsonb")
            fields.append(_field(name, type_.spelled, numbers.texts))
            continue
        try:
            one, kind, finish = bson.column(type_)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        fields.append(_field(name, type_.spelled, _each(one, kind, finish)))
    return Documents(tuple(fields), table, looked_up)


def _key_field(text: str | None) -> Field:
    if text is None:
        return _field(ID, "text", _each(bson.key, pa.string(), numbers.texts), False)
    type_ = parse_type(text)
    return _field(ID, type_.spelled, _each(*bson.key_column(type_)), False)


def _field(name: str, type_: str, convert: Convert, nullable: bool = True) -> Field:
    return Field(Column(name, type_, base_of(type_), nullable), pa.string(), convert, never)


def _each(one: bson.One, kind: pa.DataType, finish: Convert) -> Convert:
    """JSON → values, each different text once. Errors: ValueError, OverflowError."""

    def convert(column: pa.Array) -> pa.Array:
        found = column.dictionary_encode()
        try:
            values = [one(json.loads(text)) for text in found.dictionary.to_pylist()]
        except (TypeError, KeyError, ArithmeticError, RecursionError):
            raise ValueError from None
        return finish(pa.array(values, kind).take(found.indices))

    return convert


def _id(key: bytes | None) -> str | None:
    """Its JSON; None where the key is none of MongoDB's connector."""
    try:
        found = json.loads(key or b"null")
        if set(found) == {"schema", "payload"}:
            found = found["payload"]
        json.loads(found["id"])
        return str(found["id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _source(said: pa.StructArray) -> pa.StructArray:
    """With the transaction, which is a session's and has a number there, as `txId`."""
    sessions, transactions = said.field("lsid").to_pylist(), said.field("txnNumber").to_pylist()
    ids: Iterable[str | None] = (
        None if session is None or number is None else f"{session}:{number}"
        for session, number in zip(sessions, transactions, strict=True)
    )
    names = [name for name, _ in SOURCE]
    values = [said.field(name) for name in names]
    return pa.StructArray.from_arrays([*values, pa.array(ids, pa.string())], [*names, "txId"])
