"""An entity that several sources feed, at MariaDB or MySQL (see `sinks.composites`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property

import pyarrow as pa

from cdc.patterns import OWN_SCHEMA
from cdc.schema import TableName
from sinks.composite_sql import COLUMNS, DIFFERENCES, ENTITIES, FOUND, CompositeSql
from sinks.mysql.apply import TableWriter
from sinks.mysql.identity import MysqlRecogniser
from sinks.mysql.loading import refuse_warnings
from sinks.mysql.names import quoted, quoted_list, quoted_table
from sinks.mysql.products import MYSQL, Product
from sinks.mysql.session import DUPLICATE, LOCK_WAIT_TIMEOUT, Connection, execute, query, translated
from sinks.recognising import Recogniser
from sinks.refusals import entity_held
from tailrace.errors import TargetRefused, TargetUnavailable
from transforms.composite import Composite
from transforms.rows import RowChanges, TargetColumn


class MysqlWords:
    """The dialect. `json_value`: SQL around JSON that is one text for one value."""

    join = "straight_join"

    def __init__(self, product: Product, json_value: str) -> None:
        self._product = product
        self._json_value = json_value

    def table(self, name: TableName) -> str:
        return quoted_table(name)

    def column(self, name: str) -> str:
        return quoted(name)

    def literal(self, text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"

    def text(self, value: str, column: TargetColumn) -> str:
        if column.type == "bytea":
            return f"concat('\\\\x', lower(hex({value})))"
        return f"cast({value} as char character set utf8mb4) collate {self._product.collation}"

    def differ(self, one: str, two: str, column: TargetColumn) -> str:
        if column.type == "jsonb":
            one, two = (self._json_value.format(value) for value in (one, two))
        return f"not ({one} <=> {two})"

    def key_id(self, texts: Sequence[str]) -> str:
        return f"unhex(sha2(json_array({', '.join(texts)}), 256))"

    def joined(self, texts: Sequence[str]) -> str:
        return f"concat_ws('/', {', '.join(texts)})"


class CompositeWriter:
    """`keys`: the writer of the entity's table, in whose staging table the touched keys stand.
    `transaction`: a name that the open one has alone."""

    def __init__(
        self,
        connection: Connection,
        composite: Composite,
        keys: TableWriter,
        transaction: Callable[[], str] = str,
    ) -> None:
        self._connection = connection
        self.composite = composite
        self._known = 0
        self._keys = keys
        words = MysqlWords(connection.product, _json_value(connection))
        self._sql = CompositeSql(composite, words, keys.sql.keys)
        self.everything = self.outdated = False
        self._has_stage = False
        self._recogniser = (
            MysqlRecogniser(connection, composite, keys.sql.keys, transaction)
            if composite.match
            else None
        )

    def lock(self) -> None:
        try:
            with translated("locking an entity", table=str(self.composite.table)):
                ((rules, count),) = query(
                    self._connection,
                    f"select rules, discrepancies from {_ENTITIES} where entity = %s for update",
                    self.composite.entity,
                )
        except TargetUnavailable as unavailable:
            if unavailable.where.get("errno") == LOCK_WAIT_TIMEOUT:
                raise entity_held(self.composite) from None
            raise
        self.outdated = rules != self.composite.rules
        self._known = int(count)

    def touch(self, keys: Sequence[pa.Array] | None, changes: Sequence[RowChanges]) -> None:
        if self._recogniser is not None:
            with translated("recognising records", table=str(self.composite.table)):
                if keys is not None:
                    self._keys.stage_keys(keys)
                self._recogniser.touch(keys, changes)
                self.touch_identities()
                self._connection.settle()  # what is refused now is about a record
            return
        with translated("computing an entity", table=str(self.composite.table)):
            self.everything = keys is None
            if keys is not None:
                self._keys.stage_keys(keys)
                return
            self._keys.stage_keys([pa.array([], pa.string()) for _ in self.composite.key])
            self._connection.soon(self._all_keys)
            self._is_up_to_date()

    @property
    def recogniser(self) -> Recogniser:
        assert self._recogniser is not None, "the entity has no identity"
        return self._recogniser

    def touch_identities(self) -> None:
        if self.outdated:
            self.recogniser.note_all()
        self._keys.stage_keys([pa.array([], pa.string())])
        self.recogniser.stage_ids()
        self.everything = True
        self._is_up_to_date()

    def _is_up_to_date(self) -> None:
        if self.outdated:
            self._connection.soon(
                f"update {_ENTITIES} set rules = %s where entity = %s",
                (self.composite.rules, self.composite.entity),
            )
            self.outdated = False

    def put(self) -> None:
        if not self._sql.unique:
            self._put()
            return
        self._connection.soon(f"savepoint {_SAVEPOINT}")
        try:
            self._put()
        except TargetRefused as refused:
            if refused.where.get("errno") != DUPLICATE:
                raise
            # Values that may have changed hands are given up first.
            self._connection.soon(f"rollback to {_SAVEPOINT}")
            self._execute(self._give_up)
            self._put()

    def _put(self) -> None:
        for statement in (self._update, self._insert) if self._sql.fields else (self._insert,):
            with translated("computing an entity", table=str(self.composite.table)):
                warned = self._connection.run(statement).warning_count
                if warned:
                    refuse_warnings(self._connection, warned)

    def remove(self) -> None:
        self._execute(self._remove)

    def compare(self) -> None:
        found, entity = 0, self.composite.entity
        if self._gather is not None:
            self._empty_stage()
            found = self._execute(self._gather)
        if not found and not self._known:
            return
        if self._gather is None:
            self._empty_stage()
        change = -self._execute(self._settle, entity)
        self._execute(_RENEW, entity)
        change += self._execute(_NOTE, entity, entity)
        if change:
            self._known += change
            self._execute(
                f"update {_ENTITIES} set discrepancies = discrepancies + %s where entity = %s",
                change,
                entity,
            )

    def _empty_stage(self) -> None:
        if self._has_stage:
            self._connection.soon(f"delete from {_STAGE}")
            return
        columns = ", ".join(
            f"{name} {type_}" for name, type_ in _types(self._connection.product).items()
        )
        columns += ", unique key (key_id, field, source)"
        for statement in self._connection.product.staging:
            self._connection.soon(statement.format(stage=_STAGE, columns=columns))
        self._has_stage = True

    def _execute(self, statement: str, *values: object) -> int:
        with translated("computing an entity", table=str(self.composite.table)):
            return execute(self._connection, statement, *values)

    @property
    def _name(self) -> str:
        return quoted_table(self.composite.table)

    @cached_property
    def _all_keys(self) -> str:
        keys = quoted_list(self.composite.key)
        return (
            f"insert into {self._keys.sql.keys} ({keys})"
            f" select {keys} from {self._name} union select {keys} from {self._sql.rows}"
        )

    @cached_property
    def _update(self) -> str:
        """A row that already says so is not written again."""
        pairs = [
            (f"e.{quoted(name)}", value)
            for name, value in zip(self._sql.fields, self._sql.values, strict=True)
        ]
        setting = ", ".join(f"{column} = {value}" for column, value in pairs)
        alike = " and ".join(f"{column} <=> ({value})" for column, value in pairs)
        return (
            f"update {self._sql.joined} straight_join {self._name} e on {self._sql.same('e', 'k')}"
            f" set {setting} where not ({alike})"
        )

    @cached_property
    def _insert(self) -> str:
        """Those that are not there, in key order."""
        columns = quoted_list([*self.composite.key, *self._sql.fields])
        values = ", ".join([self._sql.key_list("k."), *self._sql.values])
        first = quoted(self.composite.key[0])
        return (
            f"insert into {self._name} ({columns}) select {values} from {self._sql.joined}"
            f" left join {self._name} e on {self._sql.same('e', 'k')} where e.{first} is null"
            f" order by {self._sql.key_list('k.')}"
        )

    @cached_property
    def _give_up(self) -> str:
        setting = ", ".join(f"e.{quoted(name)} = null" for name in self._sql.unique)
        join = f"straight_join {self._name} e on {self._sql.same('e', 'k')}"
        return f"update {self._sql.keys} {join} set {setting}"

    @cached_property
    def _remove(self) -> str:
        first = quoted(self.composite.key[0])
        return (
            f"delete {self._name} from {self._sql.keys} straight_join {self._name}"
            f" on {self._sql.same(self._name, 'k')}"
            f" {self._sql.join_side('left join', self.composite.rows, 'r')} where r.{first} is null"
        )

    @cached_property
    def _gather(self) -> str | None:
        select = self._sql.differences
        if select is None:
            return None
        return f"insert into {_STAGE} ({quoted_list(COLUMNS)}) {select}"

    @cached_property
    def _settle(self) -> str:
        """Discrepancies of the touched keys that are none any more. Parameter: the entity."""
        touched = f"(select distinct {self._sql.key_id} as key_id from {self._sql.keys}) t"
        return (
            f"delete {_DIFFERENCES} from {touched} straight_join {_DIFFERENCES}"
            f" on {_DIFFERENCES}.key_id = t.key_id left join {_STAGE} n on {_same(_DIFFERENCES)}"
        ).replace("%", "%%") + f" where {_DIFFERENCES}.entity = %s and n.key_id is null"


def _json_value(connection: Connection) -> str:
    if connection.product is MYSQL:
        return "cast({} as json)"
    ((version,),) = query(connection, "select version()")
    major, minor = re.findall(r"\d+", str(version).removeprefix("5.5.5-"))[:2]
    # Before json_normalize, members in another order are another value.
    return "json_normalize({})" if (int(major), int(minor)) >= (10, 7) else "json_compact({})"


def _types(product: Product) -> dict[str, str]:
    """Those of `COLUMNS`."""
    text = f"character set utf8mb4 collate {product.collation}"
    types = dict.fromkeys(COLUMNS, f"longtext {text} null")
    types["key_id"] = "binary(32) not null"
    return types | dict.fromkeys(("field", "source", "owner"), f"varchar(64) {text} not null")


def create_differences(product: Product) -> str:
    columns = ", ".join(f"{name} {type_}" for name, type_ in _types(product).items())
    return (
        f"create table if not exists {_DIFFERENCES} (entity varchar(64) not null, {columns},"
        " since timestamp(6) not null default current_timestamp(6),"
        " primary key (entity, key_id, field, source))"
        f" engine = InnoDB default character set utf8mb4 collate {product.collation}"
    )


def create_entities(product: Product) -> str:
    return (
        f"create table if not exists {_ENTITIES} (entity varchar(64) primary key,"
        " table_name varchar(200) not null,"
        " rules varchar(64) not null, discrepancies bigint not null default 0)"
        f" engine = InnoDB default character set utf8mb4 collate {product.collation}"
    )


def _same(differences: str) -> str:
    names = ("key_id", "field", "source")
    return " and ".join(f"{differences}.{name} = n.{name}" for name in names)


_ENTITIES, _DIFFERENCES = quoted_table(ENTITIES), quoted_table(DIFFERENCES)
_SAVEPOINT = "tailrace_unique"
_STAGE = f"{OWN_SCHEMA}.tailrace_discrepancies"
_RENEW = (
    f"update {_STAGE} n straight_join {_DIFFERENCES} d on {_same('d')}"
    f" set {', '.join(f'd.{name} = n.{name}' for name in FOUND)}"
    f" where d.entity = %s and not ({' and '.join(f'd.{name} <=> n.{name}' for name in FOUND)})"
)
_NOTE = (
    f"insert into {_DIFFERENCES} (entity, {quoted_list(COLUMNS)})"
    f" select %s, {quoted_list(COLUMNS, 'n.')} from {_STAGE} n"
    f" left join {_DIFFERENCES} d on d.entity = %s and {_same('d')} where d.key_id is null"
)
