"""Whether a target can be written, before anything is; creates nothing that stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import pymysql

from cdc.findings import Finding
from cdc.patterns import OWN_SCHEMA
from cdc.schema import TableName
from sinks.misfits import not_ours, refuse_doubles
from sinks.mysql import catalog
from sinks.mysql.names import quoted, quoted_list, quoted_table
from sinks.mysql.products import Product
from sinks.mysql.protection import recorded
from sinks.mysql.rights import Rights
from sinks.mysql.session import Connection, connect, execute, query, translated
from sinks.mysql.settings import MariadbTarget, MysqlTarget
from sinks.mysql.tables import (
    holds_foreign_rows,
    holds_rows,
    merged,
    refuse_system,
    verify,
)
from sinks.protection import findings
from tailrace.errors import TargetRefused
from transforms.rows import TargetTable

PACKET_WANTED = 16 << 20
_READ_ONLY = ("read_only", "super_read_only", "innodb_read_only")

_STAGE = f"{OWN_SCHEMA}.tailrace_check"


def inspect(
    target: MariadbTarget | MysqlTarget, tables: Sequence[TargetTable], pipelines: Sequence[str]
) -> list[Finding]:
    """Everything that stands against `pipelines` writing `tables`.

    Errors: TargetUnavailable when nothing can be looked at.
    """
    try:
        opened = connect(target.url, "check", target.product)
    except TargetRefused as refused:
        return [Finding("error", refused.what, "version", f"-- {refused.fix}")]
    with closing(opened) as connection, translated("looking at the target"):
        found = list(_server(connection))
        if any(finding.severity == "error" for finding in found):
            return found
        rights = Rights(connection)
        found += _ours(connection, rights)
        found += _foreign_keys(rights)
        prepared = _prepared(connection, pipelines)
        found += _merged(connection, tables)
        for table in dict.fromkeys(tables):
            found += _table(connection, rights, table, table.table in prepared)
            if table.table in prepared:
                found += _protection(connection, table, pipelines)
        return list(dict.fromkeys(found))


def _server(connection: Connection) -> Iterator[Finding]:
    settings = _variables(connection)
    packet_max = int(settings["max_allowed_packet"])
    if any(settings.get(name, "OFF") not in ("OFF", "0") for name in _READ_ONLY):
        yield Finding(
            "error",
            "the server is read-only, as replicas are",
            "read_only",
            "-- write the primary's address into the target's url; or SET GLOBAL read_only = OFF;",
        )
    if settings["log_bin"] == "ON" and settings.get("binlog_format") == "STATEMENT":
        yield Finding(
            "error",
            "the server logs statements, and takes no transaction of ours (READ COMMITTED) so",
            "binlog_format",
            "SET GLOBAL binlog_format = MIXED;  -- and in the server's configuration",
        )
    if packet_max < PACKET_WANTED:
        yield Finding(
            "warning",
            f"max_allowed_packet is {packet_max:,} bytes: a larger row may be refused",
            "max_allowed_packet",
            f"SET GLOBAL max_allowed_packet = {PACKET_WANTED};  -- and in the configuration",
        )


def _variables(connection: Connection) -> dict[str, str]:
    """The global ones of these that the server has."""
    names = (*_READ_ONLY, "max_allowed_packet", "log_bin", "binlog_format")
    rows = query(connection, "show global variables where variable_name in %s", names)
    return {str(name).lower(): str(value) for name, value in rows}


def _ours(connection: Connection, rights: Rights) -> Iterator[Finding]:
    grant = (
        f"CREATE DATABASE IF NOT EXISTS {OWN_SCHEMA};\n"
        f"GRANT ALL ON {OWN_SCHEMA}.* TO {rights.account};"
    )
    present = query(
        connection, "select 1 from information_schema.schemata where schema_name = %s", OWN_SCHEMA
    )
    if not rights.may_create(OWN_SCHEMA):
        what = "the user cannot keep checkpoints in a database of its own"
        yield Finding("error", what, f"database {OWN_SCHEMA}", grant)
    elif present:
        try:
            for sql in connection.product.staging:
                execute(connection, sql.format(stage=_STAGE, columns="a int"))
        except pymysql.Error:
            what = "the user may not make temporary tables, in which rows are staged"
            yield Finding("error", what, f"database {OWN_SCHEMA}", grant)


def _foreign_keys(rights: Rights) -> Iterator[Finding]:
    if not rights.shows_foreign_keys:
        yield Finding(
            "warning",
            f"foreign keys of tables on which the user {rights.user} has no rights are not shown to"
            " it: batches in which keys change are written row by row",
            "foreign keys",
            f"GRANT REFERENCES ON *.* TO {rights.account};  -- the least that shows them",
        )


def _merged(connection: Connection, tables: Sequence[TargetTable]) -> Iterator[Finding]:
    names: dict[TableName, TableName] = {}
    for table in dict.fromkeys(tables):
        other = names.setdefault(catalog.kept_name(connection, table.table), table.table)
        if other != table.table:
            refused = merged(table, other)
            yield Finding("error", refused.what, str(table.table), _sql(refused.fix))


def _prepared(connection: Connection, pipelines: Sequence[str]) -> set[TableName]:
    """The tables whose rows are known as ours."""
    if catalog.table_kind(connection, TableName(OWN_SCHEMA, "tables")) is None or not pipelines:
        return set()
    rows = query(
        connection,
        "select table_schema, table_name from tailrace.tables where pipeline in %s",
        tuple(pipelines),
    )
    return {TableName(str(schema), str(name)) for schema, name in rows}


def _table(
    connection: Connection, rights: Rights, table: TargetTable, is_ours: bool
) -> Iterator[Finding]:
    where = str(table.table)
    kind = catalog.table_kind(connection, table.table)
    try:
        refuse_system(table)
        refuse_doubles(table, "MariaDB")
        if kind is None:
            yield from _absent(rights, table)
            return
        found = verify(connection, table, kind)
    except TargetRefused as refused:
        yield Finding("error", refused.what, where, _sql(refused.fix))
        return
    lacking = [name for name, sql in _tries(table) if not _may(connection, sql)]
    if lacking:
        names = ", ".join(lacking)
        fix = f"GRANT {names} ON {quoted_table(table.table)} TO {rights.account};"
        yield Finding("error", f"the user {rights.user} lacks {names}", where, fix)
    elif holds_foreign_rows(connection, table, is_ours):
        yield not_ours(table)
    yield from _loose(connection.product, table, found)


def _protection(
    connection: Connection, table: TargetTable, pipelines: Sequence[str]
) -> list[Finding]:
    names = (TableName(OWN_SCHEMA, "protection"), table.table)
    if any(catalog.table_kind(connection, name) is None for name in names):
        return []
    if not _may(connection, dict(_tries(table))["SELECT"]) or not holds_rows(connection, table):
        return []
    return findings(table, recorded(connection, pipelines, table))


def _tries(table: TargetTable) -> Iterator[tuple[str, str]]:
    """Statements that the server only plans, by the right that each needs."""
    name, key = quoted_table(table.table), quoted(table.key[0])
    yield "SELECT", f"explain select {key} from {name} where false"
    yield "INSERT", f"explain insert into {name} ({key}) select null from dual where false"
    yield "UPDATE", f"explain update {name} set {key} = null where false"
    yield "DELETE", f"explain delete from {name} where false"


def _may(connection: Connection, sql: str) -> bool:
    try:
        execute(connection, sql)
    except pymysql.Error as error:
        if error.args[0] not in (1142, 1143, 1044):
            raise
        return False
    return True


def _loose(
    product: Product, table: TargetTable, found: Mapping[str, catalog.CatalogColumn]
) -> Iterator[Finding]:
    loose = [key for key in table.key if found[key].loose]
    if loose:
        yield Finding(
            "warning",
            f"takes different values of {quoted_list(loose)} for the same (case, accents or"
            " trailing spaces): two such rows of the source would be refused",
            str(table.table),
            f"-- ALTER TABLE {quoted_table(table.table)} MODIFY {quoted(loose[0])}"
            f" {found[loose[0]].type} COLLATE {product.collation} NOT NULL;",
        )


def _absent(rights: Rights, table: TargetTable) -> Iterator[Finding]:
    schema = table.table.schema
    if not rights.may_create(schema):
        yield Finding(
            "error",
            f"is not there, and the user {rights.user} may not make it",
            str(table.table),
            f"GRANT ALL ON {quoted(schema)}.* TO {rights.account};",
        )


def _sql(fix: str | None) -> str:
    """Advice that is not SQL becomes a comment."""
    text = fix or "see the table's definition"
    return text + ";" if text.startswith("alter ") else f"-- {text}"
