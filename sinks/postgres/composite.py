"""An entity that several sources feed, at PostgreSQL (see `sinks.composites`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import pyarrow as pa
from psycopg import errors as pg

from cdc.schema import TableName
from sinks import refusals
from sinks.composite_sql import COLUMNS, DIFFERENCES, ENTITIES, FOUND, CompositeSql
from sinks.postgres.apply import LOOK_UP, PLAN_FREELY, TableWriter
from sinks.postgres.identity import PostgresRecogniser
from sinks.postgres.names import literal, quoted, quoted_list, quoted_table
from sinks.postgres.session import Connection, translated
from sinks.recognising import Recogniser
from transforms.composite import Composite
from transforms.rows import RowChanges, TargetColumn

LOOKED_UP_MAX = 1000
"""Keys up to which no other plan can be much better than to look each of them up."""


class PostgresWords:
    """The dialect."""

    join = "join"

    def table(self, name: TableName) -> str:
        return quoted_table(name)

    def column(self, name: str) -> str:
        return quoted(name)

    def literal(self, text: str) -> str:
        return literal(text)

    def text(self, value: str, column: TargetColumn) -> str:
        return f"{value}::text"

    def differ(self, one: str, two: str, column: TargetColumn) -> str:
        return f"{one} is distinct from {two}"

    def key_id(self, texts: Sequence[str]) -> str:
        return f"sha256(convert_to(json_build_array({', '.join(texts)})::text, 'UTF8'))"

    def joined(self, texts: Sequence[str]) -> str:
        return f"concat_ws('/', {', '.join(texts)})"


class CompositeWriter:
    """`keys`: the writer of the entity's table, in whose staging table the touched keys stand."""

    def __init__(self, connection: Connection, composite: Composite, keys: TableWriter) -> None:
        self._connection = connection
        self.composite = composite
        self._known = 0
        self._keys = keys
        self._sql = CompositeSql(composite, PostgresWords(), keys.sql.stage)
        self.everything = self.outdated = self._many = False
        self._recogniser = (
            PostgresRecogniser(connection, composite, keys.sql.stage) if composite.match else None
        )
        self._where: dict[str, object] = {"table": str(composite.table)}

    def lock(self) -> None:
        with translated("locking an entity", **self._where):
            row = self._entity("skip locked") or self._entity_waited_for()
            assert row is not None, "prepare the tables first"
            self.outdated = row[0] != self.composite.rules
            self._known = int(str(row[1]))

    def _entity(self, how: str = "") -> tuple[object, ...] | None:
        return self._connection.execute(
            f"select rules, discrepancies from {_ENTITIES} where entity = %s for update {how}",
            (self.composite.entity,),
        ).fetchone()

    def _entity_waited_for(self) -> tuple[object, ...] | None:
        self._connection.execute(
            f"savepoint {_WAIT}; set local lock_timeout = '{refusals.HELD_S}s'", prepare=False
        )
        try:
            row = self._entity()
        except pg.LockNotAvailable:
            self._connection.execute(f"rollback to {_WAIT}")
            holder = self._connection.execute(_HOLDER, (self.composite.entity,)).fetchone()
            name = holder[0] if holder is not None else None  # NULL of another role's session
            by = str(name) if name is not None else None
            raise refusals.entity_held(self.composite, by) from None
        self._connection.execute(
            f"set local lock_timeout to default; release {_WAIT}", prepare=False
        )
        return row

    def touch(self, keys: Sequence[pa.Array] | None, changes: Sequence[RowChanges]) -> None:
        if self._recogniser is not None:
            with translated("recognising records", **self._where):
                if keys is not None:
                    self._keys.stage_keys(keys)
                self._recogniser.touch(keys, changes)
                self.touch_identities()
            return
        with translated("computing an entity", **self._where):
            self.everything = keys is None
            if keys is not None:
                self._keys.stage_keys(keys)
                self._many = len(keys[0]) > LOOKED_UP_MAX
                if self._many:
                    self._connection.execute(self._look, prepare=False)
                return
            self._many = True
            self._keys.stage_keys(())
            self._connection.execute(self._all_keys, prepare=False)
            self._connection.execute(self._look, prepare=False)
            self._is_up_to_date()

    @property
    def recogniser(self) -> Recogniser:
        assert self._recogniser is not None, "the entity has no identity"
        return self._recogniser

    def touch_identities(self) -> None:
        if self.outdated:
            self.recogniser.note_all()
        self._keys.stage_keys([pa.array([], pa.string())])
        self._many = self.recogniser.stage_ids() > LOOKED_UP_MAX
        if self._many:
            self._connection.execute(self._look, prepare=False)
        self.everything = True
        self._is_up_to_date()

    def _is_up_to_date(self) -> None:
        if self.outdated:
            self._connection.execute(
                f"update {_ENTITIES} set rules = %s where entity = %s",
                (self.composite.rules, self.composite.entity),
            )
            self.outdated = False

    def put(self) -> None:
        with translated("computing an entity", **self._where):
            if not self._sql.unique:
                self._by_key(self._put)
                return
            self._connection.execute(f"savepoint {_SAVEPOINT}")
            try:
                self._by_key(self._put)
            except pg.UniqueViolation:
                # Values that may have changed hands are given up first.
                self._connection.execute(f"rollback to {_SAVEPOINT}")
                self._by_key(self._give_up)
                self._by_key(self._put)
            self._connection.execute(f"release {_SAVEPOINT}")

    def remove(self) -> None:
        self._execute(self._remove)

    def compare(self) -> None:
        found = 0
        if self._gather is not None:
            self._execute(_MAKE_DIFFERENCES)
            found = self._execute(self._gather)
            if found > LOOKED_UP_MAX:
                self._connection.execute(f"analyze {_STAGE} (key_id, field, source)".encode())
        if not found and not self._known:
            return
        entity = (self.composite.entity,)
        if self._gather is None:
            self._execute(_MAKE_DIFFERENCES)
        change = -self._execute(self._settle, entity)
        self._execute(_RENEW, entity)
        change += self._execute(_NOTE, entity)
        if change:
            self._known += change
            with translated("comparing", **self._where):
                self._connection.execute(
                    f"update {_ENTITIES} set discrepancies = discrepancies + %s where entity = %s",
                    (change, *entity),
                )

    def _execute(self, statement: bytes, values: tuple[object, ...] | None = None) -> int:
        with translated("computing an entity", **self._where):
            return self._by_key(statement, values)

    def _by_key(self, statement: bytes, values: tuple[object, ...] | None = None) -> int:
        """Rows. Few keys are looked up, since the planner knows nothing of a table just filled; for
        many it is told of them and plans anew."""
        if self._many:
            return self._connection.execute(statement, values, prepare=False).rowcount
        self._connection.execute(LOOK_UP, prepare=False)
        rows = self._connection.execute(statement, values).rowcount
        self._connection.execute(PLAN_FREELY, prepare=False)
        return rows

    @property
    def _name(self) -> str:
        return quoted_table(self.composite.table)

    @cached_property
    def _look(self) -> bytes:
        keys = quoted_list(self.composite.key)
        return f"analyze {self._keys.sql.stage} ({keys})".encode()

    @cached_property
    def _all_keys(self) -> bytes:
        keys = quoted_list(self.composite.key)
        return (
            f"insert into {self._keys.sql.stage} ({keys})"
            f" select {keys} from {self._name} union select {keys} from {self._sql.rows}"
        ).encode()

    @cached_property
    def _put(self) -> bytes:
        """A row that already says so is not written again."""
        fields = self._sql.fields
        key = quoted_list(self.composite.key)
        action = "do nothing"
        if fields:
            before = ", ".join(f"e.{quoted(name)}" for name in fields)
            action = (
                "do update set "
                + ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in fields)
                + f" where ({before}) is distinct from ({quoted_list(fields, 'excluded.')})"
            )
        columns = quoted_list([*self.composite.key, *fields])
        values = ", ".join([self._sql.key_list("k."), *self._sql.values])
        return (
            f"insert into {self._name} as e ({columns}) select {values} from {self._sql.joined}"
            f" order by {self._sql.key_list('k.')} on conflict ({key}) {action}"
        ).encode()

    @cached_property
    def _give_up(self) -> bytes:
        setting = ", ".join(f"{quoted(name)} = null" for name in self._sql.unique)
        return (
            f"update {self._name} e set {setting} from {self._sql.keys}"
            f" where {self._sql.same('e', 'k')}"
        ).encode()

    @cached_property
    def _remove(self) -> bytes:
        tables, conditions = zip(*self._sql.side(self.composite.rows, "r"), strict=True)
        return (
            f"delete from {self._name} e using {self._sql.keys} where {self._sql.same('e', 'k')}"
            f" and not exists (select from {', '.join(tables)} where {' and '.join(conditions)})"
        ).encode()

    @cached_property
    def _gather(self) -> bytes | None:
        select = self._sql.differences
        if select is None:
            return None
        return f"insert into {_STAGE} ({', '.join(COLUMNS)}) {select}".encode()

    @cached_property
    def _settle(self) -> bytes:
        """Discrepancies of the touched keys that are none any more. Parameter: the entity."""
        text = (
            f"delete from {_DIFFERENCES} d"
            f" using (select distinct {self._sql.key_id} as key_id from {self._sql.keys}) t"
            f" where d.entity = %s and d.key_id = t.key_id"
            f" and not exists (select from {_STAGE} n where {_SAME})"
        )
        return _with_parameter(text)


