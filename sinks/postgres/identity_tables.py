"""What an entity with `identity` needs at PostgreSQL beside its side tables.

tailrace.identity            which identity each record of a source has
tailrace.identity_conflict   pairs of records that a rule joins, and that are not one
tailrace.identity_apart      pairs that a person has set apart
tailrace.identity_action     what people did, and why
"""

from __future__ import annotations

from sinks.postgres.identity_sql import IdentitySql, index_name
from sinks.postgres.session import Connection
from sinks.recognising import rules_of
from transforms.composite import Composite

_CREATE = """
create table tailrace.identity (
    entity text not null,
    source text not null,
    source_key text not null,
    canonical_id text not null,
    since timestamptz not null default now(),
    by text not null check (by in ('rule', 'new', 'person')),
    cleared timestamptz,
    primary key (entity, source, source_key),
    unique (entity, canonical_id, source)
);
create table tailrace.identity_conflict (
    entity text not null,
    source text not null,
    source_key text not null,
    other_source text not null,
    other_key text not null,
    rule text not null,
    since timestamptz not null default now(),
    primary key (entity, source, source_key, other_source, other_key)
);
create index identity_conflict_other
    on tailrace.identity_conflict (entity, other_source, other_key);
create table tailrace.identity_apart (
    entity text not null,
    source text not null,
    source_key text not null,
    other_source text not null,
    other_key text not null,
    since timestamptz not null default now(),
    primary key (entity, source, source_key, other_source, other_key)
);
create index identity_apart_other
    on tailrace.identity_apart (entity, other_source, other_key);
create table tailrace.identity_action (
    number bigint generated always as identity primary key,
    at timestamptz not null default now(),
    who text not null,
    entity text not null,
    action text not null check (action in ('merge', 'split')),
    from_id text not null,
    into_id text not null,
    records jsonb not null,
    reason text not null
)
"""

_INDEXES = """
select indexrelid::regclass::text, relname from pg_index join pg_class on pg_class.oid = indexrelid
where indrelid = %s::regclass and relname like 'tailrace\\_match\\_%%'
"""


def prepare_identity(connection: Connection, composite: Composite) -> None:
    """Make the tables and the indexes of the rules; remove those of other rules. The side tables
    are there. Errors: the server's."""
    last = connection.execute("select to_regclass('tailrace.identity_action') is not null")
    if last.fetchone() != (True,):  # a CREATE INDEX would lock out who is writing, there or not
        for statement in _CREATE.split(";\n"):
            connection.execute(statement.encode())
    sql = IdentitySql(composite)
    for side in composite.sides:
        table = sql.side(side.source)
        rules = {index_name(table, rule): rule for rule in rules_of(composite, side.source)}
        found = connection.execute(_INDEXES.encode(), (table,)).fetchall()
        there = {str(full): str(name) for full, name in found}
        for full, name in there.items():
            if name not in rules:
                connection.execute(f"drop index {full}".encode())
        for name, rule in rules.items():
            if name not in there.values():
                connection.execute(sql.make_index(side.source, rule).encode())
