"""Fetched records to a change set: rows in columns, in one order, by transactions. Pure.

Of one partition the order is kept. Partitions are put into one order by the time at which their
source committed; what has one transaction's name and stands together is one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cdc.arrays import transactions
from cdc.changes import (
    OLD_KEY,
    OLD_NONE,
    ChangeSet,
    TableChanges,
)
from cdc.kafka.connect import Field
from cdc.kafka.envelope import Envelope, undecodable
from cdc.kafka.settings import KafkaDebeziumSource
from cdc.kafka.shapes import NO_ENVELOPE, Shapes, Unreadable, table_of
from cdc.schema import TableName, TableSchema
from tailrace.kafka.records import Fetched

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_OPS = frozenset("cudtr")
_PASSED_OVER = frozenset("m")
"""Messages of the application's own in the log (pg_logical_emit_message)."""

NO_KEY = (
    "give the table a primary key, or name its identifying columns at the connector"
    " (message.key.columns: schema.table:column), and have its rows sent again; or take it out of"
    " this source's tables"
)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of one table and shape. `at`: indexes among all records that were fetched together, of
    which `fetched` begins at `first`. `absent`: index of a column → rows whose message lacks it."""

    table: TableName
    envelope: Envelope
    key: tuple[str, ...]
    parsed: pa.Table
    op: list[str]
    at: Ints
    fetched: Fetched
    first: int
    absent: Mapping[int, Flags]

    def wrong(self, row: int, what: str, fix: str) -> Exception:
        return _at(self.fetched, int(self.at[row]) - self.first, what, fix)


class Decoder:
    """`keys`: of tables known before. It learns the keys of others from messages' keys."""

    def __init__(
        self, settings: KafkaDebeziumSource, keys: Mapping[TableName, tuple[str, ...]]
    ) -> None:
        self._settings = settings
        self._declared = {
            TableName(*_exact(name)): types for name, types in settings.columns.items()
        }
        self._topics: dict[str, Shapes] = {}
        self.keys = dict(keys)

    def change_set(self, fetched: Sequence[Fetched], position: str) -> ChangeSet | None:
        """None where there are no rows in it. Errors: DecodeError."""
        found: list[_Rows] = []
        order: list[Ints] = []
        labels: list[str] = []
        moments: list[Ints] = []
        first = 0
        for part, one in enumerate(fetched):
            rows = list(self._rows(one, first))
            found += rows
            times = np.zeros(one.count, np.int64)
            names = np.full(one.count, "", object)
            for some in rows:
                places = some.at - first
                times[places] = _moments(some.parsed)
                names[places] = _labels(some.parsed)
            moments.append(times)
            labels += names.tolist()
            order.append(
                np.stack(
                    [np.maximum.accumulate(times), np.full(one.count, part), np.arange(one.count)]
                )
            )
            first += one.count
        if not found:
            return None
        times, parts, indexes = np.concatenate(order, axis=1)
        is_row = np.zeros(first, bool)
        for some in found:
            is_row[some.at] = True
        sequence = np.lexsort((indexes, parts, times))
        sequence = sequence[is_row[sequence]]
        seq = np.full(first, -1, np.int64)
        seq[sequence] = np.arange(len(sequence))
        tables = tuple(_changes(some, seq[some.at], self._settings.unavailable) for some in found)
        named = _transactions(
            fetched, sequence, [labels[i] for i in sequence], np.concatenate(moments)[sequence]
        )
        return ChangeSet(tables, transactions(named), position)

    def _rows(self, fetched: Fetched, first: int) -> Iterator[_Rows]:
        shapes = self._topics.setdefault(
            fetched.topic,
            Shapes(self._declared, self._settings.decimals, self._settings.times),
        )
        messages = fetched.values.to_pylist()
        groups = _groups(fetched, shapes, messages)
        parsed = [_parsed(envelope, payloads) for envelope, _, payloads in groups]
        if any(map(_is_other, groups, parsed)) and shapes.was_wrong():
            groups = _groups(fetched, shapes, messages)
            parsed = [_parsed(envelope, payloads) for envelope, _, payloads in groups]
        for group, rows in zip(groups, parsed, strict=True):
            yield from self._sorted(fetched, first, group, rows)

    def _sorted(
        self,
        fetched: Fetched,
        first: int,
        group: Group,
        parsed: pa.Table | None,
    ) -> Iterator[_Rows]:
        """By their tables, without what is no row. Errors: DecodeError."""
        envelope, indexes, payloads = group
        if parsed is None:
            bad = (n for n, one in enumerate(payloads) if _parsed(envelope, [one]) is None)
            raise _at(
                fetched,
                indexes[next(bad, 0)],
                "messages from here on do not fit the schema they are read by",
                "where they carry none, see that `columns`, `decimals` and `times` say what the"
                " connector does; otherwise report the topic's schema",
            )
        at = np.array(indexes)
        ops = parsed.column("op").to_pylist()
        wrong = next((n for n, op in enumerate(ops) if op not in _OPS | _PASSED_OVER), None)
        if wrong is not None:
            what = f"the operation {ops[wrong]!r} is not known"
            raise _at(fetched, indexes[wrong], what, NO_ENVELOPE)
        absent = _absent(envelope, payloads, parsed)
        tables = _tables(parsed)
        for index, table, op in zip(indexes, tables, ops, strict=True):
            if not table.name and op in _OPS:
                raise _at(
                    fetched, index, "a message does not say which table it is of", NO_ENVELOPE
                )
        for table in dict.fromkeys(tables):
            if not self._settings.patterns.matches(table):
                continue
            keep = np.array(
                [one == table and op in _OPS for one, op in zip(tables, ops, strict=True)]
            )
            if not keep.any():
                continue
            mine, some = at[keep], pa.array(keep)
            chosen = parsed if keep.all() else parsed.filter(some).combine_chunks()
            op = [one for one, kept in zip(ops, keep, strict=True) if kept]
            key = self._key(fetched, table, mine, op)
            if key is None:
                continue  # a TRUNCATE of a table of which no row has come yet
            _verify(fetched, envelope, chosen, op, key, mine)
            lacks = {column: flags[keep] for column, flags in absent.items()}
            yield _Rows(table, envelope, key, chosen, op, mine + first, fetched, first, lacks)

    def _key(
        self, fetched: Fetched, table: TableName, rows: Ints, ops: Sequence[str]
    ) -> tuple[str, ...] | None:
        """Names of the key's columns, as the messages' keys have them. Errors: DecodeError."""
        changing = rows[np.array([op != "t" for op in ops])]
        if not len(changing):
            return self.keys.get(table)
        keys = fetched.keys.take(pa.array(changing))
        if keys.null_count:
            index = int(changing[pc.index(keys.is_null(), True).as_py()])
            raise _at(fetched, index, f"rows of {table} have no key", NO_KEY)
        names = {_names(keys[0].as_py()), _names(keys[len(keys) - 1].as_py())}
        if len(names) > 1 or None in names:
            raise _at(
                fetched,
                int(changing[0]),
                f"the keys of {table} are no JSON, or change their columns here",
                "let the connector write its keys with the JsonConverter, too",
            )
        (found,) = names
        assert found is not None
        self.keys[table] = found
        return found


