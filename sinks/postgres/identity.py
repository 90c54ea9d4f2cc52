"""Recognises the records of an entity that a batch touched, at PostgreSQL.

After the side tables are written and under the entity's lock: each record that is new has an
identity of its own, matches are looked for by the indexes of the rules, and groups that belong
together become one identity (`sinks.clusters`). What matches and may not be joined stays in
`tailrace.identity_conflict`, which is all that a person has to look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sinks.clusters import Record, joined
from sinks.postgres import identity_sql
from sinks.postgres.identity_sql import APART, CONFLICTS, IDS, MAKE, TABLE, IdentitySql
from sinks.postgres.session import Connection
from sinks.rowtext import as_text
from transforms.composite import Composite
from transforms.rows import CLEAR, DELETE, UPSERT, RowChanges

_BY_INDEX = (
    b"set local enable_hashjoin = off; set local enable_mergejoin = off;"
    b" set local enable_seqscan = off"
)
_FREELY = (
    b"set local enable_hashjoin to default; set local enable_mergejoin to default;"
    b" set local enable_seqscan to default"
)
"""Temporary tables just filled have no statistics, and side tables just copied neither."""

LOOKED_AT_ROWS = 1000
"""Below, no plan is bad enough to matter."""

NO_MOVES: Mapping[str, str] = {}
_MARK = "\x01"
"""Before a key on its way to another: a text of the source cannot begin with it and be printed."""


class Recogniser:
    """One entity over one connection. Errors are the server's."""

    def __init__(self, connection: Connection, composite: Composite) -> None:
        self._connection = connection
        self.sql = IdentitySql(composite)
        sources = [side.source for side in composite.sides]
        by_rank = sorted(sources, key=lambda source: (source != composite.rows, source))
        self._ranks = {source: at for at, source in enumerate(by_rank)}
        self._new = self._known = 0

    def begin(self) -> None:
        """Nothing is touched."""
        for statement in MAKE:
            self.execute(statement)

    def touch_staged(self, stage: str, source: str) -> None:
        self.execute(self.sql.touch_staged(stage, source))

    def touch_all(self) -> None:
        self.execute(self.sql.touch_all(None))

    def touch_cleared(self, source: str) -> None:
        self.execute(self.sql.touch_all(source))
        self.execute(self.sql.clear(source))

    def touch_record(self, source: str, key: str) -> None:
        self._connection.execute(
            f"insert into {identity_sql.TOUCHED} values (%s, %s) on conflict do nothing".encode(),
            (source, key),
        )

    def _move(self, source: str, moves: Mapping[str, str]) -> None:
        """Records keep their identity, and what a person said of them, under their new key."""
        if not moves:
            return
        after, before = list(moves), list(moves.values())
        for table, names in (
            (TABLE, ("source", "source_key")),
            (APART, ("source", "source_key")),
            (APART, ("other_source", "other_key")),
        ):
            of, key = names
            self._connection.execute(
                f"update {table} i set {key} = '{_MARK}' || m.after"
                " from unnest(%s::text[], %s::text[]) m(before, after)"
                f" where i.entity = {self.sql.entity} and i.{of} = %s and i.{key} = m.before"
                "".encode(),
                (before, after, source),
            )
            self._connection.execute(
                f"delete from {table} i where i.entity = {self.sql.entity} and i.{of} = %s"
                f" and i.{key} = any(%s)".encode(),
                (source, after),
            )
            self._connection.execute(
                f"update {table} i set {key} = substr(i.{key}, 2)"
                f" where i.entity = {self.sql.entity} and i.{of} = %s and i.{key} = any(%s)"
                "".encode(),
                (source, [_MARK + key for key in after]),
            )

    def recognise(self, source: str = "", moves: Mapping[str, str] = NO_MOVES) -> None:
        """Give the touched records their identities; note those whose entity may be another.
        `moves`: of keys of `source`, {after: before}."""
        self.execute_by_index(self.sql.note_ids)
        self._move(source, moves)
        self._new += self.execute_by_index(self.sql.begin)
        self._look()
        had = self.execute_by_index(self.sql.widen) and self._has_conflicts()
        if had:
            self.execute_by_index(self.sql.forget)
        found = sum(self.execute_by_index(statement) for statement in self.sql.matches)
        if had or found:
            self._join()
        self.execute_by_index(self.sql.note_ids)

    def stage_ids(self, stage: str) -> int:
        return self.execute(self.sql.stage_ids(stage))

    def execute(self, statement: str) -> int:
        return self._connection.execute(statement.encode()).rowcount

    def execute_by_index(self, statement: str) -> int:
        self._connection.execute(_BY_INDEX, prepare=False)
        rows = self.execute(statement)
        self._connection.execute(_FREELY, prepare=False)
        return rows

    def _look(self) -> None:
        """Tell the planner of tables that have grown, each time they have doubled."""
        if self._new > max(self._known, LOOKED_AT_ROWS):
            self._known += self._new
            self._new = 0
            sides = (self.sql.side(source) for source in self._ranks)
            self.execute(f"analyze {TABLE}, {', '.join(sides)}")

    def _has_conflicts(self) -> bool:
        found = self._connection.execute(
            f"select exists (select from {CONFLICTS} where entity = {self.sql.entity})".encode()
        )
        return found.fetchone() == (True,)

    def _join(self) -> None:
        self.execute_by_index(self.sql.gather)
        self._connection.execute(_BY_INDEX, prepare=False)
        records = [Record(*row) for row in self._rows(self.sql.records)]  # type: ignore[arg-type]
        matches = [(str(one), str(two)) for one, two in self._rows(self.sql.pairs(CONFLICTS))]
        apart = [(str(one), str(two)) for one, two in self._rows(self.sql.pairs(APART))]
        self._connection.execute(_FREELY, prepare=False)
        renamed = joined(records, matches, apart, self._ranks)
        if renamed:
            self._make_place(records, renamed)
            values = (list(renamed), list(renamed.values()))
            self._connection.execute(self.sql.rename.encode(), values)
            for ids in values:
                self.note(ids)
        self.execute_by_index(self.sql.settle)

    def note(self, ids: Sequence[str]) -> None:
        """Identities whose entity is computed anew."""
        self._connection.execute(
            f"insert into {IDS} select unnest(%s::text[]) on conflict do nothing".encode(),
            (list(ids),),
        )

    def _make_place(self, records: Sequence[Record], renamed: Mapping[str, str]) -> None:
        """An identity has one record of a source; of those that are gone the last to be so stays
        only where no other came."""
        gone = leaving(records, renamed)
        if gone:
            values = ([record.source for record in gone], [record.key for record in gone])
            self._connection.execute(self.sql.leave.encode(), values)

    def _rows(self, statement: str) -> list[tuple[object, ...]]:
        return self._connection.execute(statement.encode()).fetchall()


