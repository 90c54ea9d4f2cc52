"""The net effect of a batch: what each key ends as, whatever happened to it on the way.

Pure: arrays in, arrays out, no row objects. Keys are compared as the text the source printed, so
two spellings of one value (1.0 and 1.00) count as two keys; since a source changes one into the
other only by a key change, the first is then deleted before the second is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc.schema import TableName
from transforms.rows import CLEAR, DELETE, PATCH, UPSERT, RowChanges, TargetTable

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to write: one array a column, and which values are *not sent* (column → flags)."""

    columns: tuple[pa.Array, ...]
    unsent: Mapping[int, pa.BooleanArray] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.columns[0])


@dataclass(frozen=True, slots=True)
class Net:
    """What one table's rows come to.

    `upserts` and `patches` have all columns of the table, `deletes` its key columns; no key stands
    twice among upserts, nor among deletes. `fresh`: the upserts are of rows the source calls new.
    """

    table: TargetTable
    upserts: Rows | None
    patches: Rows | None
    deletes: tuple[pa.Array, ...] | None
    coalesced: int
    fresh: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch between two clears: clear `cleared` first, then apply `changes`."""

    cleared: tuple[TableName, ...]
    changes: tuple[RowChanges, ...]


class NeedsOrder(Exception):
    """The net effect cannot be told from the batch alone: apply the changes one after another."""


def segments(changes: Sequence[RowChanges]) -> Iterator[Segment]:
    """Cut a batch at its clears. Clears that follow one another become one."""
    clears = sorted(
        (int(seq), change.table.table)
        for change in changes
        for seq in change.seq.to_numpy()[change.op.to_numpy() == CLEAR]
    )
    group: list[TableName] = []
    after = -1
    for seq, table in [*clears, (np.iinfo(np.int64).max, None)]:
        between = _between(changes, after, seq)
        if between or (table is None and group):
            yield Segment(tuple(dict.fromkeys(group)), between)
            group = []
        if table is not None:
            group.append(table)
        after = seq


def _between(changes: Sequence[RowChanges], after: int, before: int) -> tuple[RowChanges, ...]:
    found = []
    for change in changes:
        seq = change.seq.to_numpy()
        first = int(np.searchsorted(seq, after, side="right"))
        last = int(np.searchsorted(seq, before, side="left"))
        if last > first:
            part = sliced(change, first, last - first)
            keep = part.op.to_numpy() != CLEAR
            if keep.all():
                found.append(part)
            elif keep.any():
                found.append(taken_rows(part, np.flatnonzero(keep)))
    return tuple(found)


def sliced(change: RowChanges, first: int, count: int) -> RowChanges:
    """Rows first … first + count of `change`, without a copy."""
    return _mapped(change, lambda array: array.slice(first, count))


def taken_rows(change: RowChanges, rows: Ints) -> RowChanges:
    """The rows with these indexes."""
    indexes = pa.array(rows)
    return _mapped(change, lambda array: array.take(indexes))


def _mapped(change: RowChanges, pick: object) -> RowChanges:
    assert callable(pick)
    return RowChanges(
        table=change.table,
        op=pick(change.op),
        seq=pick(change.seq),
        values=tuple(pick(column) for column in change.values),
        unsent={index: pick(flags) for index, flags in change.unsent.items()},
        old_key=None
        if change.old_key is None
        else tuple(pick(column) for column in change.old_key),
        fresh=change.fresh,
        source=change.source,
    )


def joined(changes: Sequence[RowChanges]) -> RowChanges:
    """Several changes of one table as one, in order of `seq`."""
    if len(changes) == 1:
        return changes[0]
    first = changes[0]
    together = RowChanges(
        table=first.table,
        op=_concat([change.op for change in changes]),
        seq=_concat([change.seq for change in changes]),
        values=tuple(
            _concat([change.values[i] for change in changes]) for i in range(len(first.values))
        ),
        unsent={
            index: _concat(
                [
                    change.unsent.get(index, pa.array(np.zeros(change.rows, bool)))
                    for change in changes
                ]
            )
            for index in sorted({index for change in changes for index in change.unsent})
        },
        old_key=_joined_old_keys(changes),
        fresh=all(change.fresh for change in changes),
        source=first.source,
    )
    seq = together.seq.to_numpy()
    if (np.diff(seq) > 0).all():
        return together
    return taken_rows(together, np.argsort(seq, kind="stable"))


def _concat(arrays: Sequence[pa.Array]) -> pa.Array:
    return pa.concat_arrays(arrays)


def _joined_old_keys(changes: Sequence[RowChanges]) -> tuple[pa.Array, ...] | None:
    if all(change.old_key is None for change in changes):
        return None
    parts: list[list[pa.Array]] = [[] for _ in changes[0].table.key]
    for change in changes:
        for i, part in enumerate(parts):
            if change.old_key is None:
                kind = change.values[change.table.key_indexes[i]].type
                part.append(pa.nulls(change.rows, kind))
            else:
                part.append(change.old_key[i])
    return tuple(_concat(part) for part in parts)


def net(change: RowChanges) -> Net:
    """The net effect of one table's changes (no clears among them).

    Errors: NeedsOrder where a row changed its key, or came back after its delete, and a value
    that was not sent would have to come from the row it was.
    """
    op = change.op.to_numpy()
    key = tuple(change.values[i] for i in change.table.key_indexes)
    moved = _moved(change)
    if moved is None:
        codes = key_codes(key)
        if change.unsent or (op == PATCH).any():
            return _merged(change, op, codes, key)
        last = _last_per_code(codes)
        upserts = last[op[last] == UPSERT]
        deletes = last[op[last] == DELETE]
        return Net(
            table=change.table,
            upserts=_rows(change, upserts) if len(upserts) else None,
            patches=None,
            deletes=_taken(key, deletes) if len(deletes) else None,
            coalesced=len(op) - len(last),
            fresh=change.fresh and len(last) == len(op),
        )
    if change.unsent and _any_unsent(change, moved):
        raise NeedsOrder
    return _net_of_moves(change, op, key, moved)


def _moved(change: RowChanges) -> Ints | None:
    """Indexes of rows whose key changed; None where none did."""
    if change.old_key is None:
        return None
    rows = np.flatnonzero(change.old_key[0].is_valid().to_numpy(zero_copy_only=False))
    return rows if len(rows) else None


def _any_unsent(change: RowChanges, rows: Ints) -> bool:
    return any(flags.to_numpy(zero_copy_only=False)[rows].any() for flags in change.unsent.values())


def _net_of_moves(
    change: RowChanges, op: npt.NDArray[np.uint8], key: tuple[pa.Array, ...], moved: Ints
) -> Net:
    """A key change counts as a delete of the old key followed by an upsert of the new one."""
    assert change.old_key is not None
    rows = np.arange(len(op))
    old = tuple(column.take(pa.array(moved)) for column in change.old_key)
    every = tuple(_concat([a, b]) for a, b in zip(key, old, strict=True))
    order = np.concatenate([2 * rows + 1, 2 * moved])
    codes = key_codes(every)
    by_time = np.argsort(order, kind="stable")
    if change.unsent or (op == PATCH).any():
        ops = np.concatenate([op, np.full(len(moved), DELETE, np.uint8)])[by_time]
        origin = np.concatenate([rows, np.full(len(moved), -1)])[by_time]
        return _merged(change, ops, codes[by_time], every, origin, by_time)
    last = by_time[_last_per_code(codes[by_time])]
    is_row = last < len(op)
    written = last[is_row]
    gone = np.concatenate([written[op[written] == DELETE], last[~is_row]])
    upserts = np.sort(written[op[written] == UPSERT])
    return Net(
        table=change.table,
        upserts=_rows(change, upserts) if len(upserts) else None,
        patches=None,
        deletes=_taken(every, gone) if len(gone) else None,
        coalesced=len(op) - int(is_row.sum()),
        fresh=False,
    )


def _merged(
    change: RowChanges,
    op: npt.NDArray[np.uint8],
    codes: Ints,
    keys: tuple[pa.Array, ...],
    origin: Ints | None = None,
    places: Ints | None = None,
) -> Net:
    """Net effect where rows are partial: each column takes its last sent value.

    Works on events in order of time. `origin` is the row of an event, -1 for the delete that a
    key change implies; `places` is where the event's key stands in `keys`.
    """
    events = len(op)
    origin = np.arange(events) if origin is None else origin
    places = np.arange(events) if places is None else places
    by_key = np.argsort(codes, kind="stable")
    at = np.arange(events)
    grouped = codes[by_key]
    begins = np.concatenate([[True], grouped[1:] != grouped[:-1]])
    ops = op[by_key]
    # A patch of a row that is gone does nothing, so it is one more delete.
    settled = np.maximum.accumulate(np.where(begins | (ops != PATCH), at, 0))
    ops = np.where((ops == PATCH) & (ops[settled] == DELETE), DELETE, ops)
    # Where a key's story last began: its first event here, or its last delete.
    floor = np.maximum.accumulate(np.where(begins | (ops == DELETE), at, 0))
    ends = np.flatnonzero(np.concatenate([begins[1:], [True]]))
    final = ops[ends]
    whole = np.maximum.accumulate(np.where(ops == UPSERT, at, -1))[ends] >= floor[ends]
    deletes = places[by_key[ends[final == DELETE]]]
    kept = [ends[(final != DELETE) & whole], ends[(final != DELETE) & ~whole]]
    rows = [_merged_rows(change, ends_, by_key, origin, ops, floor) for ends_ in kept]
    written = int((origin[by_key[ends]] >= 0).sum())
    return Net(
        table=change.table,
        upserts=rows[0],
        patches=rows[1],
        deletes=_taken(keys, deletes) if len(deletes) else None,
        coalesced=change.rows - written,
        fresh=False,
    )


def _merged_rows(
    change: RowChanges,
    ends: Ints,
    by_key: Ints,
    origin: Ints,
    ops: npt.NDArray[np.uint8],
    floor: Ints,
) -> Rows | None:
    if not len(ends):
        return None
    at = np.arange(len(by_key))
    columns = []
    unsent: dict[int, pa.BooleanArray] = {}
    for i, column in enumerate(change.values):
        if i not in change.unsent:
            columns.append(column.take(pa.array(origin[by_key[ends]])))
            continue
        missing = change.unsent[i].to_numpy(zero_copy_only=False)
        rows = origin[by_key]
        sent = (ops != DELETE) & ~missing[np.maximum(rows, 0)]
        source = np.maximum.accumulate(np.where(sent, at, -1))[ends]
        lost = source < floor[ends]
        if (lost & (ops[floor[ends]] == DELETE)).any():
            raise NeedsOrder
        rows_taken = rows[np.where(lost, ends, source)]
        columns.append(column.take(pa.array(rows_taken)))
        if lost.any():
            unsent[i] = pa.array(lost)
    return Rows(tuple(columns), unsent)


def key_codes(columns: Sequence[pa.Array]) -> Ints:
    """One integer a row, equal where all key columns are equal."""
    codes = _codes(columns[0])
    for column in columns[1:]:
        more = _codes(column)
        combined = codes * (int(more.max(initial=0)) + 1) + more
        codes = np.unique(combined, return_inverse=True)[1].astype(np.int64)
    return codes


def _codes(column: pa.Array) -> Ints:
    encoded = column.dictionary_encode()
    codes: Ints = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _last_per_code(codes: Ints) -> Ints:
    """Indexes of each code's last occurrence, ascending."""
    last = np.full(int(codes.max(initial=-1)) + 1, -1, np.int64)
    last[codes] = np.arange(len(codes))
    return np.sort(last[last >= 0])


def _rows(change: RowChanges, indexes: Ints) -> Rows:
    if len(indexes) == change.rows:
        return Rows(change.values)
    return Rows(_taken(change.values, indexes))


def _taken(columns: Sequence[pa.Array], indexes: Ints) -> tuple[pa.Array, ...]:
    if len(columns[0]) == len(indexes):
        return (
            tuple(columns)
            if (np.diff(indexes) == 1).all()
            else tuple(column.take(pa.array(indexes)) for column in columns)
        )
    picked = pa.array(indexes)
    return tuple(column.take(picked) for column in columns)