Group = tuple[Envelope, list[int], list[bytes]]
"""Messages that are read alike: their indexes in what was fetched, and their payloads."""


def _groups(fetched: Fetched, shapes: Shapes, messages: Sequence[bytes | None]) -> list[Group]:
    """Errors: DecodeError."""
    groups: dict[int, Group] = {}
    for index, message in enumerate(messages):
        if message is None:
            continue  # a tombstone, for compaction
        try:
            envelope, payload = shapes.split(message)
        except Unreadable as error:
            raise _at(fetched, index, str(error), error.fix) from None
        group = groups.get(id(envelope))
        if group is None:
            group = groups[id(envelope)] = (envelope, [], [])
        group[1].append(index)
        group[2].append(payload)
    return list(groups.values())


def _parsed(envelope: Envelope, payloads: Sequence[bytes]) -> pa.Table | None:
    """None where one of them does not fit."""
    try:
        return envelope.parse(payloads)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return None


def _absent(envelope: Envelope, payloads: Sequence[bytes], parsed: pa.Table) -> dict[int, Flags]:
    """Declared columns that messages of updates have no field for: those are not sent."""
    found: dict[int, Flags] = {}
    if envelope.declared is None:
        return found
    after = _struct(parsed, "after")
    updates = pc.and_(after.is_valid(), pc.equal(parsed.column("op").chunk(0), "u"))
    for index, field in enumerate(envelope.fields):
        rows = pc.and_(updates, _member(after, index).is_null()).fill_null(False)
        says = f"{json.dumps(field.column.name, ensure_ascii=False)}:null".encode()
        for row in np.flatnonzero(rows.to_numpy(zero_copy_only=False)).tolist():
            if says in payloads[row]:
                continue
            if field.column.name not in json.loads(payloads[row])["after"]:
                found.setdefault(index, np.zeros(len(payloads), bool))[row] = True
    return found


