"""The lines of looked up tables, as of one place in the source's log.

Small tables, held whole in memory: what is larger than the limits is refused, never cut off.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from math import inf

import numpy as np
import pyarrow as pa

import cdc.changes as change
from cdc.changes import TableChanges
from cdc.schema import Column, TableName, TableSchema
from tailrace.errors import TransformError
from transforms import columns
from transforms.columns import Flags

ROWS_MAX = 100_000
CHARS_MAX = 32 << 20
"""Of one table. A hundred thousand lines join in milliseconds and take some 50 MB."""


Value = str | bool | None
UNKNOWN = False
"""A value that the log did not send: of a column that came when the line was there already."""
Line = tuple[Value, ...]
Key = tuple[str | None, ...]


class LookupTable:
    """One table. `schema` is None until the log has shown it. Not thread-safe.

    `version` rises with every change, for what is computed from the lines.
    """

    def __init__(self, name: TableName) -> None:
        self.name = name
        self.schema: TableSchema | None = None
        self.version = 0
        self._lines: dict[Key, Line] = {}
        self._chars = 0
        self._columns: dict[int, tuple[int, pa.Array, Flags | None]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def lines(self) -> Collection[Line]:
        return self._lines.values()

    def clear(self) -> None:
        """As if the log had not shown it."""
        self.version += 1
        self.schema = None
        self._lines = {}
        self._chars = 0

    def put_all(self, schema: TableSchema, lines: Sequence[Line]) -> None:
        """Begin anew with these. Errors: TransformError."""
        self.version += 1
        self.schema = schema
        self._lines = {_key(schema, line): line for line in lines}
        self._chars = sum(map(_chars, lines))
        self._check()

    def apply(self, changes: TableChanges) -> None:
        """In the order of the log. Errors: TransformError where the table is too large."""
        self.version += 1
        self._take_shape(changes.schema)
        completed, unsent = columns.completed(changes)
        new = list(zip(*(column.to_pylist() for column in completed), strict=True))
        before = _old_keys(changes)
        for row, op in enumerate(changes.op.to_pylist()):
            if op == change.TRUNCATE:
                self._lines.clear()
                self._chars = 0
                continue
            line: Line = new[row]
            key = before[row] or _key(changes.schema, line)
            gone = self._lines.pop(key, None)
            self._chars -= 0 if gone is None else _chars(gone)
            if op == change.DELETE:
                continue
            absent = [at for at, mask in unsent.items() if mask[row]]
            if absent:
                kept = gone or (UNKNOWN,) * len(line)
                line = tuple(kept[at] if at in absent else value for at, value in enumerate(line))
            self._lines[_key(changes.schema, line)] = line
            self._chars += _chars(line)
        self._check()

    def _take_shape(self, schema: TableSchema) -> None:
        """Lines keep the values of columns that are what they were, or only wider. Those whose key
        is not known any more become one, which says that there are some."""
        known, self.schema = self.schema, schema
        if known is None or known.version == schema.version:
            return
        places = {column.name: (at, column) for at, column in enumerate(known.columns)}
        sources = [_source(places.get(column.name), column) for column in schema.columns]
        lines = [
            tuple(UNKNOWN if at is None else line[at] for at in sources)
            for line in self._lines.values()
        ]
        self._lines = {_key(schema, line): line for line in lines}
        self._chars = sum(map(_chars, lines))

    def _check(self) -> None:
        if len(self._lines) <= ROWS_MAX and self._chars <= CHARS_MAX:
            return
        raise TransformError(
            f"{self.name} is too large to be looked up: it has {len(self._lines)} rows of"
            f" {self._chars} characters, and at most {ROWS_MAX} and {CHARS_MAX} are held",
            where={"table": str(self.name)},
            fix="look up small code tables only; let larger ones become entities of their own",
        )

    def copy(self) -> LookupTable:
        made = LookupTable(self.name)
        made.schema, made._lines, made._chars = self.schema, dict(self._lines), self._chars
        made.version = self.version
        return made

    def column(self, at: int) -> tuple[pa.Array, Flags | None]:
        """The values of one column, in the order of the lines, and which are unknown, if any."""
        known = self._columns.get(at)
        if known is None or known[0] != self.version:
            known = self._columns[at] = (self.version, *self._column(at))
        return known[1:]

    def _column(self, at: int) -> tuple[pa.Array, Flags | None]:
        values = [line[at] for line in self._lines.values()]
        unknown = np.array([value is UNKNOWN for value in values], np.bool_)
        texts = [value if isinstance(value, str) else None for value in values]
        return pa.array(texts, columns.TEXT), unknown if unknown.any() else None


class LookupTables:
    """All that a pipeline's mappings look up.

    What is applied since the last `settle` can be taken back.
    """

    def __init__(self, names: Collection[TableName]) -> None:
        self._tables = {name: LookupTable(name) for name in sorted(names)}
        self._before: dict[TableName, LookupTable] = {}

    def __bool__(self) -> bool:
        return bool(self._tables)

    def __contains__(self, name: TableName) -> bool:
        return name in self._tables

    def __getitem__(self, name: TableName) -> LookupTable:
        return self._tables[name]

    def __iter__(self) -> Iterator[LookupTable]:
        return iter(self._tables.values())

    @property
    def changed(self) -> bool:
        """Since the last `settle`."""
        return bool(self._before)

    def apply(self, changes: TableChanges) -> None:
        """Errors: TransformError where the table is too large."""
        name = changes.schema.table
        if name not in self._before:
            self._before[name] = self._tables[name].copy()
        self._tables[name].apply(changes)

    def settle(self) -> None:
        self._before.clear()

    def take_back(self) -> None:
        for name, table in self._before.items():
            table.version = self._tables[name].version + 1
            self._tables[name] = table
        self._before.clear()

    def expect(self, schemas: Iterable[TableSchema]) -> None:
        """Take tables as these say, for checks; they hold nothing."""
        for schema in schemas:
            if schema.table in self:
                self[schema.table].put_all(schema, ())

    @property
    def schemas(self) -> Mapping[TableName, TableSchema]:
        return {one.name: one.schema for one in self if one.schema is not None}


def not_captured(table: TableName) -> TransformError:
    return TransformError(
        f"{table} is looked up, and nothing of it has been captured yet",
        where={"table": str(table)},
        fix="see that its source captures it (tailrace check); a journal that was begun before the"
        " lookup was declared has its rows too late: begin anew, with a snapshot",
    )


def _key(schema: TableSchema, line: Line) -> Key:
    values = (line[at] for at in schema.key_indexes)
    return tuple(value if isinstance(value, str) else None for value in values)


_INTEGERS = ("smallint", "integer", "bigint")
_TEXTS = ("character varying", "text")


def _source(known: tuple[int, Column] | None, column: Column) -> int | None:
    """Where the values of `column` stood, if they print as they did."""
    if known is None:
        return None
    at, before = known
    return at if before.type == column.type or _is_wider(before, column) else None


def _is_wider(before: Column, after: Column) -> bool:
    old, new = before.base_type, after.base_type
    if old in _INTEGERS and new in _INTEGERS:
        return _INTEGERS.index(old) <= _INTEGERS.index(new)
    return old in _TEXTS and new in _TEXTS and _length(before) <= _length(after)


def _length(column: Column) -> float:
    match = re.search(r"\((\d+)\)$", column.type)
    return inf if match is None else int(match[1])


def _chars(line: Line) -> int:
    return sum(len(value) for value in line if isinstance(value, str))


def _old_keys(changes: TableChanges) -> list[Key | None]:
    """By row the key it had before, where the log says it."""
    known = columns.has_old(changes)
    found: list[Key | None] = [None] * changes.rows
    if changes.old is None or not known.any():
        return found
    old = [changes.old[at] for at in changes.schema.key_indexes]
    if not old or any(column is None for column in old):
        return found
    rows = zip(*(column.to_pylist() for column in old if column is not None), strict=True)
    for row, key in compress(enumerate(rows), known.tolist()):
        found[row] = key
    return found
