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
import pyarrow.compute as pc

from sinks.batches import concat
from transforms.rows import DELETE, PATCH, UPSERT, RowChanges, TargetTable

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
    Each change is a row here, or was `coalesced`; `implied` deletes are of rows that left their
    key, and no changes of their own. `seq`: of the upserts, where each is a change and there is
    nothing else. `moves`: some rows left their key, also where others have taken it since.
    """

    table: TargetTable
    upserts: Rows | None
    patches: Rows | None
    deletes: tuple[pa.Array, ...] | None
    coalesced: int
    implied: int
    fresh: bool
    seq: pa.Int64Array | None = None
    moves: bool = False

    @property
    def inserts(self) -> Rows | None:
        """The upserts, where these are all there is and every row is whole and said to be new."""
        others = self.deletes is not None or self.patches is not None
        if not self.fresh or others or self.upserts is None or self.upserts.unsent:
            return None
        return self.upserts


class NeedsOrder(Exception):
    """The net effect cannot be told from the batch alone: apply the changes one after another."""


def net(change: RowChanges) -> Net:
    """The net effect of one table's changes (no clears among them).

    Errors: NeedsOrder where a row changed its key, or came back after its delete, and a value
    that was not sent would have to come from the row it was.
    """
    op = change.op.to_numpy()
    key = tuple(change.values[i] for i in change.table.key_indexes)
    moved = _moved(change)
    if moved is None:
        if not change.unsent and (op == UPSERT).all() and _ascends(key):
            rows = Rows(change.values)
            return Net(change.table, rows, None, None, 0, 0, change.fresh, change.seq)
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
            implied=0,
            fresh=change.fresh and len(last) == len(op),
            seq=change.seq if len(upserts) == len(op) else None,
        )
    if change.unsent and _any_unsent(change, moved):
        raise NeedsOrder
    return _net_of_moves(change, op, key, moved)


def _moved(change: RowChanges) -> Ints | None:
    """Indexes of upserts whose key changed; None where none did."""
    if change.old_key is None:
        return None
    changed = change.old_key[0].is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(changed & (change.op.to_numpy() == UPSERT))
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
    every = tuple(concat([a, b]) for a, b in zip(key, old, strict=True))
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
        implied=int((~is_row).sum()),
        fresh=False,
        moves=True,
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
        implied=len(ends) - written,
        fresh=False,
        moves=bool((origin < 0).any()),
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


def by_missing(rows: Rows) -> Iterator[tuple[tuple[int, ...], Rows]]:
    """Rows grouped by which of their columns were not sent; most batches are one group."""
    if not rows.unsent:
        yield (), rows
        return
    indexes = sorted(rows.unsent)
    flags = np.stack([rows.unsent[i].to_numpy(zero_copy_only=False) for i in indexes], axis=1)
    patterns, group = np.unique(flags, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        members = pa.array(np.flatnonzero(group.reshape(-1) == number))
        yield (
            tuple(indexes[i] for i in np.flatnonzero(pattern)),
            Rows(tuple(column.take(members) for column in rows.columns)),
        )


def meet(changes: Sequence[RowChanges]) -> bool:
    """Whether two of `changes`, of tables with one key, touch the same row."""
    keys = [key for change in changes for key in _keys_touched(change)]
    owner = np.concatenate(
        [
            np.full(len(key[0]), number)
            for number, change in enumerate(changes)
            for key in _keys_touched(change)
        ]
    )
    codes = key_codes([concat(parts) for parts in zip(*keys, strict=True)])
    return len(np.unique(codes)) < len(np.unique(codes * len(changes) + owner))


def _keys_touched(change: RowChanges) -> list[tuple[pa.Array, ...]]:
    keys = [tuple(change.values[i] for i in change.table.key_indexes)]
    moved = _moved(change)
    if moved is not None and change.old_key is not None:
        keys.append(_taken(change.old_key, moved))
    return keys


def key_codes(columns: Sequence[pa.Array]) -> Ints:
    """One integer from 0 on a row, equal where all key columns are equal."""
    codes = _codes(columns[0])
    for column in columns[1:]:
        more = _codes(column)
        combined = codes * (int(more.max(initial=0)) + 1) + more
        codes = np.unique(combined, return_inverse=True)[1].astype(np.int64)
    return codes


def _codes(column: pa.Array) -> Ints:
    indexes = column.dictionary_encode().indices
    if indexes.null_count:  # no key may be NULL; the target says so better than we could here
        indexes = indexes.fill_null(len(column))
    codes: Ints = indexes.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _ascends(key: tuple[pa.Array, ...]) -> bool:
    """Whether no key stands twice, told from their order alone: by length, then by bytes.

    So do the numbers of rows that were added one after another; to look is cheaper than to count.
    """
    (column, *more) = key
    if more or column.null_count or not pa.types.is_string(column.type):
        return False
    before, after = column.slice(0, max(len(column) - 1, 0)), column.slice(1)
    sizes = pc.binary_length(column).to_numpy(zero_copy_only=False)
    if (sizes[1:] < sizes[:-1]).any():
        return False
    greater = pc.less(before, after).to_numpy(zero_copy_only=False)
    return bool((greater | (sizes[1:] > sizes[:-1])).all())


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
    picked = pa.array(indexes)
    return tuple(column.take(picked) for column in columns)
