"""Looked up tables are those of each change's place in the log, whatever happens on the way.

Random histories of a table and of one that it looks up, cut into journal entries at random, and
delivered with crashes, rollbacks, lost answers and pruning. The oracle keeps both tables as the
source does, and notes what each row of the one found in the other when its transaction ended.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.changes import TRANSACTIONS, ChangeSet
from tailrace.errors import JournalError, LookupsLost, TransformError
from tailrace.journal.protocol import Entry, Extent
from tailrace.pipeline import lookups as lookups_module
from tailrace.pipeline.lookups import Lookups
from tests.transforms.batches import Change, batch, table
from transforms.entity import Entity
from transforms.lookups import tables
from transforms.model import Mapping
from transforms.router import Router
from transforms.rows import CLEAR, DELETE, UPSERT

TERM = table("s.term", {"nr": "integer", "days": "integer"}, ["nr"])
CUST = table("s.cust", {"id": "integer", "zb": "integer"}, ["id"])
ENTITY = Entity.model_validate(
    {
        "entity": "c",
        "key": ["id"],
        "fields": {"id": {"type": "text"}, "days": {"type": "integer"}},
    }
)
MAPPING = Mapping.model_validate(
    {
        "mapping": "c",
        "entity": "c",
        "table": "s.cust",
        "key": {"id": "id::text"},
        "fields": {"days": "t.days"},
        "lookups": {"t": {"table": "s.term", "on": "t.nr = zb", "missing": {"value": "-1"}}},
    }
)
Transaction = list[tuple[str, Change]]
Target = dict[str, str | None]


@dataclass(frozen=True)
class Op:
    """What the source is asked to do; `to` is the other key of a move, or the code."""

    table: str
    what: str
    key: int
    value: int


OPS = st.builds(
    Op,
    st.sampled_from(["term", "cust"]),
    st.sampled_from(["put", "put", "put", "delete", "move", "truncate"]),
    st.integers(1, 4),
    st.integers(1, 4),
)


class Source:
    """Both tables, the changes that its log has of them, and what the target should hold."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, int]] = {"term": {}, "cust": {}}
        self.expected: Target = {}

    def run(self, ops: Sequence[Op]) -> Transaction:
        changes: Transaction = []
        touched: dict[int, None] = {}
        for op in ops:
            changes += self._do(op, touched)
        for key in touched:
            code = self.rows["cust"].get(key)
            if code is None:
                self.expected.pop(str(key), None)
            else:
                days = self.rows["term"].get(code)
                self.expected[str(key)] = "-1" if days is None else str(days)
        return changes

    def _do(self, op: Op, touched: dict[int, None]) -> Transaction:
        rows, key, name = self.rows[op.table], op.key, ("nr", "days")
        if op.table == "cust":
            name = ("id", "zb")
            touched[key] = None

        def row(key: int, value: int) -> dict[str, str | None]:
            return dict(zip(name, (str(key), str(value)), strict=True))

        if op.what == "truncate":
            if op.table == "cust":
                touched.update(dict.fromkeys(rows))
            rows.clear()
            return [(op.table, Change("t"))]
        if op.what == "delete":
            if key not in rows:
                return []
            del rows[key]
            return [(op.table, Change("d", None, {name[0]: str(key)}))]
        if op.what == "move":
            if key not in rows or op.value in rows:
                return []
            rows[op.value] = rows.pop(key)
            if op.table == "cust":
                touched[op.value] = None
            new = row(op.value, rows[op.value])
            return [(op.table, Change("u", new, {name[0]: str(key)}))]
        is_new = key not in rows
        rows[key] = op.value * 10 if op.table == "term" else op.value
        return [(op.table, Change("c" if is_new else "u", row(key, rows[key])))]


