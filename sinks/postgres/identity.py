"""Recognises records at PostgreSQL: matches are looked for by the indexes of the rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from psycopg import Cursor

from sinks.clusters import Record
from sinks.identity_people import APART, CONFLICTS, TABLE
from sinks.postgres.apply import LOOK_UP, PLAN_FREELY
from sinks.postgres.identity_sql import IDS, MAKE, TOUCHED, IdentitySql
from sinks.postgres.session import Connection
from sinks.recognising import HERE, MARK, THERE, Recogniser
from transforms.composite import Composite

_BY_INDEX = LOOK_UP + b"; set local enable_seqscan = off"
_FREELY = PLAN_FREELY + b"; set local enable_seqscan to default"
"""Temporary tables just filled have no statistics, and side tables just copied neither."""

LOOKED_AT_ROWS = 1000
"""Below, no plan is bad enough to matter."""


class PostgresRecogniser(Recogniser):
    """`stage`: the staging table of keys."""

    def __init__(self, connection: Connection, composite: Composite, stage: str) -> None:
        super().__init__(composite)
        self._connection = connection
        self._stage = stage
        self._sql = IdentitySql(composite)
        self._new = self._known = 0

    def begin(self) -> None:
        for statement in MAKE:
            self._execute(statement)

    def touch_staged(self, source: str) -> None:
        self._execute(self._sql.touch_staged(self._stage, source))

    def touch_all(self) -> None:
        self._execute(self._sql.touch_all(None))

    def touch_cleared(self, source: str) -> None:
        self._execute(self._sql.touch_all(source))
        self._execute(self._sql.clear(source))

    def touch_record(self, source: str, key: str) -> None:
        self._connection.execute(
            f"insert into {TOUCHED} values (%s, %s) on conflict do nothing".encode(),
            (source, key),
        )

    def note_touched(self) -> None:
        self._by_index(self._sql.note_ids)

    def note(self, ids: Sequence[str]) -> None:
        self._connection.execute(
            f"insert into {IDS} select unnest(%s::text[]) on conflict do nothing".encode(),
            (list(ids),),
        )

    def note_all(self) -> None:
        self._execute(self._sql.note_all)

    def stage_ids(self) -> int:
        return self._execute(self._sql.stage_ids(self._stage))

    def move(self, source: str, moved: Mapping[str, str]) -> None:
        after, before = list(moved), list(moved.values())
        for table, (of, key) in ((TABLE, HERE), (APART, HERE), (APART, THERE)):
            self._connection.execute(
                f"update {table} i set {key} = '{MARK}' || m.after"
                " from unnest(%s::text[], %s::text[]) m(before, after)"
                f" where i.entity = {self._sql.entity} and i.{of} = %s and i.{key} = m.before"
                "".encode(),
                (before, after, source),
            )
            self._connection.execute(
                f"delete from {table} i where i.entity = {self._sql.entity} and i.{of} = %s"
                f" and i.{key} = any(%s)".encode(),
                (source, after),
            )
            self._connection.execute(
                f"update {table} i set {key} = substr(i.{key}, 2)"
                f" where i.entity = {self._sql.entity} and i.{of} = %s and i.{key} = any(%s)"
                "".encode(),
                (source, [MARK + key for key in after]),
            )

    def name(self) -> None:
        self._new += self._by_index(self._sql.name)
        self._look()

    def widen(self) -> bool:
        return bool(self._by_index(self._sql.widen)) and self._has_conflicts()

    def forget(self) -> None:
        self._by_index(self._sql.forget)

    def match(self) -> bool:
        return sum(self._by_index(statement) for statement in self._sql.matches) > 0

    def gather(self) -> None:
        self._by_index(self._sql.gather)

    def records(self) -> list[Record]:
        return [Record(*row) for row in self._rows(self._sql.records)]  # type: ignore[arg-type]

    def matches(self) -> list[tuple[str, str]]:
        return self._pairs(CONFLICTS)

    def apart(self) -> list[tuple[str, str]]:
        return self._pairs(APART)

    def leave(self, records: Iterable[tuple[str, str]]) -> None:
        sources, keys = zip(*records, strict=True)
        self._connection.execute(self._sql.leave.encode(), (list(sources), list(keys)))

    def rename(self, renamed: Mapping[str, str]) -> None:
        values = (list(renamed), list(renamed.values()))
        self._connection.execute(self._sql.rename.encode(), values)

    def settle(self) -> None:
        self._by_index(self._sql.settle)

    def live(self, records: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        sources, keys = zip(*records, strict=True)
        rows = self._connection.execute(
            f"select source, source_key from {self._sql.live} l"
            " where source = any(%s) and source_key = any(%s)".encode(),
            (list(sources), list(keys)),
        )
        return {(str(source), str(key)) for source, key in rows}

    def _pairs(self, table: str) -> list[tuple[str, str]]:
        return [(str(one), str(two)) for one, two in self._rows(self._sql.pairs(table))]

    def _execute(self, statement: str) -> int:
        return self._connection.execute(statement.encode()).rowcount

    def _by_index(self, statement: str) -> int:
        return self._looked_up(statement).rowcount

    def _rows(self, statement: str) -> list[tuple[object, ...]]:
        return self._looked_up(statement).fetchall()

    def _looked_up(self, statement: str) -> Cursor[tuple[object, ...]]:
        self._connection.execute(_BY_INDEX, prepare=False)
        found = self._connection.execute(statement.encode())
        self._connection.execute(_FREELY, prepare=False)
        return found

    def _look(self) -> None:
        """Tell the planner of tables that have grown, each time they have doubled."""
        if self._new > max(self._known, LOOKED_AT_ROWS):
            self._known += self._new
            self._new = 0
            sides = (self._sql.side(source) for source in self.ranks)
            self._execute(f"analyze {TABLE}, {', '.join(sides)}")

    def _has_conflicts(self) -> bool:
        found = self._connection.execute(
            f"select exists (select from {CONFLICTS} where entity = {self._sql.entity})".encode()
        )
        return found.fetchone() == (True,)