def _is_other(group: Group, parsed: pa.Table | None) -> bool:
    """Whether some of it may be of another table than was guessed."""
    table = group[0].declared
    if table is None:
        return False
    return parsed is None or any(one != table for one in set(_tables(parsed)))


def _verify(
    fetched: Fetched,
    envelope: Envelope,
    parsed: pa.Table,
    ops: Sequence[str],
    key: tuple[str, ...],
    rows: Ints,
) -> None:
    """Errors: DecodeError where a row that has to be there is not."""
    names = {one.column.name for one in envelope.fields}
    if missing := [name for name in key if name not in names]:
        raise _at(
            fetched,
            int(rows[0]),
            f"the key has {', '.join(missing)}, which the row has not",
            "declare all columns of the key; or take transformations out of the connector",
        )
    after = parsed.column("after").is_valid().to_pylist()
    before = parsed.column("before").is_valid().to_pylist()
    for index, op, has_after, has_before in zip(rows, ops, after, before, strict=True):
        if (op in "cru" and not has_after) or (op == "d" and not has_before):
            what = f"a message with operation {op!r} has no row"
            raise _at(fetched, int(index), what, NO_ENVELOPE)


def _changes(rows: _Rows, seq: Ints, unavailable: str) -> TableChanges:
    schema = TableSchema(rows.table, tuple(one.column for one in rows.envelope.fields), rows.key)
    after, before = (_struct(rows.parsed, name) for name in ("after", "before"))
    new: list[pa.Array] = []
    unsent: dict[int, pa.BooleanArray] = {}
    deletes = np.array([op == "d" for op in rows.op])
    old: list[pa.Array | None] = []
    for index, field in enumerate(rows.envelope.fields):
        values = _member(after, index)
        flags = field.is_unsent(values, unavailable)
        if index in rows.absent:
            lacks = pa.array(rows.absent[index])
            flags = lacks if flags is None else pc.or_(flags, lacks)
        is_key = field.column.name in rows.key
        if flags is not None and pc.any(flags).as_py():
            if is_key:
                raise _no_key(rows, field, flags)
            unsent[index] = flags
            values = pc.if_else(flags, pa.scalar(None, values.type), values)
        new.append(_converted(rows, field, values))
        is_old = is_key and deletes.any()
        old.append(
            _old(rows, field, _member(before, index), deletes, unavailable) if is_old else None
        )
    return TableChanges(
        schema=schema,
        op=pa.array([ord(op) for op in rows.op], pa.uint8()),
        seq=pa.array(seq, pa.int32()),
        new=tuple(new),
        unsent=unsent,
        old_kind=pa.array(np.where(deletes, OLD_KEY, OLD_NONE), pa.uint8())
        if deletes.any()
        else None,
        old=tuple(old) if deletes.any() else None,
    )


def _old(rows: _Rows, field: Field, values: pa.Array, deletes: Flags, unavailable: str) -> pa.Array:
    """A column of the key, of the rows that are deleted. Errors: DecodeError."""
    unsent = field.is_unsent(values, unavailable)
    absent = values.is_null() if unsent is None else pc.or_(values.is_null(), unsent)
    absent = pc.and_(absent, pa.array(deletes))
    if pc.any(absent).as_py():
        raise _no_key(rows, field, absent)
    values = pc.if_else(pa.array(deletes), values, pa.scalar(None, values.type))
    return _converted(rows, field, values)


