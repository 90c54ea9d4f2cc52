"""The SQL of recognising an entity's records (see `sinks.recognising`), written once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

from sinks.identity_people import APART, CONFLICTS, TABLE
from sinks.postgres.names import literal, quoted, quoted_list, quoted_table
from sinks.recognising import HERE, MATCHES_MAX, PAIR, THERE, rules_of
from transforms.composite import Composite
from transforms.matching import Call, Field, Form, MatchRule, MatchValue

TOUCHED, SCOPE, GROUP, IDS = (
    f"pg_temp.tailrace_{name}" for name in ("touched", "scope", "group", "ids")
)
_RECORD = "source text not null, source_key text not null, primary key (source, source_key)"
MAKE = (
    *(
        f"create temporary table if not exists {name.removeprefix('pg_temp.')} ({columns})"
        " on commit delete rows"
        for name, columns in (
            (TOUCHED, _RECORD),
            (SCOPE, _RECORD),
            (GROUP, _RECORD),
            (IDS, "id text primary key"),
        )
    ),
    *(f"delete from {name}" for name in (TOUCHED, SCOPE, GROUP, IDS)),
)


def said(form: Form) -> str:
    """In PostgreSQL's words."""
    match form:
        case Field(name):
            return quoted(name)
        case Call("||", (one, other)):
            return f"({said(one)} || {said(other)})"
        case Call(function, of):
            return f"{function}({', '.join(map(said, of))})"
        case str():
            return f"{literal(form)}::text"
        case int():
            return str(form)


def index_name(table: str, rule: MatchRule) -> str:
    words = repr((table, [said(value.form) for value in rule.values]))
    return f"tailrace_match_{hashlib.sha256(words.encode()).hexdigest()[:16]}"


def _compared(value: MatchValue) -> str:
    sql = said(value.form)
    return f"nullif({sql}, ''::text)" if value.text else sql


def _indexed(value: MatchValue) -> str:
    """Texts by a digest, since an index takes none of some thousand characters."""
    return f"hashtextextended({_compared(value)}, 0)" if value.text else said(value.form)