def change_set(transactions: Sequence[Transaction]) -> ChangeSet:
    schemas = {"term": TERM, "cust": CUST}
    firsts, parts, seq = [], {}, 0
    for number, transaction in enumerate(transactions):
        firsts.append(
            {"first_seq": seq, "position": str(number), "commit_us": 1, "xid": 1, "origin": None}
        )
        for name, change in transaction:
            parts.setdefault(name, []).append((seq, change))
            seq += 1
    made = []
    for name, some in parts.items():
        changes = batch(schemas[name], [change for _, change in some])
        numbers = pa.array([number for number, _ in some], pa.int32())
        made.append(type(changes)(**{**_fields(changes), "seq": numbers}))
    return ChangeSet(tuple(made), pa.RecordBatch.from_pylist(firsts, schema=TRANSACTIONS), "p")


def _fields(changes: Any) -> dict[str, Any]:
    return {name: getattr(changes, name) for name in type(changes).__dataclass_fields__}


@dataclass
class Journal:
    """In memory; what is pruned is not to be had."""

    entries: list[Entry] = field(default_factory=list)
    pruned: int = 0
    id: str = "journal"
    position: str | None = None

    def append(self, changes: ChangeSet) -> None:
        self.entries.append(Entry(len(self.entries) + 1, changes, 0, 1))

    def read(self, after: int, *, bytes_max: int) -> Sequence[Entry]:
        if after < self.pruned:
            raise JournalError("pruned")
        return self.entries[after : after + 2]

    def get(self, key: str) -> str | None:
        return "done"

    def facts(self) -> dict[str, str]:
        return {}

    def wait(self, timeout_s: float) -> bool:
        return True

    def extent(self) -> Extent:
        return Extent(1, len(self.entries), 0, 0)

    def close(self) -> None: ...


class Pipeline:
    """Delivery as far as lookups are concerned: a process that may die at any step."""

    def __init__(self, directory: Path, journal: Journal) -> None:
        self.path = directory / "line.json"
        self.journal = journal
        self.target: Target = {}
        self.checkpoint = 0
        self.start()

    def start(self) -> None:
        self.router = Router((), [MAPPING], {"c": ENTITY})
        self.lookups = Lookups(self.path, self.journal, self.router)
        self.lookups.open(self.checkpoint)

    def stop(self) -> None:
        self.lookups.close()
        self.router.close()

    def batch(self, count: int, fate: str) -> None:
        """Deliver some entries; `fate` is what happens where the target commits."""
        target = dict(self.target)
        entries = self.journal.entries[self.checkpoint : self.checkpoint + count]
        for entry in entries:
            for piece in self.lookups.pieces(entry.changes, entry.changes.tables):
                for changes in piece:
                    if changes.schema.table == CUST.table:
                        apply(target, self.router.route(changes, 0))
        if fate == "rollback":
            self.lookups.rewind()
            return
        if fate == "killed before":
            self.router.close()
            self.start()
            return
        self.target, self.checkpoint = target, self.checkpoint + len(entries)
        if fate == "killed after":
            self.router.close()
            self.start()
        elif fate == "answer lost":
            self.lookups.open(self.checkpoint)
        else:
            self.lookups.committed(self.checkpoint)
            if fate == "stopped":
                self.stop()
                self.start()


def apply(target: Target, made: Sequence[Any]) -> None:
    events = []
    for rows in made:
        for at in range(rows.rows):
            old = None if rows.old_key is None else rows.old_key[0][at].as_py()
            values = [column[at].as_py() for column in rows.values]
            events.append((rows.seq[at].as_py(), rows.op[at].as_py(), old, values))
    for _, op, old, values in sorted(events, key=lambda event: event[0]):
        if op == CLEAR:
            target.clear()
        elif op == DELETE:
            target.pop(values[0], None)
        else:
            assert op == UPSERT
            if old is not None:
                target.pop(old, None)
            target[values[0]] = values[1]


FATES = ["committed", "rollback", "killed before", "killed after", "answer lost", "stopped"]


