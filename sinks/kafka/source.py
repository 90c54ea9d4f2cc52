"""The `source` block of Debezium's envelope: where an event comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import cdc.changes as log
from sinks.jsontext import text_of
from sinks.kafka.facts import Facts

VERSION = "tailrace"
Connector = Literal["postgresql", "mysql", "mariadb"]


@dataclass(frozen=True, slots=True)
class Source:
    """`connector` in Debezium's words; `name`: the source's in the project; `database`: of a
    PostgreSQL."""

    connector: Connector
    name: str
    database: str = ""


def source_texts(source: Source, facts: Facts) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The different blocks, and which of them each change has."""
    is_copied = facts.letters == log.READ
    pairs = facts.transaction.astype(np.int64) * 2 + is_copied
    used, index = np.unique(pairs, return_inverse=True)
    columns = facts.transactions.to_pydict()
    make = _MAKERS[source.connector]
    texts = []
    for pair in used.tolist():
        at, copied = divmod(pair, 2)
        if columns["position"]:
            place = (columns["position"][at], columns["commit_us"][at], columns["xid"][at])
        else:
            place = ("", 0, None)
        texts.append(make(source, facts, bool(copied), *place))
    return texts, index.astype(np.int32)


def _head(source: Source, copied: bool, commit_us: int) -> str:
    return (
        f'{{"version":{text_of(VERSION)},"connector":{text_of(source.connector)},'
        f'"name":{text_of(source.name)},"ts_ms":{commit_us // 1000},'
        f'"snapshot":"{"true" if copied else "false"}",'
    )


def _postgresql(
    source: Source, facts: Facts, copied: bool, position: str, commit_us: int, xid: int | None
) -> str:
    lsn = _lsn(position)
    sequence = "null" if lsn is None else text_of(f'["{lsn}","{lsn}"]')
    return (
        f'{_head(source, copied, commit_us)}"db":{text_of(source.database)},"sequence":{sequence},'
        f'"ts_us":{commit_us},"ts_ns":{commit_us * 1000},'
        f'"schema":{text_of(facts.table.schema)},"table":{text_of(facts.table.name)},'
        f'"txId":{_number(xid)},"lsn":{_number(lsn)},"xmin":null,"origin":null,"origin_lsn":null}}'
    )


def _mysql(
    source: Source, facts: Facts, copied: bool, position: str, commit_us: int, xid: int | None
) -> str:
    file, _, at = position.rpartition(":")
    is_file = _is_file(position)
    return (
        f'{_head(source, copied, commit_us)}"db":{text_of(facts.table.schema)},"sequence":null,'
        f'"ts_us":{commit_us},"ts_ns":{commit_us * 1000},"table":{text_of(facts.table.name)},'
        f'"server_id":0,"gtid":{"null" if is_file else text_of(position)},'
        f'"file":{text_of(file if is_file else "")},"pos":{at if is_file else 0},"row":0,'
        '"thread":null,"query":null}'
    )


_MAKERS: dict[str, Callable[..., str]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "mariadb": _mysql,
}


def transaction_name(source: Source, position: str, xid: int | None) -> str | None:
    """As Debezium's `transaction.id`; None for one that it would call otherwise."""
    if source.connector == "postgresql":
        lsn = _lsn(position)
        return None if xid is None or lsn is None else f"{xid}:{lsn}"
    return position if position and not _is_file(position) else None


def _is_file(position: str) -> bool:
    file, _, at = position.rpartition(":")
    return at.isdigit() and "." in file and "-" not in at and ":" not in file


def _lsn(position: str) -> int | None:
    high, slash, low = position.partition("/")
    try:
        return (int(high, 16) << 32) + int(low, 16) if slash else None
    except ValueError:
        return None


def _number(number: int | None) -> str:
    return "null" if number is None else str(number)


def source_schema(connector: Connector) -> dict[str, Any]:
    """Of the block, in Kafka Connect's words."""

    def field(name: str, type_: str, optional: bool = True) -> dict[str, Any]:
        return {"type": type_, "optional": optional, "field": name}

    fields = [
        field("version", "string", False),
        field("connector", "string", False),
        field("name", "string", False),
        field("ts_ms", "int64", False),
        {
            "type": "string",
            "optional": True,
            "name": "io.debezium.data.Enum",
            "version": 1,
            "parameters": {
                "allowed": "true,first,first_in_data_collection,last_in_data_collection,last,"
                "false,incremental"
            },
            "default": "false",
            "field": "snapshot",
        },
        field("db", "string", False),
        field("sequence", "string"),
        field("ts_us", "int64"),
        field("ts_ns", "int64"),
    ]
    if connector == "postgresql":
        fields += [
            field("schema", "string", False),
            field("table", "string", False),
            *(field(name, "int64") for name in ("txId", "lsn", "xmin")),
            field("origin", "string"),
            field("origin_lsn", "int64"),
        ]
    else:
        fields += [
            field("table", "string"),
            field("server_id", "int64", False),
            field("gtid", "string"),
            field("file", "string", False),
            field("pos", "int64", False),
            field("row", "int32", False),
            field("thread", "int64"),
            field("query", "string"),
        ]
    return {
        "type": "struct",
        "fields": fields,
        "optional": False,
        "name": f"io.debezium.connector.{connector}.Source",
        "version": 1,
        "field": "source",
    }
