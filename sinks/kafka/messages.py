"""Row changes as messages: which there are, in which order, with which keys.

insert, update   key · value
delete           old key · value, old key · nothing
key change       old key · delete, old key · nothing, new key · insert
truncate         no key · value
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import cdc.changes as log
from sinks.batches import sliced, taken_rows
from sinks.jsontext import Misfit, TooLong
from sinks.kafka.facts import Facts, Flags, Ints, Letters, runs
from sinks.kafka.ordering import Orders
from tailrace.errors import RowRefused
from tailrace.kafka.records import Header, Records
from transforms.rows import RowChanges, TargetTable


@dataclass(frozen=True, slots=True)
class Steps:
    """What happens to one key after the other: changes, with a change of key taken as a delete and
    an insert. `rows`: the change of each step; `moved`: it is one half of a change of key."""

    rows: Ints
    letters: Letters
    moved: Flags


@dataclass(frozen=True, slots=True)
class Messages:
    """Records of one topic; `seq` is that of the change that each belongs to."""

    records: Records
    seq: Ints


class Format(Protocol):
    """How changes of one table are written."""

    def keys(self, columns: Sequence[pa.Array], rows: int) -> pa.BinaryArray:
        """From the columns of the key. Errors: Misfit."""

    def values(
        self, change: RowChanges, facts: Facts, steps: Steps, orders: Orders | None = None
    ) -> pa.BinaryArray:
        """One for each step; NULL is a message without a value. Errors: Misfit."""

    def headers(self) -> Sequence[Header]: ...
    def moved_headers(self, other_key: bytes, is_old: bool) -> Sequence[Header]:
        """Besides, of the two halves of a change of key."""

    @property
    def buries(self) -> bool:
        """Whether a delete is followed by a message without a value."""


def messages(change: RowChanges, style: Format, orders: Orders | None = None) -> list[Messages]:
    """In the order of `seq`. Errors: RowRefused."""
    try:
        return _messages_of(change, style, orders)
    except TooLong:
        if change.rows == 1:
            what = "a message of 2 GiB or more cannot be made"
            raise refused(change.table, what, int(change.seq[0].as_py())) from None
        half = change.rows // 2
        return [
            one
            for first, last in ((0, half), (half, change.rows))
            for one in messages(
                sliced(change, first, last - first),
                style,
                None if orders is None else orders.of(slice(first, last)),
            )
        ]


def _messages_of(change: RowChanges, style: Format, orders: Orders | None) -> list[Messages]:
    found = []
    for part, facts in runs(change):
        steps = _steps(part, facts)
        if orders is None or part.rows == change.rows:
            own = orders
        else:
            own = orders.of(np.searchsorted(change.seq.to_numpy(), part.seq.to_numpy()))
        try:
            found.append(_messages(part, facts, steps, style, own))
        except Misfit as misfit:
            seq = part.seq.to_numpy()
            row = misfit.row
            raise refused(
                part.table,
                f"{misfit.field} has a value that this topic's format has no form for",
                int(seq[steps.rows[row] if len(steps.rows) != len(seq) else row]),
            ) from None
    return found


def refused(table: TargetTable, what: str, seq: int) -> RowRefused:
    error = RowRefused(
        what,
        where={"table": str(table.table), "key": ", ".join(table.key)},
        fix="edit the row, or change the format at the target; then replay it",
    )
    error.seq = seq
    return error


def _steps(change: RowChanges, facts: Facts) -> Steps:
    rows = np.arange(change.rows)
    if change.old_key is None:
        return Steps(rows, facts.letters, np.zeros(change.rows, np.bool_))
    moved = ~change.old_key[0].is_null().to_numpy(zero_copy_only=False)
    moved &= facts.letters == log.UPDATE
    if not moved.any():
        return Steps(rows, facts.letters, moved)
    again = np.repeat(rows, 1 + moved)
    letters = facts.letters[again]
    halves = moved[again]
    firsts = np.flatnonzero(halves)[::2]
    letters[firsts] = log.DELETE
    letters[firsts + 1] = log.CREATE
    return Steps(again, letters, halves)


def _messages(
    change: RowChanges, facts: Facts, steps: Steps, style: Format, orders: Orders | None
) -> Messages:
    keys = _keys(change, steps, style)
    values = style.values(change, facts, steps, orders)
    clears = steps.letters == log.TRUNCATE
    if clears.any():
        keys = pc.if_else(pa.array(clears), pa.scalar(None, pa.binary()), keys)
    seq = change.seq.to_numpy()[steps.rows]
    headers, header_of = _headers(keys, steps, style)
    dies = steps.letters == log.DELETE
    if style.buries and dies.any():
        order = np.repeat(np.arange(len(dies)), 1 + dies)
        buried = np.zeros(len(order), np.bool_)
        buried[np.flatnonzero(dies) + np.arange(dies.sum()) + 1] = True
        keys = keys.take(pa.array(order))
        values = values.take(pa.array(order, mask=buried))
        seq = seq[order]
        header_of = None if header_of is None else header_of[order]
    return Messages(Records(keys, values, headers, header_of), seq)


def _keys(change: RowChanges, steps: Steps, style: Format) -> pa.BinaryArray:
    columns = [change.values[at] for at in change.table.key_indexes]
    if not steps.moved.any():
        return style.keys(columns, change.rows)
    assert change.old_key is not None
    rows = pa.array(steps.rows)
    new, old = (
        style.keys([one.take(rows) for one in key], len(rows)) for key in (columns, change.old_key)
    )
    return pc.if_else(pa.array(steps.moved & (steps.letters == log.DELETE)), old, new)


def _headers(
    keys: pa.BinaryArray, steps: Steps, style: Format
) -> tuple[Sequence[Sequence[Header]], npt.NDArray[np.int32] | None]:
    always = tuple(style.headers())
    halves = np.flatnonzero(steps.moved)
    if not len(halves):
        return ((always,) if always else ()), None
    sets: list[Sequence[Header]] = [always]
    header_of = np.zeros(len(steps.rows), np.int32)
    for old in halves[::2].tolist():
        for at, other, is_old in ((old, old + 1, True), (old + 1, old, False)):
            header_of[at] = len(sets)
            sets.append((*always, *style.moved_headers(keys[other].as_py(), is_old)))
    return sets, header_of


def joined(parts: Sequence[Messages]) -> Records:
    """Several tables' or sets' messages of one topic, in the order of their changes."""
    if len(parts) == 1:
        return parts[0].records
    seq = np.concatenate([part.seq for part in parts])
    keys = pa.concat_arrays([part.records.keys for part in parts])
    values = pa.concat_arrays([part.records.values for part in parts])
    sets: list[Sequence[Header]] = []
    index = []
    for part in parts:
        records = part.records
        own = records.headers or ((),)
        header_of = records.header_of
        index.append(
            np.full(records.count, len(sets), np.int32)
            if header_of is None
            else header_of + len(sets)
        )
        sets += own
    header_of = np.concatenate(index).astype(np.int32)
    headers: Sequence[Sequence[Header]] = sets
    if not any(sets):
        headers, header_of = (), None
    if (np.diff(seq) >= 0).all():
        return Records(keys, values, headers, header_of)
    order = np.argsort(seq, kind="stable")
    return Records(
        keys.take(pa.array(order)),
        values.take(pa.array(order)),
        headers,
        None if header_of is None else header_of[order],
    )


def stepped(change: RowChanges, steps: Steps) -> RowChanges:
    """The changes of each step."""
    return change if len(steps.rows) == change.rows else taken_rows(change, steps.rows)