@dataclass(frozen=True)
class IdentitySql:
    composite: Composite

    @property
    def entity(self) -> str:
        return literal(self.composite.entity)

    @property
    def key(self) -> str:
        (name,) = self.composite.key
        return quoted(name)

    def side(self, source: str) -> str:
        return quoted_table(self.composite.side(source).table)

    def make_index(self, source: str, rule: MatchRule) -> str:
        table = self.side(source)
        columns = ", ".join(f"({_indexed(value)})" for value in rule.values)
        return f"create index if not exists {index_name(table, rule)} on {table} ({columns})"

    @cached_property
    def live(self) -> str:
        """All records that sources have now, as `source` and `source_key`."""
        parts = (
            f"select {literal(side.source)}::text as source, {self.key} as source_key"
            f" from {self.side(side.source)}"
            for side in self.composite.sides
        )
        return f"({' union all '.join(parts)})"

    def touch_staged(self, stage: str, source: str) -> str:
        return (
            f"insert into {TOUCHED} select distinct {literal(source)}, {self.key} from {stage}"
            f" where {self.key} is not null"
        )

    def touch_all(self, source: str | None) -> str:
        """Of one source, or of every one."""
        of = "" if source is None else f" and source = {literal(source)}"
        return (
            f"insert into {TOUCHED} select source, source_key from {TABLE}"
            f" where entity = {self.entity}{of}"
            f" union select source, source_key from {self.live} l where true{of}"
        )

    @cached_property
    def note_ids(self) -> str:
        return (
            f"insert into {IDS} select id from"
            f" (select distinct {self._identity('t.source', 't.source_key')} as id"
            f" from {TOUCHED} t) i where id is not null on conflict do nothing"
        )

    def _identity(self, source: str, key: str) -> str:
        """A look-up, which no plan can make a scan of."""
        return (
            f"(select i.canonical_id from {TABLE} i where i.entity = {self.entity}"
            f" and i.source = {source} and i.source_key = {key})"
        )

    def _is_live(self, source: str, key: str) -> str:
        return (
            f"(select true from {self.live} l where l.source = {source}"
            f" and l.source_key = {key} limit 1)"
        )

    def _conflicts(self, of: str, columns: tuple[str, str], table: str = CONFLICTS) -> str:
        """Those of the records `of`, as c, looked up one by one: `offset 0` keeps it so."""
        source, key = columns
        return (
            f"cross join lateral (select c.ctid as at, c.* from {table} c"
            f" where c.entity = {self.entity} and c.{source} = {of}.source"
            f" and c.{key} = {of}.source_key offset 0) c"
        )

    @cached_property
    def name(self) -> str:
        """An identity for each touched record that has none, always the same: a digest of the
        record, numbered only where another is called so."""
        first = self._unused("select 0 as n")
        others = self._unused("select n from generate_series(1, 99) n")
        return (
            f"insert into {TABLE} (entity, source, source_key, canonical_id, by)"
            f" select {self.entity}, t.source, t.source_key, coalesce({first}, {others}), 'new'"
            f" from {TOUCHED} t where {self._is_live('t.source', 't.source_key')}"
            f" and {self._identity('t.source', 't.source_key')} is null"
        )

    def _unused(self, numbers: str) -> str:
        digest = (
            "left(encode(sha256(convert_to(json_build_array("
            f"{self.entity}, t.source, t.source_key, g.n)::text, 'UTF8')), 'hex'), 32)::uuid::text"
        )
        return (
            f"(select {digest} from ({numbers}) g where not exists (select from {TABLE} o"
            f" where o.entity = {self.entity} and o.canonical_id = {digest}) order by g.n limit 1)"
        )

    @cached_property
    def widen(self) -> str:
        parts = " union ".join(
            f"select c.{', c.'.join(there)} from {TOUCHED} t {self._conflicts('t', here)}"
            for here, there in permutations((HERE, THERE))
        )
        return f"insert into {SCOPE} select source, source_key from {TOUCHED} union {parts}"

    @cached_property
    def forget(self) -> str:
        """Matches of touched records, which are looked for anew."""
        found = " union ".join(
            f"select c.at from {TOUCHED} t {self._conflicts('t', here)}" for here in (HERE, THERE)
        )
        return f"delete from {CONFLICTS} where ctid = any(array({found}))"

    @cached_property
    def matches(self) -> list[str]:
        """Note the matches of records in scope that have another identity."""
        found = []
        sources = [side.source for side in self.composite.sides]
        for source, other in permutations(sources, 2):
            shared = rules_of(self.composite, other)
            found += [
                self._match(rule, source, other)
                for rule in rules_of(self.composite, source)
                if rule in shared
            ]
        return found

    def _match(self, rule: MatchRule, source: str, other: str) -> str:
        same = " and ".join(
            f"b.h{at} = a.h{at} and b.m{at} = a.m{at}" for at in range(len(rule.values))
        )
        pair = [literal(source), "a.source_key", literal(other), "b.source_key"]
        if source > other:
            pair = [*pair[2:], *pair[:2]]
        apart = " and ".join(f"p.{name} = {value}" for name, value in zip(PAIR, pair, strict=True))
        return (
            f"insert into {CONFLICTS} (entity, {', '.join(PAIR)}, rule)"
            f" select {self.entity}, {', '.join(pair)}, {literal(rule.written)} from {SCOPE} t"
            f" cross join lateral (select * from {self._rows(rule, source)} a"
            " where a.source_key = t.source_key limit 1) a"
            f" cross join lateral (select b.source_key from {self._rows(rule, other)} b"
            f" where {same} limit {MATCHES_MAX}) b"
            f" where t.source = {literal(source)}"
            f" and {self._identity(literal(source), 'a.source_key')}"
            f" <> {self._identity(literal(other), 'b.source_key')}"
            f" and (select true from {APART} p where p.entity = {self.entity} and {apart}) is null"
            " on conflict do nothing"
        )

    def _rows(self, rule: MatchRule, source: str) -> str:
        items = [f"{self.key} as source_key"]
        for at, value in enumerate(rule.values):
            items += [f"{_compared(value)} as m{at}", f"{_indexed(value)} as h{at}"]
        return f"(select {', '.join(items)} from {self.side(source)})"

    @cached_property
    def gather(self) -> str:
        around = " union all ".join(
            f"(select c.{there[0]}, c.{there[1]} from {CONFLICTS} c where c.entity = {self.entity}"
            f" and c.{here[0]} = r.source and c.{here[1]} = r.source_key offset 0)"
            for here, there in permutations((HERE, THERE))
        )
        return (
            f"insert into {GROUP} with recursive r as ("
            f" select source, source_key from {SCOPE} union"
            f" select x.source, x.source_key from r cross join lateral ({around}"
            f" union all (select j.source, j.source_key from {TABLE} j"
            f" where j.entity = {self.entity}"
            f" and j.canonical_id = {self._identity('r.source', 'r.source_key')} offset 0)"
            ") x(source, source_key)) select source, source_key from r"
        )

    def clear(self, source: str) -> str:
        """Records that are to come back within this transaction, as in a snapshot, keep their
        place until its end."""
        return (
            f"update {TABLE} set cleared = now()"
            f" where entity = {self.entity} and source = {literal(source)}"
        )

    @cached_property
    def records(self) -> str:
        """(identity, source, key, whether it takes the place of its source) of the group."""
        return (
            "select i.canonical_id, i.source, i.source_key, coalesce(i.cleared = now(), false)"
            f" or {self._is_live('i.source', 'i.source_key')} is not null from {GROUP} g"
            f" cross join lateral (select * from {TABLE} i where i.entity = {self.entity}"
            " and i.source = g.source and i.source_key = g.source_key offset 0) i"
        )

    def pairs(self, table: str) -> str:
        """Pairs of identities of the group, by matches or by what was set apart."""
        return (
            f"select * from (select distinct {self._identity('c.source', 'c.source_key')} as one,"
            f" {self._identity('c.other_source', 'c.other_key')} as other"
            f" from {GROUP} g {self._conflicts('g', HERE, table)}) p"
            " where one is not null and other is not null"
        )

    @cached_property
    def leave(self) -> str:
        """Parameters: sources, keys. Records that are gone make place for others."""
        return (
            f"delete from {TABLE} where ctid = any(array(select i.ctid"
            " from unnest(%s::text[], %s::text[]) r(source, key)"
            f" cross join lateral (select i.ctid from {TABLE} i where i.entity = {self.entity}"
            " and i.source = r.source and i.source_key = r.key offset 0) i))"
        )

    @cached_property
    def rename(self) -> str:
        """Parameters: identities before, and after."""
        return (
            f"update {TABLE} i set canonical_id = r.after, since = now(),"
            " by = case i.by when 'person' then i.by else 'rule' end"
            " from (select x.ctid as at, r.after from unnest(%s::text[], %s::text[])"
            f" r(before, after) cross join lateral (select x.ctid from {TABLE} x"
            f" where x.entity = {self.entity} and x.canonical_id = r.before offset 0) x"
            " offset 0) r where i.ctid = r.at"
        )

    @cached_property
    def settle(self) -> str:
        """Matches of the group whose records are one now."""
        return (
            f"delete from {CONFLICTS} where ctid = any(array(select c.at"
            f" from {GROUP} g {self._conflicts('g', HERE)}"
            f" where {self._identity('c.source', 'c.source_key')}"
            f" = {self._identity('c.other_source', 'c.other_key')}))"
        )

    def stage_ids(self, stage: str) -> str:
        return f"insert into {stage} ({self.key}) select id from {IDS}"

    @cached_property
    def note_all(self) -> str:
        name = quoted_table(self.composite.table)
        keys = quoted_list(self.composite.key)
        return f"insert into {IDS} select {keys} from {name} on conflict do nothing"