@given(
    history=st.lists(st.lists(OPS, min_size=1, max_size=4), min_size=1, max_size=12),
    sizes=st.lists(st.integers(1, 4), min_size=12, max_size=12),
    steps=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(FATES), st.booleans()), max_size=12
    ),
    saves=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_each_change_finds_what_its_transaction_left(
    history: list[list[Op]],
    sizes: list[int],
    steps: list[tuple[int, str, bool]],
    saves: bool,
) -> None:
    source, journal = Source(), Journal()
    journal.append(change_set([[("term", Change("t"))], [("cust", Change("t"))]]))
    transactions = iter([source.run(ops) for ops in history])
    for size in sizes:
        some = [one for one in islice(transactions, size) if one]
        if some:
            journal.append(change_set(some))
    with (
        tempfile.TemporaryDirectory() as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in ("SAVE_S", "IDLE_SAVE_S"):
            patch.setattr(lookups_module, name, -1.0 if saves else 1e9)
        pipeline = Pipeline(Path(directory), journal)
        for count, fate, prunes in [*steps, (len(journal.entries), "committed", False)]:
            pipeline.batch(count, fate)
            assert pipeline.lookups.needs_from <= pipeline.checkpoint
            if prunes:
                journal.pruned = max(journal.pruned, pipeline.lookups.needs_from)
        assert pipeline.target == source.expected
        pipeline.stop()


def _filled(directory: Path) -> tuple[Pipeline, Journal]:
    source, journal = Source(), Journal()
    journal.append(change_set([[("term", Change("t"))], [("cust", Change("t"))]]))
    for key in (1, 2):
        journal.append(change_set([source.run([Op("term", "put", key, key)])]))
    pipeline = Pipeline(directory, journal)
    pipeline.batch(9, "committed")
    return pipeline, journal


def test_a_lost_copy_is_made_anew_from_the_journal_or_named(tmp_path: Path) -> None:
    pipeline, journal = _filled(tmp_path)
    pipeline.stop()
    assert pipeline.path.stat().st_mode & 0o77 == 0
    pipeline.path.write_text(pipeline.path.read_text()[:-9])
    pipeline.start()
    assert len(pipeline.lookups._tables[TERM.table]) == 2
    pipeline.stop()
    pipeline.path.unlink()
    journal.pruned = 1
    with pytest.raises(LookupsLost, match=r"s\.term"):
        pipeline.start()


def test_a_copy_of_another_journal_is_none(tmp_path: Path) -> None:
    pipeline, journal = _filled(tmp_path)
    pipeline.stop()
    journal.id, journal.pruned = "another", 1
    with pytest.raises(LookupsLost):
        pipeline.start()


def test_the_journal_is_kept_while_the_copy_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    pipeline, _ = _filled(tmp_path / "file")
    assert pipeline.checkpoint == 3
    assert pipeline.lookups.needs_from == 0
    pipeline.stop()


def test_a_process_that_was_fenced_leaves_the_copy_of_the_newer_one(tmp_path: Path) -> None:
    fenced, journal = _filled(tmp_path)
    for nr in ("3", "4"):
        fenced.batch(1, "committed")  # too soon to be written
        journal.append(change_set([[("term", Change("c", {"nr": nr, "days": "30"}))]]))
    assert fenced.lookups.needs_from < fenced.checkpoint
    newer = Pipeline(tmp_path, journal)
    newer.batch(9, "stopped")
    journal.pruned = newer.lookups.needs_from
    fenced.stop()
    newer.start()
    assert len(newer.lookups._tables[TERM.table]) == 4
    newer.stop()


def test_a_table_too_large_to_be_looked_up_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_MAX", 2)
    found = tables.LookupTables({TERM.table})
    rows = [Change("c", {"nr": str(nr), "days": "1"}) for nr in range(3)]
    with pytest.raises(TransformError, match="too large to be looked up") as raised:
        found.apply(batch(TERM, rows))
    assert raised.value.where == {"table": "s.term"}
