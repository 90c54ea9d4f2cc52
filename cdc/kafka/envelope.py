"""Messages of one shape into columns. Pure.

    {"before": row, "after": row, "source": {…}, "transaction": {"id": …}, "op": "u", …}

With schemas embedded, that is what stands behind ``"payload":``, and every message of a table says
all of its schema before; the bytes up to there are compared and parsed once. Rows are parsed by
Arrow's JSON reader, which needs each field's type; where it stumbles (a NaN, which Connect writes
as text) the same is done value by value.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from cdc.kafka.connect import Field
from cdc.schema import TableName
from tailrace.errors import DecodeError
from tailrace.kafka.records import Fetched

_PAYLOAD = b',"payload":'
WITH_SCHEMA = b'{"schema":'

SOURCE: Sequence[tuple[str, pa.DataType]] = (
    ("connector", pa.string()),
    ("ts_ms", pa.int64()),
    ("ts_us", pa.int64()),
    ("db", pa.string()),
    ("schema", pa.string()),
    ("table", pa.string()),
    ("collection", pa.string()),
    ("gtid", pa.string()),
)
"""What is read of `source`; `txId` is a number or a text, as the connector has it."""
transaction = ("transaction", pa.struct([("id", pa.string())]))
Flags = npt.NDArray[np.bool_]
Fault = tuple[int, str, str]
"""A row, what is wrong with its message, and what to do."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands before the payload of messages of one schema. `schema`: what it says."""

    text: bytes
    schema: Mapping[str, Any]

    def payload(self, message: bytes) -> bytes | None:
        """None where the message is of another schema."""
        if message.startswith(self.text) and message.endswith(b"}"):
            return message[len(self.text) : -1]
        return None


def prefix_of(message: bytes) -> Prefix:
    """Errors: ValueError where it is no message with a schema."""
    whole = json.loads(message)
    at = message.find(_PAYLOAD)
    while at >= 0:
        head = message[: at + len(_PAYLOAD)]
        try:
            if json.loads(head + b"null}")["schema"] == whole["schema"]:
                return Prefix(head, whole["schema"])
        except ValueError:
            pass  # it stood inside of a text
        at = message.find(_PAYLOAD, at + 1)
    raise ValueError("schema and payload are not written as Connect's converter does")


@dataclass(frozen=True)
class Envelope:
    """The fields of the rows, and the type of ``source.txId``. `declared`: the table whose
    declared columns these are; None where the messages' own schema says them."""

    fields: tuple[Field, ...]
    tx_id: pa.DataType
    declared: TableName | None = None

    @property
    def schema(self) -> pa.Schema:
        row = pa.struct([(one.column.name, one.parsed) for one in self.fields])
        source = pa.struct([*SOURCE, ("txId", self.tx_id)])
        return pa.schema(
            [
                ("before", row),
                ("after", row),
                ("source", source),
                transaction,
                ("op", pa.string()),
            ]
        )

    def key(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The columns of the row that a key's fields are."""
        return names

    def parse(self, payloads: Sequence[bytes], keys: Sequence[bytes | None]) -> pa.Table:
        """One row a message. Errors: ValueError."""
        return read(payloads, self.schema)

    def absent(self, payloads: Sequence[bytes], parsed: pa.Table) -> dict[int, Flags]:
        """Declared columns that messages of updates have no field for: those are not sent."""
        found: dict[int, Flags] = {}
        if self.declared is None:
            return found
        after = parsed.column("after").combine_chunks()
        updates = pc.and_(after.is_valid(), pc.equal(parsed.column("op").chunk(0), "u"))
        for index, field in enumerate(self.fields):
            empty = pc.struct_field(after, [index]).is_null()
            rows = pc.and_(updates, empty).fill_null(False)
            says = f"{json.dumps(field.column.name, ensure_ascii=False)}:null".encode()
            for row in np.flatnonzero(rows.to_numpy(zero_copy_only=False)).tolist():
                if says in payloads[row]:
                    continue
                if field.column.name not in json.loads(payloads[row])["after"]:
                    found.setdefault(index, np.zeros(len(payloads), bool))[row] = True
        return found

    def fault(self, parsed: pa.Table) -> Fault | None:
        """What a row says is all there is."""
        return None


def read(payloads: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    """One row a message. Errors: ValueError."""
    try:
        found = _by_arrow(payloads, schema)
    except pa.ArrowInvalid:
        return _one_by_one(payloads, schema)
    if found.num_rows != len(payloads):
        return _one_by_one(payloads, schema)
    return found


def _by_arrow(payloads: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    text = b"\n".join(payloads)
    table = pj.read_json(
        io.BytesIO(text),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    found = table.select(schema.names).combine_chunks()
    found.validate(full=True)  # that texts are UTF-8 the reader does not look at
    return found


def _one_by_one(payloads: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    rows = [json.loads(payload) for payload in payloads]
    columns = []
    for field in schema:
        values = [_fitted(row.get(field.name), field.type) for row in rows]
        columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _fitted(value: Any, kind: pa.DataType) -> Any:
    """A value of JSON as one of `kind`. Errors: ValueError, TypeError."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {one.name: _fitted(value.get(one.name), one.type) for one in kind}
    if pa.types.is_list(kind):
        return [_fitted(one, kind.value_type) for one in value]
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_integer(kind) and type(value) is not int:
        raise ValueError("a value is not of the type that its schema says")
    if pa.types.is_string(kind) != isinstance(value, str):
        raise ValueError("a value is not of the type that its schema says")
    return value


def undecodable(fetched: Fetched, index: int, what: str, fix: str) -> DecodeError:
    """`index`: of the record."""
    where = {
        "topic": fetched.topic,
        "partition": fetched.partition,
        "offset": int(fetched.offsets[index]),
    }
    return DecodeError(what, where=where, fix=fix)