def _with_parameter(text: str) -> bytes:
    head, _, tail = text.partition("%s")
    return (head.replace("%", "%%") + "%s" + tail.replace("%", "%%")).encode()


_ENTITIES, _DIFFERENCES = quoted_table(ENTITIES), quoted_table(DIFFERENCES)
_SAVEPOINT, _WAIT = "tailrace_unique", "tailrace_wait"
_HOLDER = f"""
select regexp_replace(application_name, '^tailrace:', '') from {_ENTITIES} e
join pg_locks on locktype = 'transactionid' and transactionid = e.xmax and granted
join pg_stat_activity using (pid) where entity = %s
"""
_STAGE = "pg_temp.tailrace_discrepancies"
_SAME = "d.key_id = n.key_id and d.field = n.field and d.source = n.source"
_MAKE_DIFFERENCES = (
    f"create temporary table if not exists tailrace_discrepancies on commit delete rows as"
    f" select {', '.join(COLUMNS)} from {_DIFFERENCES} with no data;"
    f" create unique index if not exists tailrace_discrepancies_key on {_STAGE}"
    f" (key_id, field, source); truncate {_STAGE}"
).encode()
_RENEW = (
    f"update {_DIFFERENCES} d set ({', '.join(FOUND)}) = ({', '.join(f'n.{c}' for c in FOUND)})"
    f" from {_STAGE} n where d.entity = %s and {_SAME}"
    f" and ({', '.join(f'd.{c}' for c in FOUND)})"
    f" is distinct from ({', '.join(f'n.{c}' for c in FOUND)})"
).encode()
_NOTE = (
    f"insert into {_DIFFERENCES} (entity, {', '.join(COLUMNS)})"
    f" select %s, {', '.join(f'n.{c}' for c in COLUMNS)} from {_STAGE} n"
    f" on conflict (entity, key_id, field, source) do nothing"
).encode()