def leaving(records: Sequence[Record], renamed: Mapping[str, str]) -> list[Record]:
    """Those that an identity has no place for once it holds what it is `renamed` to hold: all but
    one of a source, which is the one that is there."""
    seen: set[tuple[str, str]] = set()
    gone = []
    into = set(renamed.values())
    ordered = sorted(
        records, key=lambda one: (not one.live, one.identity not in into, one.source, one.key)
    )
    for record in ordered:
        place = (renamed.get(record.identity, record.identity), record.source)
        if place in seen:
            gone.append(record)
        seen.add(place)
    return gone


def moves(changes: Sequence[RowChanges]) -> dict[str, str]:
    """What records were called before these changes and what they are after: {after: before}."""
    if all(change.old_key is None for change in changes):
        return {}
    events: list[tuple[int, int, str, str | None]] = []
    for change in changes:
        op = change.op.to_numpy()
        keys = as_text(change.values[change.table.key_indexes[0]]).to_pylist()
        before = [None] * change.rows
        if change.old_key is not None:
            before = as_text(change.old_key[0]).to_pylist()
        seq = change.seq.to_pylist()
        moved = np.array([key is not None for key in before]) & (op == UPSERT)
        for at in np.flatnonzero(moved | np.isin(op, (DELETE, CLEAR))).tolist():
            events.append((seq[at], int(op[at]), keys[at], before[at] if moved[at] else None))
    found: dict[str, str] = {}
    for _, op_, key, old in sorted(events, key=lambda event: event[0]):
        if op_ == CLEAR:
            found.clear()
        elif old is None:
            found.pop(key, None)
        else:
            found[key] = found.pop(old, old)
    return {after: before for after, before in found.items() if after != before}
