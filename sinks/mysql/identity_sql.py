"""The SQL of recognising an entity's records (see `sinks.recognising`), written once.

A temporary table stands once in a statement, since MySQL cannot open it twice. Each statement names
the order in which tables are read: of a table just filled the server knows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from cdc.patterns import OWN_SCHEMA
from sinks.identity_people import APART, CONFLICTS, TABLE
from sinks.mysql.identity_tables import DIGEST, KEY, NAME, VALUES, collated
from sinks.mysql.match_words import said, text
from sinks.mysql.names import quoted, quoted_table
from sinks.mysql.products import Product
from sinks.mysql.types import IDENTIFIED_CHARACTERS_MAX
from sinks.recognising import HERE, MARK, PAIR, THERE, rules_of
from transforms.composite import Composite
from transforms.matching import MatchRule, MatchValue

TOUCHED, SCOPE, GROUP, EDGE, NEXT, IDS, GIVEN, FRESH, SOUGHT = (
    f"{OWN_SCHEMA}.tailrace_{name}"
    for name in ("touched", "scope", "group", "edge", "next", "ids", "given", "fresh", "sought")
)
"""`GIVEN` are pairs of texts from our process; `FRESH` are values of touched records; for `SOUGHT`
the records that match are looked up, one after the other."""

_RECORD = f"source {NAME}, source_key {KEY}"
_VALUE = f"rule smallint not null, digest {DIGEST}, {_RECORD}"
_TEMPORARY = {
    **dict.fromkeys(
        (TOUCHED, SCOPE, GROUP, EDGE, NEXT), f"{_RECORD}, unique key (source, source_key)"
    ),
    IDS: "id varchar(768) {text} not null",
    GIVEN: f"one {KEY}, two {KEY}",
    FRESH: f"{_VALUE}, unique key (source, source_key, rule)",
    SOUGHT: f"{_VALUE}, other_source {NAME}, other_key {KEY.removesuffix('not null')}",
}
EMPTY = tuple(f"delete from {table}" for table in _TEMPORARY)


def temporary(product: Product) -> Iterator[str]:
    """Statements that make the temporary tables anew."""
    for table, columns in _TEMPORARY.items():
        for statement in product.staging:
            yield statement.format(stage=table, columns=collated(columns, product))


@dataclass(frozen=True)
class IdentitySql:
    """`stage`: the staging table of keys."""

    composite: Composite
    stage: str

    @property
    def entity(self) -> str:
        return text(self.composite.entity)

    @property
    def key(self) -> str:
        (name,) = self.composite.key
        return quoted(name)

    def side(self, source: str) -> str:
        return quoted_table(self.composite.side(source).table)

    @property
    def sources(self) -> list[str]:
        return [side.source for side in self.composite.sides]

    def touch_staged(self, source: str) -> str:
        """A longer key is that of no record."""
        return (
            f"insert ignore into {TOUCHED} ({_columns(HERE)})"
            f" select distinct {text(source)}, {self.key} from {self.stage}"
            f" where char_length({self.key}) <= {IDENTIFIED_CHARACTERS_MAX}"
        )

    def touch_all(self, source: str) -> Iterator[str]:
        name = text(source)
        for rows in (
            f"source, source_key from {TABLE} where entity = {self.entity} and source = {name}",
            f"{name}, {self.key} from {self.side(source)}",
        ):
            yield f"insert ignore into {TOUCHED} ({_columns(HERE)}) select {rows}"

    def clear(self, source: str, transaction: str) -> str:
        return (
            f"update {TABLE} set cleared = {text(transaction)}"
            f" where entity = {self.entity} and source = {text(source)}"
        )

    @cached_property
    def note_touched(self) -> str:
        return (
            f"insert into {IDS} (id) select distinct i.canonical_id from {TOUCHED} t"
            f" {self._at(TABLE, 'i', HERE, 't', HERE)}"
        )

    @cached_property
    def note_all(self) -> str:
        return f"insert into {IDS} (id) select {self.key} from {quoted_table(self.composite.table)}"

    @cached_property
    def stage_ids(self) -> str:
        return f"insert into {self.stage} ({self.key}) select distinct id from {IDS}"

    @cached_property
    def move(self) -> list[str]:
        """`GIVEN` are keys before and after; of the source `{source}`."""
        found = []
        for table, (of, key) in ((TABLE, HERE), (APART, HERE), (APART, THERE)):
            place = f"{table}.entity = {self.entity} and {table}.{of} = {{source}}"
            marked = f"concat({text(MARK)}, g.two)"
            found += [
                f"update {GIVEN} g straight_join {table} on {place} and {table}.{key} = g.one"
                f" set {table}.{key} = {marked}",
                f"delete {table} from {GIVEN} g straight_join {table}"
                f" on {place} and {table}.{key} = g.two",
                f"update {GIVEN} g straight_join {table} on {place} and {table}.{key} = {marked}"
                f" set {table}.{key} = g.two",
            ]
        return found

    def name(self, source: str, number: int) -> str:
        digest = self._digest(number)
        return (
            f"insert into {TABLE} (entity, source, source_key, canonical_id, `by`)"
            f" select {self.entity}, t.source, t.source_key, {digest}, 'new'"
            f" {self._nameless(source)} and not exists (select 1 from {TABLE} o"
            f" where o.entity = {self.entity} and o.canonical_id = {digest})"
        )

    def nameless(self, source: str) -> str:
        """Whether there are any."""
        return f"select 1 {self._nameless(source)} limit 1"

    def _nameless(self, source: str) -> str:
        return (
            f"from {TOUCHED} t straight_join {self.side(source)} s on s.{self.key} = t.source_key"
            f" left join {TABLE} i on {self._same('i', HERE, 't', HERE)}"
            f" where t.source = {text(source)} and i.entity is null"
        )

    def _digest(self, number: int) -> str:
        """As at a PostgreSQL target."""
        found = f"sha2(json_array({self.entity}, t.source, t.source_key, {number}), 256)"
        parts = ", ".join(
            f"substring({found}, {first}, {length})"
            for first, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        )
        return f"concat_ws('-', {parts})"

    @cached_property
    def refresh(self) -> list[str]:
        """Have the values of touched records in `VALUES`; what is the same is not written."""
        here = f"{VALUES}.entity = {self.entity}"
        alike = " and ".join(f"f.{c} = {VALUES}.{c}" for c in ("rule", "digest", *HERE))
        return [
            *(statement for source in self.sources for statement in self._fresh(source)),
            f"delete {VALUES} from {TOUCHED} t straight_join {VALUES} force index (record)"
            f" on {self._same(VALUES, HERE, 't', HERE)} left join {FRESH} f on {alike}"
            " where f.rule is null",
            f"insert into {VALUES} (entity, rule, digest, source, source_key)"
            f" select {self.entity}, f.rule, f.digest, f.source, f.source_key from {FRESH} f"
            f" left join {VALUES} on {here} and {alike} where {VALUES}.entity is null",
        ]

    def _fresh(self, source: str) -> Iterator[str]:
        rules = rules_of(self.composite, source)
        if rules:
            cases = " ".join(f"when {rule.at} then {_compared(rule)}" for rule in rules)
            numbers = " union all ".join(f"select {rule.at} as rule" for rule in rules)
            yield (
                f"insert into {FRESH} (rule, digest, source, source_key)"
                f" select r.rule, case r.rule {cases} end as digest, t.source, t.source_key"
                f" from {TOUCHED} t straight_join {self.side(source)} s"
                f" on s.{self.key} = t.source_key straight_join ({numbers}) r"
                f" where t.source = {text(source)} having digest is not null"
            )

    @cached_property
    def touched_in_scope(self) -> str:
        return f"insert into {SCOPE} ({_columns(HERE)}) select {_columns(HERE)} from {TOUCHED}"

    @cached_property
    def widen(self) -> list[str]:
        return [
            f"insert ignore into {SCOPE} ({_columns(HERE)}) select {_columns(there, 'c.')}"
            f" from {TOUCHED} t {self._at(CONFLICTS, 'c', here, 't', HERE)}"
            for here, there in _BOTH
        ]

    @cached_property
    def forget(self) -> list[str]:
        return [
            f"delete {CONFLICTS} from {TOUCHED} t {self._at(CONFLICTS, '', here, 't', HERE)}"
            for here, _ in _BOTH
        ]

    @cached_property
    def has_conflicts(self) -> str:
        return f"select 1 from {CONFLICTS} where entity = {self.entity} limit 1"

    @cached_property
    def seek(self) -> str:
        others = " union all ".join(
            f"select {rule.at} as rule, {text(source)} as source"
            for source in self.sources
            for rule in rules_of(self.composite, source)
        )
        return (
            f"insert into {SOUGHT} (rule, digest, source, source_key, other_source)"
            f" select v.rule, v.digest, v.source, v.source_key, o.source from {SCOPE} t"
            f" straight_join {VALUES} v force index (record)"
            f" on {self._same('v', HERE, 't', HERE)} straight_join ({others}) o"
            " on o.rule = v.rule and o.source <> v.source"
        )

    def find(self, number: int) -> str:
        """The record after so many others that has the value."""
        return (
            f"update {SOUGHT} w set w.other_key = (select v.source_key from {VALUES} v"
            f" force index (primary) where v.entity = {self.entity} and v.rule = w.rule"
            " and v.digest = w.digest and v.source = w.other_source"
            f" order by v.source_key limit 1 offset {number})"
        )

    not_found = f"delete from {SOUGHT} where other_key is null"

    @cached_property
    def conflict(self) -> str:
        """Pairs that were found, where they are two and may be one."""
        first = "w.source < w.other_source"
        pair = [
            f"if({first}, w.{one}, w.{other})"
            for one, other in zip(PAIR, (*THERE, *HERE), strict=True)
        ]
        apart = " and ".join(f"p.{name} = {sql}" for name, sql in zip(PAIR, pair, strict=True))
        cases = " ".join(f"when {rule.at} then {text(rule.written)}" for rule in self._rules)
        return (
            f"insert into {CONFLICTS} (entity, {_columns(PAIR)}, rule)"
            f" select {self.entity}, {', '.join(pair)}, case w.rule {cases} end from {SOUGHT} w"
            f" {self._at(TABLE, 'x', HERE, 'w', HERE)} {self._at(TABLE, 'y', HERE, 'w', THERE)}"
            f" left join {APART} p on p.entity = {self.entity} and {apart}"
            " where x.canonical_id <> y.canonical_id and p.entity is null"
            f" on duplicate key update entity = {CONFLICTS}.entity"
        )

    @property
    def _rules(self) -> tuple[MatchRule, ...]:
        return self.composite.match

    @cached_property
    def start(self) -> str:
        return f"insert into {EDGE} ({_columns(HERE)}) select {_columns(HERE)} from {SCOPE}"

    @cached_property
    def grow(self) -> list[str]:
        """From the records at the `EDGE` of the group to those next to them that are not in it.
        The last statement says how many there are. (A recursive query scanned all identities for
        each step at MariaDB.)"""
        columns = _columns(HERE)
        around = [
            f"select {_columns(there, 'c.')} from {EDGE} r"
            f" {self._at(CONFLICTS, 'c', here, 'r', HERE)}"
            for here, there in _BOTH
        ]
        around.append(
            f"select {_columns(HERE, 'j.')} from {EDGE} r {self._at(TABLE, 'i', HERE, 'r', HERE)}"
            f" straight_join {TABLE} j on j.entity = i.entity and j.canonical_id = i.canonical_id"
        )
        same = " and ".join(f"g.{column} = n.{column}" for column in HERE)
        return [
            f"insert into {GROUP} ({columns}) select {columns} from {EDGE}",
            f"delete from {NEXT}",
            *(f"insert ignore into {NEXT} ({columns}) {rows}" for rows in around),
            f"delete from {EDGE}",
            f"insert into {EDGE} ({columns}) select {_columns(HERE, 'n.')} from {NEXT} n"
            f" left join {GROUP} g on {same} where g.source is null",
        ]

    def records(self, transaction: str) -> str:
        """(identity, source, key, whether it takes the place of its source) of the group."""
        there = [f"i.cleared <=> {text(transaction)}"]
        joins = []
        for at, source in enumerate(self.sources):
            there.append(f"s{at}.{self.key} is not null")
            joins.append(
                f"left join {self.side(source)} s{at}"
                f" on g.source = {text(source)} and s{at}.{self.key} = g.source_key"
            )
        return (
            f"select i.canonical_id, i.source, i.source_key, {' or '.join(there)} from {GROUP} g"
            f" {self._at(TABLE, 'i', HERE, 'g', HERE)} {' '.join(joins)}"
        )

    def pairs(self, table: str) -> str:
        """Pairs of identities of the group, by conflicts or by what was set apart."""
        return (
            f"select distinct x.canonical_id, y.canonical_id from {GROUP} g"
            f" {self._at(table, 'c', HERE, 'g', HERE)} {self._at(TABLE, 'x', HERE, 'c', HERE)}"
            f" {self._at(TABLE, 'y', HERE, 'c', THERE)}"
        )

    @cached_property
    def leave(self) -> str:
        """`GIVEN` are sources and keys."""
        return f"delete {TABLE} from {GIVEN} g {self._at(TABLE, '', HERE, 'g', ('one', 'two'))}"

    @cached_property
    def rename(self) -> str:
        """`GIVEN` are identities before, and after."""
        return (
            f"update {GIVEN} g straight_join {TABLE} i force index (id)"
            f" on i.entity = {self.entity} and i.canonical_id = g.one set i.canonical_id = g.two,"
            " i.since = now(6), i.`by` = if(i.`by` = 'person', i.`by`, 'rule')"
        )

    @cached_property
    def settle(self) -> str:
        return (
            f"delete {CONFLICTS} from {GROUP} g {self._at(CONFLICTS, '', HERE, 'g', HERE)}"
            f" {self._at(TABLE, 'x', HERE, CONFLICTS, HERE)}"
            f" {self._at(TABLE, 'y', HERE, CONFLICTS, THERE)}"
            " where x.canonical_id = y.canonical_id"
        )

    def _at(
        self,
        table: str,
        alias: str,
        columns: tuple[str, str],
        of: str,
        record: tuple[str, str],
    ) -> str:
        """Join the rows of a record; without an alias, as a DELETE wants it."""
        return f"straight_join {table} {alias} on {self._same(alias or table, columns, of, record)}"

    def _same(self, table: str, columns: tuple[str, str], of: str, record: tuple[str, str]) -> str:
        pairs = zip(columns, record, strict=True)
        same = (f"{table}.{column} = {of}.{given}" for column, given in pairs)
        return f"{table}.entity = {self.entity} and {' and '.join(same)}"


_BOTH = ((HERE, THERE), (THERE, HERE))


def _columns(names: tuple[str, ...], prefix: str = "") -> str:
    return ", ".join(prefix + name for name in names)


def _compared(rule: MatchRule) -> str:
    """A digest of the values, which are all there."""
    digests = [f"sha2({_value(value)}, 256)" for value in rule.values]
    if len(digests) == 1:
        return f"unhex({digests[0]})"
    return f"unhex(sha2(concat({', '.join(digests)}), 256))"


def _value(value: MatchValue) -> str:
    sql = said(value.form)
    return f"nullif({sql}, {text('')})" if value.text else f"cast({sql} as char)"
