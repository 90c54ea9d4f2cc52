"""What the preflight looks up, once, before it judges."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.types.json import Jsonb

from cdc.postgres.catalog import CatalogTable, read_tables
from cdc.postgres.publication import Publication, read_publication
from cdc.postgres.session import Connection
from cdc.postgres.settings import PostgresSource
from cdc.postgres.slot import Slot, read_slot

_SETTINGS = [
    "wal_level",
    "max_replication_slots",
    "max_wal_senders",
    "max_slot_wal_keep_size",
    "wal_sender_timeout",
    "idle_replication_slot_timeout",
]


@dataclass(frozen=True, slots=True)
class Partition:
    """A leaf of a partitioned table: its qualified name and what must agree with its root."""

    schema: str
    name: str
    identity: str
    unlogged: bool


@dataclass(frozen=True, slots=True)
class Role:
    """Our role's rights. `owns`, `lacks` by table oid: `lacks` are rights that reading needs, by
    name; `hidden` are tables of which row security hides rows from us."""

    name: str
    superuser: bool
    replicates: bool
    creates: bool
    owns: dict[int, bool]
    lacks: dict[int, tuple[str, ...]]
    hidden: frozenset[int]


@dataclass(frozen=True, slots=True)
class Look:
    """`relations`: everything the patterns name; `capturable`: those of them that are tables.

    `loose_keys` are (table oid, column) of key columns under whose comparison two different texts
    can be equal. `prepared_old`: prepared transactions older than a minute.
    """

    connection: Connection
    source: PostgresSource
    database: str
    encoding: str
    settings: dict[str, str]
    role: Role
    slot: Slot | None
    slots_used: int
    senders_used: int
    prepared_old: int
    publication_name: str
    publication: Publication | None
    relations: list[CatalogTable]
    partitions: dict[int, list[Partition]]
    loose_keys: frozenset[tuple[int, str]]

    @property
    def capturable(self) -> list[CatalogTable]:
        return [table for table in self.relations if table.is_capturable]

    @property
    def publishable(self) -> list[CatalogTable]:
        """Those that can be published without breaking the application's own changes."""
        return [
            table
            for table in self.capturable
            if table.schema.key and table.persistence == "permanent"
        ]


_SERVER = """
select current_database(), pg_encoding_to_char(d.encoding),
       (select count(*) from pg_replication_slots), (select count(*) from pg_stat_replication),
       (select count(*) from pg_prepared_xacts where prepared < now() - interval '1 minute')
from pg_database d where d.datname = current_database()
"""
_ROLE = """
select rolname, rolsuper,
       rolsuper or rolreplication or exists (
           select from pg_roles where rolname = 'rds_replication'
           and pg_has_role(current_user, oid, 'MEMBER')),
       has_database_privilege(current_database(), 'CREATE')
from pg_roles where rolname = current_user
"""
_RIGHTS = """
select c.oid, pg_has_role(c.relowner, 'USAGE'),
       array_remove(array[
           case when not has_schema_privilege(c.relnamespace, 'USAGE') then 'USAGE' end,
           case when not has_table_privilege(c.oid, 'SELECT') and exists (
               select from unnest(w.columns) name
               where not has_column_privilege(c.oid, name, 'SELECT')) then 'SELECT' end], null),
       row_security_active(c.oid)
from (select (e ->> 0)::oid, array(select jsonb_array_elements_text(e -> 1))
      from jsonb_array_elements(%s::jsonb) e) w(oid, columns)
join pg_class c on c.oid = w.oid
"""
_PARTITIONS = """
select t.root, n.nspname, c.relname, c.relreplident::text, c.relpersistence = 'u'
from unnest(%s::oid[]) t(root) cross join lateral pg_partition_tree(t.root) p
join pg_class c on c.oid = p.relid join pg_namespace n on n.oid = c.relnamespace
where p.isleaf order by 2, 3
"""
_LOOSE = """
select a.attrelid, a.attname
from pg_attribute a join pg_type t on t.oid = a.atttypid
left join pg_collation l on l.oid = a.attcollation
where a.attrelid = any(%s) and (t.typname = 'citext' or not l.collisdeterministic)
"""


def look(connection: Connection, source: PostgresSource, name: str) -> Look:
    """`name` is the default of slot and publication."""
    publication_name = source.publication or name
    publication = read_publication(connection, publication_name)
    relations = read_tables(connection, source.patterns, publication_name)
    oids = [table.oid for table in relations]
    server = connection.execute(_SERVER).fetchone()
    assert server is not None
    database, encoding, slots_used, senders_used, prepared_old = server
    settings = connection.execute(
        "select name, setting from pg_settings where name = any(%s)", (_SETTINGS,)
    ).fetchall()
    partitions: dict[int, list[Partition]] = {}
    for root, *leaf in connection.execute(_PARTITIONS, (oids,)):
        partitions.setdefault(root, []).append(Partition(*leaf))
    return Look(
        connection=connection,
        source=source,
        database=database,
        encoding=encoding,
        settings=dict(settings),
        role=_read_role(connection, relations),
        slot=read_slot(connection, source.slot or name),
        slots_used=slots_used,
        senders_used=senders_used,
        prepared_old=prepared_old,
        publication_name=publication_name,
        publication=publication,
        relations=relations,
        partitions=partitions,
        loose_keys=frozenset(connection.execute(_LOOSE, (oids,)).fetchall()),
    )


def _read_role(connection: Connection, relations: list[CatalogTable]) -> Role:
    role = connection.execute(_ROLE).fetchone()
    assert role is not None
    wanted = [[table.oid, [column.name for column in table.schema.columns]] for table in relations]
    rights = connection.execute(_RIGHTS, (Jsonb(wanted),)).fetchall()
    name, superuser, replicates, creates = role
    return Role(
        name,
        superuser,
        replicates,
        creates,
        owns={oid: owned for oid, owned, _, _ in rights},
        lacks={oid: tuple(lacking) for oid, _, lacking, _ in rights if lacking},
        hidden=frozenset(oid for oid, _, _, is_hidden in rights if is_hidden),
    )
