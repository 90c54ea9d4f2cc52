"""Keys of messages: which columns of the row they are. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cdc.kafka.envelope import undecodable
from cdc.kafka.messages import Ints
from cdc.kafka.shapes import Shape
from cdc.schema import TableName
from tailrace.kafka.records import Fetched

KEY_FORMAT = "set key.converter to org.apache.kafka.connect.json.JsonConverter at the connector"
NO_KEY = (
    "give the table a primary key, or name its identifying columns at the connector"
    " (message.key.columns: schema.table:column), and have its rows sent again; or take it out of"
    " this source's tables"
)


def key_columns(fetched: Fetched, shape: Shape, table: TableName, rows: Ints) -> tuple[str, ...]:
    """Of these records, which are rows. Errors: DecodeError."""
    keys = fetched.keys.take(pa.array(rows))
    if keys.null_count:
        index = int(rows[pc.index(keys.is_null(), True).as_py()])
        raise undecodable(fetched, index, f"rows of {table} have no key", NO_KEY)
    names = {_names(keys[0].as_py()), _names(keys[len(keys) - 1].as_py())}
    if len(names) > 1 or None in names:
        raise undecodable(
            fetched,
            int(rows[0]),
            f"the keys of {table} are no JSON, or change their columns here",
            KEY_FORMAT,
        )
    (found,) = names
    assert found is not None
    try:
        return shape.key(found)
    except KeyError:
        raise undecodable(
            fetched,
            int(rows[0]),
            f"the keys of {table} have {', '.join(found)}, and not the id of a document",
            "take transformations of keys out of the connector",
        ) from None


def fields_of_key(key: bytes) -> Mapping[str, Any] | None:
    """None where it is none of Connect's JSON."""
    try:
        found = json.loads(key)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict) and set(found) == {"schema", "payload"}:
        found = found["payload"]
    return found if isinstance(found, dict) and found else None


def _names(key: bytes) -> tuple[str, ...] | None:
    found = fields_of_key(key)
    return None if found is None else tuple(found)