def _no_key(rows: _Rows, field: Field, flags: pa.BooleanArray) -> Exception:
    what = f"a row has no value of {field.column.name}, which is in the key of {rows.table}"
    return rows.wrong(
        pc.index(flags, True).as_py(),
        what,
        "have the source log whole rows (REPLICA IDENTITY FULL), or choose a key that it logs",
    )


def _converted(rows: _Rows, field: Field, values: pa.Array) -> pa.Array:
    """Errors: DecodeError."""
    try:
        return field.convert(values)
    except (ValueError, OverflowError):
        wrong = next((n for n in range(len(values)) if not _converts(field, values.slice(n, 1))), 0)
        what = f"a value of {field.column.name} in {rows.table} is no {field.column.type}"
        raise rows.wrong(wrong, what, "have the row sent again as its schema says") from None


def _converts(field: Field, value: pa.Array) -> bool:
    try:
        field.convert(value)
    except (ValueError, OverflowError):
        return False
    return True


def _struct(parsed: pa.Table, name: str) -> pa.StructArray:
    column = parsed.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _member(row: pa.StructArray, index: int) -> pa.Array:
    """A field of the rows, NULL where there is no row."""
    return pc.struct_field(row, [index])


def _moments(parsed: pa.Table) -> Ints:
    """Commit times at the source, µs since 1970."""
    source = _struct(parsed, "source")
    micros = source.field("ts_us")
    millis = pc.multiply(source.field("ts_ms"), 1000)
    found: Ints = pc.coalesce(micros, millis).fill_null(0).to_numpy().astype(np.int64)
    return found


def _labels(parsed: pa.Table) -> list[str]:
    """The transaction of each row, as far as it is named."""
    source = _struct(parsed, "source")
    ids = pc.struct_field(_struct(parsed, "transaction"), [0]).to_pylist()
    gtids, xids = source.field("gtid").to_pylist(), source.field("txId").to_pylist()
    return [
        one.partition(":")[0] if one and not gtid else gtid or ("" if xid is None else str(xid))
        for one, gtid, xid in zip(ids, gtids, xids, strict=True)
    ]


def _tables(parsed: pa.Table) -> list[TableName]:
    source = _struct(parsed, "source")
    names = ("schema", "db", "table", "collection")
    parts = [source.field(name).to_pylist() for name in names]
    known: dict[tuple[Any, ...], TableName] = {}
    found = []
    for one in zip(*parts, strict=True):
        if one not in known:
            known[one] = table_of(dict(zip(names, one, strict=True)))
        found.append(known[one])
    return found


def _transactions(
    fetched: Sequence[Fetched], rows: Ints, labels: Sequence[str], times: Ints
) -> list[tuple[Any, ...]]:
    """Rows for `cdc.arrays.transactions`; each row of which nothing is said is one of its own."""
    places = [(one.topic, one.partition, int(offset)) for one in fetched for offset in one.offsets]
    found: list[tuple[Any, ...]] = []
    previous = ""
    for seq, (row, label) in enumerate(zip(rows.tolist(), labels, strict=True)):
        if label and label == previous:
            continue
        previous = label
        topic, partition, offset = places[row]
        xid = int(label) if label.isdigit() and len(label) < 19 else None
        position = f"{topic}/{partition}@{offset}"
        found.append((seq, position, int(times[seq]), xid, None))
    return found


def _names(key: bytes) -> tuple[str, ...] | None:
    """The columns of a message's key; None where it is none of Connect's JSON."""
    try:
        found = json.loads(key)
        if isinstance(found, dict) and set(found) == {"schema", "payload"}:
            found = found["payload"]
        return tuple(found) if isinstance(found, dict) and found else None
    except ValueError:
        return None


def _exact(pattern: str) -> tuple[str, str]:
    from cdc.patterns import Pattern

    exact = Pattern.parse(pattern).exact
    assert exact is not None
    return exact.schema, exact.name


def _at(fetched: Fetched, index: int, what: str, fix: str) -> Exception:
    offset = int(fetched.offsets[index])
    return undecodable(what, fetched.topic, fetched.partition, offset, fix)
