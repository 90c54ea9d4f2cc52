"""What the captured tables looked like, from which transaction on. Pure: facts in, facts out.

A log without `binlog_row_metadata = FULL` names no columns. So a table's shape at the first
snapshot is kept, and each change of it with the transaction that made it. The facts are stored
beside the journal's entries; whatever position the journal is resumed from, versions beyond it are
cut off and come again from the log.

    mariadb.history ["schema", "table"]   {"read": position, "versions": [{"at": gtid, …}, …]}

`read` is where the log stood when the catalog had been read for the first version: a change before
that may be in it or not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from cdc.mysql.alteration import Shape
from cdc.mysql.tablemap import MapColumn, TableMap
from cdc.schema import TableName

_KEY = "mariadb.history "


@dataclass(frozen=True, slots=True)
class Version:
    """`at`: the transaction it begins with, "" for the first. `shape`: None where `statement`,
    which was not understood, made it unknown.
    """

    at: str
    shape: Shape | None
    statement: str = ""


@dataclass(frozen=True, slots=True)
class _Table:
    read: str
    versions: tuple[Version, ...]


class History:
    def __init__(self, tables: Mapping[TableName, _Table] | None = None) -> None:
        self._tables = dict(tables or {})
        self._facts: Mapping[str, str] = {}

    @classmethod
    def begun(cls, shapes: Iterable[Shape], read: str) -> Self:
        """From the catalog, as it was at some moment before the position `read`."""
        made = cls({shape.map.table: _Table(read, (Version("", shape),)) for shape in shapes})
        made._facts = {_key(name): _to_json(table) for name, table in made._tables.items()}
        return made

    @classmethod
    def of(
        cls,
        facts: Mapping[str, str],
        tables: Iterable[TableName],
        holds: Callable[[str], bool] = lambda _: True,
    ) -> Self:
        """As it was where the log is resumed; `holds` says whether a transaction is before that."""
        found = {}
        for name in tables:
            if _key(name) in facts:
                table = _from_json(name, facts[_key(name)])
                kept = [one for one in table.versions if not one.at or holds(one.at)]
                # The last is enough: what is before the position never comes again.
                if kept:
                    found[name] = replace(table, versions=(kept[-1],))
        return cls(found)

    @property
    def facts(self) -> Mapping[str, str]:
        """What has changed since it was made. A new object after each change."""
        return self._facts

    def version(self, table: TableName) -> Version | None:
        """The newest; None for a table that no history was begun of."""
        found = self._tables.get(table)
        return found.versions[-1] if found else None

    def read(self, table: TableName) -> str:
        return self._tables[table].read

    def add(self, table: TableName, version: Version) -> None:
        old = self._tables[table]
        new = replace(old, versions=(*old.versions, version))
        self._tables[table] = new
        self._facts = {**self._facts, _key(table): _to_json(new)}


def _key(table: TableName) -> str:
    return _KEY + json.dumps([table.schema, table.name], ensure_ascii=False)


def _to_json(table: _Table) -> str:
    versions = [_version_to_json(version) for version in table.versions]
    return json.dumps({"read": table.read, "versions": versions}, ensure_ascii=False)


def _version_to_json(version: Version) -> dict[str, Any]:
    if version.shape is None:
        return {"at": version.at, "statement": version.statement}
    described = version.shape.map
    return {
        "at": version.at,
        "charset": version.shape.charset,
        "key": described.key,
        "columns": [_column_to_json(column) for column in described.columns],
    }


def _column_to_json(column: MapColumn) -> dict[str, Any]:
    """Labels are UTF-8 here: they come from the catalog or from a statement, never from the log."""
    found = asdict(column)
    found["labels"] = [label.decode() for label in column.labels]
    return found


def _from_json(name: TableName, text: str) -> _Table:
    found = json.loads(text)
    versions = tuple(_version_from_json(name, one) for one in found["versions"])
    return _Table(found["read"], versions)


def _version_from_json(name: TableName, found: dict[str, Any]) -> Version:
    if "statement" in found:
        return Version(found["at"], None, found["statement"])
    columns = tuple(_column_from_json(column) for column in found["columns"])
    described = TableMap(name, columns, tuple(found["key"]), described=True)
    return Version(found["at"], Shape(described, found["charset"]))


def _column_from_json(found: dict[str, Any]) -> MapColumn:
    labels = tuple(label.encode() for label in found["labels"])
    default = tuple(found.get("default", ()))
    return MapColumn(**{**found, "labels": labels, "default": default})
