"""How messages of a topic are read: by the schema that they carry, or by the declared one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from cdc.kafka.connect import Field, UnknownType, fields_of
from cdc.kafka.declared import parse_type, schema_of
from cdc.kafka.documents import CONNECTOR, Documents, documents_of
from cdc.kafka.envelope import WITH_SCHEMA, Envelope, Prefix, prefix_of
from cdc.kafka.settings import KafkaDebeziumSource
from cdc.schema import TableName

NO_ENVELOPE = (
    "take transformations such as ExtractNewRecordState out of the connector: rows are read from"
    " Debezium's envelope (before, after, source, op)"
)


Shape = Envelope | Documents
"""How messages are read: by the structure that a row is, or as documents."""


class Unreadable(Exception):
    """A message that cannot be one of a row; `fix` says what to do."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


class Shapes:
    """Of one topic."""

    def __init__(self, settings: KafkaDebeziumSource) -> None:
        self._settings = settings
        self._columns = settings.declared
        self._prefixes: list[tuple[Prefix, Envelope | None]] = []
        self._tables: dict[TableName, Shape] = {}
        self._guess: Shape | None = None
        self._is_mixed = False

    def split(self, message: bytes) -> tuple[Shape, bytes]:
        """How it is read, and the payload. Errors: Unreadable."""
        for prefix, envelope in self._prefixes:
            payload = prefix.payload(message)
            if payload is not None:
                return envelope or self._guessed(payload), payload
        if message.startswith(WITH_SCHEMA):
            return self._learnt(message)
        if message.startswith(_REGISTRY):
            raise Unreadable(_OF_REGISTRY, FORMAT)
        return self._guessed(message), message

    def _guessed(self, payload: bytes) -> Shape:
        """Where it is the table that says the columns."""
        if self._guess is None or self._is_mixed:
            self._guess = self._declared(payload)
        return self._guess

    def was_wrong(self) -> bool:
        """Messages that do not say their columns are taken for the table of the first one, until it
        shows that they are of several. False where each was looked at already."""
        before, self._is_mixed = self._is_mixed, True
        return not before

    def _learnt(self, message: bytes) -> tuple[Shape, bytes]:
        try:
            prefix = prefix_of(message)
            payload = prefix.payload(message)
            assert payload is not None
            envelope = _with_schema(prefix.schema, _source_of(payload))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            says = f"{type(error).__name__}: {error}"
            raise Unreadable(f"a message is no JSON of Kafka Connect: {says}", FORMAT) from None
        self._prefixes.insert(0, (prefix, envelope))
        return envelope or self._guessed(payload), payload

    def _declared(self, message: bytes) -> Shape:
        """By the table that the message names."""
        source = _source_of(message)
        table = table_of(source)
        found = self._tables.get(table)
        if found is None:
            found = self._tables[table] = (
                self._documents(table)
                if source.get("connector") == CONNECTOR
                else self._plain(table, source)
            )
        return found

    def _documents(self, table: TableName) -> Documents:
        try:
            return documents_of(table, self._columns.get(table), self._settings.updates == "full")
        except ValueError as error:
            raise Unreadable(
                f"columns of {table}, which is a collection: {error}",
                "correct `columns` of this source; text and json take any value",
            ) from None

    def _plain(self, table: TableName, source: Mapping[str, Any]) -> Envelope:
        types = self._columns.get(table)
        if types is None:
            raise Unreadable(
                f"messages of {table} carry no schema, and its columns are not declared",
                f"declare columns: {{{table}: {{COLUMN: TYPE, …}}}} of this source, or set"
                " value.converter.schemas.enable and key.converter.schemas.enable to true at"
                " the connector",
            )
        schema = [
            {"field": name, "spelled": parse_type(text).spelled}
            | schema_of(text, self._settings.decimals, self._settings.times)
            for name, text in types.items()
        ]
        return Envelope(_fields(schema, source), _tx_id(source), table)


FORMAT = (
    "set key.converter and value.converter to org.apache.kafka.connect.json.JsonConverter at the"
    " connector, and have it send its snapshot again to topics made anew; Avro and Protobuf are not"
    " read"
)


_REGISTRY = b"\0"
_OF_REGISTRY = (
    "a message begins with byte 0, as Avro, Protobuf and JSON of a schema registry do, whose"
    " schemas stand there and not in the message"
)


def table_of(source: Mapping[str, Any]) -> TableName:
    """What Debezium says the row is of. MySQL and MongoDB have databases in place of schemas."""
    schema = source.get("schema") or source.get("db") or ""
    return TableName(str(schema), str(source.get("table") or source.get("collection") or ""))


def _source_of(payload: bytes) -> Mapping[str, Any]:
    """Errors: Unreadable."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):
        raise Unreadable("a message is no JSON", FORMAT) from None
    source = message.get("source") if isinstance(message, dict) else None
    if not isinstance(source, dict) or "op" not in message:
        raise Unreadable("a message is not in Debezium's envelope", NO_ENVELOPE)
    return source


def _with_schema(schema: Mapping[str, Any], source: Mapping[str, Any]) -> Envelope | None:
    """None where rows are documents, which are texts to the schema."""
    for one in schema.get("fields", ()):
        if one.get("field") == "after":
            if one.get("type") == "struct":
                return Envelope(_fields(one["fields"], source), _tx_id_of(schema["fields"]))
            if source.get("connector") == CONNECTOR:
                return None
    raise Unreadable("a message is not in Debezium's envelope", NO_ENVELOPE)


def _fields(schema: Sequence[Mapping[str, Any]], source: Mapping[str, Any]) -> tuple[Field, ...]:
    try:
        return fields_of(schema, str(source.get("connector", "")))
    except UnknownType as error:
        raise Unreadable(
            f"{error}, which is not known, in {table_of(source)}",
            "leave the column out at the connector (column.exclude.list), or give it a type there"
            " that is listed in docs/debezium.md",
        ) from None


_TEXT_IDS = frozenset({"oracle", "informix"})
"""Connectors that name transactions by texts; of a snapshot's rows none is named."""


def _tx_id(source: Mapping[str, Any]) -> pa.DataType:
    is_text = isinstance(source.get("txId"), str) or str(source.get("connector")) in _TEXT_IDS
    return pa.string() if is_text else pa.int64()


def _tx_id_of(fields: Sequence[Mapping[str, Any]]) -> pa.DataType:
    """As the schema has it."""
    source = next((one for one in fields if one.get("field") == "source"), {})
    kinds = {one.get("field"): one.get("type") for one in source.get("fields", ())}
    return pa.string() if kinds.get("txId") == "string" else pa.int64()
