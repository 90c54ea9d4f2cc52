"""Publications: reading one, and making and dropping our own where the DBA has made none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc.postgres.catalog import CatalogTable
from cdc.postgres.session import Connection, quoted, translated
from cdc.schema import TableName

PUBLISHED = "insert, update, delete, truncate"


@dataclass(frozen=True, slots=True)
class Publication:
    """`oid` tells it from a later one of the same name. `owned`: our role may alter it.

    `lacking` are operations it does not publish. `members` are the tables added one by one, with
    the object identifier of each membership: a table that left and came back has another.
    """

    oid: int
    name: str
    owner: str
    owned: bool
    all_tables: bool
    via_root: bool
    lacking: tuple[str, ...]
    members: dict[TableName, int]


_READ = """
select p.oid, pubname, pg_get_userbyid(pubowner), pg_has_role(pubowner, 'USAGE'), puballtables,
       pubviaroot, array_remove(array[case when not pubinsert then 'insert' end,
           case when not pubupdate then 'update' end, case when not pubdelete then 'delete' end,
           case when not pubtruncate then 'truncate' end], null)
from pg_publication p where pubname = %s
"""
_MEMBERS = """
select n.nspname, c.relname, r.oid
from pg_publication_rel r join pg_class c on c.oid = r.prrelid
join pg_namespace n on n.oid = c.relnamespace
where r.prpubid = %s
"""


def read_publication(connection: Connection, name: str) -> Publication | None:
    with translated("reading the publication", publication=name):
        row = connection.execute(_READ, (name,)).fetchone()
        if row is None:
            return None
        members = {
            TableName(schema, table): oid
            for schema, table, oid in connection.execute(_MEMBERS, (row[0],))
        }
    oid, found, owner, owned, all_tables, via_root, lacking = row
    return Publication(oid, found, owner, owned, all_tables, via_root, tuple(lacking), members)


def listed(table: CatalogTable) -> str:
    """A table as publications list it: without the children that inherit from it."""
    return ("ONLY " if table.has_children else "") + quoted(table.name.schema, table.name.name)


def create_statement(name: str, tables: Sequence[CatalogTable]) -> str:
    """Exactly these tables, every operation."""
    names = ",\n    ".join(listed(table) for table in tables)
    return (
        f"CREATE PUBLICATION {quoted(name)} FOR TABLE\n    {names}\n"
        f"    WITH (publish = '{PUBLISHED}', publish_via_partition_root = true)"
    )


def create_publication(connection: Connection, name: str, tables: Sequence[CatalogTable]) -> None:
    """Make ours anew; one of that name that our role owns is replaced.

    Errors: PreflightError where our role may not.
    """
    with translated("making the publication", publication=name), connection.transaction():
        connection.execute(f"DROP PUBLICATION IF EXISTS {quoted(name)}".encode())
        connection.execute(create_statement(name, tables).encode())
