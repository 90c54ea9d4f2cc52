"""Recognises records at MariaDB or MySQL: matches are looked for by digests of what is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from sinks.clusters import Record
from sinks.identity_people import APART, CONFLICTS
from sinks.mysql.identity_sql import EMPTY, GIVEN, IDS, SOUGHT, TOUCHED, IdentitySql, temporary
from sinks.mysql.match_words import text
from sinks.mysql.session import Connection, execute, query
from sinks.recognising import MATCHES_MAX, Recogniser
from transforms.composite import Composite

ROWS_AT_ONCE = 100
"""Of ours that are inserted: less than any `max_allowed_packet` in use."""


class MysqlRecogniser(Recogniser):
    """`stage`: the staging table of keys. `transaction`: a name that the open one has alone.

    What nobody needs to know the answer of is sent with the next statement of which one does.
    """

    def __init__(
        self,
        connection: Connection,
        composite: Composite,
        stage: str,
        transaction: Callable[[], str],
    ) -> None:
        super().__init__(composite)
        self._connection = connection
        self._sql = IdentitySql(composite, stage)
        self._transaction = transaction
        self._is_made = False

    def begin(self) -> None:
        self._run(EMPTY if self._is_made else temporary(self._connection.product))
        self._is_made = True

    def touch_staged(self, source: str) -> None:
        self._soon(self._sql.touch_staged(source))

    def touch_all(self) -> None:
        for source in self._sql.sources:
            self._run(self._sql.touch_all(source))

    def touch_cleared(self, source: str) -> None:
        self._run(self._sql.touch_all(source))
        self._soon(self._sql.clear(source, self._transaction()))

    def touch_record(self, source: str, key: str) -> None:
        insert = f"insert ignore into {TOUCHED} (source, source_key) values (%s, %s)"
        self._connection.soon(insert, (source, key))

    def note_touched(self) -> None:
        self._soon(self._sql.note_touched)

    def note(self, ids: Sequence[str]) -> None:
        self._insert(f"{IDS} (id)", [(id,) for id in ids])

    def note_all(self) -> None:
        self._soon(self._sql.note_all)

    def stage_ids(self) -> int:
        return self._execute(self._sql.stage_ids)

    def move(self, source: str, moved: Mapping[str, str]) -> None:
        self._give((before, after) for after, before in moved.items())
        self._run(statement.replace("{source}", text(source)) for statement in self._sql.move)

    def name(self) -> None:
        for source in self._sql.sources:
            number = 0
            self._soon(self._sql.name(source, number))
            while query(self._connection, self._sql.nameless(source)):
                number += 1
                self._soon(self._sql.name(source, number))

    def widen(self) -> bool:
        self._soon(self._sql.touched_in_scope)
        if not query(self._connection, self._sql.has_conflicts):
            return False
        self._run(self._sql.widen)
        return True

    def forget(self) -> None:
        self._run(self._sql.forget)

    def match(self) -> bool:
        self._run(self._sql.refresh)
        found = 0
        if not self._execute(self._sql.seek):
            return False
        for number in range(MATCHES_MAX):
            sought = self._execute(self._sql.find(number))
            if self._execute(self._sql.not_found) == sought:
                break
            found += self._execute(self._sql.conflict)
        self._soon(f"delete from {SOUGHT}")
        return found > 0

    def gather(self) -> None:
        self._soon(self._sql.start)
        is_growing = True
        while is_growing:
            *statements, edge = self._sql.grow
            self._run(statements)
            is_growing = self._execute(edge) > 0

    def records(self) -> list[Record]:
        rows = query(self._connection, self._sql.records(self._transaction()))
        return [Record(identity, source, key, bool(live)) for identity, source, key, live in rows]

    def matches(self) -> list[tuple[str, str]]:
        return self._pairs(CONFLICTS)

    def apart(self) -> list[tuple[str, str]]:
        return self._pairs(APART)

    def leave(self, records: Iterable[tuple[str, str]]) -> None:
        self._give(records)
        self._soon(self._sql.leave)

    def rename(self, renamed: Mapping[str, str]) -> None:
        self._give(renamed.items())
        self._soon(self._sql.rename)

    def settle(self) -> None:
        self._soon(self._sql.settle)

    def live(self, records: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        found = set()
        for source in {source for source, _ in records}:
            keys = [key for of, key in records if of == source]
            rows = query(
                self._connection,
                f"select {self._sql.key} from {self._sql.side(source)}".replace("%", "%%")
                + f" where {self._sql.key.replace('%', '%%')} in %s",
                keys,
            )
            found |= {(source, str(key)) for (key,) in rows}
        return found

    def _pairs(self, table: str) -> list[tuple[str, str]]:
        return [(one, other) for one, other in query(self._connection, self._sql.pairs(table))]

    def _give(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._soon(f"delete from {GIVEN}")
        self._insert(f"{GIVEN} (one, two)", list(pairs))

    def _insert(self, into: str, rows: Sequence[tuple[str, ...]]) -> None:
        for first in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[first : first + ROWS_AT_ONCE]
            self._connection.soon(
                f"insert into {into} values {', '.join(['%s'] * len(some))}", some
            )

    def _execute(self, statement: str) -> int:
        return execute(self._connection, statement)

    def _run(self, statements: Iterable[str]) -> None:
        for statement in statements:
            self._soon(statement)

    def _soon(self, statement: str) -> None:
        self._connection.soon(statement)
